//! How many calls in a row were bad: failed, or slow.

use crate::sync::{AtomicU64, Ordering};
use crate::window::Entry;

/// The two runs at one moment. They never add up: a slow success ends a run of failures, a quick
/// failure a run of slow calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) failed: u16,
    pub(crate) slow: u16,
}

/// Counts the runs of one generation; a quick success in a healthy circuit writes nothing.
///
/// ```text
///  63        32 31  16 15     0
/// +------------+------+--------+
/// | generation | slow | failed |     a run stops counting at 65,535
/// +------------+------+--------+
/// ```
#[derive(Debug)]
pub(crate) struct Run(AtomicU64);

fn lengths(word: u64) -> Lengths {
    Lengths { failed: word as u16, slow: (word >> 16) as u16 }
}

impl Run {
    pub(crate) fn new(generation: u32) -> Self {
        Self(AtomicU64::new(u64::from(generation) << 32))
    }

    /// The runs after `n` such outcomes; none if the generation is another.
    #[inline]
    pub(crate) fn record(&self, entry: Entry, n: u64, generation: u32) -> Lengths {
        let n = u16::try_from(n).unwrap_or(u16::MAX);
        let longer = |run: u16, goes_on: bool| if goes_on { run.saturating_add(n) } else { 0 };
        // Relaxed throughout: the word carries its generation and nothing is published behind it.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if (word >> 32) as u32 != generation {
                return Lengths::default();
            }
            let runs = lengths(word);
            let next = Lengths {
                failed: longer(runs.failed, entry.failed),
                slow: longer(runs.slow, entry.slow),
            };
            if next == runs {
                return runs;
            }
            let packed = word >> 32 << 32 | u64::from(next.slow) << 16 | u64::from(next.failed);
            // Relaxed: as above.
            match self.0.compare_exchange_weak(word, packed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(now) => word = now,
            }
        }
    }

    pub(crate) fn reset(&self, generation: u32) {
        // Relaxed: as above; the gate's publication hands it on. A swap, so that it stays in one line
        // with the records.
        self.0.swap(u64::from(generation) << 32, Ordering::Relaxed);
    }

    pub(crate) fn lengths(&self) -> Lengths {
        // Relaxed: as above.
        lengths(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const OK: Entry = Entry { failed: false, slow: false };
    const FAILED: Entry = Entry { failed: true, slow: false };
    const SLOW: Entry = Entry { failed: false, slow: true };

    #[test]
    fn a_success_ends_the_run_and_a_stranger_does_not() {
        let run = Run::new(3);
        assert_eq!(run.record(FAILED, 1, 3).failed, 1);
        assert_eq!(run.record(FAILED, 1, 3).failed, 2);
        assert_eq!(run.record(FAILED, 1, 2), Lengths::default());
        assert_eq!(run.lengths().failed, 2);
        assert_eq!(run.record(OK, 1, 3), Lengths::default());
        assert_eq!(run.record(FAILED, 1, 3).failed, 1);
    }

    #[test]
    fn slow_and_failed_run_apart() {
        let run = Run::new(0);
        run.record(FAILED, 3, 0);
        assert_eq!(run.record(SLOW, 2, 0), Lengths { failed: 0, slow: 2 });
        let both = Entry { failed: true, slow: true };
        assert_eq!(run.record(both, 1, 0), Lengths { failed: 1, slow: 3 });
        assert_eq!(run.record(FAILED, 1, 0), Lengths { failed: 2, slow: 0 });
    }

    #[test]
    fn a_run_stops_at_its_end_and_does_not_spill() {
        let run = Run::new(7);
        run.record(FAILED, u64::MAX, 7);
        assert_eq!(run.record(FAILED, 5, 7), Lengths { failed: u16::MAX, slow: 0 });
    }
}
