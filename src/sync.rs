//! The atomics, from one door: `std`'s, or loom's when the models run.
//!
//! Engines import from here, so that `--cfg seawall_loom` puts the model checker under every
//! atomic protocol without a change of code. (Plain `--cfg loom` would change other crates too.)

#[cfg(not(seawall_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(seawall_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Lets another thread go on: for the operator's path alone, where a transition is being published.
pub(crate) fn pause() {
    #[cfg(not(seawall_loom))]
    std::thread::yield_now();
    #[cfg(seawall_loom)]
    loom::thread::yield_now();
}
