//! Callers that stick to a version: which one, and which of their calls count.
//!
//! A caller whose calls always fail fails a hundred times if it calls a hundred times; that is one piece of
//! news. So where callers stick to a version, what is compared is callers: each counts once a *period*. And
//! once a call that counted has failed, its caller doesn't count again before the next *era*: one that
//! fails for reasons of its own is news once. An era begins with a comparison, with each stage, and when an
//! outage of both versions is over; while that is known to go on, no failure silences anybody.
//!
//! How long a call takes counts once an era: some callers are always slow, and can't be told from those
//! that a version made slow, but by drawing others.
//!
//! A period has 32 *slots*, and each caller's begins at a slot of its own; when an era begins callers come in
//! over eight slots. If all counted at once, they would be one block of evidence, and no single block may
//! roll back.
//!
//! What is known of a caller lies in a cell, found by its hash. Callers that share a cell pass for one: then
//! the others don't count. A cell has nothing to do with who serves its callers, so that costs evidence, of
//! both versions alike, and never adds or tilts any.
//!
//! # Orderings
//! Relaxed throughout: each cell is for itself, and its changes have one order. A call that goes by the
//! slot before counts, or not, as if it had come a moment sooner.

use std::hash::Hasher;
use std::num::NonZeroU32;

use siphasher::sip::SipHasher13;

use crate::rng;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// With so many callers in a period a third of them share a cell. 256 KiB.
const CELLS: usize = if cfg!(seawall_loom) { 1 } else { 1 << 16 };
const MILLION: u64 = 1_000_000;
/// In the last bit of a cell: a call of the caller failed.
const FAILED: u32 = 1;
/// Slots of a period, as a power of two.
const SLOT_BITS: u32 = 5;

/// Who a call belongs to, where callers stick to a version: a digest that is the same in every process.
///
/// SipHash-1-3 without a secret (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). A caller
/// that knows a rollout's id can compute whether it will be drawn: nothing but the version that
/// serves it may hang on it.
///
/// ```
/// use seawall::canary::Sticky;
///
/// assert_eq!(Sticky::of("alice"), Sticky::of("alice"));
/// assert_ne!(Sticky::of("alice"), Sticky::of("bob"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sticky(u64);

impl Sticky {
    /// Of a caller's name, account, or session.
    pub fn of(caller: impl AsRef<[u8]>) -> Self {
        Self(digest(caller.as_ref()))
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// A caller in one comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn(u64);

impl Drawn {
    /// Where it stands, below a million: if that is below the canary's share, it is the canary's. So who is
    /// the canary's stays that as the share grows.
    #[inline]
    pub(super) const fn place(self) -> u64 {
        rng::below(self.0, MILLION)
    }

    /// Its cell, and in which slot its periods begin. Stirred again, so that who shares a cell may stand
    /// anywhere.
    const fn cell(self) -> (usize, u32) {
        let stirred = rng::mix(self.0);
        (rng::below(stirred, CELLS as u64) as usize, stirred as u32 & ((1 << SLOT_BITS) - 1))
    }
}

/// What of a call counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// Nothing: its caller was counted.
    Nothing,
    /// How it ends.
    End(Mark),
    /// How it ends, and how long it takes.
    All(Mark),
}

/// A caller was counted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    cell: u32,
    wrote: NonZeroU32,
    found: u32,
}

/// When it is: which slot, and with which the era began.
///
/// ```text
///  63         32 31          0
/// +-------------+-------------+
/// |     era     |    slot     |     a slot a second lasts for a lifetime
/// +-------------+-------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(u64);

impl Time {
    const fn new(era: u32, slot: u32) -> Self {
        Self((era as u64) << 32 | slot as u64)
    }

    const fn era(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn slot(self) -> u32 {
        self.0 as u32
    }

    const fn later(self, slots: u32) -> u32 {
        // A cell has a bit less.
        let slot = self.slot().saturating_add(slots);
        if slot < u32::MAX >> 1 { slot } else { u32::MAX >> 1 }
    }
}

/// Who was counted, and how callers are drawn.
#[derive(Debug)]
pub(super) struct Keys {
    /// For each the last slot in which a caller was counted, and whether its call failed; 0 for none.
    ///
    /// ```text
    ///  31             1     0
    /// +----------------+--------+
    /// |      slot      | failed |
    /// +----------------+--------+
    /// ```
    cells: Box<[AtomicU32]>,
    time: AtomicU64,
    /// Others are drawn for each rollout.
    salt: AtomicU64,
    /// How long a slot is, and when this one began, in ns.
    slot: u64,
    began: AtomicU64,
    /// 1 while both versions are known to fail.
    outage: AtomicU32,
}

impl Keys {
    /// For a comparison called `name`, with periods of `length` ns.
    pub(super) fn new(name: &str, length: u64) -> Self {
        Self {
            cells: (0..CELLS).map(|_| AtomicU32::new(0)).collect(),
            time: AtomicU64::new(Time::new(1, 1).0),
            salt: AtomicU64::new(digest(name.as_bytes())),
            slot: (length >> SLOT_BITS).max(1),
            began: AtomicU64::new(0),
            outage: AtomicU32::new(0),
        }
    }

    /// The caller, in this comparison.
    #[inline]
    pub(super) fn draw(&self, caller: Sticky) -> Drawn {
        // Relaxed: see "Orderings".
        Drawn(rng::mix(caller.0 ^ self.salt.load(Ordering::Relaxed)))
    }

    /// A call of the caller: does it count?
    #[inline]
    pub(super) fn count(&self, caller: Drawn) -> Counts {
        let ((index, phase), time) = (caller.cell(), self.time());
        let cell = &self.cells[index];
        // Relaxed, both: see "Orderings". Most callers were counted before: they write nothing.
        let found = cell.load(Ordering::Relaxed);
        let period = |slot: u32| (slot + phase) >> SLOT_BITS;
        let (slot, last) = (time.slot(), found >> 1);
        let is_new = last < time.era();
        let counts = if is_new {
            slot - time.era() >= phase >> 2
        } else {
            found & FAILED == 0 && period(last) < period(slot)
        };
        let Some(wrote) = NonZeroU32::new(slot << 1).filter(|_| counts) else {
            return Counts::Nothing;
        };
        let to = wrote.get();
        let mark = Mark { cell: index as u32, wrote, found };
        match cell.compare_exchange(found, to, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) if is_new => Counts::All(mark),
            Ok(_) => Counts::End(mark),
            // Another call of the same caller was first.
            Err(_) => Counts::Nothing,
        }
    }

    /// The call that counted failed: its caller counts no more in this era.
    pub(super) fn failed(&self, mark: Mark) {
        // Relaxed: see "Orderings".
        if self.outage.load(Ordering::Relaxed) == 0 {
            self.change(mark, mark.wrote.get() | FAILED);
        }
    }

    /// The call that counted said nothing: its caller's next one counts in its place.
    pub(super) fn withdraw(&self, mark: Mark) {
        self.change(mark, mark.found);
    }

    /// Unless another has been counted there since.
    fn change(&self, mark: Mark, to: u32) {
        let cell = &self.cells[mark.cell as usize];
        // Relaxed, both: see "Orderings".
        let _ = cell.compare_exchange(mark.wrote.get(), to, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn time(&self) -> Time {
        // Relaxed: see "Orderings".
        Time(self.time.load(Ordering::Relaxed))
    }

    /// Slots go by. Only whoever judges calls this, and what follows.
    pub(super) fn tick(&self, now: u64) {
        // Relaxed, all: see "Orderings".
        let began = self.began.load(Ordering::Relaxed);
        let slots = now.saturating_sub(began) / self.slot;
        if now < began || slots > 0 {
            let rest = now.saturating_sub(began) % self.slot;
            self.began.store(now - rest, Ordering::Relaxed);
            let time = self.time();
            let slots = slots.min(2 << SLOT_BITS) as u32;
            self.time.store(Time::new(time.era(), time.later(slots)).0, Ordering::Relaxed);
        }
    }

    /// Another era: nobody was counted.
    pub(super) fn begin_era(&self) {
        let next = self.time().later(1);
        // Relaxed: see "Orderings".
        self.time.store(Time::new(next, next).0, Ordering::Relaxed);
    }

    /// Another comparison, of this rollout: others are drawn.
    pub(super) fn begin_rollout(&self, rollout: &str) {
        // Relaxed: see "Orderings".
        self.salt.store(digest(rollout.as_bytes()), Ordering::Relaxed);
    }

    /// Both versions fail, or it is over; when it is, another era begins.
    pub(super) fn outage(&self, is_there: bool) {
        // Relaxed: see "Orderings".
        let was_there = self.outage.swap(u32::from(is_there), Ordering::Relaxed) == 1;
        if was_there && !is_there {
            self.begin_era();
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const LENGTH: u64 = 30_000_000_000;

    fn keys() -> Keys {
        Keys::new("payments", LENGTH)
    }

    fn callers(n: u32) -> impl Iterator<Item = Sticky> {
        (0..n).map(|i| Sticky::of(i.to_le_bytes()))
    }

    fn mark(counts: Counts) -> Mark {
        match counts {
            Counts::Nothing => panic!("it counts"),
            Counts::End(mark) | Counts::All(mark) => mark,
        }
    }

    #[test]
    fn callers_are_spread_evenly_and_differently_for_each_rollout() {
        let keys = keys();
        let drawn = |share: u64| -> Vec<bool> {
            callers(50_000).map(|caller| keys.draw(caller).place() < share).collect()
        };
        let count = |drawn: &[bool]| drawn.iter().filter(|is| **is).count() as f64;
        for share in [10_000, 50_000, 250_000, 500_000] {
            let expected = 0.05 * share as f64;
            let spread = (expected * (1.0 - share as f64 / 1e6)).sqrt();
            let found = count(&drawn(share));
            assert!((found - expected).abs() < 4.0 * spread, "{found} of {expected}");
        }
        let first = drawn(50_000);
        keys.begin_rollout("deploy-2");
        let second = drawn(50_000);
        let both: Vec<bool> = first.iter().zip(&second).map(|(a, b)| *a && *b).collect();
        assert!(count(&both) < 190.0, "{} of 2,500 are the guinea pigs again", count(&both));
    }

    /// By a chi-square test: of 16 parts of the cells, each has as many of the canary's as another.
    #[test]
    fn who_shares_a_cell_may_stand_anywhere() {
        let keys = keys();
        let mut parts = [0_f64; 16];
        for caller in callers(160_000).map(|caller| keys.draw(caller)) {
            if caller.place() < 100_000 {
                parts[caller.cell().0 * 16 / CELLS] += 1.0;
            }
        }
        let mean = parts.iter().sum::<f64>() / 16.0;
        let chi: f64 = parts.iter().map(|n| (n - mean).powi(2) / mean).sum();
        assert!(chi < 37.7, "one in a thousand is beyond: {chi}");
    }

    /// Begun, and so long ago that everybody counts.
    fn come_in() -> Keys {
        let keys = keys();
        keys.tick(LENGTH);
        keys
    }

    /// An era that began so long ago.
    fn next_era(keys: &Keys, now: u64) {
        keys.begin_era();
        keys.tick(now);
    }

    #[test]
    fn a_caller_counts_once_a_period_and_its_latency_once_an_era() {
        let keys = come_in();
        let alice = keys.draw(Sticky::of("alice"));
        assert!(matches!(keys.count(alice), Counts::All(_)));
        assert_eq!(keys.count(alice), Counts::Nothing);
        for period in 1..10 {
            let of_slot = |slot| {
                keys.tick(period * LENGTH + slot * (LENGTH / 32));
                keys.count(alice)
            };
            let found: Vec<Counts> =
                (0..32).map(of_slot).filter(|c| *c != Counts::Nothing).collect();
            assert!(matches!(found[..], [Counts::End(_)]), "{found:?}");
        }
        next_era(&keys, 11 * LENGTH);
        assert!(matches!(keys.count(alice), Counts::All(_)));
    }

    #[test]
    fn callers_come_in_over_eight_slots_and_then_evenly_over_the_period() {
        let keys = keys();
        keys.tick(LENGTH);
        keys.begin_era();
        let mut counted = Vec::new();
        for slot in 0..64 {
            keys.tick(LENGTH + slot * (LENGTH / 32));
            let counts = |caller| keys.count(keys.draw(caller)) != Counts::Nothing;
            counted.push(callers(3_200).filter(|caller| counts(*caller)).count());
        }
        assert!(counted[..8].iter().all(|n| (300..500).contains(n)), "{counted:?}");
        assert!(counted[32..].iter().all(|n| (60..140).contains(n)), "{counted:?}");
    }

    #[test]
    fn a_caller_that_failed_counts_again_only_in_another_era() {
        let keys = come_in();
        let alice = keys.draw(Sticky::of("alice"));
        keys.failed(mark(keys.count(alice)));
        for period in 2..100 {
            keys.tick(period * LENGTH);
            assert_eq!(keys.count(alice), Counts::Nothing);
        }
        next_era(&keys, 101 * LENGTH);
        let late = mark(keys.count(alice));
        next_era(&keys, 102 * LENGTH);
        mark(keys.count(alice));
        keys.failed(late);
        keys.tick(104 * LENGTH);
        assert!(matches!(keys.count(alice), Counts::End(_)), "that was the era before");
    }

    #[test]
    fn an_outage_silences_nobody_and_its_end_begins_an_era() {
        let keys = come_in();
        let alice = keys.draw(Sticky::of("alice"));
        let bob = keys.draw(Sticky::of("bob"));
        keys.failed(mark(keys.count(bob)));
        keys.outage(true);
        keys.failed(mark(keys.count(alice)));
        keys.tick(3 * LENGTH);
        assert!(matches!(keys.count(alice), Counts::End(_)));
        keys.outage(true);
        assert_eq!(keys.count(bob), Counts::Nothing, "it isn't over");
        keys.outage(false);
        keys.tick(5 * LENGTH);
        assert!(matches!(keys.count(bob), Counts::All(_)));
        keys.outage(false);
        assert_eq!(keys.count(bob), Counts::Nothing, "it was over");
    }

    #[test]
    fn a_call_that_says_nothing_leaves_its_place_to_the_next() {
        let keys = come_in();
        let alice = keys.draw(Sticky::of("alice"));
        keys.withdraw(mark(keys.count(alice)));
        assert!(matches!(keys.count(alice), Counts::All(_)));
        keys.tick(3 * LENGTH);
        keys.withdraw(mark(keys.count(alice)));
        assert!(matches!(keys.count(alice), Counts::End(_)));
        assert_eq!(keys.count(alice), Counts::Nothing);
    }

    #[test]
    fn callers_that_share_a_cell_pass_for_one() {
        let keys = come_in();
        let n = CELLS as u32;
        let counted =
            callers(n).filter(|caller| keys.count(keys.draw(*caller)) != Counts::Nothing).count();
        let share = counted as f64 / f64::from(n);
        assert!((share - 0.632).abs() < 0.01, "1 - 1/e of as many callers as cells: {share}");
    }

    #[test]
    fn a_clock_that_goes_back_or_leaps_ends_a_period_at_most_once() {
        let keys = keys();
        let alice = keys.draw(Sticky::of("alice"));
        for now in [100, 50, 50, 1_000_000, 0].map(|n| n * LENGTH) {
            keys.tick(now);
            let counted = [(); 3].iter().filter(|()| keys.count(alice) != Counts::Nothing).count();
            assert!(counted <= 1, "{counted}");
        }
        keys.tick(u64::MAX);
        assert!(keys.time().slot() < 1_000, "leaps are cut");
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    fn come_in() -> Keys {
        let keys = Keys::new("payments", 1);
        keys.tick(64);
        keys
    }

    fn count(keys: &Keys) -> Counts {
        keys.count(keys.draw(Sticky(7)))
    }

    #[test]
    fn of_two_calls_of_one_caller_at_once_one_counts() {
        let counts = |counts| u32::from(counts != Counts::Nothing);
        race(come_in, count, count, move |_, one, other| {
            assert_eq!(counts(one) + counts(other), 1)
        });
    }

    #[test]
    fn a_failure_that_comes_late_silences_nobody_in_the_next_era() {
        race(
            come_in,
            |keys| match count(keys) {
                Counts::All(mark) | Counts::End(mark) => {
                    keys.failed(mark);
                    true
                }
                Counts::Nothing => false,
            },
            |keys| {
                keys.begin_era();
                keys.tick(128);
            },
            |keys, counted, ()| {
                let failed = keys.cells[0].load(Ordering::Relaxed) & FAILED != 0;
                let in_this_era = keys.cells[0].load(Ordering::Relaxed) >> 1 >= keys.time().era();
                assert_eq!(failed, counted);
                let silenced = count(keys) == Counts::Nothing;
                assert_eq!(silenced, in_this_era, "only by a failure of this era");
            },
        );
    }
}
