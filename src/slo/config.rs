//! What is promised, and what can be set.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};

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
    factors: [f64; 3],
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
            factors: [14.4, 6.0, 1.0],
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
    #[must_use]
    pub fn factors(mut self, page_fast: f64, page_slow: f64, ticket: f64) -> Self {
        self.factors = [page_fast, page_slow, ticket];
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

    /// The share of bad calls that is allowed, and the factors.
    pub(super) fn checked(&self) -> Result<(f64, [f64; 3]), ConfigError> {
        let target = check("target", self.target, "above 0 and at most 1", |&target| {
            target > 0.0 && target <= 1.0
        })?;
        for factor in self.factors {
            check("factors", factor, "above 0 and finite", |&f| f > 0.0 && f.is_finite())?;
        }
        if let Some(within) = self.within {
            check("within", within, "above zero", |within| !within.is_zero())?;
        }
        // Through ppb, so that 1 - 0.999 is a thousandth and not a thousandth and a bit.
        Ok((((1.0 - target) * 1e9).round() / 1e9, self.factors))
    }
}
