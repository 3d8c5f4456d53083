//! Slow calls, calls that hang, and calls that are cut off.

use std::time::Duration;

use seawall::breaker::CircuitBreakerConfig;
use seawall::error::{BoxError, Carry, Reason, Rejected, Room};
use seawall::event::{Circuit, Why};
use seawall::ratio::Ratio;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::rig::{MS, SEC, failure, rig};

const HALF: Option<Ratio> = Ratio::percent(50);

fn slow_after_a_second(c: CircuitBreakerConfig) -> CircuitBreakerConfig {
    c.count_window(20).min_calls(10).slow_calls(SEC, 0.5)
}

/// As a hang is seen to a 2^14th of a cohort's width.
const EARLY: Duration = Duration::from_micros(100);

#[test]
fn a_call_is_slow_from_exactly_the_threshold_on() {
    for (time, slow) in [(SEC, 1), (SEC - Duration::from_nanos(1), 0), (SEC + MS, 1)] {
        let mut rig = rig(|c| slow_after_a_second(c).time_window(60 * SEC));
        // Out of step with the cohorts: this one is judged when it ends.
        rig.takes(time, Ok(0));
        let counts = rig.counts();
        assert_eq!((counts.total, counts.failures, counts.slow), (1, 0, slow), "{time:?}");
    }
}

#[test]
fn slow_is_slow_whether_it_succeeds_or_fails() {
    let mut rig = rig(|c| c.count_window(10).min_calls(5).slow_calls(4 * SEC, 0.5));
    rig.takes(5 * SEC, Ok(0));
    rig.takes(5 * SEC, Ok(0));
    rig.fail();
    rig.ok();
    rig.takes(5 * SEC, failure());
    assert_eq!(rig.state(), Circuit::Open, "60 % slow, 40 % failed or less");
    assert_eq!(rig.log.take()[0].why, Why::SlowRatio(HALF.unwrap()));
}

#[test]
fn slow_and_failed_never_add_up() {
    let mut rig = rig(|c| c.count_window(8).min_calls(8).slow_calls(SEC, 0.5).failure_ratio(0.5));
    for _ in 0..3 {
        rig.calls("SSF");
        rig.takes(SEC, Ok(0));
    }
    let counts = rig.counts();
    assert_eq!((counts.total, counts.failures, counts.slow), (8, 2, 2));
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn twenty_calls_that_hang_open_it_at_the_threshold_at_the_next_call() {
    let mut rig = rig(slow_after_a_second);
    let hanging = rig.start_all(20);
    rig.wait(SEC - EARLY);
    rig.handle.tick();
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 0), "not sooner");
    rig.wait(EARLY);
    let refused = rig.refused();
    assert_eq!(refused.reason, Reason::CircuitOpen);
    let opened = rig.log.take()[0];
    assert_eq!((opened.counts.total, opened.counts.slow, opened.counts.failures), (20, 20, 0));
    assert_eq!(opened.why, Why::SlowRatio(HALF.unwrap()));
    drop(hanging);
}

#[test]
fn twenty_calls_that_hang_open_it_at_the_threshold_at_a_tick() {
    let mut rig = rig(slow_after_a_second);
    let _hanging = rig.start_all(20);
    assert_eq!(rig.handle.snapshot().in_time, 20);
    rig.wait(SEC);
    assert_eq!(rig.state(), Circuit::Closed, "reading never writes");
    rig.handle.tick();
    assert_eq!((rig.state(), rig.handle.snapshot().in_time), (Circuit::Open, 0));
}

#[test]
fn calls_that_hang_open_it_when_another_call_ends() {
    let mut rig = rig(|c| slow_after_a_second(c).min_calls(5));
    let quick = rig.start();
    let _hanging = rig.start_all(5);
    rig.wait(SEC);
    quick.ok();
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn a_hang_is_seen_at_most_an_eighth_of_the_threshold_late() {
    for start in 0..25 {
        let mut rig = rig(|c| slow_after_a_second(c).min_calls(10));
        rig.wait(start * 10 * MS);
        let _first = rig.start_all(5);
        rig.wait(100 * MS);
        let _second = rig.start_all(5);
        rig.wait(SEC - EARLY);
        rig.handle.tick();
        assert_eq!(rig.state(), Circuit::Closed, "not while five are young");
        rig.wait(125 * MS + EARLY);
        rig.handle.tick();
        assert_eq!(rig.state(), Circuit::Open, "started {start}0 ms in");
    }
}

#[test]
fn a_hung_call_is_counted_once_however_it_ends() {
    for timed in [false, true] {
        let mut rig = rig(|c| {
            let c = c.min_calls(100).slow_calls(SEC, 0.5);
            if timed { c.time_window(60 * SEC) } else { c.count_window(100) }
        });
        let mut calls = rig.start_all(4).into_iter();
        rig.wait(SEC);
        rig.handle.tick();
        assert_eq!((rig.counts().total, rig.counts().slow), (4, 4));
        calls.next().unwrap().ok();
        calls.next().unwrap().fail();
        drop(calls.next());
        rig.wait(10 * SEC);
        drop(calls.next());
        rig.handle.tick();
        assert_eq!((rig.counts().total, rig.counts().slow), (4, 4), "timed: {timed}");
        assert_eq!(rig.handle.snapshot().stale, 0);
    }
}

#[test]
fn calls_that_end_in_time_leave_no_trace_among_the_hung() {
    let mut rig = rig(slow_after_a_second);
    for _ in 0..100 {
        let calls = rig.start_all(10);
        rig.wait(SEC / 2);
        calls.into_iter().for_each(|call| call.ok());
    }
    rig.wait(10 * SEC);
    rig.handle.tick();
    assert_eq!((rig.counts().slow, rig.handle.snapshot().in_time), (0, 0));
}

#[test]
fn a_run_of_slow_calls_opens_it_where_the_ratio_is_far() {
    let mut rig = rig(|c| {
        c.count_window(4_000).min_calls(10).slow_calls(SEC, 0.5).consecutive_slow_calls(50)
    });
    rig.ok_times(4_000);
    let _hanging = rig.start_all(49);
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(rig.state(), Circuit::Closed);
    let _one_more = rig.start();
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(rig.state(), Circuit::Open);
    assert_eq!(rig.log.take()[0].why, Why::ConsecutiveSlow(50));
}

/// A call that an inner timeout gave up: its error carries a refusal that was sent.
fn timed_out() -> Result<u32, BoxError> {
    let given_up = Rejected::new(Room::Timeout, Reason::TimedOut, "payments").after_sending();
    Err(BoxError::from_rejected(given_up))
}

#[test]
fn a_hundred_calls_timed_out_inside_open_it() {
    for slow_rule in [false, true] {
        let mut rig = rig(|c| {
            let c = c.count_window(100).min_calls(100);
            if slow_rule { c.slow_calls(SEC, 0.5) } else { c }
        });
        let calls = rig.start_all(100);
        rig.wait(2 * SEC);
        for call in calls {
            call.end(timed_out()).unwrap_err();
        }
        assert_eq!(rig.state(), Circuit::Open, "with a slow rule: {slow_rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_cut_off_by_a_timeout_outside_open_it() {
    for slow_rule in [false, true] {
        let config = CircuitBreakerConfig::new("payments").count_window(100).min_calls(100);
        let config = if slow_rule { config.slow_calls(SEC, 0.5) } else { config };
        let layer = seawall::breaker::CircuitBreakerLayer::new(config).unwrap();
        let client = ServiceBuilder::new()
            .timeout(2 * SEC)
            .layer(layer.clone())
            .service(service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>()));
        let calls = (0..100).map(|_| client.clone().oneshot(()));
        for answer in futures::future::join_all(calls).await {
            assert!(answer.unwrap_err().is::<tower::timeout::error::Elapsed>());
        }
        assert_eq!(layer.handle().snapshot().state, Circuit::Open, "slow rule: {slow_rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_and_is_ready_again_is_timed_from_call_to_answer() {
    // tower's mock: the same, driven from outside.
    let config = CircuitBreakerConfig::new("payments").count_window(4).slow_calls(SEC, 1.0);
    let layer = seawall::breaker::CircuitBreakerLayer::new(config.min_calls(2)).unwrap();
    let (mock, mut inner) = tower_test::mock::pair::<u32, u32>();
    let mut service = layer.layer(mock);
    for round in 1..=2 {
        inner.allow(1);
        let call = tokio::spawn(service.ready().await.unwrap().call(round));
        let (_, answer) = inner.next_request().await.unwrap();
        tokio::time::advance(2 * SEC).await;
        answer.send_response(round);
        assert_eq!(call.await.unwrap().unwrap(), round);
    }
    assert_eq!(layer.handle().snapshot().state, Circuit::Open);
}

#[test]
fn a_call_dropped_young_says_nothing_and_one_dropped_old_is_a_slow_failure() {
    for slow_rule in [false, true] {
        let mut rig = rig(|c| {
            let c = c.count_window(10).cancel_counts_after(3 * SEC);
            if slow_rule { c.slow_calls(4 * SEC, 1.0) } else { c }
        });
        let young = rig.start();
        rig.wait(3 * SEC - Duration::from_nanos(1));
        drop(young);
        assert_eq!(rig.counts().total, 0);
        let old = rig.start();
        rig.wait(3 * SEC);
        drop(old);
        let counts = rig.counts();
        assert_eq!((counts.total, counts.failures, counts.slow), (1, 1, 1), "{slow_rule}");
    }
}

#[test]
fn the_age_from_which_a_dropped_call_counts_is_the_slow_threshold_or_a_second() {
    for (config, age) in [(None, SEC), (Some(2 * SEC), 2 * SEC)] {
        let mut rig = rig(|c| match config {
            Some(threshold) => c.slow_calls(threshold, 1.0),
            None => c,
        });
        let young = rig.start();
        rig.wait(age - MS);
        drop(young);
        assert_eq!(rig.counts().total, 0);
        let old = rig.start();
        rig.wait(age);
        drop(old);
        assert_eq!((rig.counts().total, rig.counts().slow), (1, 1));
    }
}

#[test]
fn impatient_users_cannot_trip_it() {
    let mut rig = rig(|c| c.count_window(10).slow_calls(SEC, 0.1));
    for _ in 0..1_000 {
        let call = rig.start();
        rig.wait(999 * MS);
        drop(call);
    }
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 0));
}

#[test]
fn cancels_never_count_where_the_policy_says_so() {
    let mut rig = rig(|c| c.count_window(10).cancels_never_count());
    for _ in 0..100 {
        let call = rig.start();
        rig.wait(60 * SEC);
        drop(call);
    }
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 0));
}

#[test]
fn a_call_that_was_never_polled_says_nothing_without_a_slow_rule() {
    let mut rig = rig(|c| c.count_window(10));
    let call = rig.service.call(crate::rig::answers(failure()));
    rig.wait(crate::rig::HOUR);
    drop(call);
    assert_eq!(rig.counts().total, 0);
}
