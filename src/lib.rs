#![forbid(unsafe_code)]
#![warn(missing_docs)]
pub mod clock;
pub mod error;
pub mod event;
pub mod key;
mod live;
mod local;
pub mod outcome;
pub mod ratio;
pub mod rng;
pub mod stale;
mod sync;
mod window;
