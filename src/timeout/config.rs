//! What can be set.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};

/// A year: tokio's timer wheel turns in a little over two, and a limit that nobody lives to see is
/// no limit.
const MAX_LIMIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The settings of a [`TimeoutLayer`](super::TimeoutLayer).
///
/// ```
/// use seawall::timeout::{TimeoutConfig, TimeoutLayer};
/// use std::time::Duration;
///
/// let config = TimeoutConfig::new("payments").limit(Duration::from_millis(800));
/// assert!(TimeoutLayer::new(config.clone()).is_ok());
///
/// let error = TimeoutLayer::new(config.limit(Duration::ZERO)).unwrap_err();
/// assert_eq!(error.to_string(), "limit is 0ns, but must be above 0 and at most 365 days");
/// ```
#[derive(Clone, Debug)]
pub struct TimeoutConfig {
    pub(super) name: &'static str,
    pub(super) limit: Duration,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

impl TimeoutConfig {
    /// A timeout called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        let (clock, observers) = (Clock::default(), Observers::default());
        Self { name, limit: Duration::from_secs(1), clock, observers }
    }

    /// How long a call may be pending. Default 1 s; above 0, at most 365 days. Live.
    ///
    /// To set no limit, leave the layer out.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The clock that stamps events and judges deadlines. Default [`Clock::default`]. Calls are timed by
    /// tokio's timer.
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

    /// The same settings under another name.
    pub(crate) fn rename(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// With the clock and the observers of a whole stack.
    pub(crate) fn share(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    /// The limit as it was set.
    pub(crate) fn limit_set(&self) -> Duration {
        self.limit
    }

    /// The limit, if it is one.
    pub(super) fn checked_limit(&self) -> Result<Duration, ConfigError> {
        let range = "above 0 and at most 365 days";
        check("limit", self.limit, range, |&limit| limit > Duration::ZERO && limit <= MAX_LIMIT)
    }
}
