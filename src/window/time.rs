//! The outcomes of the last span of time, in ten buckets, striped by thread.
//!
//! # Window mechanics
//! Time is cut into buckets a tenth of the span wide, numbered from the moment the window was made.
//! The window at some moment is the current bucket and the nine before it: a sample exactly one span
//! old is out, one younger than nine tenths is in. Each stripe has ten slots; bucket *b* lives in slot
//! *b mod 10*. A slot's three tallies (calls, failures, slow calls) carry the bucket they count, so
//! nothing has to be cleared when time goes on: a tally of another bucket is replaced by the first
//! record of this one, and passed over by who sums. An idle hour costs nothing.
//!
//! # A failure that comes after its call
//! A call that hung is entered as slow while it runs, and may fail in the end. Its failure is added to
//! the bucket that it was entered in, as near as can be told: the first bucket since then that holds a
//! call without a failure. So it leaves the window with its call. Where its call has left before it, it
//! counts among those of the current bucket. No bucket tells of more failures than calls.
//!
//! # Orderings
//! A record adds to the calls before it adds to the failures or the slow (Release); who sums reads
//! those before the calls (Acquire). So a failure that is seen has its call seen too, and where a slot
//! turns meanwhile, or a failure comes before its call, the sum of a bucket takes the smaller number:
//! nobody sees more failures than calls.

use std::time::Duration;

use super::Entry;
use crate::clock::{Moment, nanos};
use crate::event::Counts;
use crate::stripe::Striped;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// How many buckets a span is cut into.
const BUCKETS: u64 = if cfg!(seawall_loom) { 2 } else { 10 };

/// The shortest span: buckets of 10 ms.
pub(crate) const MIN_SPAN: Duration = Duration::from_millis(100);
/// The longest span: a day.
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(86_400);

/// A count, and the generation and bucket that it belongs to.
///
/// ```text
///  63        58 57    30 29     0
/// +------------+--------+--------+
/// | generation | bucket | count  |     bucket and generation wrap
/// +------------+--------+--------+
/// ```
///
/// A count stops at 2^30 - 1, a billion a bucket and stripe. The bucket's number comes round after
/// 2^28 of them, a month at the shortest span.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tally(u64);

const COUNT: u64 = (1 << 30) - 1;
const BUCKET: u64 = (1 << 28) - 1;

impl Tally {
    const fn new(generation: u32, bucket: u64, count: u64) -> Self {
        Self((generation as u64) << 58 | (bucket & BUCKET) << 30 | count)
    }

    const fn count(self) -> u64 {
        self.0 & COUNT
    }

    const fn is_of(self, generation: u32) -> bool {
        self.0 >> 58 == generation as u64 & 0x3f
    }

    /// How many buckets before `bucket` it was counted.
    const fn age(self, bucket: u64) -> u64 {
        bucket.wrapping_sub(self.0 >> 30) & BUCKET
    }

    /// Does it belong to the window that ends with `bucket`? Also if it is a little ahead: a thread
    /// that was held up, or a clock that was set back, must not blind the breaker.
    const fn is_inside(self, bucket: u64) -> bool {
        self.age(bucket) < BUCKETS || self.is_ahead(bucket)
    }

    const fn is_ahead(self, bucket: u64) -> bool {
        self.age(bucket) >= BUCKET - 2 * BUCKETS
    }

    /// With `n` more in `bucket`, or in the newer one that has taken its slot.
    #[inline]
    fn plus(self, generation: u32, bucket: u64, n: u64) -> Self {
        let sum = self.count().saturating_add(n).min(COUNT);
        match self.age(bucket) {
            0 => Self::new(generation, bucket, sum),
            _ if self.is_ahead(bucket) => Self(self.0 & !COUNT | sum),
            _ => Self::new(generation, bucket, n.min(COUNT)),
        }
    }
}

#[derive(Debug)]
struct AtomicTally(AtomicU64);

impl AtomicTally {
    fn new(generation: u32) -> Self {
        Self(AtomicU64::new(Tally::new(generation, 0, 0).0))
    }

    /// Adds; `false` if the window has gone on to another generation.
    #[inline]
    fn add(&self, generation: u32, bucket: u64, n: u64) -> bool {
        // Relaxed: a first guess, which the swap checks.
        let mut tally = Tally(self.0.load(Ordering::Relaxed));
        loop {
            if !tally.is_of(generation) {
                return false;
            }
            let sum = tally.plus(generation, bucket, n);
            // Release: pairs with the Acquire of `read`; a call is added before its failure.
            match self.0.compare_exchange_weak(tally.0, sum.0, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => tally = Tally(now),
            }
        }
    }

    /// The count, if it is in the window that ends with `bucket`.
    #[inline]
    fn read(&self, generation: u32, bucket: u64) -> u64 {
        // Acquire: pairs with the Release of `add`, see "Orderings".
        let tally = Tally(self.0.load(Ordering::Acquire));
        let inside = tally.is_of(generation) && tally.is_inside(bucket);
        if inside { tally.count() } else { 0 }
    }

    /// The count, if it is of this very bucket.
    fn read_of(&self, generation: u32, bucket: u64) -> u64 {
        // Acquire: as in `read`.
        let tally = Tally(self.0.load(Ordering::Acquire));
        if tally.is_of(generation) && tally.age(bucket) == 0 { tally.count() } else { 0 }
    }

    fn reset(&self, generation: u32) {
        // Release: whoever finds the new generation here came after what the reset came after.
        self.0.store(Tally::new(generation, 0, 0).0, Ordering::Release);
    }
}

#[derive(Debug)]
struct Slot {
    calls: AtomicTally,
    failures: AtomicTally,
    slow: AtomicTally,
}

/// The outcomes of the last span, of one generation.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    stripes: Striped<[Slot; BUCKETS as usize]>,
    start: Moment,
    width: u64,
    /// As last reset: for who only looks.
    generation: AtomicU32,
    /// The bucket after which no failure and no slow call was recorded: while it is more than a span
    /// ago, nobody need sum.
    last_bad: AtomicU64,
}

impl TimeWindow {
    /// What one bucket of such a window spans.
    pub(crate) fn width(span: Duration) -> Duration {
        span / BUCKETS as u32
    }

    /// An empty window over `span`, its first bucket beginning at `start`.
    pub(crate) fn new(span: Duration, start: Moment, generation: u32) -> Self {
        let slot = |_| Slot {
            calls: AtomicTally::new(generation),
            failures: AtomicTally::new(generation),
            slow: AtomicTally::new(generation),
        };
        Self {
            stripes: Striped::new(|| std::array::from_fn(slot)),
            start,
            width: nanos(Self::width(span)).max(1),
            generation: AtomicU32::new(generation),
            last_bad: AtomicU64::new(0),
        }
    }

    /// The number of the bucket at `now`. Buckets begin at [`BUCKETS`], so that a tally of bucket 0,
    /// an empty one, is never inside.
    #[inline]
    fn bucket(&self, now: Moment) -> u64 {
        BUCKETS + now.as_nanos().saturating_sub(self.start.as_nanos()) / self.width
    }

    /// Counts `n` calls that ended so at `now`; gives the window's counts after it, or `None` if the
    /// window has gone on to another generation. (Spotless windows are not summed: their counts are
    /// given as zero.)
    #[inline]
    pub(crate) fn record(
        &self,
        entry: Entry,
        n: u64,
        generation: u32,
        now: Moment,
    ) -> Option<Counts> {
        let bucket = self.bucket(now);
        let slot = &self.stripes.mine().1[(bucket % BUCKETS) as usize];
        if !slot.calls.add(generation, bucket, n) {
            return None;
        }
        if entry != Entry::default() {
            self.mark_bad(bucket);
            if entry.failed {
                slot.failures.add(generation, bucket, n);
            }
            if entry.slow {
                slot.slow.add(generation, bucket, n);
            }
        } else if self.is_spotless(bucket) {
            return Some(Counts::default());
        }
        Some(self.sum(generation, bucket))
    }

    /// Counts a success at `now`, if nothing bad happened in the last span: else `false`, and nothing was
    /// done.
    #[inline]
    pub(crate) fn record_in_spotless(&self, generation: u32, now: Moment) -> bool {
        let bucket = self.bucket(now);
        let slot = &self.stripes.mine().1[(bucket % BUCKETS) as usize];
        self.is_spotless(bucket) && slot.calls.add(generation, bucket, 1)
    }

    /// Counts a failure of a call that was counted in the bucket of `since` or later, before it failed;
    /// gives the window's counts after it, or `None` as [`record`](Self::record) does.
    pub(crate) fn fail(&self, generation: u32, since: Moment, now: Moment) -> Option<Counts> {
        let (first, newest) = (self.bucket(since), self.bucket(now));
        let inside = first <= newest && newest - first < BUCKETS;
        let first = if inside { first } else { newest };
        let bucket = (first..newest).find(|&b| self.has_room(generation, b)).unwrap_or(newest);
        if !self.stripes.mine().1[(bucket % BUCKETS) as usize].failures.add(generation, bucket, 1) {
            return None;
        }
        self.mark_bad(bucket);
        Some(self.sum(generation, newest))
    }

    /// Does a bucket hold a call without a failure?
    fn has_room(&self, generation: u32, bucket: u64) -> bool {
        let (mut failures, mut calls) = (0, 0);
        for slots in self.stripes.iter() {
            let slot = &slots[(bucket % BUCKETS) as usize];
            failures += slot.failures.read_of(generation, bucket);
            calls += slot.calls.read_of(generation, bucket);
        }
        failures < calls
    }

    #[inline]
    fn is_spotless(&self, bucket: u64) -> bool {
        // Relaxed: a failure that overlaps this success may be ordered after it.
        bucket >= self.last_bad.load(Ordering::Relaxed) + BUCKETS
    }

    fn mark_bad(&self, bucket: u64) {
        // Relaxed, both: as in `is_spotless`; written once a bucket.
        if self.last_bad.load(Ordering::Relaxed) < bucket {
            self.last_bad.fetch_max(bucket, Ordering::Relaxed);
        }
    }

    /// The counts at `now`.
    pub(crate) fn counts(&self, now: Moment) -> Counts {
        // Relaxed: the tallies carry their generation.
        self.sum(self.generation.load(Ordering::Relaxed), self.bucket(now))
    }

    fn sum(&self, generation: u32, bucket: u64) -> Counts {
        let mut sum = Counts::default();
        for at in 0..BUCKETS as usize {
            let mut part = Counts::default();
            for slots in self.stripes.iter() {
                // In this order: see "Orderings".
                part.slow += slots[at].slow.read(generation, bucket);
                part.failures += slots[at].failures.read(generation, bucket);
                part.total += slots[at].calls.read(generation, bucket);
            }
            sum.total += part.total;
            sum.failures += part.failures.min(part.total);
            sum.slow += part.slow.min(part.total);
        }
        sum
    }

    /// Empties the window for a new generation; later records of older ones change nothing.
    pub(crate) fn reset(&self, generation: u32) {
        // Relaxed: as in `counts`.
        self.generation.store(generation, Ordering::Relaxed);
        for slot in self.stripes.iter().flatten() {
            slot.calls.reset(generation);
            slot.failures.reset(generation);
            slot.slow.reset(generation);
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OK: Entry = Entry { failed: false, slow: false };
    const FAILED: Entry = Entry { failed: true, slow: false };
    const SLOW: Entry = Entry { failed: false, slow: true };
    const START: Moment = Moment::from_nanos(1 << 61);

    fn window() -> TimeWindow {
        TimeWindow::new(Duration::from_secs(10), START, 0)
    }

    fn at(ms: u64) -> Moment {
        START.plus(Duration::from_millis(ms))
    }

    #[test]
    fn a_sample_exactly_one_span_old_is_out() {
        let window = window();
        window.record(FAILED, 3, 0, START);
        let just_before = Moment::from_nanos(at(10_000).as_nanos() - 1);
        assert_eq!(window.counts(just_before).failures, 3);
        assert_eq!(window.counts(at(10_000)), Counts::default());
    }

    #[test]
    fn an_idle_gap_of_any_length_empties_it() {
        for gap in [10, 11, 3_600, 86_400 * 365 * 100] {
            let window = window();
            window.record(FAILED, 5, 0, START);
            let later = START.plus(Duration::from_secs(gap));
            let counts = window.record(FAILED, 1, 0, later).unwrap();
            assert_eq!((counts.total, counts.failures), (1, 1), "after {gap} s");
        }
    }

    #[test]
    fn a_clock_that_goes_back_neither_loses_counts_nor_blinds() {
        let window = window();
        window.record(FAILED, 2, 0, at(25_000));
        for back in [20_000, 15_000, 5_500] {
            let before = window.counts(at(back)).failures;
            let after = window.record(FAILED, 1, 0, at(back)).unwrap().failures;
            assert_eq!(after, before + 1, "at {back} ms");
        }
        assert!(window.counts(at(25_000)).failures >= 2);
        // Set back by hours: counts anew.
        let window = self::window();
        window.record(FAILED, 2, 0, at(36_000_000));
        assert_eq!(window.record(FAILED, 1, 0, START).unwrap().failures, 1);
    }

    #[test]
    fn counts_stop_at_their_end_and_never_run_over() {
        let window = window();
        for _ in 0..3 {
            window.record(FAILED, COUNT, 0, START);
        }
        let counts = window.counts(START);
        assert_eq!((counts.total, counts.failures), (COUNT, COUNT));
        // Nor by a thread that is a whole span behind.
        window.record(FAILED, 7, 0, at(10_000));
        window.record(FAILED, COUNT, 0, START);
        let counts = window.counts(at(10_000));
        assert_eq!((counts.total, counts.failures), (COUNT, COUNT));
        assert_eq!(window.sum(1, window.bucket(START)), Counts::default(), "no next field touched");
    }

    #[test]
    fn an_older_generation_changes_nothing() {
        let window = window();
        window.record(FAILED, 1, 0, START);
        window.reset(1);
        assert_eq!(window.record(FAILED, 1, 0, START), None);
        assert_eq!(window.counts(START), Counts::default());
        assert_eq!(window.record(OK, 1, 1, START).map(|c| c.failures), Some(0));
    }

    #[test]
    fn a_late_failure_counts_where_its_call_does_and_leaves_with_it() {
        let window = window();
        window.record(SLOW, 2, 0, at(1_000));
        window.record(OK, 5, 0, at(6_000));
        let failures = |counts: Option<Counts>| counts.map(|c| (c.total, c.failures, c.slow));
        assert_eq!(failures(window.fail(0, at(1_500), at(6_000))), Some((7, 1, 2)));
        assert_eq!(failures(window.fail(0, at(500), at(6_500))), Some((7, 2, 2)), "or soon after");
        assert_eq!(window.counts(at(10_999)).failures, 2);
        assert_eq!(failures(Some(window.counts(at(11_000)))), Some((5, 0, 0)));
        assert_eq!(window.fail(1, at(1_000), at(6_000)), None, "another generation");
    }

    #[test]
    fn a_late_failure_finds_the_next_bucket_with_room_and_else_waits_for_calls() {
        let window = window();
        window.record(FAILED, 3, 0, at(1_000));
        window.record(SLOW, 1, 0, at(3_000));
        let fail = |since, now| window.fail(0, at(since), at(now)).unwrap().failures;
        assert_eq!(fail(1_000, 5_000), 4);
        assert_eq!(fail(1_000, 5_000), 4, "none is left");
        assert_eq!(window.record(OK, 2, 0, at(5_500)).unwrap().failures, 5);
        assert_eq!(window.counts(at(12_999)).failures, 2, "the first bucket is out");
        assert_eq!(window.counts(at(13_000)).failures, 1);
        assert_eq!(window.counts(at(15_000)).failures, 0);
    }

    #[test]
    fn a_late_failure_passes_over_what_a_slot_held_a_span_ago() {
        let window = window();
        window.record(OK, 5, 0, at(3_000));
        window.record(SLOW, 1, 0, at(14_200));
        assert_eq!(window.fail(0, at(13_000), at(14_500)).unwrap().failures, 1);
        assert_eq!(window.counts(at(23_999)).failures, 1);
    }

    #[test]
    fn a_late_failure_whose_call_has_left_counts_among_those_of_now() {
        for (since, now) in [(1_000, 11_000), (1_000, 3_600_000), (9_000, 5_000)] {
            let window = window();
            window.record(OK, 3, 0, at(now));
            assert_eq!(window.fail(0, at(since), at(now)).unwrap().failures, 1);
            assert_eq!(window.counts(at(now + 9_000)).failures, 1, "{since}, {now}");
            assert_eq!(window.counts(at(now + 10_000)).failures, 0);
        }
        // The oldest bucket that is in.
        let window = window();
        window.record(SLOW, 1, 0, at(1_000));
        window.fail(0, at(1_000), at(10_999));
        assert_eq!(window.counts(at(10_999)).failures, 1);
    }

    #[test]
    fn a_late_failure_is_seen_by_the_successes_after_it() {
        let window = window();
        window.record(SLOW, 1, 0, at(0));
        window.record(OK, 1, 0, at(5_000));
        window.fail(0, at(0), at(12_000));
        let seen = window.record(OK, 1, 0, at(13_000)).unwrap();
        assert_eq!((seen.total, seen.failures), (2, 0), "no call in its bucket");
        window.record(OK, 1, 0, at(12_500));
        assert_eq!(window.record(OK, 1, 0, at(13_000)).unwrap().failures, 1);
    }

    #[test]
    fn threads_lose_nothing() {
        let window = window();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..10_000 {
                        let entry = Entry { failed: i % 4 == 0, slow: i % 5 == 0 };
                        let counts = window.record(entry, 1, 0, at(i / 10)).unwrap();
                        assert!(counts.failures <= counts.total && counts.slow <= counts.total);
                    }
                });
            }
        });
        let want = Counts { total: 40_000, failures: 10_000, slow: 8_000 };
        assert_eq!(window.counts(at(1_000)), want);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Against a list of (bucket, entry): same counts after each record, for any steps of time
        /// forward, standing still, and far gaps.
        #[test]
        fn it_equals_a_naive_list(
            steps in prop::collection::vec(
                (prop_oneof![Just(0_u64), 0..2_000_u64, 9_000..11_000_u64, 50_000..90_000_u64],
                 any::<bool>(), any::<bool>()),
                1..60,
            ),
        ) {
            let window = window();
            let mut naive: Vec<(u64, Entry)> = Vec::new();
            let mut ms = 0;
            for (step, failed, slow) in steps {
                ms += step;
                let entry = Entry { failed, slow };
                naive.push((ms / 1_000, entry));
                naive.retain(|(bucket, _)| ms / 1_000 - bucket < 10);
                let want = Counts {
                    total: naive.len() as u64,
                    failures: naive.iter().filter(|(_, e)| e.failed).count() as u64,
                    slow: naive.iter().filter(|(_, e)| e.slow).count() as u64,
                };
                let got = window.record(entry, 1, 0, at(ms)).unwrap();
                prop_assert_eq!(window.counts(at(ms)), want);
                // What a record gives is the same, or zero where there is nothing bad to judge.
                prop_assert!(got == want || (want.failures == 0 && want.slow == 0));
            }
        }
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const START: Moment = Moment::from_nanos(1 << 40);
    const BAD: Entry = Entry { failed: true, slow: true };
    const SLOW: Entry = Entry { failed: false, slow: true };

    fn window() -> TimeWindow {
        TimeWindow::new(Duration::from_secs(10), START, 0)
    }

    /// A record and a reader: the reader never sees a failure without its call.
    #[test]
    fn no_reader_sees_more_failures_than_calls() {
        race(
            window,
            |window| window.record(BAD, 1, 0, START),
            |window| {
                let bucket = window.bucket(START);
                let slot = &window.stripes.at(0)[(bucket % BUCKETS) as usize];
                let (slow, failures) = (slot.slow.read(0, bucket), slot.failures.read(0, bucket));
                assert!(failures.max(slow) <= slot.calls.read(0, bucket));
            },
            |window, own, ()| assert_eq!(own, Some(window.counts(START))),
        );
    }

    /// A record that overlaps a reset leaves nothing in the next generation.
    #[test]
    fn a_late_record_never_touches_the_next_generation() {
        race(
            window,
            |window| window.record(BAD, 1, 0, START),
            |window| window.reset(1),
            |window, _, ()| assert_eq!(window.counts(START), Counts::default()),
        );
    }

    /// Two records: each is counted, and one of the two sees both.
    #[test]
    fn records_that_overlap_are_each_counted_once() {
        race(
            window,
            |window| window.record(BAD, 1, 0, START).unwrap(),
            |window| window.record(BAD, 1, 0, START).unwrap(),
            |window, one, other| {
                assert_eq!(window.counts(START), Counts { total: 2, failures: 2, slow: 2 });
                assert_eq!(one.failures.max(other.failures), 2);
            },
        );
    }
    /// A slot turns to a newer bucket while a slow thread still records into the older one: what it adds is
    /// gone, or counts in the newer, and no sum tells of more failures than calls.
    #[test]
    fn a_slot_that_turns_keeps_its_failures_within_its_calls() {
        let later = START.plus(Duration::from_secs(10));
        race(
            window,
            |window| window.record(BAD, 1, 0, START),
            move |window| window.record(BAD, 1, 0, later).unwrap(),
            move |window, _, newer| {
                let counts = window.counts(later);
                assert!(newer.total >= 1 && (1..=2).contains(&counts.total));
                assert!(counts.failures >= 1 && counts.failures <= counts.total, "{counts:?}");
            },
        );
    }

    /// A call that was counted without a failure fails after all, while others are recorded, or read.
    #[test]
    fn a_failure_that_comes_after_its_call_is_counted_once() {
        let with_a_call = || {
            let window = window();
            window.record(SLOW, 1, 0, START);
            window
        };
        race(
            with_a_call,
            |window| window.fail(0, START, START).unwrap(),
            |window| window.record(BAD, 1, 0, START).unwrap(),
            |window, one, other| {
                for counts in [one, other] {
                    assert!(counts.failures <= counts.total, "{counts:?}");
                }
                assert_eq!(window.counts(START), Counts { total: 2, failures: 2, slow: 2 });
            },
        );
        race(
            with_a_call,
            |window| window.fail(0, START, START).unwrap(),
            |window| window.counts(START),
            |_, one, seen| {
                assert_eq!(one, Counts { total: 1, failures: 1, slow: 1 });
                assert_eq!((seen.total, seen.slow), (1, 1));
            },
        );
    }

    /// Even if it comes before its call: then it is seen when the call is.
    #[test]
    fn a_failure_that_comes_before_its_call_waits_for_it() {
        race(
            window,
            |window| window.fail(0, START, START).unwrap(),
            |window| window.record(SLOW, 1, 0, START).unwrap(),
            |window, one, other| {
                assert!(one.failures <= one.total && other.failures <= other.total);
                assert_eq!(window.counts(START), Counts { total: 1, failures: 1, slow: 1 });
            },
        );
    }

    #[test]
    fn a_late_failure_never_touches_the_next_generation() {
        race(
            || {
                let window = window();
                window.record(SLOW, 1, 0, START);
                window
            },
            |window| window.fail(0, START, START),
            |window| {
                window.reset(1);
                window.record(SLOW, 1, 1, START)
            },
            |window, _, _| {
                assert_eq!(window.counts(START), Counts { total: 1, failures: 0, slow: 1 });
            },
        );
    }
}
