//! The probes of a half-open circuit: so many seats, each taken under a lease.
//!
//! A seat goes from free to taken to decided. A probe that ends in time decides its seat; one that is
//! cancelled or says nothing gives it back, for the next caller; one whose lease runs out (it hangs,
//! or was lost) is decided by whoever notices, as one slow failure, and what it brings later is
//! stale. So a round of n seats always comes to n decided outcomes if callers come, and no probe can
//! wedge it.
//!
//! # Orderings
//! A seat is one word that carries its round, so a late probe can't touch the next round's; the tally
//! is another, with the full generation. Each is changed by swaps and read for itself: Relaxed. What
//! begins a round is handed on by the gate's publication.

use crate::clock::Moment;
use crate::event::Counts;
use crate::sync::{AtomicU64, Ordering};
use crate::window::Entry;

/// The most probes a round can have.
pub(crate) const MAX: usize = if cfg!(seawall_loom) { 2 } else { 32 };

/// What a probe is whose lease ran out.
pub(crate) const EXPIRED: Entry = Entry { failed: true, slow: true };

/// What a seat's word says besides its round (the top 16 bits).
const FREE: u64 = 0;
const DECIDED: u64 = (1 << 48) - 1;

/// When a lease ends, since its round began, in 48 bits, none of them [`FREE`] or [`DECIDED`]: exact
/// to the ns for 39 hours. In a round that nobody came to for longer, with this bit, in steps of 2^17
/// ns, rounded up, to the end of time.
const COARSE: u64 = 1 << 47;
const STEP_BITS: u32 = 17;

fn pack_end(ns: u64) -> u64 {
    if ns < COARSE { ns.max(1) } else { COARSE | ((ns >> STEP_BITS) + 1).min(COARSE - 2) }
}

fn unpack_end(packed: u64) -> u64 {
    if packed & COARSE == 0 { packed } else { (packed & !COARSE) << STEP_BITS }
}

/// A probe's right to decide one seat: the seat's number (16 bits), and when the lease ends (48).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat(u64);

impl Seat {
    fn new(index: usize, packed_end: u64) -> Self {
        Self((index as u64) << 48 | packed_end)
    }

    fn index(self) -> usize {
        (self.0 >> 48) as usize
    }

    fn packed_end(self) -> u64 {
        self.0 & DECIDED
    }

    /// In ns since the round began.
    fn end(self) -> u64 {
        unpack_end(self.packed_end())
    }
}

/// The seats and the tally of one round at a time.
#[derive(Debug)]
pub(crate) struct Probes {
    seats: [AtomicU64; MAX],
    /// From the top: generation (32), seats (8), slow (8), failures (8), decided (8).
    tally: AtomicU64,
    /// When the round began, in ns; leases are counted from it.
    began: AtomicU64,
}

fn seat_word(generation: u32, rest: u64) -> u64 {
    u64::from(generation) << 48 | rest
}

fn counts(tally: u64) -> Counts {
    let field = |at: u32| tally >> at & 0xff;
    Counts { total: field(0), failures: field(8), slow: field(16) }
}

impl Probes {
    pub(crate) fn new() -> Self {
        Self {
            seats: std::array::from_fn(|_| AtomicU64::new(FREE)),
            tally: AtomicU64::new(0),
            began: AtomicU64::new(0),
        }
    }

    /// Begins a round of `seats`, all free, nothing decided. Under the gate's claim.
    pub(crate) fn begin(&self, generation: u32, seats: usize, now: Moment) {
        // Relaxed, all: the gate's publication hands them on. Swaps, so that they stay in one line with
        // those of the last round's probes.
        for seat in &self.seats {
            seat.swap(seat_word(generation, FREE), Ordering::Relaxed);
        }
        let tally = u64::from(generation) << 32 | (seats as u64) << 24;
        self.tally.swap(tally, Ordering::Relaxed);
        self.began.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Takes a free seat, until `lease` ns from now.
    pub(crate) fn take(&self, generation: u32, now: Moment, lease: u64) -> Option<Seat> {
        let free = seat_word(generation, FREE);
        let end = pack_end(self.since_began(now).saturating_add(lease));
        let lease = seat_word(generation, end);
        // Relaxed, all: see "Orderings".
        (0..self.seats())
            .find(|&i| {
                let seat = &self.seats[i];
                seat.load(Ordering::Relaxed) == free
                    && seat
                        .compare_exchange(free, lease, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            })
            .map(|index| Seat::new(index, end))
    }

    /// Decides a seat; the tally with it, or `None` if the lease was no longer held.
    pub(crate) fn decide(&self, seat: Seat, generation: u32, entry: Entry) -> Option<Counts> {
        self.swap(seat, generation, DECIDED).then(|| self.add(generation, entry))?
    }

    /// Gives a seat back; `false` if the lease was no longer held.
    pub(crate) fn give_back(&self, seat: Seat, generation: u32) -> bool {
        self.swap(seat, generation, FREE)
    }

    /// Decides one seat whose lease has run out, as a slow failure; the tally with it.
    pub(crate) fn expire_one(&self, generation: u32, now: Moment) -> Option<Counts> {
        let now = self.since_began(now);
        self.leases(generation)
            .filter(|seat| now >= seat.end())
            .find_map(|seat| self.decide(seat, generation, EXPIRED))
    }

    /// Has the lease of `seat` run out?
    pub(crate) fn is_over(&self, seat: Seat, now: Moment) -> bool {
        self.since_began(now) >= seat.end()
    }

    /// The time in ns until the first lease ends; `None` if no seat is taken.
    pub(crate) fn next_end(&self, generation: u32, now: Moment) -> Option<u64> {
        let now = self.since_began(now);
        self.leases(generation).map(|seat| seat.end().saturating_sub(now)).min()
    }

    /// The seats that are taken.
    fn leases(&self, generation: u32) -> impl Iterator<Item = Seat> {
        (0..self.seats()).filter_map(move |index| {
            // Relaxed: see "Orderings".
            let word = self.seats[index].load(Ordering::Relaxed);
            let end = word & DECIDED;
            let taken = seat_word(generation, end) == word && end != FREE && end != DECIDED;
            taken.then(|| Seat::new(index, end))
        })
    }

    /// Is a seat free?
    pub(crate) fn has_free(&self, generation: u32) -> bool {
        let free = seat_word(generation, FREE);
        // Relaxed: see "Orderings".
        self.seats[..self.seats()].iter().any(|seat| seat.load(Ordering::Relaxed) == free)
    }

    /// What the round has come to.
    pub(crate) fn counts(&self) -> Counts {
        // Relaxed: see "Orderings".
        counts(self.tally.load(Ordering::Relaxed))
    }

    /// How many seats this round has.
    pub(crate) fn seats(&self) -> usize {
        // Relaxed: see "Orderings".
        (self.tally.load(Ordering::Relaxed) >> 24 & 0xff) as usize
    }

    fn swap(&self, seat: Seat, generation: u32, to: u64) -> bool {
        let lease = seat_word(generation, seat.packed_end());
        let to = seat_word(generation, to);
        // Relaxed: see "Orderings".
        self.seats[seat.index()]
            .compare_exchange(lease, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    fn add(&self, generation: u32, entry: Entry) -> Option<Counts> {
        let one = 1 | u64::from(entry.failed) << 8 | u64::from(entry.slow) << 16;
        // Relaxed: see "Orderings".
        self.tally
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tally| {
                (tally >> 32 == u64::from(generation)).then_some(tally + one)
            })
            .ok()
            .map(|before| counts(before + one))
    }

    fn since_began(&self, now: Moment) -> u64 {
        // Relaxed: see "Orderings".
        now.as_nanos().saturating_sub(self.began.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000);
    const FAILED: Entry = Entry { failed: true, slow: false };

    fn at(ns: u64) -> Moment {
        Moment::from_nanos(1_000_000 + ns)
    }

    fn round(seats: usize) -> Probes {
        let probes = Probes::new();
        probes.begin(5, seats, START);
        probes
    }

    #[test]
    fn seats_run_out_and_come_back() {
        let probes = round(2);
        let first = probes.take(5, START, 100).unwrap();
        assert!(probes.take(5, START, 100).is_some());
        assert_eq!(probes.take(5, START, 100), None);
        assert!(!probes.has_free(5));
        assert!(probes.give_back(first, 5));
        assert!(!probes.give_back(first, 5), "once");
        assert!(probes.take(5, START, 100).is_some());
    }

    #[test]
    fn a_lease_that_ran_out_is_a_slow_failure_and_its_probe_is_late() {
        let probes = round(1);
        let seat = probes.take(5, START, 100).unwrap();
        assert_eq!(probes.next_end(5, at(40)), Some(60));
        assert_eq!(probes.expire_one(5, at(99)), None);
        let counts = probes.expire_one(5, at(100)).unwrap();
        assert_eq!((counts.total, counts.failures, counts.slow), (1, 1, 1));
        assert_eq!(probes.expire_one(5, at(200)), None, "decided once");
        assert_eq!(probes.decide(seat, 5, Entry::default()), None);
        assert_eq!(probes.take(5, at(200), 100), None, "a decided seat stays decided");
    }

    #[test]
    fn a_probe_of_an_older_round_changes_nothing() {
        let probes = round(1);
        let old = probes.take(5, START, 100).unwrap();
        probes.begin(6, 1, START);
        assert_eq!(probes.decide(old, 5, FAILED), None);
        assert!(!probes.give_back(old, 5));
        assert_eq!(probes.counts(), Counts::default());
        assert!(probes.take(6, START, 100).is_some());
    }

    #[test]
    fn a_lease_is_as_long_in_a_round_of_any_age() {
        for age in [0, 1, 1 << 46, 1 << 47, 1 << 48, 1 << 60, 1 << 63] {
            let probes = round(1);
            let seat = probes.take(5, at(age), 1_000_000_000).unwrap();
            assert!(!probes.is_over(seat, at(age + 999_999_999)), "{age}");
            assert!(probes.is_over(seat, at(age + 1_000_200_000)), "{age}");
            assert!(probes.expire_one(5, at(age)).is_none());
            assert!(probes.decide(seat, 5, FAILED).is_some());
        }
    }

    #[test]
    fn a_lease_is_packed_to_the_end_of_time_and_never_looks_free_or_decided() {
        let ends = [1, COARSE - 1, COARSE, COARSE + 1, COARSE << 9, u64::MAX - 1, u64::MAX];
        for end in ends {
            let packed = pack_end(end);
            assert!(packed != FREE && packed < DECIDED, "{end}");
            let back = unpack_end(packed);
            // Rounded up, but at the very end, where there is no more.
            assert!(back >= end.min(u64::MAX - (1 << 18)), "{end} came back as {back}");
            assert!(back - end.min(back) <= 1 << 17, "{end} came back as {back}");
        }
    }

    #[test]
    fn a_clock_that_went_back_or_a_lease_of_centuries_saturates() {
        let probes = round(1);
        let seat = probes.take(5, Moment::from_nanos(0), u64::MAX / 2).unwrap();
        assert!(!probes.is_over(seat, at(0)));
        assert!(probes.is_over(seat, Moment::from_nanos(u64::MAX)));
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const START: Moment = Moment::from_nanos(1 << 40);

    fn round(seats: usize) -> Probes {
        let probes = Probes::new();
        probes.begin(5, seats, START);
        probes
    }

    /// Two callers, one seat.
    #[test]
    fn one_seat_is_taken_by_one_caller() {
        race(
            || round(1),
            |probes| probes.take(5, START, 100),
            |probes| probes.take(5, START, 100),
            |_, one, other| assert!(one.is_some() != other.is_some()),
        );
    }

    /// A probe of the last round ends while the next one begins: it says nothing there, and takes no seat.
    #[test]
    fn a_late_probe_never_touches_the_next_round() {
        for back in [false, true] {
            race(
                || {
                    let probes = round(1);
                    let seat = probes.take(5, START, 100).unwrap();
                    (probes, seat)
                },
                move |(probes, seat)| match back {
                    true => probes.give_back(*seat, 5),
                    false => probes.decide(*seat, 5, EXPIRED).is_some(),
                },
                |(probes, _)| {
                    probes.begin(6, 1, START);
                    probes.take(6, START, 100)
                },
                |(probes, _), _, seat| {
                    assert_eq!((probes.counts(), probes.seats()), (Counts::default(), 1));
                    let counts = probes.decide(seat.unwrap(), 6, Entry::default()).unwrap();
                    assert_eq!(counts, Counts { total: 1, failures: 0, slow: 0 });
                },
            );
        }
    }

    /// A probe says nothing at the moment its lease ends: its seat is free, or decided, and not both.
    #[test]
    fn a_seat_is_given_back_or_expires() {
        race(
            || {
                let probes = round(1);
                let seat = probes.take(5, START, 100).unwrap();
                (probes, seat)
            },
            |(probes, seat)| probes.give_back(*seat, 5),
            |(probes, _)| probes.expire_one(5, Moment::from_nanos((1 << 40) + 100)).is_some(),
            |(probes, _), back, expired| {
                assert!(back != expired);
                assert_eq!(probes.has_free(5), back);
                assert_eq!(probes.counts().total, u64::from(expired));
            },
        );
    }
}
