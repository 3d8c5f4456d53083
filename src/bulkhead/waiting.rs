//! Waits for a place, and hands out what comes free to those who do.
//!
//! A lock guards the queue; nobody touches it while nobody waits. The word's `waits` bit is set
//! exactly while the queue isn't empty, and changes under the lock alone. While it is set, callers
//! don't overtake: they come to the lock.
//!
//! Who joins takes the lock, sets the bit, and hands out what is free. Who gives a place back learns
//! from the same subtraction whether the bit was set; if so it takes the lock and hands out. So a
//! place that came free before the bit was set is seen by who joins, and one that came free after it
//! by who gave it back: none lies idle while somebody waits for it. Handing out takes the place *for*
//! the waiter, in one step on the word as for any caller, then marks the waiter's slot. A waiter that
//! leaves looks at its slot under the lock: a place granted in that very instant is given back, and so
//! passes on.
//!
//! Wakers belong to others, and what they do when they wake, or are dropped, is unknown: both happen
//! outside the lock.

use std::array;
use std::task::Waker;

use super::engine::Engine;
use super::places::Places;
use super::queue::{Queue, Standing};
use crate::clock::Moment;
use crate::criticality::Criticality;
use crate::sync::Ordering;

/// What a call that can wait gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// A place.
    Entered,
    /// A slot in the queue.
    Waits(Ticket),
    /// Nothing: the line is full, or it won't wait.
    Refused,
}

/// A slot in the queue; must be brought back to [`ask`](Engine::ask) until it waits no more, or to
/// [`leave`](Engine::leave).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    slot: u32,
    pub(crate) class: Criticality,
}

impl Engine {
    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        if self.places().has_waiters() { self.queue.lock().waiting() } else { 0 }
    }

    /// Is there no place for anybody? Where calls can wait, `now` is given: is there none in any line
    /// either?
    #[inline]
    pub(crate) fn is_full(&self, now: Option<impl FnOnce() -> Moment>) -> bool {
        self.places().is_full() && now.is_none_or(|now| self.lines_are_full(now()))
    }

    fn lines_are_full(&self, now: Moment) -> bool {
        let queue = self.queue.lock();
        Criticality::ALL.iter().all(|class| queue.is_full(self.shape.line(*class), now))
    }

    /// Takes a place after all, for a call that others were in the way of; or joins the queue, if it
    /// waits.
    #[cold]
    pub(crate) fn join(&self, class: Criticality, now: Moment, waits: bool) -> Joined {
        if !waits && !self.places().has_waiters() {
            return Joined::Refused;
        }
        let (mut woken, mut away) = (Woken::new(), None);
        let joined = {
            let mut queue = self.queue.lock();
            // What is free goes to those before us; then perhaps the line isn't full any more.
            self.hand_out(&mut queue, now, &mut woken);
            if self.enters_past(&queue, class) {
                Joined::Entered
            } else if !waits {
                Joined::Refused
            } else {
                match queue.join(self.shape.line(class), now) {
                    None => Joined::Refused,
                    Some((slot, pushed_out)) => {
                        away = pushed_out;
                        // Relaxed: the queue is the lock's; the bit stands in the order of this word.
                        self.word.fetch_or(self.shape.waits(), Ordering::Relaxed);
                        self.hand_out(&mut queue, now, &mut woken);
                        let ticket = Ticket { slot, class };
                        match queue.settled(slot) {
                            Standing::Entered => Joined::Entered,
                            Standing::PushedOut => Joined::Refused,
                            Standing::Waits => Joined::Waits(ticket),
                        }
                    }
                }
            }
        };
        away.into_iter().for_each(Waker::wake);
        if woken.wake() {
            self.pass_on(now);
        }
        joined
    }

    /// Takes a place that nobody who waits can use: those of this class are all served.
    fn enters_past(&self, queue: &Queue, class: Criticality) -> bool {
        let mut places = self.places();
        while !queue.waits_in(self.shape.line(class)) && places.has_room(class, self.shares()) {
            match self.swap(places, places.taken(class)) {
                Ok(()) => return true,
                Err(changed) => places = changed,
            }
        }
        false
    }

    /// How it stands with this ticket; the waker is woken when that changes. Unless it waits on, the
    /// ticket is used up.
    pub(crate) fn ask(&self, ticket: &Ticket, waker: &Waker) -> Standing {
        let (standing, _replaced) = {
            let mut queue = self.queue.lock();
            let replaced = queue.keep(ticket.slot, waker);
            (queue.settled(ticket.slot), replaced)
        };
        standing
    }

    /// Takes a ticket back from a call whose time is over: it has a place after all, or it waits no
    /// more.
    pub(crate) fn give_up(&self, ticket: &Ticket) -> Standing {
        let (standing, _waker) = {
            let mut queue = self.queue.lock();
            let (standing, waker) = queue.leave(ticket.slot);
            self.clear_if_empty(&queue);
            (standing, waker)
        };
        standing
    }

    /// Takes a ticket back from a call that is gone; a place that it was just granted passes on.
    pub(crate) fn leave(&self, ticket: &Ticket, now: impl FnOnce() -> Moment) {
        if self.give_up(ticket) == Standing::Entered {
            self.release(ticket.class, now);
        }
    }

    fn clear_if_empty(&self, queue: &Queue) {
        if queue.waiting() == 0 {
            // Relaxed: as where it is set.
            self.word.fetch_and(!self.shape.waits(), Ordering::Relaxed);
        }
    }

    /// Hands out what is free, and wakes who got it: outside the lock, a few at a time.
    #[cold]
    pub(crate) fn pass_on(&self, now: Moment) {
        loop {
            let mut woken = Woken::new();
            self.hand_out(&mut self.queue.lock(), now, &mut woken);
            if !woken.wake() {
                return;
            }
        }
    }

    fn hand_out(&self, queue: &mut Queue, now: Moment, woken: &mut Woken) {
        let mut places = self.places();
        while !woken.is_full() {
            let Some(class) = self.next(queue, places) else {
                return;
            };
            let waits = queue.waiting() > 1;
            match self.swap(places, places.taken(class).with_waiters(waits)) {
                Err(changed) => places = changed,
                Ok(()) => {
                    places = places.taken(class).with_waiters(waits);
                    woken.add(queue.serve(self.shape.line(class), now));
                }
            }
        }
    }

    /// Whose turn it is: the most critical class that is short of its own places, else the most
    /// critical that is lent one.
    fn next(&self, queue: &Queue, places: Places) -> Option<Criticality> {
        let shares = self.shares();
        let waiting = || {
            let classes = Criticality::ALL.into_iter();
            classes.filter(|class| queue.waits_in(self.shape.line(*class)))
        };
        waiting()
            .find(|class| places.has_own(*class, shares))
            .or_else(|| waiting().find(|class| places.has_room(*class, shares)))
    }
}

/// Who is to be woken, once the lock is free: as many as fit.
struct Woken {
    wakers: [Option<Waker>; Self::MOST],
    count: usize,
}

impl Woken {
    const MOST: usize = 16;

    fn new() -> Self {
        Self { wakers: array::from_fn(|_| None), count: 0 }
    }

    fn is_full(&self) -> bool {
        self.count == Self::MOST
    }

    fn add(&mut self, waker: Option<Waker>) {
        self.wakers[self.count] = waker;
        self.count += 1;
    }

    /// Wakes them; `true` if there may be more.
    fn wake(self) -> bool {
        let more = self.is_full();
        self.wakers.into_iter().flatten().for_each(Waker::wake);
        more
    }
}

#[cfg(test)]
impl Engine {
    pub(super) fn joins(&self) -> Joined {
        self.join(Criticality::Normal, Moment::from_nanos(0), true)
    }

    #[track_caller]
    pub(super) fn ticket(&self) -> Ticket {
        match self.joins() {
            Joined::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn standing(&self, ticket: &Ticket) -> Standing {
        self.ask(ticket, Waker::noop())
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::bulkhead::places::{Shape, Shares};
    use crate::bulkhead::queue::Order;
    use std::time::Duration;

    #[test]
    fn who_came_first_is_served_first_and_nobody_overtakes() {
        let engine = Engine::of(1);
        assert!(engine.enter());
        let (first, second) = (engine.ticket(), engine.ticket());
        engine.exit();
        assert!(!engine.enter(), "the place is the first waiter's");
        assert_eq!(engine.standing(&second), Standing::Waits);
        assert_eq!(engine.standing(&first), Standing::Entered);
        engine.exit();
        assert_eq!(engine.standing(&second), Standing::Entered);
        engine.exit();
        assert_eq!(engine.places(), Places::new(Shape::One, 1));
        assert!(engine.enter(), "nobody waits any more");
    }

    #[test]
    fn a_full_line_refuses_and_a_place_in_it_comes_free_with_who_leaves() {
        let engine = Engine::of(1);
        assert!(engine.enter());
        let mut tickets: Vec<_> = (0..4).map(|_| engine.ticket()).collect();
        assert_eq!(engine.joins(), Joined::Refused);
        assert!(engine.is_full(Some(|| Moment::from_nanos(0))));
        engine.leave(&tickets.remove(2), || unreachable!("nothing is handed out"));
        assert!(!engine.is_full(Some(|| Moment::from_nanos(0))));
        tickets.push(engine.ticket());
        for ticket in tickets {
            engine.exit();
            assert_eq!(engine.standing(&ticket), Standing::Entered, "in the order they came");
        }
    }

    #[test]
    fn overloaded_the_newest_is_served_and_the_oldest_of_a_full_line_goes() {
        let order = Order { length: 2, newest_first_after: Some(Duration::from_nanos(100)) };
        let engine = Engine::new(Shape::One, 1, Shares::NONE, order);
        let at = Moment::from_nanos;
        let join = |now| match engine.join(Criticality::Normal, at(now), true) {
            Joined::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        };
        assert!(engine.enter());
        let (first, second) = (join(0), join(1));
        assert_eq!(engine.join(Criticality::Normal, at(99), true), Joined::Refused, "not yet");
        let third = join(100);
        assert_eq!(engine.standing(&first), Standing::PushedOut);
        engine.release(Criticality::Normal, || at(101));
        assert_eq!(engine.standing(&third), Standing::Entered);
        // Empty for a moment: the overload is over.
        engine.release(Criticality::Normal, || at(200));
        assert_eq!(engine.standing(&second), Standing::Entered);
        let (fourth, fifth) = (join(300), join(301));
        engine.release(Criticality::Normal, || at(399));
        assert_eq!(engine.standing(&fourth), Standing::Entered);
        assert_eq!(engine.standing(&fifth), Standing::Waits);
    }

    #[test]
    fn among_those_who_wait_owners_come_before_borrowers_and_the_critical_before_the_rest() {
        use Criticality::{Background, Critical, Normal};
        let shares = Shares::new([500_000, 500_000, 0]);
        let order = Order { length: 4, newest_first_after: None };
        let engine = Engine::new(Shape::Three, 4, shares, order);
        let now = Moment::from_nanos(0);
        let wait = |class| match engine.join(class, now, true) {
            Joined::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        };
        // Two places each, and all four are taken.
        assert!(engine.acquire(Critical) && engine.acquire(Critical));
        assert!(engine.acquire(Normal) && engine.acquire(Normal));
        let (background, critical, normal) = (wait(Background), wait(Critical), wait(Normal));
        engine.release(Normal, || now);
        assert_eq!(engine.standing(&normal), Standing::Entered, "short of its own");
        engine.release(Critical, || now);
        assert_eq!(engine.standing(&critical), Standing::Entered);
        engine.release(Critical, || now);
        assert_eq!(engine.standing(&background), Standing::Waits, "room for it to come back");
        engine.release(Critical, || now);
        assert_eq!(engine.standing(&background), Standing::Entered);
    }

    #[test]
    fn a_hundred_thousand_who_wait_come_in_when_the_limit_grows() {
        let order = Order { length: 100_000, newest_first_after: None };
        let engine = Engine::new(Shape::One, 1, Shares::NONE, order);
        assert!(engine.enter());
        let tickets: Vec<_> = (0..100_000).map(|_| engine.ticket()).collect();
        assert_eq!((engine.waiting(), engine.joins()), (100_000, Joined::Refused));
        engine.set_limit(100_001, || Moment::from_nanos(0));
        assert!(tickets.iter().all(|ticket| engine.standing(ticket) == Standing::Entered));
        assert_eq!((engine.waiting(), engine.places().in_flight()), (0, 100_001));
        assert_eq!(engine.queue.lock().waiting(), 0);
    }

    #[test]
    fn a_line_of_one_in_which_the_newest_replaces_the_oldest_stays_overloaded() {
        let order = Order { length: 1, newest_first_after: Some(Duration::from_nanos(100)) };
        let engine = Engine::new(Shape::One, 1, Shares::NONE, order);
        assert!(engine.enter());
        let mut waits = engine.ticket();
        for now in [100, 101, 150] {
            let Joined::Waits(newest) =
                engine.join(Criticality::Normal, Moment::from_nanos(now), true)
            else {
                panic!("it takes the oldest one's place at {now}");
            };
            assert_eq!(engine.standing(&waits), Standing::PushedOut);
            waits = newest;
        }
    }

    /// Looks at the engine when it is dropped, as the last waker of a task does whose future waits there.
    struct Looks(std::sync::Arc<Engine>);

    impl std::task::Wake for Looks {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            assert!(self.0.queue.try_lock().is_some(), "a waker is dropped outside the lock");
        }
    }

    #[test]
    fn wakers_are_dropped_outside_the_lock() {
        let engine = std::sync::Arc::new(Engine::of(1));
        let waker = || Waker::from(std::sync::Arc::new(Looks(std::sync::Arc::clone(&engine))));
        assert!(engine.enter());
        let (first, second) = (engine.ticket(), engine.ticket());
        for ticket in [&first, &first, &second] {
            // The next one replaces it.
            assert_eq!(engine.ask(ticket, &waker()), Standing::Waits);
        }
        engine.leave(&first, || unreachable!("nothing is handed out"));
        engine.exit();
        assert_eq!(engine.standing(&second), Standing::Entered);
    }
}
