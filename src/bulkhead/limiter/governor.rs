//! Keeps a limiter within bounds and within reason.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::window::{Limiter, Window};
use crate::error::{ConfigError, check};

/// Windows after which the latency without a queue is measured anew.
const MEASURE_EVERY: u32 = 100;
/// Windows in a row, more than twice as slow as the baseline, after which it is measured at once.
const SLOW_WINDOWS: u32 = 2;
/// When the limit is halved and answers take at least this share of the time they took, then it was
/// no queue of ours that they waited in. (Were it all queue, it would be half.)
const NO_QUEUE: f64 = 0.6;

/// A limit that a [`Limiter`] moves.
///
/// What holds whatever the limiter says:
/// - the limit stays within its bounds;
/// - it doesn't move while less than half of it is used, unless calls are given up: then nothing is
///   learnt about a higher one, and what is slow isn't slow because of us;
/// - a window without answers moves nothing, nor does a latency of zero, nor an update that isn't a
///   number.
///
/// The baseline, how long an answer takes without a queue, is *measured*: every hundred windows, or when
/// answers take more than twice as long as it says, the limit is halved for one window of calls that all
/// began after that. If they are about as slow, that is how slow the service is now, and the baseline
/// follows, up or down. If they are faster, there was a queue, and it was ours. A latency that rose
/// tenfold and never comes back is thus told from a limit that is ten times too high.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limiter: Box<dyn Limiter>,
    limit: f64,
    bounds: (u32, u32),
    /// Windows since the last measurement.
    since: u32,
    /// Windows in a row that were slow.
    slow: u32,
    measuring: Option<Measuring>,
}

/// The limit is halved, to see.
#[derive(Clone, Copy, Debug)]
struct Measuring {
    /// The latency before.
    before: Duration,
    /// Because answers were slow, not because it was time.
    alarmed: bool,
}

impl AdaptiveLimit {
    /// A limit that begins at `initial` and stays within `bounds`.
    ///
    /// # Errors
    /// [`ConfigError`] if `initial` isn't within the bounds, the bounds are empty or begin at zero, or
    /// a setting of the limiter can't be.
    pub fn new(
        limiter: impl Limiter,
        initial: u32,
        bounds: RangeInclusive<u32>,
    ) -> Result<Self, ConfigError> {
        let range = "a range of limits that begins at 1 or more";
        let bounds = check("limits", bounds, range, |b| *b.start() >= 1 && !b.is_empty())?;
        check("limit", initial, "within `limits`", |limit| bounds.contains(limit))?;
        limiter.check()?;
        let (limiter, bounds) = (Box::new(limiter), bounds.into_inner());
        let limit = f64::from(initial);
        Ok(Self { limiter, limit, bounds, since: 0, slow: 0, measuring: None })
    }

    /// The limit as it is.
    pub fn limit(&self) -> u32 {
        let limit = if self.measuring.is_some() { self.limit / 2.0 } else { self.limit };
        (limit as u32).clamp(self.bounds.0, self.bounds.1)
    }

    /// How long an answer takes without a queue, as far as is known.
    pub fn baseline(&self) -> Option<Duration> {
        self.limiter.baseline()
    }

    /// Is the baseline being measured? Then the next window must be made of calls that began after
    /// the limit was lowered.
    pub fn is_measuring(&self) -> bool {
        self.measuring.is_some()
    }

    /// Sets the limit, as an operator may; it goes on from there, within its bounds.
    pub fn set(&mut self, limit: u32) {
        self.limit = f64::from(limit.clamp(self.bounds.0, self.bounds.1));
        (self.slow, self.measuring) = (0, None);
    }

    /// Learns from a window, and gives the limit from here on.
    pub fn learn(&mut self, window: &Window) -> u32 {
        let silent = window.answered == 0;
        if (silent && window.given_up == 0) || (!silent && window.latency.is_zero()) {
            return self.limit();
        }
        match self.measuring.take() {
            Some(measuring) if !silent => self.measured(measuring, window),
            _ if self.is_idle(window) => self.idle(window),
            _ => self.update(window),
        }
        self.limit()
    }

    fn is_idle(&self, window: &Window) -> bool {
        f64::from(window.in_flight) * 2.0 < self.limit && !window.is_overload()
    }

    /// With so few calls in flight nobody waits for us: this is about how fast the service is.
    fn idle(&mut self, window: &Window) {
        (self.slow, self.since) = (0, 0);
        if let Some(baseline) = self.limiter.baseline() {
            let towards = (baseline * 7 + window.latency) / 8;
            self.limiter.rebase(towards);
        }
    }

    fn update(&mut self, window: &Window) {
        let next = self.limiter.update(self.limit, window);
        if next.is_finite() {
            self.limit = next.clamp(self.bounds.0.into(), self.bounds.1.into());
        }
        let Some(baseline) = self.limiter.baseline() else {
            return;
        };
        self.slow = if window.latency > baseline * 2 { self.slow + 1 } else { 0 };
        self.since += 1;
        let alarmed = self.slow >= SLOW_WINDOWS;
        if alarmed || self.since >= MEASURE_EVERY {
            (self.slow, self.since) = (0, 0);
            self.measuring = Some(Measuring { before: window.latency, alarmed });
        }
    }

    fn measured(&mut self, measuring: Measuring, window: &Window) {
        let baseline = self.limiter.baseline().unwrap_or(window.latency);
        let ratio = window.latency.as_secs_f64() / measuring.before.as_secs_f64();
        if ratio >= NO_QUEUE || window.latency <= baseline {
            self.limiter.rebase(window.latency);
        } else if measuring.alarmed {
            // It was our queue: go on from where it is shorter.
            self.limit = (self.limit / 2.0).max(self.bounds.0.into());
        }
    }
}
