//! What calls say about the service, and what each of them owes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use seawall::error::{BoxError, Reason, Rejected, Room};
use seawall::event::Circuit;
use seawall::outcome::{Classify, Outcome};

use crate::rig::{MS, SEC, Work, answers, does, failure, refusal, rig, rig_with};

const REFUSED: Rejected = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");

#[test]
fn refusals_of_our_own_layers_that_were_not_sent_say_nothing() {
    let mut rig = rig(|c| c.count_window(10));
    for _ in 0..1_000 {
        let answer = rig.start_work(answers(refusal(REFUSED))).result.unwrap();
        assert!(answer.is_err());
    }
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 0));
}

#[test]
fn a_refusal_after_sending_is_in_doubt_and_counts_as_failure() {
    let mut rig = rig(|c| c.count_window(10));
    for _ in 0..10 {
        let _ = rig.start_work(answers(refusal(REFUSED.after_sending())));
    }
    assert_eq!((rig.state(), rig.counts().failures), (Circuit::Open, 10));
}

#[test]
fn in_doubt_counts_as_failure_and_ignored_as_nothing() {
    let by_value = |result: Result<&u32, &BoxError>| match result {
        Ok(0) => Outcome::Success,
        Ok(1) => Outcome::Ignored,
        Ok(2) => Outcome::InDoubt,
        _ => Outcome::Failure,
    };
    let mut rig = rig_with(by_value, |c| c.count_window(10));
    for (answer, total, failures) in [(0, 1, 0), (1, 1, 0), (2, 2, 1), (3, 3, 2), (1, 3, 2)] {
        rig.make(Ok(answer));
        assert_eq!((rig.counts().total, rig.counts().failures), (total, failures), "{answer}");
    }
}

/// Refusals are the service's fault here: its own limiter is part of it.
struct Strict;

impl Classify<u32, BoxError> for Strict {
    fn classify(&self, _: Result<&u32, &BoxError>) -> Outcome {
        Outcome::Success
    }

    fn rejected(&self, _: &Rejected) -> Outcome {
        Outcome::Failure
    }
}

#[test]
fn a_classifier_may_judge_refusals_otherwise() {
    let mut rig = rig_with(Strict, |c| c.count_window(10));
    rig.start_work(answers(refusal(REFUSED)));
    assert!(rig.make(failure()).passed());
    assert_eq!((rig.counts().total, rig.counts().failures), (2, 1));
}

fn panics_in_poll() -> Work {
    does(async { panic!("in poll") })
}

#[test]
fn a_panic_in_poll_is_a_failure_and_reaches_the_caller() {
    let mut rig = rig(|c| c.count_window(4));
    for _ in 0..4 {
        rig.panics(panics_in_poll());
    }
    assert_eq!((rig.state(), rig.counts().failures), (Circuit::Open, 4));
}

#[test]
fn a_panic_after_a_first_pending_poll_is_a_failure() {
    let mut rig = rig(|c| c.count_window(4));
    let mut call = rig.start_work(does(async {
        futures::pending!();
        panic!("later");
    }));
    catch_unwind(AssertUnwindSafe(|| call.poll())).unwrap_err();
    assert_eq!((rig.counts().total, rig.counts().failures), (1, 1));
    drop(call);
    assert_eq!(rig.counts().total, 1, "once");
}

#[test]
fn a_panic_in_call_is_a_failure() {
    use tower::{Layer, Service, ServiceExt};
    let layer = seawall::breaker::CircuitBreakerLayer::new(
        seawall::breaker::CircuitBreakerConfig::new("payments").count_window(4),
    )
    .unwrap();
    let broken = |_: ()| -> std::future::Ready<Result<(), BoxError>> { panic!("in call") };
    let mut service = layer.layer(tower::service_fn(broken));
    for _ in 0..4 {
        let made = catch_unwind(AssertUnwindSafe(|| {
            futures::executor::block_on(service.ready()).unwrap().call(())
        }));
        assert!(made.is_err());
    }
    assert_eq!(layer.handle().snapshot().state, Circuit::Open);
}

/// A classifier with a bug.
struct Panics;

impl Classify<u32, BoxError> for Panics {
    fn classify(&self, result: Result<&u32, &BoxError>) -> Outcome {
        match result {
            Ok(13) => panic!("no such code"),
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        }
    }

    fn retry_after(&self, result: Result<&u32, &BoxError>) -> Option<Duration> {
        match result {
            Err(error) if error.to_string() == "unreadable" => panic!("not a date"),
            _ => None,
        }
    }
}

#[test]
fn a_panic_in_the_classifier_is_a_failure_and_leaks_nothing() {
    let mut rig = rig_with(Panics, |c| c.count_window(2).slow_calls(SEC, 1.0).probes(2));
    rig.panics(answers(Ok(13)));
    assert_eq!((rig.counts().failures, rig.handle.snapshot().in_time), (1, 0));
    rig.panics(answers(Err("unreadable".into())));
    assert_eq!(rig.state(), Circuit::Open);
    // As a probe too: it decides its seat, so that no lease has to run out.
    rig.wait(SEC);
    rig.panics(answers(Ok(13)));
    assert_eq!(rig.state(), Circuit::Open, "one failure of two probes");
}

#[test]
fn an_outcome_is_recorded_when_the_call_completes_not_when_its_future_is_dropped() {
    let mut rig = rig(|c| c.count_window(4).slow_calls(SEC, 1.0));
    let call = rig.start_work(answers(failure()));
    assert!(call.result.is_some());
    assert_eq!((rig.counts().failures, rig.handle.snapshot().in_time), (1, 0));
    rig.wait(10 * SEC);
    drop(call);
    rig.handle.tick();
    assert_eq!((rig.counts().total, rig.counts().slow), (1, 0), "kept, dropped late, counted once");
}

#[test]
fn after_any_storm_nothing_is_in_flight() {
    let mut rig = rig(|c| c.count_window(50).slow_calls(SEC, 1.0).failure_ratio(1.0).probes(4));
    seawall::rng::seed_thread(1);
    let mut calls = Vec::new();
    for i in 0..5_000_u64 {
        match i * i % 7 {
            0 | 1 => {
                let call = rig.start_work(does(std::future::pending()));
                if call.result.is_none() {
                    calls.push(call);
                }
            }
            2 => drop(calls.pop()),
            3 => assert!(rig.make(failure()).passed()),
            4 => {
                let _ = catch_unwind(AssertUnwindSafe(|| rig.start_work(panics_in_poll())));
            }
            _ => drop(rig.make(Ok(0))),
        }
        rig.wait(i as u32 % 40 * MS);
    }
    calls.clear();
    assert_eq!(rig.handle.snapshot().in_time, 0);
    // And the circuit still finds its way back.
    rig.handle.reset();
    rig.open_and_wait();
    rig.ok_times(4);
    assert_eq!(rig.state(), Circuit::Closed);
}
