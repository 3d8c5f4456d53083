//! Hands out places and takes them back; who finds none may wait for one.
//!
//! # The path of one call
//! [`acquire`](Engine::acquire) is one step on one [word](super::places), so the calls in flight never
//! pass the limit, not for a moment, not while the limit changes. [`release`](Engine::release) is one
//! subtraction. Shrinking never waits: while more are taken than there are places, nothing is handed
//! out, and what is given back is gone.
//!
//! # Waiting
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

use std::array;
use std::task::Waker;

use super::places::{Places, Shape, Shares};
use super::queue::{Order, Queue, State};
use crate::clock::Moment;
use crate::criticality::Criticality;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// What a call that can wait gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// A place.
    Entered,
    /// A slot in the queue.
    Waits(Ticket),
    /// Nothing: the line is full.
    Refused,
}

/// How it stands with a call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on waiting.
    Waits,
    /// It has a place. Its slot is gone.
    Entered,
    /// A newer one has its place in the line. Its slot is gone.
    PushedOut,
}

/// A slot in the queue; must be brought back to [`ask`](Engine::ask) until it waits no more, or to
/// [`leave`](Engine::leave).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    slot: u32,
    pub(crate) class: Criticality,
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Engine {
    word: AtomicU64,
    shares: AtomicU64,
    shape: Shape,
    queue: Mutex<Queue>,
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

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        if self.places().has_waiters() { self.queue.lock().waiting() } else { 0 }
    }

    /// Takes a place for a call of this class; `false` if there is none, or if others wait for it.
    /// Each `true` is owed one [`release`](Self::release).
    #[inline]
    pub(crate) fn acquire(&self, class: Criticality) -> bool {
        let mut places = self.places();
        loop {
            if places.has_waiters() || !places.has_room(class, self.shares()) {
                return false;
            }
            match self.swap(places, places.taken(class)) {
                Ok(()) => return true,
                Err(changed) => places = changed,
            }
        }
    }

    #[inline]
    fn swap(&self, from: Places, to: Places) -> Result<(), Places> {
        // Acquire: pairs with the Release of `release`, so what the call before us did with its
        // place is behind us.
        self.word
            .compare_exchange_weak(from.word, to.word, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| ())
            .map_err(|now| self.places_of(now))
    }

    /// Gives a place back; to the next who waits, if anybody does.
    #[inline]
    pub(crate) fn release(&self, class: Criticality, now: impl FnOnce() -> Moment) {
        // Release: pairs with the Acquire of `swap`. Who set the `waits` bit is seen, or sees this.
        let before =
            self.places_of(self.word.fetch_sub(self.shape.one_of(class), Ordering::Release));
        debug_assert!(before.used(class) > 0, "a place was given back twice");
        if before.has_waiters() {
            self.pass_on(now());
        }
    }

    /// Is there no place for anybody, waiting included? `waits` says whether calls can wait.
    #[inline]
    pub(crate) fn is_full(&self, waits: bool) -> bool {
        self.places().is_full() && (!waits || self.lines_are_full())
    }

    fn lines_are_full(&self) -> bool {
        let queue = self.queue.lock();
        Criticality::ALL.iter().all(|class| queue.is_full(self.shape.line(*class)))
    }

    /// Takes a place, or joins the queue.
    #[cold]
    pub(crate) fn join(&self, class: Criticality, now: Moment) -> Joined {
        let (mut woken, mut away) = (Woken::new(), None);
        let joined = {
            let mut queue = self.queue.lock();
            // What is free goes to those before us; then perhaps the line isn't full any more.
            self.hand_out(&mut queue, now, &mut woken);
            let line = self.shape.line(class);
            match queue.join(line, now) {
                None => Joined::Refused,
                Some((slot, pushed_out)) => {
                    away = pushed_out;
                    // Relaxed: the queue is the lock's; the bit stands in the order of this word.
                    self.word.fetch_or(self.shape.waits(), Ordering::Relaxed);
                    self.hand_out(&mut queue, now, &mut woken);
                    let ticket = Ticket { slot, class };
                    match self.settled(&mut queue, &ticket, None) {
                        Standing::Entered => Joined::Entered,
                        Standing::PushedOut => Joined::Refused,
                        Standing::Waits => Joined::Waits(ticket),
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

    /// How it stands with this ticket; the waker is woken when that changes. Unless it waits on, the
    /// ticket is used up.
    pub(crate) fn ask(&self, ticket: &Ticket, waker: &Waker) -> Standing {
        self.settled(&mut self.queue.lock(), ticket, Some(waker))
    }

    fn settled(&self, queue: &mut Queue, ticket: &Ticket, waker: Option<&Waker>) -> Standing {
        let standing = match queue.ask(ticket.slot, waker) {
            State::Waiting => return Standing::Waits,
            State::Granted => Standing::Entered,
            State::PushedOut => Standing::PushedOut,
            State::Free => unreachable!("a ticket's slot is its own"),
        };
        queue.leave(ticket.slot);
        standing
    }

    /// Takes a ticket back from a call whose time is over: it has a place after all, or it waits no
    /// more.
    pub(crate) fn give_up(&self, ticket: &Ticket) -> Standing {
        let mut queue = self.queue.lock();
        match queue.leave(ticket.slot) {
            State::Granted => Standing::Entered,
            State::PushedOut => Standing::PushedOut,
            State::Waiting | State::Free => {
                self.clear_if_empty(&queue);
                Standing::Waits
            }
        }
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

    /// Changes the limit at once, and lets in who can come in now.
    pub(crate) fn set_limit(&self, limit: u32, now: impl FnOnce() -> Moment) {
        let change = |word| Some(self.places_of(word).with_limit(limit).word);
        // Relaxed: the limit guards nothing but itself.
        let before = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        if self.places_of(before.unwrap_or_else(|word| word)).has_waiters() {
            self.pass_on(now());
        }
    }

    /// Changes the shares, the length of the queue and its order.
    pub(crate) fn set_order(&self, shares: Shares, order: Order, now: Moment) {
        // Relaxed: they decide who is next, never how many.
        self.shares.store(shares.0, Ordering::Relaxed);
        self.queue.lock().set_order(order);
        self.pass_on(now);
    }

    /// Hands out what is free, and wakes who got it: outside the lock, a few at a time.
    #[cold]
    fn pass_on(&self, now: Moment) {
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
    /// Of one class, with a line of four.
    fn of(limit: u32) -> Self {
        Self::new(Shape::One, limit, Shares::NONE, Order { length: 4, newest_first_after: None })
    }

    fn enter(&self) -> bool {
        self.acquire(Criticality::Normal)
    }

    fn exit(&self) {
        self.release(Criticality::Normal, || Moment::from_nanos(0));
    }

    fn joins(&self) -> Joined {
        self.join(Criticality::Normal, Moment::from_nanos(0))
    }

    #[track_caller]
    fn ticket(&self) -> Ticket {
        match self.joins() {
            Joined::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn standing(&self, ticket: &Ticket) -> Standing {
        self.ask(ticket, Waker::noop())
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_shrink_is_absorbed_as_places_come_back() {
        let engine = Engine::of(3);
        assert!(engine.enter() && engine.enter() && engine.enter());
        engine.set_limit(1, || Moment::from_nanos(0));
        assert!(engine.is_full(false));
        engine.exit();
        assert!(!engine.enter(), "two are still in flight, one more than the limit");
        engine.exit();
        assert!(!engine.enter(), "one is in flight, the limit is one");
        engine.exit();
        assert!(engine.enter());
        assert_eq!(engine.places().in_flight(), 1);
    }

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
        assert!(engine.is_full(true));
        engine.leave(&tickets.remove(2), || unreachable!("nothing is handed out"));
        assert!(!engine.is_full(true));
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
        let join = |now| match engine.join(Criticality::Normal, at(now)) {
            Joined::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        };
        assert!(engine.enter());
        let (first, second) = (join(0), join(1));
        assert_eq!(engine.join(Criticality::Normal, at(99)), Joined::Refused, "not yet");
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
        let wait = |class| match engine.join(class, now) {
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
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    const NOW: Moment = Moment::from_nanos(0);

    /// Two callers and a shrink: never more inside than the larger limit, all places come back.
    #[test]
    fn the_limit_holds_while_it_changes() {
        loom::model(|| {
            let engine = Arc::new(Engine::of(2));
            let inside = Arc::new(AtomicU32::new(0));
            let caller = |engine: Arc<Engine>, inside: Arc<AtomicU32>| {
                move || {
                    if engine.enter() {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        engine.exit();
                    }
                }
            };
            let a = thread::spawn(caller(Arc::clone(&engine), Arc::clone(&inside)));
            let b = thread::spawn(caller(Arc::clone(&engine), Arc::clone(&inside)));
            engine.set_limit(1, || NOW);
            a.join().unwrap();
            b.join().unwrap();
            assert_eq!(engine.places(), Places::new(Shape::One, 1));
        });
    }

    /// With one place, two callers are never inside together.
    #[test]
    fn one_place_is_held_by_one_call() {
        loom::model(|| {
            let engine = Arc::new(Engine::of(1));
            let inside = Arc::new(AtomicU32::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (engine, inside) = (Arc::clone(&engine), Arc::clone(&inside));
                    thread::spawn(move || {
                        if engine.enter() {
                            // Relaxed: the place itself must order the two.
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            inside.fetch_sub(1, Ordering::Relaxed);
                            engine.exit();
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert!(engine.enter());
        });
    }

    /// Three classes and two places: never three inside.
    #[test]
    fn classes_together_never_pass_the_limit() {
        loom::model(|| {
            let order = Order { length: 4, newest_first_after: None };
            let shares = Shares::new([500_000, 500_000, 0]);
            let engine = Arc::new(Engine::new(Shape::Three, 2, shares, order));
            let inside = Arc::new(AtomicU32::new(0));
            let threads: Vec<_> = [Criticality::Critical, Criticality::Normal]
                .into_iter()
                .map(|class| {
                    let (engine, inside) = (Arc::clone(&engine), Arc::clone(&inside));
                    thread::spawn(move || {
                        assert!(engine.acquire(class), "its own place is there");
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        engine.release(class, || NOW);
                    })
                })
                .collect();
            assert!(!engine.acquire(Criticality::Background), "one is kept for each of the others");
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(engine.places(), Places::new(Shape::Three, 2));
        });
    }

    struct Flag(AtomicBool);

    impl std::task::Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    /// A place comes free while somebody comes to wait for it: it is never left lying.
    #[test]
    fn a_place_that_comes_free_reaches_who_waits() {
        loom::model(|| {
            let engine = Arc::new(Engine::of(1));
            assert!(engine.enter());
            let releases = {
                let engine = Arc::clone(&engine);
                thread::spawn(move || engine.exit())
            };
            let flag = std::sync::Arc::new(Flag(AtomicBool::new(false)));
            let waker = Waker::from(std::sync::Arc::clone(&flag));
            let mut asleep = None;
            match engine.joins() {
                Joined::Entered => {}
                Joined::Refused => panic!("there is room in the line"),
                Joined::Waits(ticket) => {
                    if engine.ask(&ticket, &waker) == Standing::Waits {
                        asleep = Some(ticket);
                    }
                }
            }
            releases.join().unwrap();
            if let Some(ticket) = asleep {
                assert!(flag.0.load(SeqCst), "it was woken");
                assert_eq!(engine.standing(&ticket), Standing::Entered);
            }
            assert_eq!(engine.places(), Places::new(Shape::One, 1).taken(Criticality::Normal));
        });
    }

    /// The first of two who wait leaves while a place is handed out: the second gets it.
    #[test]
    fn a_place_granted_to_one_who_leaves_passes_on() {
        loom::model(|| {
            let engine = Arc::new(Engine::of(1));
            assert!(engine.enter());
            let (leaves, stays) = (engine.ticket(), engine.ticket());
            let releases = {
                let engine = Arc::clone(&engine);
                thread::spawn(move || engine.exit())
            };
            engine.leave(&leaves, || NOW);
            releases.join().unwrap();
            assert_eq!(engine.standing(&stays), Standing::Entered);
            assert_eq!(engine.places(), Places::new(Shape::One, 1).taken(Criticality::Normal));
        });
    }

    /// The time of one who waits is over while a place is handed out: it has it, or it is free.
    #[test]
    fn a_place_is_held_or_free_when_a_wait_ends_as_it_is_granted() {
        loom::model(|| {
            let engine = Arc::new(Engine::of(1));
            assert!(engine.enter());
            let ticket = engine.ticket();
            let releases = {
                let engine = Arc::clone(&engine);
                thread::spawn(move || engine.exit())
            };
            let held = engine.give_up(&ticket) == Standing::Entered;
            releases.join().unwrap();
            assert_eq!(engine.enter(), !held);
            assert_eq!(engine.places(), Places::new(Shape::One, 1).taken(Criticality::Normal));
        });
    }

    /// The limit grows while one joins and another takes its chance: both places are used.
    #[test]
    fn a_grow_lets_in_who_waits() {
        loom::model(|| {
            let engine = Arc::new(Engine::of(1));
            assert!(engine.enter());
            let grows = {
                let engine = Arc::clone(&engine);
                thread::spawn(move || engine.set_limit(2, || NOW))
            };
            let joined = engine.joins();
            grows.join().unwrap();
            if let Joined::Waits(ticket) = joined {
                assert_eq!(engine.standing(&ticket), Standing::Entered);
            }
            assert_eq!(engine.places().in_flight(), 2);
        });
    }
}
