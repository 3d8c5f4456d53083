#![forbid(unsafe_code)]
#![warn(missing_docs)]
pub mod bulkhead;
pub mod clock;
pub mod error;
pub mod event;
pub mod fallback;
mod guarded;
#[cfg(feature = "http")]
pub mod http;
pub mod key;
mod live;
mod local;
pub mod outcome;
pub mod ratio;
mod readied;
pub mod retry_after;
pub mod rng;
pub mod stale;
mod sync;
mod window;
