//! The atomics and the lock, from one door: the real ones, or loom's when the models run.
//!
//! Engines import from here, so that `--cfg seawall_loom` puts the model checker under every
//! atomic protocol without a change of code. (Plain `--cfg loom` would change other crates too.)

#[cfg(not(seawall_loom))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(seawall_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(seawall_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(seawall_loom)]
pub(crate) use modelled::Mutex;

/// Lets another thread go on: for the operator's path alone, where a transition is being published.
pub(crate) fn pause() {
    #[cfg(not(seawall_loom))]
    std::thread::yield_now();
    #[cfg(seawall_loom)]
    loom::thread::yield_now();
}

#[cfg(seawall_loom)]
mod modelled {
    /// Loom's lock, as parking_lot's is used.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no panic in a model")
        }
    }
}
