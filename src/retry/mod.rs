//! placeholder doorplate
mod backoff;
mod config;
mod doubt;
mod engine;
pub mod future;
mod handle;
mod layer;
mod service;

pub use crate::budget::{Budget, BudgetConfig};
pub use backoff::Jitter;
pub use config::RetryConfig;
pub use doubt::{Doubt, Reconcile};
pub use handle::{RetryHandle, Snapshot};
pub use layer::RetryLayer;
pub use service::Retry;
