//! The operator's reach into a running timeout.

use std::sync::Arc;
use std::time::Duration;

use super::config::TimeoutConfig;
use super::layer::Shared;
use crate::error::{ConfigError, Room};
use crate::event::Kind;
use crate::measure::{Level, Measure, Measurement};

/// Reads a timeout, and changes its limit while calls run. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct TimeoutHandle {
    shared: Arc<Shared>,
}

/// A timeout at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How long a call may be pending.
    pub limit: Duration,
    /// Calls given up since the layer was built.
    pub timeouts: u64,
    /// Calls refused since then because their deadline had passed.
    pub too_late: u64,
}

impl TimeoutHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The timeout as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let engine = &self.shared.engine;
        Snapshot { limit: engine.limit(), timeouts: engine.timeouts(), too_late: engine.too_late() }
    }

    /// Changes live settings, for calls that become pending from now on.
    ///
    /// A call whose timer runs keeps the limit it was given.
    ///
    /// ```
    /// use seawall::timeout::{TimeoutConfig, TimeoutLayer};
    /// use std::time::Duration;
    ///
    /// let layer = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap();
    /// let handle = layer.handle();
    /// let half = Duration::from_millis(500);
    /// handle.reconfigure(|config| config.limit(half)).unwrap();
    /// assert!(handle.reconfigure(|config| config.limit(Duration::MAX)).is_err());
    /// assert_eq!(handle.snapshot().limit, half, "a refused change changes nothing");
    /// ```
    ///
    /// `change` runs while other changes wait: it must not call `reconfigure` itself. What the layer
    /// was built with for good (name, observers) it can't change.
    ///
    /// # Errors
    /// [`ConfigError`] as at construction; then nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(TimeoutConfig) -> TimeoutConfig,
    ) -> Result<(), ConfigError> {
        let at = {
            let mut config = self.shared.config.lock();
            let changed = change(config.clone());
            self.shared.engine.set_limit(changed.checked_limit()?);
            self.shared.clock.measure(changed.limit);
            *config = changed;
            config.clock.now()
        };
        self.shared.sinks.event(at, Kind::Reconfigured);
        Ok(())
    }

    /// Panics caught in this timeout's observers.
    pub fn observer_panics(&self) -> u64 {
        self.shared.sinks.panics()
    }
}

impl Measure for TimeoutHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let panics = Level::HookPanics(self.observer_panics());
        show(Measurement::new(Room::Timeout, self.shared.sinks.name(), panics));
    }
}
