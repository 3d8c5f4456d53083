//! Calls by when they started: how a slow canary is seen before its calls end.
//!
//! A call of eight seconds tells its latency after eight seconds. But that it takes longer than 400 ms
//! is known after 400 ms. So calls are counted by *cohort*, those that started in the same tenth of a
//! second; the latency thresholds of a cohort are frozen when it begins; and when a threshold has passed
//! since the cohort's end, every call of it that wasn't done by then is slow, whatever becomes of it.
//! Both arms are judged by the same thresholds, at the same age, over the same cohorts.
//!
//! A call that ends adds to the *band* of its latency: how many of its cohort's thresholds it reached.
//! So the calls done within a threshold are the bands below it, and those still running are the ones
//! in no band. A call is counted at its start and once more at its end, on words of its thread.
//!
//! Cohorts lie in a ring; a tick prepares the next ones and settles the old. A word carries its cohort's
//! number, so a call that starts when nobody has ticked for long, or ends after its place has been
//! given on, changes nothing: it is in no cohort.
//!
//! # Orderings
//! Thresholds are written before the cohort's words get their new number (Release); who counted a
//! start there (Acquire) reads them. Counts are words of their own: a count that comes late is a call
//! that counts as slow, in either arm.

use std::time::Duration;

use crate::stripe::Striped;
use crate::sync::{AtomicU64, Ordering};
use crate::verdict::{Arm, Arms, Tally};

use super::interval::THRESHOLDS;

/// No threshold is higher.
pub(crate) const MOST_THRESHOLD: Duration = Duration::from_secs(10);
/// A cohort's width, in ns.
const WIDTH: u64 = 100_000_000;
/// Cohorts in the ring: the highest threshold, the width, and 2.7 s for a tick that comes late.
const RING: u64 = if cfg!(seawall_loom) { 2 } else { 128 };
/// Cohorts that a tick prepares, this one included: a second, so that ticks may come late.
const AHEAD: u64 = if cfg!(seawall_loom) { 1 } else { 10 };
/// No threshold.
const OFF: u64 = u64::MAX;

/// Where a call is counted until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    stripe: u8,
    cohort: u32,
}

/// A count, and the cohort it belongs to.
///
/// ```text
///  63        32 31       0
/// +------------+----------+
/// |   cohort   |  count   |     the cohort's number wraps after thirteen years
/// +------------+----------+
/// ```
#[derive(Debug)]
struct Word(AtomicU64);

impl Word {
    const fn empty(cohort: u32) -> u64 {
        (cohort as u64) << 32
    }

    /// Changes the count, if the word is still the cohort's.
    #[inline]
    fn change(&self, cohort: u32, change: impl Fn(u32) -> Option<u32>) -> bool {
        // Acquire: pairs with the Release of `prepare`, so the cohort's thresholds are there.
        let mut found = self.0.load(Ordering::Acquire);
        loop {
            if (found >> 32) as u32 != cohort {
                return false;
            }
            let Some(count) = change(found as u32) else {
                return false;
            };
            let next = Self::empty(cohort) | u64::from(count);
            match self.0.compare_exchange_weak(found, next, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => found = now,
            }
        }
    }

    fn prepare(&self, cohort: u32) {
        // Release: pairs with the Acquire of `change`. A swap, so that it and late changes have one order.
        self.0.swap(Self::empty(cohort), Ordering::Release);
    }

    fn read(&self, cohort: u32) -> u64 {
        // Relaxed: a count, see "Orderings".
        let found = self.0.load(Ordering::Relaxed);
        if (found >> 32) as u32 == cohort { found & u64::from(u32::MAX) } else { 0 }
    }
}

/// One arm's calls of one cohort.
#[derive(Debug)]
struct Cell {
    started: Word,
    /// By how many thresholds the call reached.
    done: [Word; THRESHOLDS + 1],
}

impl Cell {
    fn new() -> Self {
        // A number that no cohort has: the clock's epoch lies 73 years back.
        let word = || Word(AtomicU64::new(Word::empty(u32::MAX)));
        Self { started: word(), done: std::array::from_fn(|_| word()) }
    }

    fn words(&self) -> impl Iterator<Item = &Word> {
        std::iter::once(&self.started).chain(&self.done)
    }
}

type Stripe = [[Cell; 2]; RING as usize];

const fn index(arm: Arm) -> usize {
    match arm {
        Arm::Canary => 0,
        Arm::Baseline => 1,
    }
}

/// The calls of the last seconds, by their start, and the thresholds they are held to.
#[derive(Debug)]
pub(super) struct Starts {
    stripes: Striped<Box<Stripe>>,
    thresholds: [[AtomicU64; THRESHOLDS]; RING as usize],
}

impl Starts {
    pub(super) fn new() -> Self {
        let cell = || [Cell::new(), Cell::new()];
        Self {
            stripes: Striped::new(|| Box::new(std::array::from_fn(|_| cell()))),
            thresholds: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(OFF))),
        }
    }

    const fn cohort(now: u64) -> u32 {
        (now / WIDTH) as u32
    }

    const fn slot(cohort: u32) -> usize {
        (cohort as u64 % RING) as usize
    }

    /// Counts a call that starts at `now`, in ns; no place if its cohort isn't prepared.
    #[inline]
    pub(super) fn start(&self, arm: Arm, now: u64) -> Option<Place> {
        let cohort = Self::cohort(now);
        let (stripe, cells) = self.stripes.mine();
        let word = &cells[Self::slot(cohort)][index(arm)].started;
        word.change(cohort, |n| n.checked_add(1)).then_some(Place { stripe, cohort })
    }

    /// Counts that the call took `latency` ns.
    #[inline]
    pub(super) fn end(&self, arm: Arm, place: Place, latency: u64) {
        let thresholds = &self.thresholds[Self::slot(place.cohort)];
        // Relaxed: the start at this place saw the number that was written after them. If they are
        // another cohort's by now, the word is, too.
        let reached = |t: &AtomicU64| usize::from(latency >= t.load(Ordering::Relaxed));
        let band: usize = thresholds.iter().map(reached).sum();
        self.cell(arm, place).done[band].change(place.cohort, |n| n.checked_add(1));
    }

    /// The call says nothing: takes its start back. Thresholds that it has passed keep it.
    pub(super) fn withdraw(&self, arm: Arm, place: Place) {
        self.cell(arm, place).started.change(place.cohort, |n| n.checked_sub(1));
    }

    fn cell(&self, arm: Arm, place: Place) -> &Cell {
        &self.stripes.at(place.stripe)[Self::slot(place.cohort)][index(arm)]
    }

    fn prepare(&self, cohort: u32, thresholds: [Option<u64>; THRESHOLDS]) {
        let slot = Self::slot(cohort);
        for (word, threshold) in self.thresholds[slot].iter().zip(thresholds) {
            // Relaxed: published by the words' Release below.
            word.store(threshold.unwrap_or(OFF), Ordering::Relaxed);
        }
        for cells in self.stripes.iter() {
            cells[slot].iter().flat_map(Cell::words).for_each(|word| word.prepare(cohort));
        }
    }

    /// The calls of an arm that started in `cohort`, and how many are done, band by band.
    fn read(&self, arm: Arm, cohort: u32) -> (u64, [u64; THRESHOLDS + 1]) {
        let mut sum = (0, [0; THRESHOLDS + 1]);
        for cells in self.stripes.iter() {
            let cell = &cells[Self::slot(cohort)][index(arm)];
            sum.0 += cell.started.read(cohort);
            for (done, word) in sum.1.iter_mut().zip(&cell.done) {
                *done += word.read(cohort);
            }
        }
        sum
    }
}

/// The tick's side: which cohorts there are, and what of them is settled.
#[derive(Debug)]
pub(super) struct Settler {
    /// Each prepared cohort: its number, its thresholds, and which of them are settled.
    cohorts: [Option<Prepared>; RING as usize],
    /// The next cohort to prepare.
    next: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Prepared {
    /// In full, not as words hold it.
    number: u64,
    thresholds: [Option<u64>; THRESHOLDS],
    settled: [bool; THRESHOLDS],
}

impl Settler {
    pub(super) fn new() -> Self {
        Self { cohorts: [None; RING as usize], next: None }
    }

    /// Prepares the cohorts of the next second, with these thresholds in ns.
    pub(super) fn prepare(
        &mut self,
        starts: &Starts,
        now: u64,
        thresholds: [Option<u64>; THRESHOLDS],
    ) {
        let current = now / WIDTH;
        // After a long pause, begin where we are; a clock that went back waits.
        let from = self.next.unwrap_or(0).max(current);
        for number in from..current + AHEAD {
            let prepared = Prepared { number, thresholds, settled: [false; THRESHOLDS] };
            self.cohorts[(number % RING) as usize] = Some(prepared);
            starts.prepare(number as u32, thresholds);
        }
        self.next = Some(self.next.unwrap_or(0).max(current + AHEAD));
    }

    /// Settles what is due at `now`: for each threshold the calls of the settled cohorts, and those that
    /// were slow.
    pub(super) fn settle(&mut self, starts: &Starts, now: u64) -> [Arms; THRESHOLDS] {
        let mut sum = [Arms::default(); THRESHOLDS];
        for cohort in self.cohorts.iter_mut().flatten() {
            let ended = (cohort.number + 1).saturating_mul(WIDTH);
            let due = cohort.due(now.saturating_sub(ended), now > ended);
            if due == [false; THRESHOLDS] {
                continue;
            }
            for arm in [Arm::Canary, Arm::Baseline] {
                let (started, done) = starts.read(arm, cohort.number as u32);
                for i in (0..THRESHOLDS).filter(|i| due[*i]) {
                    let quick: u64 = done[..=cohort.rank(i)].iter().sum();
                    let seen = Tally::new(started, started.saturating_sub(quick));
                    let side = match arm {
                        Arm::Canary => &mut sum[i].canary,
                        Arm::Baseline => &mut sum[i].baseline,
                    };
                    *side = side.plus(seen);
                }
            }
            for (settled, due) in cohort.settled.iter_mut().zip(due) {
                *settled |= due;
            }
        }
        sum
    }

    /// Tells of each cohort of an arm how old it is, in ns, and how many of its calls still run.
    pub(super) fn running(
        &self,
        starts: &Starts,
        arm: Arm,
        now: u64,
        mut tell: impl FnMut(u64, u64),
    ) {
        for cohort in self.cohorts.iter().flatten() {
            let began = cohort.number * WIDTH;
            let (started, done) = starts.read(arm, cohort.number as u32);
            let running = started.saturating_sub(done.iter().sum());
            if running > 0 && began <= now {
                tell(now - began, running);
            }
        }
    }
}

impl Prepared {
    /// Which thresholds all calls have reached or fallen short of, so long after the cohort's end.
    fn due(&self, since_end: u64, ended: bool) -> [bool; THRESHOLDS] {
        std::array::from_fn(|i| {
            ended
                && !self.settled[i]
                && self.thresholds[i].is_some_and(|threshold| since_end >= threshold)
        })
    }

    /// How many of the cohort's thresholds are lower than the `i`th: a call that didn't reach it is in
    /// the band of that number or below. (Equal ones are reached together.)
    fn rank(&self, i: usize) -> usize {
        self.thresholds.iter().flatten().filter(|t| Some(**t) < self.thresholds[i]).count()
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const START: u64 = 1 << 61;
    const MS: u64 = 1_000_000;
    const THRESHOLDS_SET: [Option<u64>; 4] =
        [Some(120 * MS), Some(230 * MS), Some(400 * MS), Some(100 * MS)];

    struct Both {
        starts: Starts,
        settler: Settler,
        start: u64,
    }

    /// Prepared at the beginning of a cohort.
    fn both() -> Both {
        let start = START.next_multiple_of(WIDTH);
        let (starts, mut settler) = (Starts::new(), Settler::new());
        settler.prepare(&starts, start, THRESHOLDS_SET);
        Both { starts, settler, start }
    }

    impl Both {
        fn start(&self, arm: Arm, ms: u64) -> Place {
            self.starts.start(arm, self.start + ms * MS).unwrap()
        }

        fn settle(&mut self, ms: u64) -> [Arms; 4] {
            self.settler.settle(&self.starts, self.start + ms * MS)
        }
    }

    #[test]
    fn a_call_that_hangs_is_slow_once_the_threshold_has_passed_its_cohort_and_only_once() {
        let mut both = both();
        both.start(Arm::Canary, 30);
        let quick = both.start(Arm::Baseline, 60);
        both.starts.end(Arm::Baseline, quick, 50 * MS);
        assert_eq!(both.settle(199), [Arms::default(); 4]);
        let seen = both.settle(201);
        assert_eq!(seen[3], Arms::new(1, 1, 1, 0), "100 ms after the cohort's end");
        assert_eq!(seen[0], Arms::default());
        let seen = both.settle(400);
        assert_eq!((seen[0], seen[1]), (Arms::new(1, 1, 1, 0), Arms::new(1, 1, 1, 0)));
        assert_eq!((seen[2], seen[3]), (Arms::default(), Arms::default()));
    }

    #[test]
    fn calls_are_slow_for_the_thresholds_that_they_reached_and_no_others() {
        let mut both = both();
        for ms in [20, 100, 119, 120, 300, 399, 400, 5_000] {
            let place = both.start(Arm::Canary, 0);
            both.starts.end(Arm::Canary, place, ms * MS);
        }
        let seen = both.settle(600);
        let slow: Vec<u64> = seen.iter().map(|arms| arms.canary.bad).collect();
        assert_eq!(slow, [5, 4, 2, 7]);
        assert!(seen.iter().all(|arms| arms.canary.calls == 8));
    }

    #[test]
    fn a_call_that_is_withdrawn_was_never_there() {
        let mut both = both();
        let place = both.start(Arm::Canary, 0);
        both.starts.withdraw(Arm::Canary, place);
        assert_eq!(both.settle(1_000), [Arms::default(); 4]);
    }

    #[test]
    fn calls_that_run_are_known_with_their_age() {
        let both = both();
        both.start(Arm::Canary, 10);
        both.start(Arm::Canary, 20);
        let ended = both.start(Arm::Canary, 120);
        both.starts.end(Arm::Canary, ended, MS);
        let now = both.start + 3_000 * MS;
        let mut running = Vec::new();
        both.settler.running(&both.starts, Arm::Canary, now, |age, n| running.push((age, n)));
        assert_eq!(running, [(3_000 * MS, 2)]);
    }

    #[test]
    fn a_cohort_that_nobody_prepared_takes_no_calls_and_an_old_place_is_not_given_to_another() {
        let mut both = both();
        let old = both.start(Arm::Canary, 0);
        let later = both.start + 12_800 * MS;
        assert_eq!(both.starts.start(Arm::Canary, later), None, "nobody ticked for so long");
        both.settler.prepare(&both.starts, later, THRESHOLDS_SET);
        assert!(both.starts.start(Arm::Canary, later).is_some());
        both.starts.end(Arm::Canary, old, MS);
        let seen = both.settler.settle(&both.starts, later + 600 * MS);
        assert_eq!(seen[2], Arms::new(1, 1, 0, 0));
    }

    #[test]
    fn a_clock_that_goes_back_settles_nothing_early_and_nothing_twice() {
        let mut both = both();
        both.start(Arm::Canary, 0);
        assert_eq!(both.settler.settle(&both.starts, 0), [Arms::default(); 4]);
        both.settler.prepare(&both.starts, both.start - 5_000 * MS, THRESHOLDS_SET);
        assert_eq!(both.settle(600)[2], Arms::new(1, 1, 0, 0));
        assert_eq!(both.settle(600), [Arms::default(); 4]);
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::{Mutex, race};

    const THRESHOLDS_SET: [Option<u64>; THRESHOLDS] = [Some(1), None, None, None];

    /// A call starts and ends while its place is given to another cohort: it leaves no trace there.
    #[test]
    fn a_call_that_ends_late_leaves_no_trace_in_the_next_cohort() {
        let start = 1 << 40;
        let later = start + RING * WIDTH;
        race(
            move || {
                let (starts, mut settler) = (Starts::new(), Settler::new());
                settler.prepare(&starts, start, THRESHOLDS_SET);
                (starts, Mutex::new(settler))
            },
            move |(starts, _)| {
                if let Some(place) = starts.start(Arm::Canary, start) {
                    starts.end(Arm::Canary, place, 0);
                }
            },
            move |(starts, settler)| {
                settler.lock().prepare(starts, later, THRESHOLDS_SET);
                assert!(starts.start(Arm::Canary, later).is_some());
            },
            move |(starts, _), (), ()| {
                let (started, done) = starts.read(Arm::Canary, Starts::cohort(later));
                assert_eq!((started, done), (1, [0; THRESHOLDS + 1]));
            },
        );
    }

    /// A call ends while its cohort is settled: it is slow or it isn't, and it is there.
    #[test]
    fn a_call_that_ends_while_it_is_settled_is_there_once() {
        let start = 1 << 40;
        let ended = (start / WIDTH + 1) * WIDTH;
        race(
            move || {
                let (starts, mut settler) = (Starts::new(), Settler::new());
                settler.prepare(&starts, start, THRESHOLDS_SET);
                let place = starts.start(Arm::Canary, start).unwrap();
                (starts, Mutex::new(settler), place)
            },
            |(starts, _, place)| starts.end(Arm::Canary, *place, 0),
            move |(starts, settler, _)| settler.lock().settle(starts, ended + 1)[0],
            move |(starts, settler, _), (), seen| {
                assert_eq!((seen.canary.calls, seen.baseline.calls), (1, 0));
                let again = settler.lock().settle(starts, ended + 1);
                assert_eq!(again, [Arms::default(); THRESHOLDS]);
                assert_eq!(starts.read(Arm::Canary, Starts::cohort(start)).1[0], 1);
            },
        );
    }
}
