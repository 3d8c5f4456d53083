//! The tokio runtimes that timers need.

use tokio::runtime::{Builder, Runtime};

/// A runtime whose one worker does nothing but drive the timers.
///
/// Polled cases run on plain threads inside its context: timers are armed and disarmed as in a
/// real program, against a wheel that is really driven.
pub fn for_timers() -> Runtime {
    with_workers(1)
}

/// A multi-threaded runtime with this many workers.
pub fn with_workers(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}

/// A runtime that nobody drives and that starts no thread: its timers can be armed, and that takes
/// the same instructions every time.
pub fn undriven() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}
