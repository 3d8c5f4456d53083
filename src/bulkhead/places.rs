//! The word in which all is decided: the limit, who is inside, and whether anybody waits.
//!
//! # Classes
//! Calls of all classes share one limit. A class has *own* places: one, and its share of the rest.
//! While fewer of its calls are in flight than that, all it takes is a free place. Beyond, it
//! *borrows*: it takes what is idle, but leaves the others room to come back. How much room? Calls
//! that come at random vary in number by about the square root of it; so for a class with `n` calls
//! in flight, `1 + √n` places are kept, and never more than it has left of its own. (Telephone
//! exchanges call this trunk reservation, and dimension by the same root.) A class that isn't there
//! costs the others one place.
//!
//! Nobody is thrown out for the owner of a place. But while an owner is short of places none is lent,
//! so the next that comes free is its own: no class starves, and after a shrink it is the borrowers
//! who go without.

use crate::criticality::Criticality;

/// How the word is divided: the fields, from the lowest bit on, are the calls in flight of each
/// class, the limit, and one bit that is set while somebody waits.
///
/// ```text
///  One     63  62      61       31 30                                    0
///         +---+-------+-----------+---------------------------------------+
///         | 0 | waits |   limit   |               in flight               |
///         +---+-------+-----------+---------------------------------------+
///  Three   63      61  60      59       45 44        30 29     15 14      0
///         +-----------+-------+-----------+------------+---------+---------+
///         |     0     | waits |   limit   | background | normal  | critical|
///         +-----------+-------+-----------+------------+---------+---------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All calls are of one class.
    One,
    /// As many classes as there are [`Criticality`]s.
    Three,
}

impl Shape {
    /// Bits of a field.
    #[inline]
    const fn bits(self) -> u32 {
        match self {
            Self::One => 31,
            Self::Three => 15,
        }
    }

    const fn classes(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }

    /// The largest limit.
    pub(crate) const fn max_limit(self) -> u32 {
        (1 << self.bits()) - 1
    }

    /// One call of this class.
    #[inline]
    pub(crate) const fn one_of(self, class: Criticality) -> u64 {
        match self {
            Self::One => 1,
            Self::Three => 1 << (15 * class as u32),
        }
    }

    /// The line in which calls of this class wait.
    #[inline]
    pub(crate) const fn line(self, class: Criticality) -> usize {
        match self {
            Self::One => 0,
            Self::Three => class as usize,
        }
    }

    const fn limit_at(self) -> u32 {
        self.bits() * self.classes()
    }

    /// The bit that is set while somebody waits.
    #[inline]
    pub(crate) const fn waits(self) -> u64 {
        1 << (self.limit_at() + self.bits())
    }
}

/// The shares of the classes, in millionths, 20 bits each, the most critical lowest; together at most
/// a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares(pub(crate) u64);

impl Shares {
    /// Everything is everybody's: for one class.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(ppm: [u32; 3]) -> Self {
        Self(ppm.iter().rev().fold(0, |word, share| word << 20 | u64::from(*share)))
    }

    const fn of(self, class: Criticality) -> u64 {
        self.0 >> (20 * class as u32) & 0xf_ffff
    }

    /// How many of `limit` places are this class's own. Those of all classes are never more than the
    /// limit.
    fn own(self, class: Criticality, limit: u32) -> u32 {
        let share = self.of(class);
        if share == 0 {
            return 0;
        }
        let sharing = Criticality::ALL.iter().filter(|c| self.of(**c) > 0).count() as u32;
        // One each, and the share of the rest; where there isn't one each, the share alone.
        let (first, rest) = if limit >= sharing { (1, limit - sharing) } else { (0, limit) };
        first + (u64::from(rest) * share / 1_000_000) as u32
    }
}

/// The word, as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) word: u64,
    pub(crate) shape: Shape,
}

impl Places {
    pub(crate) const fn new(shape: Shape, limit: u32) -> Self {
        Self { word: (limit as u64) << shape.limit_at(), shape }
    }

    const fn field(self, at: u32) -> u32 {
        (self.word >> at) as u32 & self.shape.max_limit()
    }

    pub(crate) const fn limit(self) -> u32 {
        self.field(self.shape.limit_at())
    }

    /// All calls in flight.
    pub(crate) const fn in_flight(self) -> u32 {
        match self.shape {
            Shape::One => self.field(0),
            Shape::Three => self.field(0) + self.field(15) + self.field(30),
        }
    }

    /// The calls in flight of this class.
    pub(crate) const fn used(self, class: Criticality) -> u32 {
        match self.shape {
            Shape::One => self.field(0),
            Shape::Three => self.field(15 * class as u32),
        }
    }

    /// Does anybody wait?
    pub(crate) const fn has_waiters(self) -> bool {
        self.word & self.shape.waits() != 0
    }

    /// Is there no place for anybody?
    pub(crate) const fn is_full(self) -> bool {
        self.in_flight() >= self.limit()
    }

    /// How many places are this class's own.
    pub(crate) fn own(self, class: Criticality, shares: Shares) -> u32 {
        match self.shape {
            Shape::One => self.limit(),
            Shape::Three => shares.own(class, self.limit()),
        }
    }

    /// Is there a place for a call of this class, among its own?
    pub(crate) fn has_own(self, class: Criticality, shares: Shares) -> bool {
        !self.is_full() && (self.shape == Shape::One || self.used(class) < self.own(class, shares))
    }

    /// Is there a place for a call of this class, of its own or lent?
    #[inline]
    pub(crate) fn has_room(self, class: Criticality, shares: Shares) -> bool {
        if self.shape == Shape::One {
            return self.field(0) < self.limit();
        }
        self.has_own(class, shares) || self.lends(class, shares)
    }

    fn lends(self, class: Criticality, shares: Shares) -> bool {
        let others = Criticality::ALL.into_iter().filter(|other| *other != class);
        let kept: u32 = others.map(|other| self.kept_for(other, shares)).sum();
        self.limit().saturating_sub(self.in_flight()) > kept
    }

    /// How many idle places are not lent, so that this class can come back.
    fn kept_for(self, class: Criticality, shares: Shares) -> u32 {
        let used = self.used(class);
        self.own(class, shares).saturating_sub(used).min(1 + used.isqrt())
    }

    /// With one more call of this class.
    #[inline]
    pub(crate) const fn taken(self, class: Criticality) -> Self {
        Self { word: self.word + self.shape.one_of(class), shape: self.shape }
    }

    /// With another limit.
    pub(crate) const fn with_limit(self, limit: u32) -> Self {
        let at = self.shape.limit_at();
        let mask = (self.shape.max_limit() as u64) << at;
        Self { word: self.word & !mask | (limit as u64) << at, shape: self.shape }
    }

    pub(crate) const fn with_waiters(self, waits: bool) -> Self {
        let bit = self.shape.waits();
        let word = if waits { self.word | bit } else { self.word & !bit };
        Self { word, shape: self.shape }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use Criticality::{Background, Critical, Normal};

    fn shares(percent: [u32; 3]) -> Shares {
        Shares::new(percent.map(|p| p * 10_000))
    }

    /// The word after as many calls of each class as get in, in this order.
    fn fill(limit: u32, shares: Shares, classes: &[Criticality]) -> Places {
        classes.iter().fold(Places::new(Shape::Three, limit), |places, class| {
            if places.has_room(*class, shares) { places.taken(*class) } else { places }
        })
    }

    #[test]
    fn the_fields_do_not_touch_each_other() {
        for shape in [Shape::One, Shape::Three] {
            let most = shape.max_limit();
            let mut places = Places::new(shape, most).with_waiters(true);
            for class in Criticality::ALL {
                places = places.taken(class);
            }
            let each = if shape == Shape::One { 3 } else { 1 };
            assert!(Criticality::ALL.iter().all(|class| places.used(*class) == each));
            assert_eq!((places.in_flight(), places.limit()), (3, most));
            let places = places.with_limit(7).with_waiters(false);
            assert_eq!((places.in_flight(), places.limit()), (3, 7));
            assert!(!places.has_waiters() && places.with_waiters(true).has_waiters());
        }
    }

    #[test]
    fn own_places_are_never_more_than_there_are() {
        for percent in [[70, 30, 0], [90, 5, 5], [34, 33, 33], [100, 0, 0], [1, 1, 1], [50, 0, 50]]
        {
            let shares = shares(percent);
            for limit in 1..200 {
                let own = Criticality::ALL.map(|class| shares.own(class, limit));
                assert!(own.iter().sum::<u32>() <= limit, "{percent:?} of {limit}: {own:?}");
                let sharing = percent.iter().filter(|p| **p > 0).count() as u32;
                for (own, percent) in own.iter().zip(percent) {
                    assert_eq!(*own > 0, percent > 0 && (limit >= sharing || *own > 0));
                }
            }
        }
    }

    #[test]
    fn what_is_idle_is_lent_but_for_room_to_come_back() {
        let shares = shares([60, 40, 0]);
        let reads = fill(50, shares, &[Normal; 60]);
        assert_eq!(reads.used(Normal), 49, "one place is kept for charges that aren't there");
        let charges = fill(50, shares, &[Critical; 60]);
        assert_eq!(charges.used(Critical), 49);

        let mixed = [vec![Critical; 16], vec![Normal; 60]].concat();
        let mixed = fill(50, shares, &mixed);
        assert_eq!(mixed.used(Normal), 29, "with 16 charges in flight, room for 5 more");
        assert!(mixed.has_room(Critical, shares) && !mixed.has_room(Normal, shares));
    }

    #[test]
    fn a_class_without_a_share_takes_only_what_is_lent() {
        let shares = shares([60, 40, 0]);
        let reports = fill(10, shares, &[Background; 20]);
        assert_eq!(reports.used(Background), 8, "one is kept for each of the others");
        assert!(reports.has_room(Critical, shares) && reports.has_room(Normal, shares));
    }

    #[test]
    fn an_owner_that_is_short_gets_the_next_place_that_comes_free() {
        let shares = shares([60, 40, 0]);
        let full = fill(10, shares, &[Normal; 20]).taken(Critical);
        assert!(full.is_full());
        // A read ends: the place is the charges', though ten reads ask for it.
        let freed = Places { word: full.word - Shape::Three.one_of(Normal), ..full };
        assert!(!freed.has_room(Normal, shares) && freed.has_room(Critical, shares));
    }

    #[test]
    fn a_shrink_takes_from_the_borrowers() {
        let shares = shares([60, 40, 0]);
        let mut places = fill(20, shares, &[vec![Critical; 3], vec![Normal; 20]].concat());
        assert_eq!((places.used(Critical), places.used(Normal)), (3, 15));
        places = places.with_limit(10);
        while !places.has_room(Critical, shares) {
            assert!(!places.has_room(Normal, shares));
            places.word -= Shape::Three.one_of(Normal);
        }
        assert_eq!(places.in_flight(), 9);
        assert!(!places.has_room(Normal, shares), "of 6 reads 2 are borrowers");
    }
}
