//! Makes services that share one limit.

use std::sync::Arc;
use tower_layer::Layer;

use parking_lot::Mutex;

use super::config::TimeoutConfig;
use super::engine::Engine;
use super::handle::TimeoutHandle;
use super::service::Timeout;
use crate::error::{ConfigError, Room};
use crate::event::Sinks;
use crate::local::Local;

/// Bounds how long a call may take: one layer value is one limit and one count, shared by every
/// service it makes and every clone of them.
///
/// The services' error type must be able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Clone, Debug)]
pub struct TimeoutLayer {
    shared: Arc<Shared>,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) sinks: Sinks,
    /// As last set; changed through the handle.
    pub(super) config: Mutex<TimeoutConfig>,
}

impl TimeoutLayer {
    /// A timeout with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if the limit is zero or above 365 days.
    pub fn new(config: TimeoutConfig) -> Result<Self, ConfigError> {
        let engine = Engine::new(config.checked_limit()?);
        let sinks = config.observers.attach(Room::Timeout, config.name);
        Ok(Self { shared: Arc::new(Shared { engine, sinks, config: Mutex::new(config) }) })
    }

    /// Reads it, and changes its limit while calls run.
    pub fn handle(&self) -> TimeoutHandle {
        TimeoutHandle::new(Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout::new(inner, Local::new(Arc::clone(&self.shared)))
    }
}
