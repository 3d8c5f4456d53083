//! The operator's reach into a running bulkhead.

use std::sync::Arc;

use super::config::BulkheadConfig;
use super::layer::Shared;
use crate::error::ConfigError;
use crate::event::Kind;
use crate::ratio::Ratio;

/// Reads a bulkhead, and changes its limit while calls run. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct BulkheadHandle {
    shared: Arc<Shared>,
}

/// A bulkhead at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls in flight; above `limit` only after a shrink, until enough have ended.
    pub in_flight: u32,
    /// How many may be.
    pub limit: u32,
}

impl Snapshot {
    /// The share of places taken, at most 1.
    pub fn utilization(&self) -> Ratio {
        Ratio::of(self.in_flight.into(), self.limit.into()).unwrap_or(Ratio::ZERO)
    }
}

impl BulkheadHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The bulkhead as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let places = self.shared.engine.places();
        Snapshot { in_flight: places.in_flight(), limit: places.limit() }
    }

    /// Changes live settings: calls in flight keep their places.
    ///
    /// Growing admits at once; shrinking never blocks, and is absorbed as calls end.
    ///
    /// ```
    /// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
    ///
    /// let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(10)).unwrap();
    /// layer.handle().reconfigure(|config| config.limit(20)).unwrap();
    /// assert_eq!(layer.handle().snapshot().limit, 20);
    /// assert!(layer.handle().reconfigure(|config| config.limit(0)).is_err());
    /// assert_eq!(layer.handle().snapshot().limit, 20, "a refused change changes nothing");
    /// ```
    ///
    /// `change` runs while other changes wait: it must not call `reconfigure` itself. What the layer
    /// was built with for good (name, observers) it can't change.
    ///
    /// # Errors
    /// [`ConfigError`] as at construction; then nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(BulkheadConfig) -> BulkheadConfig,
    ) -> Result<(), ConfigError> {
        let at = {
            let mut config = self.shared.config.lock();
            let changed = change(config.clone());
            self.shared.engine.set_limit(changed.checked_limit()?);
            *config = changed;
            config.clock.now()
        };
        self.shared.sinks.event(at, Kind::Reconfigured);
        Ok(())
    }

    /// Panics caught in this bulkhead's observers.
    pub fn observer_panics(&self) -> u64 {
        self.shared.sinks.panics()
    }
}
