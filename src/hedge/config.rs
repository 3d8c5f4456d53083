//! What can be set.

use std::time::Duration;

use super::engine::Settings;
use crate::budget::Budget;
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};
use crate::ratio::Ratio;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings of a [`HedgeLayer`](super::HedgeLayer).
///
/// ```
/// use seawall::hedge::{HedgeConfig, HedgeLayer};
/// use std::time::Duration;
///
/// let config = HedgeConfig::new("quotes").after(Duration::from_millis(80));
/// assert!(HedgeLayer::new(config).is_ok());
///
/// let error = HedgeLayer::new(HedgeConfig::new("quotes").after_quantile(1.0)).unwrap_err();
/// assert_eq!(error.to_string(), "after_quantile is 1.0, but must be above 0 and below 1");
/// ```
#[derive(Clone, Debug)]
pub struct HedgeConfig {
    pub(super) name: &'static str,
    quantile: Option<f64>,
    min: Duration,
    max: Duration,
    pub(super) budget: Option<Budget>,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

impl HedgeConfig {
    /// A hedge called `name` in events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            quantile: Some(0.95),
            min: Duration::from_millis(1),
            max: Duration::from_secs(1),
            budget: None,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// A second call is made after the time that this share of the calls takes, by those of the last ten
    /// to twenty seconds. Default 0.95; above 0 and below 1. Live.
    ///
    /// That many calls, less those that a second one can't hurry, are made twice: the budget should be a
    /// little larger.
    #[must_use]
    pub fn after_quantile(mut self, share: impl Into<f64>) -> Self {
        self.quantile = Some(share.into());
        self
    }

    /// The shortest and the longest delay, whatever the quantile; the longest before the first
    /// hundred calls. Default 1 ms and 1 s; from 0 to a day. Live.
    #[must_use]
    pub fn delay_between(mut self, min: Duration, max: Duration) -> Self {
        (self.min, self.max) = (min, max);
        self
    }

    /// A second call is made after this time, and nothing is measured. From 0 to a day. Live.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        (self.quantile, self.min, self.max) = (None, delay, delay);
        self
    }

    /// What second calls are paid from; share it with the retry around the same dependency. Default: a
    /// [`Budget::default`] of this layer's own.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The clock by which calls are measured. Default [`Clock::default`]. Delays are tokio's timers.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the layer is built.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }

    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let quantile = match self.quantile {
            None => None,
            Some(share) => Some(
                Ratio::new(share)
                    .filter(|share| *share > Ratio::ZERO && *share < Ratio::ONE)
                    .ok_or_else(|| {
                        ConfigError::new("after_quantile", share, "above 0 and below 1")
                    })?,
            ),
        };
        let max = check("longest delay", self.max, "at most a day", |max| *max <= DAY)?;
        let min = check("shortest delay", self.min, "at most the longest", |min| *min <= max)?;
        Ok(Settings { quantile, min: nanos(min), max: nanos(max) })
    }
}
