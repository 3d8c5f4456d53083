//! Makes bulkheads that share one limit.

use std::sync::Arc;
use tower_layer::Layer;

use parking_lot::Mutex;

use super::config::BulkheadConfig;
use super::engine::Engine;
use super::handle::BulkheadHandle;
use super::service::Bulkhead;
use crate::error::ConfigError;
use crate::event::Sinks;
use crate::local::Local;

/// Bounds the calls in flight: one layer value is one limit, shared by every service it makes and
/// every clone of them.
///
/// The services' error type must be able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Clone, Debug)]
pub struct BulkheadLayer {
    pub(super) shared: Arc<Shared>,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) sinks: Sinks,
    /// As last set; changed through the handle.
    pub(super) config: Mutex<BulkheadConfig>,
}

impl BulkheadLayer {
    /// A bulkhead with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if the limit is zero or above 4,294,967,295.
    pub fn new(config: BulkheadConfig) -> Result<Self, ConfigError> {
        let engine = Engine::new(config.checked_limit()?);
        let sinks = config.observers.attach(crate::error::Room::Bulkhead, config.name);
        Ok(Self { shared: Arc::new(Shared { engine, sinks, config: Mutex::new(config) }) })
    }

    /// Reads it, and changes its limit while calls run.
    pub fn handle(&self) -> BulkheadHandle {
        BulkheadHandle::new(Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = Bulkhead<S>;

    fn layer(&self, inner: S) -> Bulkhead<S> {
        Bulkhead::new(inner, Local::new(Arc::clone(&self.shared)))
    }
}
