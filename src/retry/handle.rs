//! The operator's reach into a running retry.

use std::sync::Arc;
use std::time::Duration;

use super::config::RetryConfig;
use super::layer::Rules;
use crate::budget::{self, Budget};
use crate::error::{ConfigError, Room};
use crate::event::Kind;
use crate::measure::{Level, Measure, Measurement};

/// Reads a retry, and changes its rules while calls run. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct RetryHandle {
    rules: Arc<Rules>,
}

/// A retry at one moment. The counts are of all calls since the layer was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The most attempts of a call that begins now.
    pub attempts: u32,
    /// No attempt begins later than this after the first.
    pub total: Duration,
    /// The budget.
    pub budget: budget::Snapshot,
    /// Attempts after the first.
    pub retries: u64,
    /// Calls that succeeded after the first attempt had failed.
    pub recovered: u64,
    /// Calls that failed in all attempts there may be.
    pub exhausted: u64,
    /// Calls with an effect that ended in doubt: told to [`Reconcile`](super::Reconcile).
    pub in_doubt: u64,
    /// Calls that weren't repeated because they may have been carried out, and must not be twice.
    pub not_repeatable: u64,
    /// Calls that weren't repeated because the budget was empty.
    pub budget_empty: u64,
    /// Calls that weren't repeated because the next attempt would have begun too late.
    pub too_late: u64,
    /// Calls that weren't repeated because no service was ready at once.
    pub not_ready: u64,
    /// Repetitions that a layer inside refused, such as an open breaker. They cost no token.
    pub refused: u64,
}

impl RetryHandle {
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }

    /// The retry as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let (settings, counts) = (self.rules.engine.settings(), &self.rules.engine.counts);
        Snapshot {
            attempts: settings.attempts,
            total: Duration::from_nanos(settings.total),
            budget: self.rules.budget.snapshot(),
            retries: counts.retries.get(),
            recovered: counts.recovered.get(),
            exhausted: counts.exhausted.get(),
            in_doubt: counts.in_doubt.get(),
            not_repeatable: counts.not_repeatable.get(),
            budget_empty: counts.budget_empty.get(),
            too_late: counts.too_late.get(),
            not_ready: counts.not_ready.get(),
            refused: counts.refused.get(),
        }
    }

    /// What repetitions are paid from.
    pub fn budget(&self) -> &Budget {
        &self.rules.budget
    }

    /// Changes live settings; calls under way keep their number of attempts.
    ///
    /// The budget is changed through [its own handle](Self::budget).
    ///
    /// ```
    /// use seawall::retry::{RetryConfig, RetryLayer};
    ///
    /// let layer = RetryLayer::new(RetryConfig::new("payments")).unwrap();
    /// let handle = layer.handle();
    /// handle.reconfigure(|config| config.attempts(1)).unwrap();
    /// assert!(handle.reconfigure(|config| config.attempts(101)).is_err());
    /// assert_eq!(handle.snapshot().attempts, 1, "a refused change changes nothing");
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] as at construction; then nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(RetryConfig) -> RetryConfig,
    ) -> Result<(), ConfigError> {
        {
            let mut config = self.rules.config.lock();
            let changed = change(config.clone());
            self.rules.engine.set(changed.settings()?);
            *config = changed;
        }
        self.rules.sinks.event(self.rules.now(), Kind::Reconfigured);
        Ok(())
    }

    /// Panics caught in this retry's observers and in its reconcile hook.
    pub fn observer_panics(&self) -> u64 {
        self.rules.sinks.panics() + self.rules.engine.counts.hook_panics.get()
    }
}

impl Measure for RetryHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let seen = self.snapshot();
        let name = self.rules.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Retry, name, level));
        show(Level::Retried(seen.retries));
        show(Level::Budget(seen.budget.left()));
        show(Level::HookPanics(self.observer_panics()));
    }
}
