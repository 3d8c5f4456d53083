//! The limit that holds now, and how many calls have passed it.

use std::time::Duration;

use crate::clock::nanos;
use crate::sync::{AtomicU64, Ordering};

/// One live setting and two counters: each a word of its own, none guards anything.
#[derive(Debug)]
pub(crate) struct Engine {
    /// In nanoseconds.
    limit: AtomicU64,
    timeouts: AtomicU64,
    too_late: AtomicU64,
}

impl Engine {
    pub(crate) fn new(limit: Duration) -> Self {
        let new = || AtomicU64::new(0);
        Self { limit: AtomicU64::new(nanos(limit)), timeouts: new(), too_late: new() }
    }

    /// How long a call that is armed now may be pending.
    #[inline]
    pub(crate) fn limit(&self) -> Duration {
        // Relaxed: one word, read for itself.
        Duration::from_nanos(self.limit.load(Ordering::Relaxed))
    }

    /// For calls that are armed from now on.
    pub(crate) fn set_limit(&self, limit: Duration) {
        // Relaxed: one word, nothing published behind it.
        self.limit.store(nanos(limit), Ordering::Relaxed);
    }

    /// One more call was given up. The only write a call makes here, and only then.
    pub(crate) fn timed_out(&self) {
        // Relaxed: a counter nothing hangs on.
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// One more call came after its deadline.
    pub(crate) fn came_late(&self) {
        // Relaxed: a counter nothing hangs on.
        self.too_late.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls so far that came after their deadline.
    pub(crate) fn too_late(&self) -> u64 {
        // Relaxed: a counter nothing hangs on.
        self.too_late.load(Ordering::Relaxed)
    }

    /// Calls given up so far.
    pub(crate) fn timeouts(&self) -> u64 {
        // Relaxed: a counter nothing hangs on.
        self.timeouts.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_to_the_nanosecond_and_the_count_apart_from_it() {
        let engine = Engine::new(Duration::from_nanos(1));
        assert_eq!(engine.limit(), Duration::from_nanos(1));
        engine.timed_out();
        engine.set_limit(Duration::from_secs(365 * 24 * 60 * 60));
        assert_eq!(engine.limit().as_secs(), 365 * 24 * 60 * 60);
        assert_eq!(engine.timeouts(), 1);
    }
}
