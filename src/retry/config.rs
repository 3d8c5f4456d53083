//! What can be set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use super::doubt::Reconcile;
use super::engine::Settings;
use crate::budget::Budget;
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings of a [`RetryLayer`](super::RetryLayer).
///
/// What is marked *live* can be changed through the [handle](super::RetryHandle::reconfigure) while
/// calls run.
///
/// ```
/// use seawall::budget::{Budget, BudgetConfig};
/// use seawall::retry::{RetryConfig, RetryLayer};
/// use std::time::Duration;
///
/// let config = RetryConfig::new("payments")
///     .attempts(2)
///     .backoff(Duration::from_millis(20), Duration::from_millis(500))
///     .budget(Budget::new(BudgetConfig::new().ratio(0.1)).unwrap());
/// assert!(RetryLayer::new(config.clone()).is_ok());
///
/// let error = RetryLayer::new(config.attempts(0)).unwrap_err();
/// assert_eq!(error.to_string(), "attempts is 0, but must be from 1 to 100");
/// ```
#[derive(Clone)]
pub struct RetryConfig {
    pub(super) name: &'static str,
    attempts: u32,
    base: Duration,
    cap: Duration,
    jitter: Jitter,
    retry_after_cap: Duration,
    total: Duration,
    pub(super) budget: Option<Budget>,
    pub(super) reconcile: Option<Arc<dyn Reconcile>>,
    pub(super) seed: Option<u64>,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

impl RetryConfig {
    /// A retry called `name` in events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            attempts: 3,
            base: Duration::from_millis(50),
            cap: Duration::from_secs(1),
            jitter: Jitter::Full,
            retry_after_cap: Duration::from_secs(10),
            total: Duration::from_secs(10),
            budget: None,
            reconcile: None,
            seed: None,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// How often a call is made at most, the first time included. Default 3; 1 to 100. Live.
    ///
    /// With 1 nothing is repeated and no request is cloned; what ends in doubt is still told.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Waits are drawn from ranges that grow from `base`, and never above `cap`. Default 50 ms and 1 s;
    /// `base` from 0 (no wait at all: the task yields, and goes on) to `cap`, `cap` to a day. Live.
    #[must_use]
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        (self.base, self.cap) = (base, cap);
        self
    }

    /// How waits are drawn. Default [`Jitter::Full`]. Live.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The longest that a `Retry-After` is followed; what asks for more is given this. Default 10 s; 0
    /// (it is ignored) to a day. Live.
    ///
    /// If the wait would pass the deadline or [`total`](Self::total), there is no other attempt.
    #[must_use]
    pub fn retry_after_cap(mut self, cap: Duration) -> Self {
        self.retry_after_cap = cap;
        self
    }

    /// No attempt begins later than this after the first was found pending, nor after the request's own
    /// deadline. Default 10 s; above 0, at most a day. Live.
    #[must_use]
    pub fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// What repetitions are paid from. Default: a [`Budget::default`] of this layer's own.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Who hears of calls that ended in doubt. Default: nobody; they are counted.
    #[must_use]
    pub fn reconcile(mut self, hook: impl Reconcile) -> Self {
        self.reconcile = Some(Arc::new(hook));
        self
    }

    /// Makes the waits repeat, for tests and simulations. Default: random.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The clock by which deadlines are judged. Default [`Clock::default`]. Waits are tokio's timers.
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

    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let up_to_a_day = |span: &Duration| *span <= DAY;
        let attempts = check("attempts", self.attempts, "from 1 to 100", |attempts| {
            (1..=100).contains(attempts)
        })?;
        let cap = check("backoff cap", self.cap, "at most a day", up_to_a_day)?;
        let base = check("backoff base", self.base, "at most the cap", |base| *base <= cap)?;
        let advice = check("retry_after_cap", self.retry_after_cap, "at most a day", up_to_a_day)?;
        let total = check("total", self.total, "above 0 and at most a day", |total| {
            *total > Duration::ZERO && *total <= DAY
        })?;
        let backoff = Backoff {
            jitter: self.jitter,
            base: nanos(base),
            cap: nanos(cap),
            advice_cap: nanos(advice),
        };
        Ok(Settings { attempts, backoff, total: nanos(total) })
    }
}

impl fmt::Debug for RetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryConfig")
            .field("name", &self.name)
            .field("attempts", &self.attempts)
            .field("base", &self.base)
            .field("cap", &self.cap)
            .field("jitter", &self.jitter)
            .field("retry_after_cap", &self.retry_after_cap)
            .field("total", &self.total)
            .field("budget", &self.budget)
            .field("reconcile", &self.reconcile.is_some())
            .finish_non_exhaustive()
    }
}
