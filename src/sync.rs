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

        pub(crate) fn try_lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

/// Two that do their parts at once, for models; `check` looks at what came of it.
///
/// Loom keeps only the last access to each atomic: who loads before he swaps hides those that read
/// before him, and a thread that begins with a load isn't tried first. So each model runs twice, with the
/// parts exchanged, and begins its thread with a store. (`fetch_update` is a load and a swap too.)
#[cfg(all(test, seawall_loom))]
pub(crate) fn race<S, A, B>(
    make: impl Fn() -> S + Send + Sync + 'static,
    one: impl Fn(&S) -> A + Send + Sync + 'static,
    other: impl Fn(&S) -> B + Send + Sync + 'static,
    check: impl Fn(&S, A, B) + Send + Sync + 'static,
) where
    S: Send + Sync + 'static,
    A: Send + 'static,
    B: Send + 'static,
{
    use loom::sync::Arc;

    let parts = std::sync::Arc::new((make, one, other, check));
    for exchanged in [false, true] {
        let parts = std::sync::Arc::clone(&parts);
        loom::model(move || {
            let state = Arc::new((parts.0)());
            let (theirs, shared) = (std::sync::Arc::clone(&parts), Arc::clone(&state));
            let begin = || AtomicU64::new(0).store(1, Ordering::Relaxed);
            let (one, other) = if exchanged {
                let thread = loom::thread::spawn(move || {
                    begin();
                    (theirs.1)(&shared)
                });
                let other = (parts.2)(&state);
                (thread.join().unwrap(), other)
            } else {
                let thread = loom::thread::spawn(move || {
                    begin();
                    (theirs.2)(&shared)
                });
                let one = (parts.1)(&state);
                (one, thread.join().unwrap())
            };
            (parts.3)(&state, one, other);
        });
    }
}
