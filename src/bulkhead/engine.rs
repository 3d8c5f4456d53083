//! Hands out places and takes them back.
//!
//! [`acquire`](Engine::acquire) is one step on one [word](super::places), so the calls in flight never
//! pass the limit, not for a moment, not while the limit changes. [`release`](Engine::release) is one
//! subtraction. Shrinking never waits: while more are taken than there are places, nothing is handed
//! out, and what is given back is gone. Who finds no place may [wait](super::waiting) for one.

use super::places::{Places, Shape, Shares};
use super::queue::{Order, Queue};
use crate::clock::Moment;
use crate::criticality::Criticality;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// One limit.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) word: AtomicU64,
    shares: AtomicU64,
    pub(super) shape: Shape,
    /// Touched only while somebody waits, or comes to wait.
    pub(super) queue: Mutex<Queue>,
}

impl Engine {
    pub(crate) fn new(shape: Shape, limit: u32, shares: Shares, order: Order) -> Self {
        Self {
            word: AtomicU64::new(Places::new(shape, limit).word),
            shares: AtomicU64::new(shares.0),
            shape,
            queue: Mutex::new(Queue::new(order)),
        }
    }

    fn places_of(&self, word: u64) -> Places {
        Places { word, shape: self.shape }
    }

    /// The word as it is.
    #[inline]
    pub(crate) fn places(&self) -> Places {
        // Relaxed: read for itself.
        self.places_of(self.word.load(Ordering::Relaxed))
    }

    /// The shares as they are.
    #[inline]
    pub(crate) fn shares(&self) -> Shares {
        // Relaxed: they decide who is next, never how many.
        Shares(self.shares.load(Ordering::Relaxed))
    }

    /// Takes a place for a call of this class; `false` if there is none, or if others wait for it.
    /// Each `true` is owed one [`release`](Self::release).
    #[inline(always)]
    pub(crate) fn acquire(&self, class: Criticality) -> bool {
        match self.shape {
            Shape::One => self.acquire_as(Shape::One, class),
            Shape::Three => self.acquire_ranked(class),
        }
    }

    fn acquire_ranked(&self, class: Criticality) -> bool {
        self.acquire_as(Shape::Three, class)
    }

    /// With the shape known, all its arithmetic is of constants.
    #[inline(always)]
    fn acquire_as(&self, shape: Shape, class: Criticality) -> bool {
        let mut places = Places { shape, ..self.places() };
        loop {
            if places.has_waiters() || !places.has_room(class, self.shares()) {
                return false;
            }
            match self.swap(places, places.taken(class)) {
                Ok(()) => return true,
                Err(changed) => places = Places { shape, ..changed },
            }
        }
    }

    #[inline]
    pub(super) fn swap(&self, from: Places, to: Places) -> Result<(), Places> {
        // Acquire: pairs with the Release of `release`, so what the call before us did with its
        // place is behind us.
        self.word
            .compare_exchange_weak(from.word, to.word, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| ())
            .map_err(|now| self.places_of(now))
    }

    /// Gives a place back; to the next who waits, if anybody does.
    #[inline(always)]
    pub(crate) fn release(&self, class: Criticality, now: impl FnOnce() -> Moment) {
        // Release: pairs with the Acquire of `swap`. Who set the `waits` bit is seen, or sees this.
        let before =
            self.places_of(self.word.fetch_sub(self.shape.one_of(class), Ordering::Release));
        debug_assert!(before.used(class) > 0, "a place was given back twice");
        if before.has_waiters() {
            self.pass_on(now());
        }
    }

    /// Changes the limit at once; `true` if there are some who wait, and may now have to be
    /// [let in](Self::pass_on).
    #[must_use]
    pub(crate) fn change_limit(&self, limit: u32) -> bool {
        let change = |word| Some(self.places_of(word).with_limit(limit).word);
        // Relaxed: the limit guards nothing but itself. Who set the `waits` bit before is seen here;
        // who sets it later sees this limit.
        let before = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        self.places_of(before.unwrap_or_else(|word| word)).has_waiters()
    }

    /// Changes the shares, the length of the queue and its order.
    pub(crate) fn set_order(&self, shares: Shares, order: Order, now: Moment) {
        // Relaxed: they decide who is next, never how many.
        self.shares.store(shares.0, Ordering::Relaxed);
        self.queue.lock().set_order(order);
        self.pass_on(now);
    }
}

#[cfg(test)]
impl Engine {
    /// Of one class, with a line of four.
    pub(super) fn of(limit: u32) -> Self {
        Self::new(Shape::One, limit, Shares::NONE, Order { length: 4, newest_first_after: None })
    }

    /// Changes the limit at once, and lets in who can come in now.
    pub(super) fn set_limit(&self, limit: u32, now: impl FnOnce() -> Moment) {
        if self.change_limit(limit) {
            self.pass_on(now());
        }
    }

    pub(super) fn enter(&self) -> bool {
        self.acquire(Criticality::Normal)
    }

    pub(super) fn exit(&self) {
        self.release(Criticality::Normal, || Moment::from_nanos(0));
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_shrink_is_absorbed_as_places_come_back() {
        let engine = Engine::of(3);
        assert!(engine.enter() && engine.enter() && engine.enter());
        engine.set_limit(1, || Moment::from_nanos(0));
        assert!(engine.is_full(None::<fn() -> Moment>));
        engine.exit();
        assert!(!engine.enter(), "two are still in flight, one more than the limit");
        engine.exit();
        assert!(!engine.enter(), "one is in flight, the limit is one");
        engine.exit();
        assert!(engine.enter());
        assert_eq!(engine.places().in_flight(), 1);
    }
}
