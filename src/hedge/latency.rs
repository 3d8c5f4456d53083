//! How long calls take: a quantile of the last seconds, in fixed memory, written by all threads.
//!
//! The cells are log-linear, as in an HDR histogram: sixteen to each doubling, so that a quantile is at
//! most a sixteenth too high, and never too low.
//!
//! # Why no library
//! A quantile is taken on the path of a call, so it must neither wait nor allocate. `hdrhistogram` records
//! through `&mut`, or, in its shared form, through a recorder of each thread whose counts are collected by
//! a phased wait for all of them: that fits no layer that is cloned at will. `histogram`'s
//! `AtomicHistogram` records as this does, but is read by copying it into a new allocation. Neither
//! forgets by time, which is most of this file, nor can be put under the model checker. What one of them
//! would save is [`cell`], [`upper_end`] and a sum, for a dependency of every user.
//!
//! # How it forgets
//!
//! Two halves cover one span each. Calls are counted in the current one; a quantile is taken over both,
//! at most every tenth of a second, by whoever comes first, and kept in a word for all. When the current
//! half is full of its span, the other is emptied and becomes the current one. So the quantile follows
//! the last one to two spans.
//!
//! # Orderings
//! All Relaxed: the cells are counts that nothing hangs on, and a call that is counted while a half is
//! emptied may be lost, or stay for one span longer. Who empties is decided by one compare-and-swap.

use std::time::Duration;

use crate::clock::{Moment, nanos};
use crate::ratio::Ratio;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Sixteen cells to each doubling of a microsecond, up to 71 minutes. (A model explores every cell.)
const CELLS: usize = if cfg!(seawall_loom) { 2 } else { 29 * 16 };
/// How long a half is the current one.
const SPAN: u64 = 10_000_000_000;
/// How often the quantile is taken anew.
const EVERY: u64 = 100_000_000;
/// Of fewer calls no quantile is taken.
const ENOUGH: u64 = 100;
/// No quantile yet.
const UNKNOWN: u64 = u64::MAX;

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Latency {
    halves: [Box<[AtomicU32]>; 2],
    /// When the current half began; the number of the current half in the lowest bit.
    turned: AtomicU64,
    /// When the quantile is next taken, in nanoseconds.
    due: AtomicU64,
    /// In nanoseconds, or [`UNKNOWN`].
    quantile: AtomicU64,
}

impl Latency {
    pub(crate) fn new(now: Moment) -> Self {
        let half = || (0..CELLS).map(|_| AtomicU32::new(0)).collect();
        Self {
            halves: [half(), half()],
            turned: AtomicU64::new(now.as_nanos() & !1),
            due: AtomicU64::new(now.as_nanos()),
            quantile: AtomicU64::new(UNKNOWN),
        }
    }

    /// A call took so long.
    #[inline]
    pub(crate) fn record(&self, took: Duration) {
        // Relaxed throughout: see "Orderings".
        let current = (self.turned.load(Ordering::Relaxed) & 1) as usize;
        self.halves[current][cell(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// What `share` of the calls took at most; `None` while there were too few.
    pub(crate) fn quantile(&self, share: Ratio, now: Moment) -> Option<Duration> {
        let at = now.as_nanos();
        // Relaxed throughout: see "Orderings".
        let due = self.due.load(Ordering::Relaxed);
        // Also when the clock went back by more than it could have been set ahead.
        if at >= due || due - at > EVERY {
            let next = at.saturating_add(EVERY);
            let mine = self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if mine.is_ok() {
                self.turn(at);
                // Of too few, what was known last is better than nothing.
                if let Some(quantile) = self.take(share) {
                    self.quantile.store(quantile, Ordering::Relaxed);
                }
            }
        }
        self.last()
    }

    /// As last taken. Never writes.
    pub(crate) fn last(&self) -> Option<Duration> {
        // Relaxed: see "Orderings".
        let quantile = self.quantile.load(Ordering::Relaxed);
        (quantile != UNKNOWN).then(|| Duration::from_nanos(quantile))
    }

    /// Makes the other half the current one, emptied, if the current one has had its span.
    fn turn(&self, now: u64) {
        // Relaxed throughout: see "Orderings".
        let turned = self.turned.load(Ordering::Relaxed);
        let (since, current) = (turned & !1, turned & 1);
        if now >= since && now - since < SPAN {
            return;
        }
        let other = 1 - current;
        for cell in &self.halves[other as usize] {
            cell.store(0, Ordering::Relaxed);
        }
        // After a silence of two spans and more, the current half is as old as the other.
        if now.saturating_sub(since) >= 2 * SPAN {
            for cell in &self.halves[current as usize] {
                cell.store(0, Ordering::Relaxed);
            }
        }
        self.turned.store(now & !1 | other, Ordering::Relaxed);
    }

    fn take(&self, share: Ratio) -> Option<u64> {
        // Relaxed: see "Orderings".
        let count = |i: usize| {
            self.halves.iter().map(|half| u64::from(half[i].load(Ordering::Relaxed))).sum::<u64>()
        };
        let counts: [u64; CELLS] = std::array::from_fn(count);
        let total: u64 = counts.iter().sum();
        if total < ENOUGH {
            return None;
        }
        let mut below = 0;
        for (i, n) in counts.into_iter().enumerate() {
            below += n;
            if share.is_met_by(below, total) {
                return Some(upper_end(i));
            }
        }
        None
    }
}

/// The cell of a duration: the first sixteen are a microsecond wide.
fn cell(took: Duration) -> usize {
    let micros = nanos(took) / 1_000;
    let cell = if micros < 16 {
        micros
    } else {
        let doublings = u64::from(micros.ilog2()) - 4;
        (doublings << 4) + (micros >> doublings)
    };
    (cell as usize).min(CELLS - 1)
}

/// Where a cell ends, in nanoseconds.
fn upper_end(cell: usize) -> u64 {
    let next = cell as u64 + 1;
    let micros = if next < 16 {
        next
    } else {
        let doublings = (next >> 4) - 1;
        (16 + (next & 15)) << doublings
    };
    micros * 1_000
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Moment = Moment::from_nanos(1 << 61);
    const MS: Duration = Duration::from_millis(1);
    const P95: Ratio = Ratio::percent(95).unwrap();

    fn after(millis: u32) -> Moment {
        START.plus(MS * millis)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn a_cell_holds_what_it_ends_above_to_a_sixteenth(micros in 0_u64..1 << 32) {
            let end = upper_end(cell(Duration::from_micros(micros))) / 1_000;
            prop_assert!(end > micros, "{micros}: {end}");
            prop_assert!(end - micros <= 1 + micros / 16, "{micros}: {end}");
        }

        #[test]
        fn a_quantile_is_a_sorted_lists_to_a_sixteenth(
            mut took in prop::collection::vec(1_u64..5_000_000, 100..400),
            percent in 1_u32..=100,
        ) {
            let latency = Latency::new(START);
            took.iter().for_each(|micros| latency.record(Duration::from_micros(*micros)));
            took.sort_unstable();
            let rank = (took.len() * percent as usize).div_ceil(100).max(1);
            let exact = Duration::from_micros(took[rank - 1]);
            let quantile = latency.quantile(Ratio::percent(percent).unwrap(), START).unwrap();
            prop_assert!(quantile > exact && quantile <= exact * 17 / 16 + MS / 1_000);
        }
    }

    #[test]
    fn of_fewer_than_a_hundred_calls_nothing_is_known() {
        let latency = Latency::new(START);
        (0..99).for_each(|_| latency.record(MS));
        assert_eq!(latency.quantile(P95, START), None);
        latency.record(MS);
        assert_eq!(latency.quantile(P95, after(50)), None, "taken at most every 100 ms");
        assert!(latency.quantile(P95, after(100)).is_some());
    }

    #[test]
    fn what_is_two_spans_old_is_forgotten_and_in_silence_the_last_holds() {
        let latency = Latency::new(START);
        let fill = |took: Duration| (0..1_000).for_each(|_| latency.record(took));
        let quantile = |at| latency.quantile(P95, after(at)).map(|q| q.as_millis());
        fill(100 * MS);
        assert!((100..=107).contains(&quantile(0).unwrap()));
        quantile(10_000);
        fill(10 * MS);
        assert!(quantile(10_200).unwrap() >= 100, "the old half still counts");
        assert!((10..=11).contains(&quantile(20_300).unwrap()), "and then no more");
        assert!((10..=11).contains(&quantile(60_000).unwrap()));
        fill(MS);
        assert_eq!(quantile(60_200), Some(1), "what came before the silence is gone");
    }

    #[test]
    fn a_clock_that_jumps_or_goes_back_neither_panics_nor_blinds_for_long() {
        let latency = Latency::new(START);
        for at in [Moment::from_nanos(u64::MAX), Moment::from_nanos(0), after(5), after(0)] {
            latency.quantile(P95, at);
        }
        (0..100).for_each(|_| latency.record(MS));
        assert!(latency.quantile(P95, after(200)).is_some());
    }

    #[test]
    fn the_longest_durations_fall_into_the_last_cell() {
        assert_eq!(cell(Duration::MAX), CELLS - 1);
        assert_eq!(cell(Duration::ZERO), 0);
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const START: Moment = Moment::from_nanos(1 << 61);

    fn counted(latency: &Latency, half: usize) -> u32 {
        latency.halves[half].iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    #[test]
    fn one_of_two_that_come_when_it_is_due_turns_the_halves() {
        let later = START.plus(Duration::from_nanos(SPAN));
        let ask = move |latency: &Latency| latency.quantile(Ratio::ONE, later);
        let recorded = || {
            let latency = Latency::new(START);
            latency.record(Duration::ZERO);
            latency
        };
        race(recorded, ask, ask, |latency, _, _| {
            // Turned once: what was counted before lies in the half that is not the current one.
            assert_eq!(latency.turned.load(Ordering::Relaxed) & 1, 1);
            assert_eq!(counted(latency, 0), 1);
        });
    }

    #[test]
    fn a_call_that_ends_while_the_halves_turn_is_counted_at_most_once() {
        let later = START.plus(Duration::from_nanos(SPAN));
        race(
            || Latency::new(START),
            |latency| latency.record(Duration::ZERO),
            move |latency| latency.quantile(Ratio::ONE, later),
            |latency, (), _| {
                assert_eq!(latency.turned.load(Ordering::Relaxed) & 1, 1);
                assert!(counted(latency, 0) + counted(latency, 1) <= 1);
            },
        );
    }
}
