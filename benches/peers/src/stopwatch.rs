//! The one place that reads the time.

use std::time::{Duration, Instant};

/// Reads the monotonic clock.
#[inline]
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// How long `work` took.
pub fn time(work: impl FnOnce()) -> Duration {
    let start = now();
    work();
    start.elapsed()
}
