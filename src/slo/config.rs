//! What is promised, and what can be set.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::rules::{Alert, AlertRule, Rules, WORKBOOK};
use crate::clock::Clock;
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};

/// How long a window may be.
const SPANS: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3_600);

/// A promise about a service: which share of its calls are good.
///
/// ```
/// use seawall::slo::{Objective, Slo};
/// use std::time::Duration;
///
/// let answered = Objective::availability("payments", 0.999);
/// let quick = Objective::latency("payments-latency", 0.99, Duration::from_millis(400));
/// assert!(Slo::new(answered).is_ok() && Slo::new(quick).is_ok());
///
/// let error = Slo::new(Objective::availability("payments", 99.9)).unwrap_err();
/// assert_eq!(error.to_string(), "target is 99.9, but must be above 0 and at most 1");
/// ```
#[derive(Clone, Debug)]
pub struct Objective {
    pub(super) name: &'static str,
    target: f64,
    pub(super) within: Option<Duration>,
    alerts: [AlertRule; 3],
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

impl Objective {
    /// This share of calls is good. Above 0, at most 1: three nines are `0.999`.
    pub fn availability(name: &'static str, target: f64) -> Self {
        Self {
            name,
            target,
            within: None,
            alerts: WORKBOOK,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// This share of calls is good, and answered in less than `within`.
    ///
    /// A layer measures it; a plain [`record`](super::Slo::record) is told.
    pub fn latency(name: &'static str, target: f64, within: Duration) -> Self {
        Self { within: Some(within), ..Self::availability(name, target) }
    }

    /// The burn rates above which the fast page, the slow page and the ticket fire. Default 14.4, 6 and
    /// 1, of a 30-day budget; above 0.
    ///
    /// No burn is above `1 / (1 - target)`: at a target of 0.9 that is 10, so there only a factor below 10 can
    /// fire, and the fast page wants one.
    #[must_use]
    pub fn factors(mut self, page_fast: f64, page_slow: f64, ticket: f64) -> Self {
        for (alert, factor) in self.alerts.iter_mut().zip([page_fast, page_slow, ticket]) {
            alert.factor = factor;
        }
        self
    }

    /// The windows of one alert: the burn must be above its factor over both. Default an hour and 5 min
    /// for the fast page, 6 h and 30 min for the slow one, 3 days and 6 h for the ticket. Whole seconds,
    /// from a minute to 30 days, the short one shorter than the long one.
    ///
    /// The factor is how many times too fast; a budget of `period` loses the share `factor * long / period`
    /// before the alert fires. So a shorter long window wants a larger factor.
    ///
    /// ```
    /// use seawall::slo::{Alert, Objective, Slo};
    /// use std::time::Duration;
    ///
    /// // 1 % of a 30-day budget in half an hour.
    /// let objective = Objective::availability("payments", 0.999)
    ///     .factors(14.4, 6.0, 1.0)
    ///     .windows(Alert::PageFast, Duration::from_secs(30 * 60), Duration::from_secs(3 * 60));
    /// assert_eq!(Slo::new(objective)?.snapshot().burns[0].window, "3m");
    /// # Ok::<_, seawall::ConfigError>(())
    /// ```
    #[must_use]
    pub fn windows(mut self, alert: Alert, long: Duration, short: Duration) -> Self {
        let rule = &mut self.alerts[alert as usize];
        (rule.long, rule.short) = (long, short);
        self
    }

    /// The clock. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the recorder is made.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }

    /// With the clock and the observers that it has in common with others.
    pub(crate) fn share(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    /// What its alerts go by.
    pub(super) fn checked(&self) -> Result<Rules, ConfigError> {
        let target = check("target", self.target, "above 0 and at most 1", |&target| {
            target > 0.0 && target <= 1.0
        })?;
        for AlertRule { factor, long, short } in self.alerts {
            check("factors", factor, "above 0 and finite", |&f| f > 0.0 && f.is_finite())?;
            let range = "whole seconds, from 1 min to 30 days, the short less than the long";
            check("windows", (long, short), range, |(long, short)| {
                let fits = |span: &Duration| SPANS.contains(span) && span.subsec_nanos() == 0;
                fits(long) && fits(short) && short < long
            })?;
        }
        if let Some(within) = self.within {
            check("within", within, "above zero", |within| !within.is_zero())?;
        }
        // Through ppb, so that 1 - 0.999 is a thousandth and not a thousandth and a bit.
        Ok(Rules { allowed: ((1.0 - target) * 1e9).round() / 1e9, alerts: self.alerts })
    }
}
