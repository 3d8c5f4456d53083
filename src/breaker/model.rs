//! The whole engine under the model checker: what two threads can make of one circuit.

use std::time::Duration;

use super::cooldown::CoolDown;
use super::engine::{Ending, Engine, Ticket};
use super::rules::Rules;
use super::settings::{Ramp, Settings};
use crate::clock::Moment;
use crate::event::{Circuit, Counts, Transition};
use crate::ratio::Ratio;
use crate::sync::race;
use crate::window::{CountWindow, Window};

const START: Moment = Moment::from_nanos(1 << 40);
const SECOND: Duration = Duration::from_secs(1);
const THRESHOLD: Duration = Duration::from_millis(8);

/// Opens at two failures of two, for a second; one probe decides, then a ramp of two steps of a second.
fn settings() -> Settings {
    Settings {
        rules: Rules {
            failure_ratio: Some(Ratio::ONE),
            slow_ratio: None,
            consecutive: None,
            consecutive_slow: None,
            failures: None,
            min_calls: 2,
        },
        slow_after: None,
        cancel_counts_after: None,
        cool_down: CoolDown {
            base: 1_000_000_000,
            factor_ppm: 1_000_000,
            cap: 1_000_000_000,
            call_spans: u64::MAX,
            jitter: Ratio::ZERO,
        },
        probes: 1,
        lease: 1_000_000_000,
        ramp: Ramp::default(),
        shadow: false,
    }
}

fn closed(settings: &Settings) -> Engine {
    Engine::new(settings, Window::Count(CountWindow::new(2, 0)), 7)
}

fn at(seconds: u32) -> Moment {
    START.plus(SECOND * seconds)
}

fn admit(engine: &Engine, now: Moment) -> Ticket {
    engine.admit(|| now).0.unwrap()
}

fn end(engine: &Engine, ticket: Ticket, failed: bool, now: Moment) -> Option<Transition> {
    engine.record(ticket, Ending { failed, slow: false, advice: None }, || now).1
}

/// A circuit with one failure in it, and the tickets of two more calls.
fn one_failure(settings: &Settings) -> (Engine, [Ticket; 2]) {
    let engine = closed(settings);
    let tickets = [(); 2].map(|()| admit(&engine, START));
    assert_eq!(end(&engine, admit(&engine, START), true, START), None);
    (engine, tickets)
}

/// Opened at `START`: until `at(1)`.
fn open(settings: &Settings) -> Engine {
    let (engine, [ticket, _]) = one_failure(settings);
    assert!(end(&engine, ticket, true, START).is_some());
    engine
}

/// Half-open since `at(1)`, with the tickets of so many probes.
fn half_open<const N: usize>(settings: &Settings) -> (Engine, [Ticket; N]) {
    let engine = open(settings);
    let tickets = [(); N].map(|()| admit(&engine, at(1)));
    (engine, tickets)
}

fn state(engine: &Engine) -> Circuit {
    engine.view(START).state
}

fn steps(engine: &Engine) -> u32 {
    engine.view(START).generation
}

fn to(transition: Option<Transition>) -> Option<Circuit> {
    transition.map(|transition| transition.to)
}

/// Two failures that both meet the threshold: one opens the circuit, and only one.
#[test]
fn two_that_trip_make_one_transition() {
    race(
        || one_failure(&settings()),
        |(engine, tickets)| end(engine, tickets[0], true, START),
        |(engine, tickets)| end(engine, tickets[1], true, START),
        |(engine, _), one, other| {
            assert!(one.is_some() != other.is_some());
            assert_eq!((state(engine), steps(engine)), (Circuit::Open, 1));
            assert_eq!(engine.view(START).wait, Some(SECOND));
        },
    );
}

/// Who sees it open sees until when: a caller is never taken for a probe of a circuit that opens.
#[test]
fn who_sees_it_open_sees_until_when() {
    race(
        || one_failure(&settings()),
        |(engine, tickets)| end(engine, tickets[0], true, START),
        |(engine, _)| engine.admit(|| START),
        |(engine, _), tripped, (admission, transition)| {
            assert_eq!((to(tripped), transition), (Some(Circuit::Open), None));
            if let Err(refused) = admission {
                assert_eq!(refused.retry_after, Some(SECOND));
            }
            assert_eq!((state(engine), steps(engine)), (Circuit::Open, 1));
        },
    );
}

/// A failure races an operator's reset: it lands before it, or is stale.
#[test]
fn a_late_outcome_never_touches_a_circuit_that_was_reset() {
    race(
        || one_failure(&settings()),
        |(engine, tickets)| end(engine, tickets[0], true, START),
        |(engine, _)| engine.force(Circuit::Closed, START),
        |(engine, tickets), tripped, reset| {
            assert!(reset.is_some());
            let view = engine.view(START);
            assert_eq!((view.state, view.counts), (Circuit::Closed, Counts::default()));
            assert_eq!(view.generation, if tripped.is_some() { 2 } else { 1 });
            assert_eq!(view.run.failed, 0);
            // And the next generation counts as it should.
            assert_eq!(end(engine, tickets[1], true, START), None);
            assert_eq!(end(engine, admit(engine, START), true, START), None);
            assert_eq!(to(end(engine, admit(engine, START), true, START)), Some(Circuit::Open));
        },
    );
}

/// An operator's order races the rule that fires: the order holds, whoever came first.
#[test]
fn an_order_wins_over_a_trip() {
    race(
        || one_failure(&settings()),
        |(engine, tickets)| end(engine, tickets[0], true, START),
        |(engine, _)| engine.force(Circuit::ForcedClosed, START),
        |(engine, _), tripped, order| {
            assert!(order.is_some());
            assert_eq!(state(engine), Circuit::ForcedClosed);
            assert_eq!(steps(engine), 1 + u32::from(tripped.is_some()));
        },
    );
}

/// And over the verdict of the probes, and over the first probe.
#[test]
fn an_order_wins_over_the_probes() {
    race(
        || half_open(&settings()),
        |(engine, [probe])| end(engine, *probe, false, at(1)),
        |(engine, _)| engine.force(Circuit::ForcedOpen, at(1)),
        |(engine, _), _, order| {
            assert!(order.is_some());
            assert_eq!(state(engine), Circuit::ForcedOpen);
        },
    );
    race(
        || open(&settings()),
        |engine| engine.admit(|| at(1)).1,
        |engine| engine.force(Circuit::Disabled, at(1)),
        |engine, _, order| {
            assert!(order.is_some());
            assert_eq!(state(engine), Circuit::Disabled);
        },
    );
}

/// Two operators: both orders are carried out, one after the other.
#[test]
fn of_two_orders_the_later_holds() {
    race(
        || closed(&settings()),
        |engine| engine.force(Circuit::ForcedOpen, START).unwrap(),
        |engine| engine.force(Circuit::Disabled, START).unwrap(),
        |engine, one, other| {
            let (first, last) = if one.generation == 1 { (one, other) } else { (other, one) };
            assert_eq!((first.generation, last.generation), (1, 2));
            assert_eq!((last.from, last.to), (first.to, state(engine)));
        },
    );
}

/// The cool-down ends and two callers come: one begins the round, and no more pass than it has probes.
#[test]
fn one_caller_begins_the_round_and_no_more_pass_than_there_are_probes() {
    for probes in [1, 2] {
        race(
            move || open(&Settings { probes, ..settings() }),
            |engine| engine.admit(|| at(1)),
            |engine| engine.admit(|| at(1)),
            move |engine, one, other| {
                assert!(one.1.is_some() != other.1.is_some(), "one transition");
                let passed = usize::from(one.0.is_ok()) + usize::from(other.0.is_ok());
                assert!((1..=probes).contains(&passed));
                assert_eq!((state(engine), steps(engine)), (Circuit::HalfOpen, 2));
                // What was refused left its seat to the next.
                let left = (0..3).filter(|_| engine.admit(|| at(1)).0.is_ok()).count();
                assert_eq!(passed + left, probes);
            },
        );
    }
}

/// A probe ends while its lease does: one of the two decides.
#[test]
fn a_probe_and_its_lease_decide_once() {
    race(
        || half_open(&settings()),
        |(engine, [probe])| end(engine, *probe, false, at(1)),
        |(engine, _)| engine.tick(at(2)),
        |(engine, _), ended, expired| {
            assert!(ended.is_some() != expired.is_some());
            let closed = if ended.is_some() { Circuit::Closed } else { Circuit::Open };
            assert_eq!((state(engine), steps(engine)), (closed, 3));
            assert_eq!(engine.view(START).stale, u64::from(ended.is_none()));
        },
    );
}

/// Two probes end at once: their verdict is given once, and not before both have ended.
#[test]
fn two_probes_decide_once() {
    race(
        || half_open(&Settings { probes: 2, ..settings() }),
        |(engine, probes): &(Engine, [Ticket; 2])| end(engine, probes[0], true, at(1)),
        |(engine, probes)| end(engine, probes[1], true, at(1)),
        |(engine, _), one, other| {
            assert!(one.is_some() != other.is_some());
            assert_eq!(one.or(other).unwrap().counts.failures, 2);
            assert_eq!((state(engine), steps(engine)), (Circuit::Open, 3));
        },
    );
}

/// A probe is cancelled while a caller comes: the seat is his, or free for the next.
#[test]
fn a_cancelled_probes_seat_is_not_lost() {
    race(
        || half_open(&settings()),
        |(engine, [probe])| engine.give_back(*probe, || at(1)),
        |(engine, _)| engine.admit(|| at(1)).0.is_ok(),
        |(engine, _), decided, passed| {
            assert_eq!(decided, None, "it was in time, and said nothing");
            let again = engine.admit(|| at(1)).0.is_ok();
            assert!(passed != again, "one seat");
            assert_eq!(engine.view(START).stale, 0);
        },
    );
}

/// On the last step of a ramp, its end at `at(2)`, with one failure seen and a ticket that may bring the
/// second.
fn ramping() -> (Engine, Ticket) {
    let settings = Settings {
        ramp: Ramp::new([999], 1_000_000_000),
        rules: Rules { failure_ratio: Ratio::percent(60), ..settings().rules },
        ..settings()
    };
    let (engine, [probe]) = half_open(&settings);
    assert_eq!(to(end(&engine, probe, false, at(1))), Some(Circuit::Ramping));
    let ticket = engine.ticket_for_model();
    assert_eq!(end(&engine, engine.ticket_for_model(), false, at(1)), None);
    assert_eq!(end(&engine, engine.ticket_for_model(), true, at(1)), None);
    (engine, ticket)
}

/// A step of the ramp ends while a failure fires a rule: whichever comes first, the verdict is carried
/// out, and the circuit isn't closed over failures that open it.
#[test]
fn a_verdict_is_not_lost_when_a_step_of_the_ramp_ends() {
    race(
        ramping,
        |(engine, ticket)| end(engine, *ticket, true, at(2)),
        |(engine, _)| engine.tick(at(2)),
        |(engine, _), failed, ended| {
            assert_eq!(state(engine), Circuit::Open, "{failed:?} {ended:?}");
            let told = [failed, ended].into_iter().flatten();
            assert_eq!(told.filter(|step| step.to == Circuit::Open).count(), 1);
        },
    );
}

/// A failure on the ramp races an operator.
#[test]
fn an_order_wins_over_the_ramp() {
    race(
        ramping,
        |(engine, ticket)| (end(engine, *ticket, true, at(2)), engine.tick(at(2))),
        |(engine, _)| engine.force(Circuit::ForcedOpen, at(2)),
        |(engine, _), _, order| {
            assert!(order.is_some());
            assert_eq!(state(engine), Circuit::ForcedOpen);
        },
    );
}

/// A call ends at the threshold, while others settle: it is entered once, as is the one that hangs on.
#[test]
fn a_call_that_ends_while_it_is_settled_is_entered_once() {
    race(
        || {
            let engine = closed(&Settings { slow_after: Some(THRESHOLD), ..settings() });
            let tickets = [(); 2].map(|()| admit(&engine, START));
            (engine, tickets)
        },
        |(engine, tickets)| end(engine, tickets[0], false, START.plus(THRESHOLD)),
        |(engine, _)| engine.tick(START.plus(THRESHOLD)),
        |(engine, _), one, other| {
            assert_eq!((one, other), (None, None));
            let view = engine.view(START);
            assert_eq!((view.counts.total, view.counts.slow), (2, 2));
            assert_eq!((view.in_cohorts, view.stale), (0, 0));
        },
    );
}

/// A call fails at the threshold, while others settle: it is one call, slow, and failed.
#[test]
fn a_call_that_fails_while_it_is_settled_has_failed_once() {
    race(
        || {
            let engine = closed(&Settings { slow_after: Some(THRESHOLD), ..settings() });
            let ticket = admit(&engine, START);
            (engine, ticket)
        },
        |(engine, ticket)| end(engine, *ticket, true, START.plus(THRESHOLD)),
        |(engine, _)| engine.tick(START.plus(THRESHOLD)),
        |(engine, _), one, other| {
            assert_eq!((one, other), (None, None));
            let view = engine.view(START);
            assert_eq!(view.counts, Counts { total: 1, failures: 1, slow: 1 });
            assert_eq!((view.run.failed, view.run.slow), (1, 1));
            assert_eq!((view.in_cohorts, view.stale), (0, 0));
        },
    );
}

/// A call that was settled fails while the circuit is reset: it lands before that, or is stale.
#[test]
fn a_hung_calls_failure_never_touches_a_circuit_that_was_reset() {
    race(
        || {
            let engine = closed(&Settings { slow_after: Some(THRESHOLD), ..settings() });
            let ticket = admit(&engine, START);
            assert_eq!(engine.tick(START.plus(THRESHOLD)), None);
            (engine, ticket)
        },
        |(engine, ticket)| end(engine, *ticket, true, START.plus(THRESHOLD)),
        |(engine, _)| engine.force(Circuit::Closed, START.plus(THRESHOLD)),
        |(engine, _), ended, reset| {
            assert!(ended.is_none() && reset.is_some());
            let view = engine.view(START);
            assert_eq!((view.counts, view.run.failed), (Counts::default(), 0));
            assert_eq!(view.in_cohorts, 0);
        },
    );
}

/// A call is admitted while an operator says that nothing is slow: its outcome counts, once.
#[test]
fn a_live_change_of_what_is_slow_loses_no_outcome() {
    race(
        || closed(&Settings { slow_after: Some(THRESHOLD), ..settings() }),
        |engine| end(engine, admit(engine, START), false, START),
        |engine| engine.cohorts.set_threshold(None),
        |engine, ended, ()| {
            let view = engine.view(START);
            assert_eq!((ended, view.counts.total, view.in_cohorts), (None, 1, 0));
        },
    );
}
