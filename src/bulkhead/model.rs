//! Models of places, classes and hand-over: every order in which the threads may take their steps.

use std::sync::Arc as Plain;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::engine::Engine;
use super::places::{Places, Shape, Shares};
use super::queue::{Order, Standing};
use super::waiting::{Joined, Ticket};
use crate::clock::Moment;
use crate::criticality::Criticality::{self, Background, Critical, Normal};
use crate::sync::{Ordering, race};

const NOW: Moment = Moment::from_nanos(0);

/// Of three classes, the first two with half of the places each.
fn of_three(limit: u32) -> Engine {
    let order = Order { length: 4, newest_first_after: None };
    Engine::new(Shape::Three, limit, Shares::new([500_000, 500_000, 0]), order)
}

/// With one place that is taken.
fn taken() -> Engine {
    let engine = Engine::of(1);
    assert!(engine.enter());
    engine
}

fn one_is_in(engine: &Engine) {
    assert_eq!(engine.places(), Places::new(Shape::One, 1).taken(Normal));
}

/// Wakers that tell whether they woke.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Plain<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// How a call that may wait fell asleep, if it did.
struct Asleep {
    ticket: Ticket,
    woken: Plain<Flag>,
}

/// Comes to wait, and looks once, as a future does that is polled once.
fn comes(engine: &Engine, class: Criticality) -> Option<Asleep> {
    let woken = Plain::new(Flag(AtomicBool::new(false)));
    match engine.join(class, NOW, true) {
        Joined::Entered => None,
        Joined::Refused => panic!("there is room in the line"),
        Joined::Waits(ticket) => {
            let waker = Waker::from(Plain::clone(&woken));
            let standing = engine.ask(&ticket, &waker);
            (standing == Standing::Waits).then_some(Asleep { ticket, woken })
        }
    }
}

/// It was woken, and has a place.
fn woke(engine: &Engine, asleep: Option<Asleep>) {
    if let Some(Asleep { ticket, woken }) = asleep {
        assert!(woken.0.load(SeqCst), "it was woken");
        assert_eq!(engine.standing(&ticket), Standing::Entered);
    }
}

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

/// With one place, two callers are never inside together, and what the first did is behind the second.
#[test]
fn one_place_is_held_by_one_call() {
    // Relaxed: the place itself must order the two.
    fn enters((engine, inside): &(Engine, AtomicU32)) -> bool {
        let entered = engine.enter();
        if entered {
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            inside.fetch_sub(1, Ordering::Relaxed);
            engine.exit();
        }
        entered
    }
    race(
        || (Engine::of(1), AtomicU32::new(0)),
        enters,
        enters,
        |(engine, _), one, other| {
            assert!(one || other, "a place that is free is given to somebody");
            assert!(engine.enter());
        },
    );
}

/// Three classes and two places: an owner finds its own, and never three are inside.
#[test]
fn classes_together_never_pass_the_limit() {
    fn enters((engine, inside): &(Engine, AtomicU32), class: Criticality) {
        assert!(engine.acquire(class), "its own place is there");
        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
        assert!(!engine.acquire(Background), "one is kept for each of the others");
        inside.fetch_sub(1, Ordering::SeqCst);
        engine.release(class, || NOW);
    }
    race(
        || (of_three(2), AtomicU32::new(0)),
        |state| enters(state, Critical),
        |state| enters(state, Normal),
        |(engine, _), (), ()| assert_eq!(engine.places(), Places::new(Shape::Three, 2)),
    );
}

/// Two who borrow race for what is lent: the owner's place is left.
#[test]
fn borrowers_that_race_leave_the_owner_a_place() {
    race(
        || of_three(3),
        |engine| u32::from(engine.acquire(Normal)) + u32::from(engine.acquire(Normal)),
        |engine| u32::from(engine.acquire(Normal)) + u32::from(engine.acquire(Background)),
        |engine, one, other| {
            assert!(one + other <= 2);
            assert!(engine.acquire(Critical), "nobody took it");
        },
    );
}

/// A place comes free while somebody comes to wait for it: it is never left lying.
#[test]
fn a_place_that_comes_free_reaches_who_waits() {
    race(
        taken,
        Engine::exit,
        |engine| comes(engine, Normal),
        |engine, (), asleep| {
            woke(engine, asleep);
            one_is_in(engine);
        },
    );
}

/// ... of whichever class: a critical call that comes to wait, and a place of the others that comes free.
#[test]
fn a_place_of_one_class_reaches_who_waits_of_another() {
    race(
        || {
            let engine = of_three(2);
            assert!(engine.acquire(Normal));
            assert!(engine.acquire(Critical));
            engine
        },
        |engine| engine.release(Normal, || NOW),
        |engine| comes(engine, Critical),
        |engine, (), asleep| {
            // The place is the normal calls' own: one is kept, and the critical call waits on.
            assert!(asleep.is_some(), "none is lent to it");
            assert_eq!((engine.places().in_flight(), engine.waiting()), (1, 1));
            engine.release(Critical, || NOW);
            woke(engine, asleep);
            assert_eq!(engine.places(), Places::new(Shape::Three, 2).taken(Critical));
        },
    );
}

/// Who won't wait comes while the last one who waits leaves: both orders leave no place lying.
#[test]
fn who_does_not_wait_gets_what_nobody_waits_for() {
    race(
        || {
            let engine = of_three(2);
            assert!(engine.acquire(Normal));
            let ticket = match engine.join(Background, NOW, true) {
                Joined::Waits(ticket) => ticket,
                other => panic!("{other:?}"),
            };
            (engine, ticket)
        },
        |(engine, ticket)| engine.leave(ticket, || NOW),
        |(engine, _)| {
            let entered = engine.acquire(Critical) || {
                // The bit was set by who waits for another class's place, or by nobody any more.
                engine.join(Critical, NOW, false) == Joined::Entered || engine.acquire(Critical)
            };
            assert!(entered, "its own place is free");
        },
        |(engine, _), (), ()| {
            let both = Places::new(Shape::Three, 2).taken(Normal).taken(Critical);
            assert_eq!(engine.places(), both);
        },
    );
}

/// The first of two who wait leaves while a place is handed out: the second gets it.
#[test]
fn a_place_granted_to_one_who_leaves_passes_on() {
    race(
        || {
            let engine = taken();
            let (leaves, stays) = (engine.ticket(), engine.ticket());
            (engine, leaves, stays)
        },
        |(engine, leaves, _)| engine.leave(leaves, || NOW),
        |(engine, ..)| engine.exit(),
        |(engine, _, stays), (), ()| {
            assert_eq!(engine.standing(stays), Standing::Entered);
            one_is_in(engine);
        },
    );
}

/// The time of one who waits is over while a place is handed out: it has it, or it is free.
#[test]
fn a_place_is_held_or_free_when_a_wait_ends_as_it_is_granted() {
    race(
        || {
            let engine = taken();
            let ticket = engine.ticket();
            (engine, ticket)
        },
        |(engine, ticket)| engine.give_up(ticket) == Standing::Entered,
        |(engine, _)| engine.exit(),
        |(engine, _), held, ()| {
            assert_eq!(engine.enter(), !held);
            one_is_in(engine);
        },
    );
}

/// The limit grows while one comes to wait: both places are used.
#[test]
fn a_grow_lets_in_who_waits() {
    race(
        taken,
        |engine| engine.set_limit(2, || NOW),
        |engine| comes(engine, Normal),
        |engine, (), asleep| {
            woke(engine, asleep);
            assert_eq!(engine.places().in_flight(), 2);
        },
    );
}

/// The limit shrinks while a place is handed over: who waits gets it only if there is one.
#[test]
fn a_shrink_and_a_hand_over_never_pass_the_limit() {
    race(
        || {
            let engine = Engine::of(2);
            assert!(engine.enter() && engine.enter());
            let ticket = engine.ticket();
            (engine, ticket)
        },
        |(engine, _)| engine.set_limit(1, || NOW),
        |(engine, _)| engine.exit(),
        |(engine, ticket), (), ()| {
            let entered = engine.standing(ticket) == Standing::Entered;
            assert_eq!(engine.places().in_flight(), 1 + u32::from(entered));
            assert_eq!(engine.places().limit(), 1);
            if !entered {
                engine.exit();
                assert_eq!(engine.standing(ticket), Standing::Entered, "the next one is its own");
            }
            engine.exit();
        },
    );
}

/// Two places come free at once while two wait: each gets one.
#[test]
fn two_that_come_free_at_once_reach_two_who_wait() {
    race(
        || {
            let engine = Engine::of(2);
            assert!(engine.enter() && engine.enter());
            let tickets = [engine.ticket(), engine.ticket()];
            (engine, tickets)
        },
        |(engine, _)| engine.exit(),
        |(engine, _)| engine.exit(),
        |(engine, tickets), (), ()| {
            for ticket in tickets {
                assert_eq!(engine.standing(ticket), Standing::Entered);
            }
            assert_eq!(engine.places(), Places::new(Shape::One, 2).taken(Normal).taken(Normal));
        },
    );
}
