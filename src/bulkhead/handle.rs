//! The operator's reach into a running bulkhead.

use std::sync::Arc;
use std::time::Duration;

use super::config::BulkheadConfig;
use super::layer::Shared;
use super::saturation;
use crate::criticality::Criticality;
use crate::error::{ConfigError, Room};
use crate::event::Kind;
use crate::measure::{Level, Measure, Measurement};
use crate::ratio::Ratio;
use crate::tick::Tick;

/// Reads a bulkhead, and changes its settings while calls run. Clones reach the same one.
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
    /// Calls that wait for a place.
    pub waiting: u32,
    /// Calls refused since it was made.
    pub refused: u64,
    /// How long an answer takes when nothing queues up, where the limit is adaptive and that is known.
    pub baseline: Option<Duration>,
    classes: [ClassUse; 3],
}

/// One class of calls in a bulkhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassUse {
    /// Its calls in flight.
    pub in_flight: u32,
    /// How many places are its own. What it has beyond is borrowed.
    pub own: u32,
}

impl Snapshot {
    /// The share of places taken, at most 1.
    pub fn utilization(&self) -> Ratio {
        Ratio::of(self.in_flight.into(), self.limit.into()).unwrap_or(Ratio::ZERO)
    }

    /// The calls of this class. Where classes have no shares, all calls are of each.
    pub fn class(&self, class: Criticality) -> ClassUse {
        self.classes[class as usize]
    }
}

impl BulkheadHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The bulkhead as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.shared;
        let (places, shares) = (shared.engine.places(), shared.engine.shares());
        Snapshot {
            in_flight: places.in_flight(),
            limit: places.limit(),
            waiting: shared.engine.waiting(),
            refused: shared.refused(),
            baseline: shared.adaptive.as_ref().and_then(|limit| limit.baseline()),
            classes: Criticality::ALL.map(|class| ClassUse {
                in_flight: places.used(class),
                own: places.own(class, shares),
            }),
        }
    }

    /// Changes live settings: calls in flight keep their places, and those that wait theirs.
    ///
    /// Growing admits at once, those that wait first; shrinking never blocks, and is absorbed as calls
    /// end. An adaptive limit goes on from a limit that is set.
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
    /// [`ConfigError`] as at construction, or if something would change that is fixed at build; then
    /// nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(BulkheadConfig) -> BulkheadConfig,
    ) -> Result<(), ConfigError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        {
            let mut config = shared.config.lock();
            let changed = change(config.clone());
            let settings = changed.settings_over(&config, shared.queued)?;
            shared.set_max_wait(changed.max_wait);
            shared.engine.set_order(settings.shares, settings.order, now);
            // An adaptive one has long moved on from what it was set to.
            if shared.adaptive.is_none() || changed.limit != config.limit {
                shared.set_limit(settings.limit, now);
            }
            *config = changed;
        }
        shared.sinks.event(now, Kind::Reconfigured);
        Ok(())
    }

    /// Takes a look at how much is in use: observers hear of it when the bulkhead is
    /// [`Saturated`](Kind::Saturated), [`Exhausted`](Kind::Exhausted), or [`Cleared`](Kind::Cleared)
    /// again.
    ///
    /// Calls don't do it, since it isn't a call that should pay for it: call this every 100 ms, or give
    /// this to a [`Drive`](crate::drive::Drive).
    pub fn tick(&self) {
        self.shared.look();
    }

    /// Was it told saturated, and not yet cleared?
    pub fn is_saturated(&self) -> bool {
        self.shared.watch.is_raised()
    }

    /// Panics caught in this bulkhead's observers.
    pub fn observer_panics(&self) -> u64 {
        self.shared.sinks.panics()
    }
}

impl Tick for BulkheadHandle {
    fn every(&self) -> Duration {
        saturation::EVERY
    }

    fn tick(&self) {
        self.tick();
    }
}

impl Measure for BulkheadHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let seen = self.snapshot();
        let name = self.shared.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Bulkhead, name, level));
        show(Level::InFlight(seen.in_flight));
        show(Level::Limit(seen.limit));
        show(Level::Waiting(seen.waiting));
        show(Level::Utilization(seen.utilization()));
        show(Level::HookPanics(self.observer_panics()));
    }
}
