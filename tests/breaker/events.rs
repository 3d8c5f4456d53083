//! What observers hear, and what they can't do harm to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerHandle};
use seawall::error::{Reason, Rejected, Room};
use seawall::event::{Call, Circuit, Event, Kind, Observe, Sink, Transition, Wants, Why};
use seawall::outcome::Outcome;
use seawall::ratio::Ratio;

use crate::rig::{SEC, does, failure, rig};

#[test]
fn a_transition_is_told_once_with_all_that_decided_it() {
    let mut rig = rig(|c| c.count_window(8).min_calls(4).failure_ratio(0.75).probes(1));
    rig.calls("SFFF");
    rig.wait(SEC);
    rig.ok();
    let told = rig.log.take();
    let [opened, half_open, closed] = told[..] else { panic!("{told:?}") };

    let ratio = Ratio::new(0.75).unwrap();
    assert_eq!((opened.from, opened.to), (Circuit::Closed, Circuit::Open));
    assert_eq!(opened.why, Why::FailureRatio(ratio));
    let counts = opened.counts;
    assert_eq!((counts.total, counts.failures, counts.slow), (4, 3, 0));
    assert_eq!((opened.generation, opened.share), (1, Ratio::ZERO));
    assert_eq!((opened.wait, opened.enforced), (Some(SEC), true));

    assert_eq!((half_open.from, half_open.to), (Circuit::Open, Circuit::HalfOpen));
    assert_eq!((half_open.why, half_open.generation), (Why::CoolDownOver, 2));
    assert_eq!((half_open.counts.failures, half_open.wait), (3, None));

    assert_eq!((closed.from, closed.to), (Circuit::HalfOpen, Circuit::Closed));
    assert_eq!((closed.why, closed.generation), (Why::Probes, 3));
    assert_eq!((closed.counts.total, closed.share), (1, Ratio::ONE));
}

#[test]
fn late_answers_and_refusals_tell_of_no_transition() {
    let mut rig = rig(|c| c.count_window(4));
    let late = rig.start_all(10);
    rig.open();
    late.into_iter().for_each(|call| call.fail());
    for _ in 0..100 {
        rig.refused();
    }
    assert_eq!(rig.log.len(), 1);
}

#[test]
fn an_event_says_whose_it_is_and_when() {
    let events = Arc::new(Mutex::new(Vec::<Event>::new()));
    let seen = Arc::clone(&events);
    let mut rig = rig(|c| {
        c.count_window(4).observe(move |event: &Event| seen.lock().unwrap().push(event.clone()))
    });
    rig.wait(5 * SEC);
    rig.open();
    rig.handle.reconfigure(|c| c.failure_ratio(0.9)).unwrap();
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|e| (e.room, e.name) == (Room::Breaker, "payments")));
    assert!(matches!(events[0].kind, Kind::Transition(_)));
    assert_eq!(events[1].kind, Kind::Reconfigured);
    assert_eq!(events[0].at, events[1].at);
}

/// Counts what it hears.
#[derive(Default)]
struct Heard {
    events: AtomicUsize,
    refusals: AtomicUsize,
    calls: Mutex<Vec<Call>>,
    wants: OnceLock<Wants>,
}

struct Ear(Arc<Heard>);

impl Observe for Heard {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        assert_eq!((room, name), (Room::Breaker, "payments"));
        Some(Box::new(Ear(self)))
    }
}

impl Sink for Ear {
    fn wants(&self) -> Wants {
        *self.0.wants.get().unwrap()
    }
    fn event(&self, _: &Event) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
    }
    fn refused(&self, rejected: &Rejected) {
        assert_eq!(rejected.reason, Reason::CircuitOpen);
        self.0.refusals.fetch_add(1, Ordering::Relaxed);
    }
    fn called(&self, call: &Call) {
        self.0.calls.lock().unwrap().push(*call);
    }
}

/// Hands on to a [`Heard`] that the test keeps.
struct Through(Arc<Heard>);

impl Observe for Through {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        Arc::clone(&self.0).attach(room, name)
    }
}

fn heard(wants: Wants) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    heard.wants.set(wants).unwrap();
    heard
}

#[test]
fn who_wants_calls_hears_how_each_ended() {
    let heard = heard(Wants::ALL);
    let mut rig =
        rig(|c| c.count_window(10).slow_calls(SEC, 1.0).observe(Through(Arc::clone(&heard))));
    rig.ok();
    rig.fail();
    rig.takes(SEC, Ok(0));
    drop(rig.start());
    let old = rig.start();
    rig.wait(2 * SEC);
    drop(old);
    let calls = heard.calls.lock().unwrap();
    let told: Vec<_> = calls.iter().map(|call| (call.outcome, call.slow, call.elapsed)).collect();
    let want = [
        (Outcome::Success, false, Some(Duration::ZERO)),
        (Outcome::Failure, false, Some(Duration::ZERO)),
        (Outcome::Success, true, Some(SEC)),
        (Outcome::Ignored, false, Some(Duration::ZERO)),
        (Outcome::InDoubt, true, Some(2 * SEC)),
    ];
    assert_eq!(told, want);
}

#[test]
fn who_wants_refusals_hears_each_and_who_wants_events_hears_nothing_else() {
    for (wants, refusals, calls) in [(Wants::ALL, 7, 5), (Wants::EVENTS, 0, 0)] {
        let heard = heard(wants);
        let mut rig = rig(|c| c.count_window(5).observe(Through(Arc::clone(&heard))));
        rig.fail_times(5);
        for _ in 0..7 {
            rig.refused();
        }
        assert_eq!(heard.events.load(Ordering::Relaxed), 1);
        assert_eq!(heard.refusals.load(Ordering::Relaxed), refusals);
        assert_eq!(heard.calls.lock().unwrap().len(), calls);
    }
}

#[test]
fn an_observer_that_panics_is_counted_and_touches_nothing_else() {
    let mut rig =
        rig(|c| c.count_window(4).probes(1).observe(|_: &Event| panic!("an observer with a bug")));
    rig.fail_times(4);
    assert_eq!((rig.state(), rig.handle.observer_panics()), (Circuit::Open, 1));
    assert_eq!(rig.log.len(), 1, "the other observer heard of it");
    rig.wait(SEC);
    rig.ok();
    assert_eq!((rig.state(), rig.handle.observer_panics()), (Circuit::Closed, 3));
}

#[test]
fn an_observer_that_panics_while_a_panic_of_the_service_unwinds_does_not_abort() {
    let mut rig = rig(|c| c.count_window(1).observe(|_: &Event| panic!("an observer with a bug")));
    rig.panics(does(async { panic!("a service with a bug") }));
    assert_eq!((rig.state(), rig.handle.observer_panics()), (Circuit::Open, 1));
}

#[test]
fn an_observer_may_reach_into_the_circuit() {
    let handle: Arc<OnceLock<CircuitBreakerHandle>> = Arc::default();
    let inside = Arc::clone(&handle);
    let mut rig = rig(|c| {
        c.count_window(4).probes(1).observe(move |event: &Event| {
            let handle = inside.get().unwrap();
            let snapshot = handle.snapshot();
            match event.kind {
                Kind::Transition(Transition { to: Circuit::Open, .. }) => {
                    assert_eq!(snapshot.state, Circuit::Open);
                    handle.reconfigure(|c| c.cool_down(7 * SEC)).unwrap();
                    handle.tick();
                    let _ = handle.clone().changed().now_or_never();
                }
                Kind::Transition(Transition { to: Circuit::HalfOpen, .. }) => handle.force_open(),
                Kind::Transition(Transition { to: Circuit::ForcedOpen, .. }) => handle.reset(),
                _ => {}
            }
        })
    });
    handle.set(rig.handle.clone()).unwrap();
    rig.open();
    assert_eq!(rig.handle.observer_panics(), 0);
    rig.wait(SEC);
    // The first probe's transition is overruled twice before the probe is even sent.
    rig.fail();
    assert_eq!((rig.state(), rig.handle.snapshot().stale), (Circuit::Closed, 1));
    assert_eq!(rig.handle.observer_panics(), 0);
    rig.open();
    assert_eq!(rig.refused().retry_after, Some(7 * SEC));
}

#[test]
fn an_observer_is_asked_what_it_wants_once_when_the_layer_is_built() {
    struct Asked(Arc<AtomicUsize>);
    impl Sink for Asked {
        fn wants(&self) -> Wants {
            self.0.fetch_add(1, Ordering::Relaxed);
            Wants::ALL
        }
    }
    struct Source(Arc<AtomicUsize>);
    impl Observe for Source {
        fn attach(self: Arc<Self>, _: Room, _: &'static str) -> Option<Box<dyn Sink>> {
            Some(Box::new(Asked(Arc::clone(&self.0))))
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let mut rig = rig(|c: CircuitBreakerConfig| c.observe(()).observe(Source(Arc::clone(&asked))));
    for _ in 0..50 {
        let _ = rig.make(failure());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
