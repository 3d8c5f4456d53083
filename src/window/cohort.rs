//! Calls in flight by when they started: how hung calls are seen without a timer each.
//!
//! A window learns of a call when it ends. A call that hangs doesn't end, so a dependency that hangs
//! looks idle. Here, calls in flight are counted by *cohort*: those that started within the same
//! eighth of the slow threshold. When the threshold has passed since the last start of a cohort, each
//! call that is still running is slow, whatever becomes of it: the cohort is *settled*, its calls are
//! entered as slow, once, and a call that ends later finds that it has been counted.
//!
//! Nothing runs by itself: the next admission, outcome or tick settles what is due. One word,
//! [`due`](Cohorts::due), says when that is, so looking costs one load. A call is settled at most one
//! cohort's width after it became slow, and calls that started together exactly when they become slow
//! (to a 2^14th of the width).
//!
//! # Orderings
//! Cells are words that carry all that belongs together, changed by swaps and read for themselves:
//! Relaxed. `due` is a hint that only ever makes one look too early. Cut and threshold are changed one
//! after the other (Release), and whoever settles reads them in that order (Acquire).

use std::time::Duration;

use crate::clock::{Moment, nanos};
use crate::stripe::Striped;
use crate::sync::{AtomicU64, Ordering};

/// Cohorts to a threshold.
const PER_THRESHOLD: u64 = 8;
/// Cells of a stripe: a cohort is settled at the latest nine widths after it began. (Models know of two
/// cohorts, an odd number apart.)
const CELLS: u64 = if cfg!(seawall_loom) { 2 } else { 16 };
/// The shortest threshold: a cohort is then 125 us wide.
pub(crate) const MIN_THRESHOLD: Duration = Duration::from_millis(1);

/// One cohort's calls in flight.
///
/// ```text
///  63  56 55    32 31        18 17     0
/// +------+--------+------------+--------+
/// | tag  | cohort | last start | count  |     cohort wraps; a count of all ones is settled
/// +------+--------+------------+--------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell(u64);

const COUNT_BITS: u32 = 18;
const OFFSET_BITS: u32 = 14;
const COHORT_BITS: u32 = 24;
const SETTLED: u64 = (1 << COUNT_BITS) - 1;
/// A cell's cohort may be so much ahead of a call's: the clock went back, while calls of later ran.
const AHEAD: u64 = 1 << 20;
/// Cohorts with calls in flight that are further away than this are ahead of one who settles: the clock
/// went back.
const HALF_WAY: u64 = 1 << (COHORT_BITS - 1);

const fn low(x: u64, bits: u32) -> u64 {
    x & ((1 << bits) - 1)
}

/// How time is cut: `per_ns` cohorts a nanosecond, as a fraction of 2^64.
///
/// One multiplication gives both the cohort and how far into it a moment lies; no division on the
/// path of a call.
#[derive(Clone, Copy)]
struct Cut {
    tag: u8,
    per_ns: u64,
}

impl Cut {
    const PER_NS_BITS: u32 = 56;

    /// The fraction of 2^64 for cohorts of an eighth of `threshold`; zero, off, for `None`.
    fn per_ns(threshold: Option<Duration>) -> u64 {
        threshold.map_or(0, |t| u64::MAX / (nanos(t) / PER_THRESHOLD).max(1 << 9))
    }

    const fn from_word(word: u64) -> Self {
        Self { tag: (word >> Self::PER_NS_BITS) as u8, per_ns: low(word, Self::PER_NS_BITS) }
    }

    const fn word(self) -> u64 {
        (self.tag as u64) << Self::PER_NS_BITS | self.per_ns
    }

    const fn is_off(self) -> bool {
        self.per_ns == 0
    }

    /// The cohort of `now`, and how far into it `now` is, in 2^14ths.
    const fn place(self, now: u64) -> (u64, u64) {
        let product = now as u128 * self.per_ns as u128;
        ((product >> 64) as u64, product as u64 >> (64 - OFFSET_BITS))
    }

    /// The moment that lies so far into `cohort`, in ns.
    const fn moment(self, cohort: u64, offset: u64) -> u64 {
        let product = (cohort as u128) << 64 | (offset as u128) << (64 - OFFSET_BITS);
        (product / self.per_ns as u128) as u64
    }
}

impl Cell {
    const fn new(tag: u8, cohort: u64, offset: u64, count: u64) -> Self {
        Self(
            (tag as u64) << 56
                | low(cohort, COHORT_BITS) << (COUNT_BITS + OFFSET_BITS)
                | low(offset, OFFSET_BITS) << COUNT_BITS
                | count,
        )
    }

    const fn count(self) -> u64 {
        low(self.0, COUNT_BITS)
    }

    const fn running(self) -> u64 {
        if self.count() == SETTLED { 0 } else { self.count() }
    }

    const fn offset(self) -> u64 {
        low(self.0 >> COUNT_BITS, OFFSET_BITS)
    }

    const fn is_of(self, tag: u8) -> bool {
        self.0 >> 56 == tag as u64
    }

    /// How many tags before `tag` it is of; 128 and more is ahead.
    const fn tags_behind(self, tag: u8) -> u8 {
        tag.wrapping_sub((self.0 >> 56) as u8)
    }

    /// How many cohorts before `cohort` it is.
    const fn age(self, cohort: u64) -> u64 {
        low(cohort.wrapping_sub(self.0 >> (COUNT_BITS + OFFSET_BITS)), COHORT_BITS)
    }

    /// Is it up to `most` cohorts ahead of the one that it is `age` before?
    const fn is_ahead(age: u64, most: u64) -> bool {
        age >= (1 << COHORT_BITS) - most
    }

    /// Takes no calls of the cohort that it is `age` before: settled, or as full as it gets, or in use
    /// for calls of later (those calls are judged when they end). An empty cell is free, whatever its
    /// cohort: numbers wrap, and one of long ago looks like one ahead.
    const fn is_shut(self, age: u64) -> bool {
        if age == 0 {
            self.count() >= SETTLED - 1
        } else {
            Self::is_ahead(age, AHEAD) && self.running() > 0
        }
    }

    const fn settled(self) -> Self {
        Self(self.0 | SETTLED)
    }
}

/// Where a call is counted until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    tag: u8,
    stripe: u8,
    cohort: u32,
}

/// How a call leaves its cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Before its cohort was settled: its outcome is still to be entered.
    InTime,
    /// After: it has been entered, as a slow call.
    Hung,
    /// The cohorts have begun anew since it started.
    Forgotten,
}

/// The calls in flight, by start.
#[derive(Debug)]
pub(crate) struct Cohorts {
    /// The [`Cut`].
    cut: AtomicU64,
    /// From what age on a call is slow, in ns.
    threshold: AtomicU64,
    /// No cohort is to be settled before this moment, in ns.
    due: AtomicU64,
    stripes: Striped<[AtomicU64; CELLS as usize]>,
}

impl Cohorts {
    /// Counts nothing until it is [given a threshold](Self::set_threshold).
    pub(crate) fn new() -> Self {
        Self {
            cut: AtomicU64::new(0),
            threshold: AtomicU64::new(0),
            due: AtomicU64::new(0),
            stripes: Striped::new(|| std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    #[inline]
    fn cut(&self) -> Cut {
        // Relaxed: see "Orderings".
        Cut::from_word(self.cut.load(Ordering::Relaxed))
    }

    /// Are calls counted here?
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        !self.cut().is_off()
    }

    /// From what age on a call is slow; `None` if none is counted.
    #[inline]
    pub(crate) fn threshold(&self) -> Option<Duration> {
        // Relaxed: see "Orderings".
        let threshold = self.threshold.load(Ordering::Relaxed);
        (threshold > 0).then_some(Duration::from_nanos(threshold))
    }

    /// Forgets all calls in flight, and counts those that start from now on against `threshold`;
    /// `None` counts none. One at a time.
    pub(crate) fn set_threshold(&self, threshold: Option<Duration>) {
        // Off first: no call of before is held against the new threshold, none of after against the old.
        self.turn(|cut| Cut { per_ns: 0, ..cut });
        // Release: pairs with the Acquire of `settle`, so the cells of before are cleared.
        self.threshold.store(threshold.map_or(0, nanos), Ordering::Release);
        if threshold.is_some() {
            self.turn(|cut| Cut { per_ns: Cut::per_ns(threshold), ..cut });
        }
    }

    /// Forgets all calls in flight.
    pub(crate) fn forget(&self) {
        // Where none are counted there are none to forget.
        if self.is_on() {
            self.turn(|cut| cut);
        }
    }

    /// Begins a new tag. Cells of an older one are of no account and are used anew; clearing them
    /// here keeps them from growing so old that the tag comes round. Calls of the new tag may be in
    /// theirs already.
    fn turn(&self, change: impl Fn(Cut) -> Cut) {
        let next = |word| {
            let cut = change(Cut::from_word(word));
            Some(Cut { tag: cut.tag.wrapping_add(1), ..cut }.word())
        };
        // Release: pairs with the Acquire of `settle`, so the threshold is there.
        let _ = self.cut.fetch_update(Ordering::Release, Ordering::Relaxed, next);
        let tag = self.cut().tag;
        let cleared = Cell::new(tag, 0, 0, 0).0;
        let clear = |word| (1..128).contains(&Cell(word).tags_behind(tag)).then_some(cleared);
        for cell in self.stripes.iter().flatten() {
            // Relaxed, all: see "Orderings".
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, clear);
        }
        self.due.store(0, Ordering::Relaxed);
    }

    /// Counts a call that starts now in a cohort that has begun already; else `None`, and nothing was done:
    /// [`start`](Self::start) it.
    #[inline]
    pub(crate) fn join(&self, now: Moment) -> Option<Place> {
        let cut = self.cut();
        let (cohort, offset) = cut.place(now.as_nanos());
        let (stripe, cells) = self.stripes.mine();
        let cell = &cells[(cohort % CELLS) as usize];
        // Relaxed, all: see "Orderings".
        let found = Cell(cell.load(Ordering::Relaxed));
        if !found.is_of(cut.tag) || found.age(cohort) != 0 || found.is_shut(0) {
            return None;
        }
        let next = Cell::new(cut.tag, cohort, found.offset().max(offset), found.count() + 1).0;
        cell.compare_exchange(found.0, next, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        self.look_by(now);
        Some(Place { tag: cut.tag, stripe, cohort: low(cohort, COHORT_BITS) as u32 })
    }

    /// Counts a call that starts now, and gives the number of calls found hung in a cell that was
    /// needed again. No place: it isn't counted here, and will be judged when it ends.
    #[inline]
    pub(crate) fn start(&self, now: Moment) -> (Option<Place>, u64) {
        let cut = self.cut();
        if cut.is_off() {
            return (None, 0);
        }
        let (cohort, offset) = cut.place(now.as_nanos());
        let (stripe, cells) = self.stripes.mine();
        let cell = &cells[(cohort % CELLS) as usize];
        // Relaxed, all: see "Orderings".
        let mut found = Cell(cell.load(Ordering::Relaxed));
        loop {
            let age = found.age(cohort);
            let (count, last, left) = match found.tags_behind(cut.tag) {
                0 if found.is_shut(age) => return (None, 0),
                0 if age == 0 => (found.count() + 1, found.offset().max(offset), 0),
                0 => (1, offset, found.running()),
                // Another tag: an older one is overwritten; for a newer one, we came too late.
                behind if behind < 128 => (1, offset, 0),
                _ => return (None, 0),
            };
            let next = Cell::new(cut.tag, cohort, last, count).0;
            match cell.compare_exchange_weak(found.0, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.look_by(now);
                    let cohort = low(cohort, COHORT_BITS) as u32;
                    return (Some(Place { tag: cut.tag, stripe, cohort }), left);
                }
                Err(now) => found = Cell(now),
            }
        }
    }

    /// Sees that a call which starts now isn't forgotten. `due` lies no further ahead, but where the
    /// clock went back.
    #[inline]
    fn look_by(&self, now: Moment) {
        // Relaxed, all: see "Orderings".
        let end = now.as_nanos().saturating_add(self.threshold.load(Ordering::Relaxed));
        if self.due.load(Ordering::Relaxed) > end {
            self.due.fetch_min(end, Ordering::Relaxed);
        }
    }

    /// Takes a call out that ended.
    #[inline]
    pub(crate) fn end(&self, place: Place) -> End {
        let cohort = u64::from(place.cohort);
        let cell = &self.stripes.at(place.stripe)[(cohort % CELLS) as usize];
        // Relaxed, all: see "Orderings".
        let mut found = Cell(cell.load(Ordering::Relaxed));
        loop {
            if !found.is_of(place.tag) {
                return End::Forgotten;
            }
            if found.age(cohort) != 0 || found.running() == 0 {
                return End::Hung;
            }
            let less = found.0 - 1;
            match cell.compare_exchange_weak(found.0, less, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return End::InTime,
                Err(now) => found = Cell(now),
            }
        }
    }

    /// Is there a call to settle, perhaps? One load.
    #[inline]
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        // Relaxed: a hint.
        now.as_nanos() >= self.due.load(Ordering::Relaxed)
    }

    /// Settles the cohorts whose time has come: gives the number of calls found hung.
    pub(crate) fn settle(&self, now: Moment) -> u64 {
        // Acquire, both: pair with the Release of `turn` and `set_threshold`. A cut that is older than the
        // threshold finds its cells cleared.
        let cut = Cut::from_word(self.cut.load(Ordering::Acquire));
        if cut.is_off() || !self.is_due(now) {
            return 0;
        }
        let threshold = self.threshold.load(Ordering::Acquire);
        let now = now.as_nanos();
        let (current, _) = cut.place(now);
        // All that runs was there when it was last due. Where that is so long ago that the numbers of
        // the cohorts came round, what seems to be ahead is behind.
        let was_due = self.due.load(Ordering::Relaxed);
        let since = cut.place(now.saturating_sub(was_due)).0;
        let leapt = was_due > 0 && since > HALF_WAY - CELLS;
        let (mut hung, mut due) = (0, now.saturating_add(threshold));
        for cell in self.stripes.iter().flatten() {
            // Relaxed, all: see "Orderings".
            let mut found = Cell(cell.load(Ordering::Relaxed));
            while found.is_of(cut.tag) && found.running() > 0 {
                let age = found.age(current);
                if age <= HALF_WAY {
                    let last = cut.moment(current.saturating_sub(age), found.offset());
                    let end = last.saturating_add(threshold);
                    if now < end {
                        due = due.min(end);
                        break;
                    }
                } else if !leapt {
                    break;
                }
                let settled = found.settled().0;
                match cell.compare_exchange_weak(
                    found.0,
                    settled,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        hung += found.running();
                        break;
                    }
                    Err(now) => found = Cell(now),
                }
            }
        }
        // Relaxed: a hint. What started since has its end no sooner than `now + threshold`.
        self.due.store(due, Ordering::Relaxed);
        hung
    }

    /// Calls in flight that aren't settled.
    pub(crate) fn running(&self) -> u64 {
        let tag = self.cut().tag;
        self.stripes
            .iter()
            .flatten()
            // Relaxed: see "Orderings".
            .map(|cell| Cell(cell.load(Ordering::Relaxed)))
            .filter(|cell| cell.is_of(tag))
            .map(Cell::running)
            .sum()
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::rng;

    const START: Moment = Moment::from_nanos((1 << 61) + 12_345_678_901);
    const THRESHOLD: Duration = Duration::from_millis(800);

    fn cohorts() -> Cohorts {
        let cohorts = Cohorts::new();
        cohorts.set_threshold(Some(THRESHOLD));
        cohorts
    }

    fn at(ms: u64) -> Moment {
        START.plus(Duration::from_millis(ms))
    }

    fn start(cohorts: &Cohorts, now: Moment) -> Place {
        let (place, hung) = cohorts.start(now);
        assert_eq!(hung, 0);
        place.unwrap()
    }

    #[test]
    fn calls_that_started_together_are_hung_exactly_at_the_threshold() {
        let cohorts = cohorts();
        for _ in 0..20 {
            start(&cohorts, START);
        }
        // To a 2^14th of a cohort's width, about 6 us of 800 ms.
        let early = Moment::from_nanos(at(800).as_nanos() - 10_000);
        assert_eq!(cohorts.settle(early), 0);
        assert!(cohorts.is_due(at(800)));
        assert_eq!(cohorts.settle(at(800)), 20);
        assert_eq!(cohorts.settle(at(801)), 0, "once");
    }

    #[test]
    fn a_call_is_settled_at_most_one_width_late() {
        for offset in 0..400 {
            let cohorts = cohorts();
            start(&cohorts, at(offset));
            start(&cohorts, at(offset + 60));
            assert_eq!(cohorts.settle(Moment::from_nanos(at(offset + 800).as_nanos() - 10_000)), 0);
            assert!(cohorts.settle(at(offset + 900)) >= 1, "at {offset}");
            assert_eq!(cohorts.running(), 0);
        }
    }

    #[test]
    fn a_call_that_ended_is_not_hung_and_one_that_was_hung_ends_once_counted() {
        let cohorts = cohorts();
        let (quick, hung) = (start(&cohorts, START), start(&cohorts, START));
        assert_eq!(cohorts.end(quick), End::InTime);
        assert_eq!(cohorts.settle(at(800)), 1);
        assert_eq!(cohorts.end(hung), End::Hung);
        assert_eq!(cohorts.end(hung), End::Hung);
    }

    #[test]
    fn calls_are_counted_wherever_the_clock_stands() {
        for ms in [1, 8, 80, 700, 800, 1_000, 2_000, 5_000, 30_000] {
            let threshold = Duration::from_millis(ms);
            for offset in 0..64 {
                let cohorts = Cohorts::new();
                cohorts.set_threshold(Some(threshold));
                let now = Moment::from_nanos((1 << 61) + offset * (1 << 55));
                start(&cohorts, now);
                let late = now.plus(threshold + threshold / 8);
                assert_eq!(cohorts.settle(late), 1, "{ms} ms, {now:?}");
            }
        }
    }

    #[test]
    fn a_cell_that_is_needed_again_gives_up_its_hung_calls_first() {
        let cohorts = cohorts();
        let old = start(&cohorts, START);
        // Sixteen cohorts later, and nobody looked in between.
        let mut found = 0;
        for ms in (0..400).step_by(10) {
            found += cohorts.start(at(1_600 + ms)).1;
        }
        assert_eq!(found, 1);
        assert_eq!(cohorts.end(old), End::Hung);
    }

    #[test]
    fn a_cohort_that_was_settled_takes_no_more_calls() {
        let cohorts = cohorts();
        start(&cohorts, START);
        assert_eq!(cohorts.settle(at(800)), 1);
        // The clock went back.
        assert_eq!(cohorts.start(at(1)), (None, 0));
        assert_eq!((cohorts.running(), cohorts.settle(at(1_600))), (0, 0));
    }

    #[test]
    fn an_empty_cell_is_free_though_its_time_is_over() {
        let cohorts = cohorts();
        assert_eq!(cohorts.end(start(&cohorts, START)), End::InTime);
        assert_eq!(cohorts.settle(at(800)), 0);
        start(&cohorts, START);
        assert_eq!(cohorts.settle(at(1_600)), 1);
    }

    #[test]
    fn a_cohort_counts_as_many_as_it_can_and_the_rest_are_judged_when_they_end() {
        let cohorts = cohorts();
        for _ in 0..SETTLED - 1 {
            start(&cohorts, START);
        }
        assert_eq!(cohorts.start(START), (None, 0));
        assert_eq!(cohorts.settle(at(800)), SETTLED - 1);
    }

    #[test]
    fn calls_of_later_keep_their_cell_when_the_clock_goes_back() {
        let cohorts = cohorts();
        // Sixteen cohorts apart: one cell.
        let later = start(&cohorts, at(1_600));
        assert_eq!(cohorts.start(START), (None, 0));
        assert_eq!(cohorts.end(later), End::InTime);
        start(&cohorts, START);
    }

    #[test]
    fn a_cell_of_an_older_tag_is_of_no_account_and_one_of_a_newer_is_left_alone() {
        for behind in [1, 127, 128, 255] {
            let cohorts = cohorts();
            let cut = cohorts.cut();
            let (cohort, _) = cut.place(START.as_nanos());
            let other = Cell::new(cut.tag.wrapping_sub(behind), cohort, 0, 5);
            let cell = &cohorts.stripes.mine().1[(cohort % CELLS) as usize];
            cell.store(other.0, Ordering::Relaxed);
            assert_eq!((cohorts.running(), cohorts.settle(at(10_000))), (0, 0), "{behind}");
            assert_eq!(cohorts.start(START).0.is_some(), behind < 128, "{behind}");
            assert_eq!(cohorts.running(), u64::from(behind < 128), "{behind}");
        }
    }

    #[test]
    fn who_looks_before_anything_is_due_writes_nothing() {
        let cohorts = cohorts();
        assert_eq!(cohorts.settle(START), 0);
        let due = cohorts.due.load(Ordering::Relaxed);
        assert_eq!(due, at(800).as_nanos());
        assert_eq!(cohorts.settle(at(799)), 0);
        assert_eq!(cohorts.due.load(Ordering::Relaxed), due);
    }

    #[test]
    fn after_a_reset_calls_in_flight_are_forgotten() {
        let cohorts = cohorts();
        let old = start(&cohorts, START);
        cohorts.forget();
        let new = start(&cohorts, START);
        assert_eq!(cohorts.end(old), End::Forgotten);
        assert_eq!(cohorts.running(), 1);
        assert_eq!(cohorts.end(new), End::InTime);
        cohorts.set_threshold(None);
        assert_eq!(cohorts.start(START), (None, 0));
        assert_eq!(cohorts.settle(at(100_000)), 0);
    }

    #[test]
    fn a_hang_is_seen_after_an_idle_time_of_any_length() {
        for i in 0..10_000 {
            let cohorts = cohorts();
            let idle = Duration::from_secs(rng::mix(i) % (1 << 32));
            let (early, late) = (START, START.plus(idle));
            assert_eq!(cohorts.end(start(&cohorts, early)), End::InTime);
            assert!(cohorts.start(late).0.is_some(), "{idle:?}");
            assert_eq!(cohorts.settle(late.plus(THRESHOLD)), 1, "{idle:?}");
        }
    }

    #[test]
    fn a_call_is_found_hung_however_long_nobody_looked() {
        let found = (0..10_000)
            .filter(|&i| {
                let cohorts = cohorts();
                assert_eq!(cohorts.settle(START), 0, "as before each start");
                start(&cohorts, START);
                let idle = Duration::from_secs(1 + rng::mix(i) % (1 << 32));
                cohorts.settle(START.plus(idle)) == 1
            })
            .count();
        // Where the numbers have come round to just before it, it is found a threshold later.
        assert!(found > 9_990, "{found}");
    }

    #[test]
    fn a_clock_that_goes_back_or_leaps_settles_nobody_early_and_loses_nobody() {
        let cohorts = cohorts();
        start(&cohorts, at(50_000));
        assert_eq!(cohorts.settle(START), 0);
        assert_eq!(cohorts.settle(Moment::from_nanos(0)), 0);
        assert_eq!(cohorts.running(), 1);
        assert_eq!(cohorts.settle(at(50_800)), 1);
        start(&cohorts, at(60_000));
        assert_eq!(cohorts.settle(at(3_600_000)), 1, "an hour later");
    }

    #[test]
    fn a_call_is_found_hung_where_half_of_all_cohorts_have_passed_unseen() {
        for widths in HALF_WAY - 20..HALF_WAY + 20 {
            let cohorts = cohorts();
            assert_eq!(cohorts.settle(START), 0);
            start(&cohorts, START);
            assert_eq!(cohorts.settle(at(850 + 100 * widths)), 1, "{widths} widths after its end");
        }
    }

    #[test]
    fn a_call_that_lies_ahead_is_not_hung_though_nobody_looked_for_long() {
        let cohorts = cohorts();
        assert_eq!(cohorts.settle(START), 0);
        let hour = 3_600_000;
        start(&cohorts, at(24 * hour));
        assert_eq!(cohorts.settle(at(16 * hour)), 0, "the clock went back eight hours");
        assert_eq!(cohorts.running(), 1);
    }

    #[test]
    fn calls_that_start_after_the_clock_went_back_need_not_wait_for_it_to_catch_up() {
        let cohorts = cohorts();
        assert_eq!(cohorts.settle(at(3_600_000)), 0);
        assert!(!cohorts.is_due(START));
        start(&cohorts, START);
        assert!(!cohorts.is_due(at(799)));
        assert!(cohorts.is_due(at(800)));
        assert_eq!(cohorts.settle(at(800)), 1);
    }

    #[test]
    fn however_far_the_clock_leaps_calls_in_flight_are_behind_it() {
        // Cohorts are numbered by 24 bits: at 125 us each these come round in half an hour.
        for minutes in [1, 10, 17, 18, 30, 34, 35, 60, 70, 60 * 24 * 365 * 100] {
            let cohorts = Cohorts::new();
            cohorts.set_threshold(Some(MIN_THRESHOLD));
            assert_eq!(cohorts.settle(START), 0);
            start(&cohorts, START);
            let now = START.plus(Duration::from_secs(60 * minutes));
            assert_eq!(cohorts.settle(now), 1, "after {minutes} minutes");
        }
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const START: Moment = Moment::from_nanos(1 << 40);
    const THRESHOLD: Duration = Duration::from_millis(8);

    fn cohorts() -> Cohorts {
        let cohorts = Cohorts::new();
        cohorts.set_threshold(Some(THRESHOLD));
        cohorts
    }

    /// A call ends while its cohort is settled: it is counted hung, or it records itself, never
    /// both and never neither.
    #[test]
    fn a_call_is_settled_or_ends_and_never_both() {
        race(
            || {
                let cohorts = cohorts();
                let place = cohorts.start(START).0.unwrap();
                (cohorts, place)
            },
            |(cohorts, place)| cohorts.end(*place),
            |(cohorts, _)| cohorts.settle(START.plus(THRESHOLD)),
            |_, ended, hung| {
                assert_eq!(hung, u64::from(ended == End::Hung));
                assert_eq!(ended == End::InTime, hung == 0);
            },
        );
    }

    /// Two settle at once, and one more call starts: each hung call is found once.
    #[test]
    fn two_that_settle_share_the_hung_between_them() {
        let late = START.plus(THRESHOLD + THRESHOLD / 8);
        race(
            || {
                let cohorts = cohorts();
                cohorts.start(START).0.unwrap();
                cohorts.start(START).0.unwrap();
                cohorts
            },
            move |cohorts| {
                cohorts.start(late).0.unwrap();
                cohorts.settle(late)
            },
            move |cohorts| cohorts.settle(late),
            |cohorts, one, other| {
                assert_eq!(one + other, 2);
                assert_eq!(cohorts.running(), 1);
            },
        );
    }

    /// A call starts and ends while an operator changes the threshold: it may be forgotten, and says
    /// then itself how it ended, but it is never taken for one that was counted as hung.
    #[test]
    fn a_call_is_not_lost_while_the_threshold_changes() {
        race(
            cohorts,
            |cohorts| {
                let (place, hung) = cohorts.start(START);
                (place.map(|place| cohorts.end(place)), hung)
            },
            |cohorts| cohorts.set_threshold(Some(2 * THRESHOLD)),
            |cohorts, (ended, hung), ()| {
                assert_eq!(hung, 0);
                assert_ne!(ended, Some(End::Hung));
                assert_eq!(cohorts.running(), 0);
            },
        );
    }

    /// An operator switches the rule off, or changes the threshold, while another thread settles: a
    /// call that just started isn't found hung.
    #[test]
    fn nobody_is_hung_by_a_change_of_the_threshold() {
        for next in [None, Some(2 * THRESHOLD)] {
            race(
                || {
                    let cohorts = cohorts();
                    cohorts.start(START).0.unwrap();
                    cohorts
                },
                |cohorts| cohorts.settle(START.plus(THRESHOLD / 2)),
                move |cohorts| cohorts.set_threshold(next),
                |_, hung, ()| assert_eq!(hung, 0),
            );
        }
    }
    /// A cell is needed again, for calls of later, while another thread settles: whoever comes first finds
    /// the calls that hang in it, and only he.
    #[test]
    fn who_needs_a_cell_again_and_who_settles_share_the_hung_between_them() {
        let later = START.plus(THRESHOLD / 8 * 10);
        race(
            || {
                let cohorts = cohorts();
                cohorts.start(START).0.unwrap();
                cohorts.start(START).0.unwrap();
                cohorts
            },
            move |cohorts| cohorts.start(later),
            move |cohorts| cohorts.settle(later),
            |cohorts, (place, left), settled| {
                assert!(place.is_some());
                assert_eq!(left + settled, 2);
                assert_eq!(cohorts.running(), 1);
            },
        );
    }

    /// A call starts while others settle: it is looked at again when its time comes.
    #[test]
    fn who_settles_forgets_nobody_who_starts() {
        race(
            || {
                let cohorts = cohorts();
                cohorts.start(START).0.unwrap();
                cohorts
            },
            |cohorts| cohorts.start(START.plus(THRESHOLD)),
            |cohorts| cohorts.settle(START.plus(THRESHOLD)),
            |cohorts, (place, left), settled| {
                assert!(place.is_some());
                let late = START.plus(2 * THRESHOLD);
                assert!(cohorts.is_due(late));
                assert_eq!(left + settled + cohorts.settle(late), 2);
            },
        );
    }
}
