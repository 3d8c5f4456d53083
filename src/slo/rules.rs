//! When an alert fires: pure functions of what the windows hold.

use std::fmt;
use std::time::Duration;

use super::binomial;
use super::ring::Tally;
use crate::ratio::Ratio;

/// The alerts, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alert {
    /// By default a burn above 14.4 over an hour and over 5 minutes: 2 % of a 30-day budget in an hour.
    /// Page.
    PageFast,
    /// By default a burn above 6 over 6 hours and over 30 minutes: 5 % of the budget in 6 hours. Page.
    PageSlow,
    /// By default a burn above 1 over 3 days and over 6 hours: 10 % of the budget in 3 days. Ticket.
    Ticket,
}

impl Alert {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PageFast, Self::PageSlow, Self::Ticket];

    /// The name in metrics: `page_fast`, `page_slow`, `ticket`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PageFast => "page_fast",
            Self::PageSlow => "page_slow",
            Self::Ticket => "ticket",
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an objective's alerts go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    /// The share of bad calls that is allowed.
    pub(crate) allowed: f64,
    /// In the order of [`Alert::ALL`].
    pub(crate) alerts: [AlertRule; 3],
}

/// When one alert fires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AlertRule {
    /// While the burn is above this,
    pub(crate) factor: f64,
    /// over this window,
    pub(crate) long: Duration,
    /// and over this one.
    pub(crate) short: Duration,
}

impl AlertRule {
    const fn new(factor: f64, long: u64, short: u64) -> Self {
        let (long, short) = (Duration::from_secs(long), Duration::from_secs(short));
        Self { factor, long, short }
    }
}

/// As the SRE Workbook has them.
pub(super) const WORKBOOK: [AlertRule; 3] = [
    AlertRule::new(14.4, 3_600, 300),
    AlertRule::new(6.0, 6 * 3_600, 1_800),
    AlertRule::new(1.0, 3 * 86_400, 6 * 3_600),
];

/// One window at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) tally: Tally,
    /// In ns.
    pub(super) span: u64,
    /// How long it has been filled, in ns; at most `span`.
    pub(super) filled: u64,
}

impl Window {
    /// The burn: the share of bad calls over the share that is allowed. The part of the window before
    /// the start counts as good, at the mean rate since. `None` without calls.
    pub(super) fn burn(&self, allowed: f64) -> Option<f64> {
        if self.tally.total == 0 {
            return None;
        }
        let missing = self.span.saturating_sub(self.filled) as f64 / self.filled.max(1) as f64;
        let total = self.tally.total as f64 * (1.0 + missing);
        let share = self.tally.bad as f64 / total;
        Some(if share == 0.0 { 0.0 } else { share / allowed })
    }
}

/// An alert that fires ends when a burn is a tenth below its factor: one that hovers there is one alert.
const KEEPS_FIRING: f64 = 0.9;

/// Does an alert of this factor, that fires already, go on firing?
pub(super) fn keeps_firing(long: Window, short: Window, factor: f64, allowed: f64) -> bool {
    let edge = factor * KEEPS_FIRING;
    [long, short].iter().all(|window| window.burn(allowed).is_some_and(|burn| burn > edge))
}

/// Does an alert of this factor fire?
pub(super) fn fires(long: Window, short: Window, factor: f64, allowed: f64) -> bool {
    let burns = |window: Window| window.burn(allowed).is_some_and(|burn| burn > factor);
    burns(long) && burns(short) && is_significant(long.tally, factor * allowed)
}

/// Are so many bad calls more than chance, where few are expected?
fn is_significant(tally: Tally, share: f64) -> bool {
    let expected = tally.total as f64 * share;
    tally.bad >= 2 && (expected >= 10.0 || binomial::tail(tally.total, share, tally.bad) <= 0.01)
}

/// How fast the budget burns over one window.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Burn {
    /// The window's name: `5m`, `30m`, `1h`, `6h`, `3d` by default.
    pub window: &'static str,
    /// The window's length.
    pub span: Duration,
    /// Calls in it.
    pub total: u64,
    /// Bad ones.
    pub bad: u64,
    /// The burn rate; `None` without calls, infinite at an objective of 100 %.
    pub rate: Option<f64>,
}

/// An objective at one moment: as of the last tick.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The burn over each window, shortest first.
    pub burns: Vec<Burn>,
    /// What is left of the budget over the last 30 days, or since the start: 1 is all of it, negative is
    /// overspent. `None` without calls.
    pub budget_left: Option<f64>,
    /// All calls since the start.
    pub total: u64,
    /// Bad ones.
    pub bad: u64,
    pub(super) firing: [bool; 3],
}

impl Snapshot {
    /// Is this alert firing?
    pub fn firing(&self, alert: Alert) -> bool {
        self.firing[alert as usize]
    }

    /// The share of good calls since the start; `None` without calls.
    pub fn availability(&self) -> Option<Ratio> {
        Ratio::of(self.total - self.bad, self.total)
    }
}
