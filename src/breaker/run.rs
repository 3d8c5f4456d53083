//! How many calls in a row have failed.

use crate::sync::{AtomicU64, Ordering};

/// Counts consecutive failures of one generation; a success in a healthy circuit writes nothing.
///
/// ```text
///  63        32 31    0
/// +------------+-------+
/// | generation |  run  |
/// +------------+-------+
/// ```
#[derive(Debug)]
pub(crate) struct Run(AtomicU64);

impl Run {
    pub(crate) fn new(generation: u32) -> Self {
        Self(AtomicU64::new(u64::from(generation) << 32))
    }

    /// The run after this outcome; zero if the generation is another.
    #[inline]
    pub(crate) fn record(&self, failed: bool, generation: u32) -> u32 {
        // Relaxed throughout: the word carries its generation and nothing is published behind it.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if (word >> 32) as u32 != generation || (!failed && word as u32 == 0) {
                return 0;
            }
            let run = if failed {
                (word as u32).saturating_add(1)
            } else {
                0
            };
            let next = word >> 32 << 32 | u64::from(run);
            // Relaxed: as above.
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return run,
                Err(now) => word = now,
            }
        }
    }

    pub(crate) fn reset(&self, generation: u32) {
        // Relaxed: as above; the gate's publication hands it on.
        self.0.store(u64::from(generation) << 32, Ordering::Relaxed);
    }

    pub(crate) fn length(&self) -> u32 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed) as u32
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_the_run_and_a_stranger_does_not() {
        let run = Run::new(3);
        assert_eq!((run.record(true, 3), run.record(true, 3)), (1, 2));
        assert_eq!(run.record(true, 2), 0);
        assert_eq!(run.length(), 2);
        assert_eq!((run.record(false, 3), run.record(true, 3)), (0, 1));
    }
}
