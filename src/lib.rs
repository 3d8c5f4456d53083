#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Keeps a service standing when what it calls falls down.
pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod clock;
pub mod error;
pub mod event;
pub mod fallback;
mod guarded;
pub mod key;
mod live;
mod local;
pub mod outcome;
pub mod ratio;
mod readied;
pub mod ready;
pub mod request;
pub mod retry;
pub mod rng;
pub mod stack;
pub mod stale;
mod stripe;
mod sync;
pub mod timeout;
mod window;

pub use error::{BoxError, Carry, ConfigError, Error, Rejected};
