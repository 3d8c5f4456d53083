//! How many calls in a row were bad: failed, or slow.
//!
//! The run of failures is over calls that ended: one that hangs is slow at once, and whether it failed is
//! known when it ends.

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

fn longer(run: u16, goes_on: bool) -> u16 {
    if goes_on { run.saturating_add(1) } else { 0 }
}

impl Run {
    pub(crate) fn new(generation: u32) -> Self {
        Self(AtomicU64::new(u64::from(generation) << 32))
    }

    /// The runs after such an outcome; none if the generation is another.
    #[inline]
    pub(crate) fn record(&self, entry: Entry, generation: u32) -> Lengths {
        self.change(generation, |runs| Lengths {
            failed: longer(runs.failed, entry.failed),
            slow: longer(runs.slow, entry.slow),
        })
    }

    /// The runs after `n` calls more were found to hang.
    pub(crate) fn hang(&self, n: u64, generation: u32) -> Lengths {
        let n = u16::try_from(n).unwrap_or(u16::MAX);
        self.change(generation, |runs| Lengths { slow: runs.slow.saturating_add(n), ..runs })
    }

    /// The runs after one of those ended.
    pub(crate) fn end_hung(&self, failed: bool, generation: u32) -> Lengths {
        self.change(generation, |runs| Lengths { failed: longer(runs.failed, failed), ..runs })
    }

    #[inline]
    fn change(&self, generation: u32, to: impl Fn(Lengths) -> Lengths) -> Lengths {
        // Relaxed throughout: the word carries its generation and nothing is published behind it.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if (word >> 32) as u32 != generation {
                return Lengths::default();
            }
            let runs = lengths(word);
            let next = to(runs);
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

    /// Is there no run of either kind, in this generation?
    #[inline]
    pub(crate) fn is_over(&self, generation: u32) -> bool {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed) == u64::from(generation) << 32
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
        assert_eq!(run.record(FAILED, 3).failed, 1);
        assert_eq!(run.record(FAILED, 3).failed, 2);
        assert_eq!(run.record(FAILED, 2), Lengths::default());
        assert_eq!(run.lengths().failed, 2);
        assert_eq!(run.record(OK, 3), Lengths::default());
        assert_eq!(run.record(FAILED, 3).failed, 1);
    }

    #[test]
    fn slow_and_failed_run_apart() {
        let run = Run::new(0);
        run.record(FAILED, 0);
        assert_eq!(run.record(SLOW, 0), Lengths { failed: 0, slow: 1 });
        let both = Entry { failed: true, slow: true };
        assert_eq!(run.record(both, 0), Lengths { failed: 1, slow: 2 });
        assert_eq!(run.record(FAILED, 0), Lengths { failed: 2, slow: 0 });
    }

    #[test]
    fn a_call_that_hangs_is_slow_now_and_failed_or_not_when_it_ends() {
        let run = Run::new(0);
        run.record(FAILED, 0);
        assert_eq!(run.hang(3, 0), Lengths { failed: 1, slow: 3 });
        assert_eq!(run.end_hung(true, 0), Lengths { failed: 2, slow: 3 });
        assert_eq!(run.end_hung(false, 0), Lengths { failed: 0, slow: 3 });
        assert_eq!(run.end_hung(true, 1), Lengths::default(), "of another generation");
    }

    #[test]
    fn a_run_stops_at_its_end_and_does_not_spill() {
        let run = Run::new(7);
        for _ in 0..=u16::MAX {
            run.record(FAILED, 7);
        }
        assert_eq!(run.hang(u64::MAX, 7), Lengths { failed: u16::MAX, slow: u16::MAX });
        assert_eq!(run.hang(5, 7), Lengths { failed: u16::MAX, slow: u16::MAX });
        assert_eq!(run.record(FAILED, 7), Lengths { failed: u16::MAX, slow: 0 });
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const FAILED: Entry = Entry { failed: true, slow: false };

    /// Outcomes that overlap are each counted, a call that is found to hang between them or not.
    #[test]
    fn runs_lose_no_outcome() {
        race(
            || Run::new(0),
            |run| run.record(FAILED, 0),
            |run| (run.end_hung(true, 0), run.hang(1, 0)),
            |run, _, _| {
                let Lengths { failed, slow } = run.lengths();
                assert_eq!(failed, 2);
                assert!(slow <= 1, "the quick failure may have ended the run of slow calls");
            },
        );
    }

    /// An outcome of the old generation races a reset: it lands before it, or not at all.
    #[test]
    fn a_late_outcome_never_touches_the_next_generation() {
        race(
            || Run::new(0),
            |run| run.record(FAILED, 0),
            |run| run.reset(1),
            |run, _, ()| {
                assert_eq!(run.lengths(), Lengths::default());
                assert_eq!(run.record(FAILED, 1).failed, 1);
            },
        );
    }
}
