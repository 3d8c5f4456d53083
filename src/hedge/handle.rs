//! The operator's reach into a running hedge.

use std::sync::Arc;
use std::time::Duration;

use super::config::HedgeConfig;
use super::layer::Rules;
use crate::budget::{self, Budget};
use crate::error::{ConfigError, Room};
use crate::event::Kind;
use crate::measure::{Level, Measure, Measurement};

/// Reads a hedge, and changes its settings while calls run. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct HedgeHandle {
    rules: Arc<Rules>,
}

/// A hedge at one moment. The counts are of all calls since the layer was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How long a first call is waited for, as last measured.
    pub delay: Duration,
    /// The budget.
    pub budget: budget::Snapshot,
    /// Second calls.
    pub hedges: u64,
    /// Second calls that answered first.
    pub won: u64,
    /// Second calls that weren't made because the budget was empty.
    pub budget_empty: u64,
    /// Second calls that weren't made because the request's deadline had passed.
    pub too_late: u64,
    /// Second calls that weren't made because no service was ready at once.
    pub not_ready: u64,
    /// Second calls that a layer inside refused, such as a full bulkhead. They cost no token.
    pub refused: u64,
}

impl HedgeHandle {
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }

    /// The hedge as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let counts = &self.rules.engine.counts;
        Snapshot {
            delay: self.rules.engine.last_delay(),
            budget: self.rules.budget.snapshot(),
            hedges: counts.hedges.get(),
            won: counts.won.get(),
            budget_empty: counts.budget_empty.get(),
            too_late: counts.too_late.get(),
            not_ready: counts.not_ready.get(),
            refused: counts.refused.get(),
        }
    }

    /// What second calls are paid from.
    pub fn budget(&self) -> &Budget {
        &self.rules.budget
    }

    /// Changes live settings, for calls that become pending from now on.
    ///
    /// ```
    /// use seawall::hedge::{HedgeConfig, HedgeLayer};
    /// use std::time::Duration;
    ///
    /// let layer = HedgeLayer::new(HedgeConfig::new("quotes")).unwrap();
    /// let handle = layer.handle();
    /// handle.reconfigure(|config| config.after(Duration::from_millis(80))).unwrap();
    /// assert!(handle.reconfigure(|config| config.after(Duration::MAX)).is_err());
    /// assert_eq!(handle.snapshot().delay, Duration::from_millis(80), "nothing was changed");
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] as at construction; then nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(HedgeConfig) -> HedgeConfig,
    ) -> Result<(), ConfigError> {
        {
            let mut config = self.rules.config.lock();
            let changed = change(config.clone());
            self.rules.engine.set(changed.settings()?);
            *config = changed;
        }
        self.rules.sinks.event(self.rules.clock.now(), Kind::Reconfigured);
        Ok(())
    }

    /// Panics caught in this hedge's observers.
    pub fn observer_panics(&self) -> u64 {
        self.rules.sinks.panics()
    }
}

impl Measure for HedgeHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let seen = self.snapshot();
        let name = self.rules.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Hedge, name, level));
        show(Level::Hedged(seen.hedges));
        show(Level::Budget(seen.budget.left()));
        show(Level::HookPanics(self.observer_panics()));
    }
}
