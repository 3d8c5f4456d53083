//! Makes services that hedge by the same delay and from the same budget.

use std::sync::Arc;

use parking_lot::Mutex;
use tower_layer::Layer;

use super::config::HedgeConfig;
use super::engine::Engine;
use super::handle::HedgeHandle;
use super::service::Hedge;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::error::{ConfigError, Room};
use crate::event::Sinks;
use crate::local::Owner;
use crate::outcome::ErrInDoubt;

/// Makes a second call where the first is slow: one layer value is one measurement and one budget,
/// shared by every service it makes and every clone of them.
///
/// `C` tells how calls ended ([`Classify`](crate::outcome::Classify)); the services' error type must be
/// able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Debug)]
pub struct HedgeLayer<C = ErrInDoubt> {
    rules: Arc<Rules>,
    classify: Arc<C>,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) engine: Engine,
    pub(super) budget: Budget,
    pub(super) clock: Clock,
    pub(super) sinks: Sinks,
    /// As last set; changed through the handle.
    pub(super) config: Mutex<HedgeConfig>,
}

/// What the services have in common that one call of [`HedgeLayer::layer`] made.
pub(super) struct Shared<S, C> {
    pub(super) rules: Arc<Rules>,
    pub(super) classify: Arc<C>,
    /// A second call is made by a clone of this. Behind a lock, so that `S` need not be `Sync`.
    pub(super) template: Mutex<S>,
}

impl HedgeLayer {
    /// Hedges by these settings: `Ok` is success, an error is none.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: HedgeConfig) -> Result<Self, ConfigError> {
        let clock = config.clock.clone();
        let rules = Rules {
            engine: Engine::new(config.settings()?, clock.now()),
            budget: config.budget.clone().unwrap_or_else(|| Budget::by(config.clock.clone())),
            clock,
            sinks: config.observers.attach(Room::Hedge, config.name),
            config: Mutex::new(config),
        };
        Ok(Self { rules: Arc::new(rules), classify: Arc::new(ErrInDoubt) })
    }
}

impl<C> HedgeLayer<C> {
    /// The same, with `classify` to tell how calls ended: the first success is the answer, and a failure
    /// only if the other call fails too.
    #[must_use]
    pub fn classify<N>(self, classify: N) -> HedgeLayer<N> {
        HedgeLayer { rules: self.rules, classify: Arc::new(classify) }
    }

    /// Reads the delay and the counts, and changes the settings while calls run.
    pub fn handle(&self) -> HedgeHandle {
        HedgeHandle::new(Arc::clone(&self.rules))
    }
}

impl<C> Clone for HedgeLayer<C> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules), classify: Arc::clone(&self.classify) }
    }
}

impl<S: Clone, C> Layer<S> for HedgeLayer<C> {
    type Service = Hedge<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared {
            rules: Arc::clone(&self.rules),
            classify: Arc::clone(&self.classify),
            template: Mutex::new(inner.clone()),
        };
        Hedge::new(inner, Owner::new(Arc::new(shared)))
    }
}
