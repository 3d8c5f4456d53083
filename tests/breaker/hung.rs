//! Slow calls, calls that hang, and calls that are cut off.

use std::collections::VecDeque;
use std::time::Duration;

use seawall::breaker::CircuitBreakerConfig;
use seawall::error::{BoxError, Carry, Reason, Rejected, Room};
use seawall::event::{Circuit, Transition, Why};
use seawall::ratio::Ratio;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::rig::{InFlight, MS, Rig, SEC, failure, refusal, rig};

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

/// Both windows, over 100 calls or a minute.
fn windows(set: impl Fn(CircuitBreakerConfig) -> CircuitBreakerConfig) -> [Rig; 2] {
    [rig(|c| set(c.count_window(100))), rig(|c| set(c.time_window(60 * SEC)))]
}

#[test]
fn a_hung_call_is_counted_once_however_it_ends() {
    for mut rig in windows(|c| c.min_calls(100).slow_calls(SEC, 0.5)) {
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
        assert_eq!((rig.counts().total, rig.counts().slow), (4, 4));
        assert_eq!(rig.handle.snapshot().stale, 0);
    }
}

#[test]
fn a_hung_call_that_fails_in_the_end_has_failed_and_is_no_other_call() {
    for mut rig in windows(|c| c.min_calls(100).slow_calls(SEC, 0.5)) {
        let mut calls = rig.start_all(5).into_iter();
        rig.wait(SEC);
        rig.handle.tick();
        let counts = rig.counts();
        assert_eq!((counts.total, counts.failures, counts.slow), (5, 0, 5), "not failed so far");
        let mut failures_after = |failures, end: &dyn Fn(InFlight)| {
            end(calls.next().unwrap());
            let counts = rig.counts();
            assert_eq!((counts.total, counts.failures, counts.slow), (5, failures, 5));
        };
        failures_after(0, &|call| call.ok());
        failures_after(1, &|call| call.fail());
        failures_after(2, &|call| drop(call.end(timed_out())));
        failures_after(3, &|call| drop(call));
        let not_sent = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
        failures_after(3, &|call| drop(call.end(refusal(not_sent))));
        rig.ok_times(5);
        assert_eq!((rig.counts().total, rig.counts().failures), (10, 3));
    }
}

#[test]
fn calls_that_hang_and_then_fail_open_it_by_the_failure_rules() {
    let opens = |rig: &mut Rig, why| {
        let mut calls = rig.start_all(4);
        rig.wait(SEC);
        rig.ok_times(3);
        calls.pop().unwrap().fail();
        calls.pop().unwrap().fail();
        rig.fail();
        assert_eq!(rig.state(), Circuit::Closed);
        calls.pop().unwrap().fail();
        assert_eq!(rig.state(), Circuit::Open);
        let opened = rig.log.take()[0];
        assert_eq!((opened.why, opened.counts.total, opened.counts.failures), (why, 8, 4));
    };
    for mut rig in windows(|c| c.min_calls(8).slow_calls(SEC, 1.0)) {
        opens(&mut rig, Why::FailureRatio(HALF.unwrap()));
    }
    for mut rig in windows(|c| c.failures(4).min_calls(100).slow_calls(SEC, 1.0)) {
        opens(&mut rig, Why::Failures(4));
    }
    for mut rig in windows(|c| c.consecutive_failures(4).min_calls(100).slow_calls(SEC, 1.0)) {
        opens(&mut rig, Why::ConsecutiveFailures(4));
    }
}

#[test]
fn a_hung_call_neither_lengthens_a_run_of_failures_nor_ends_it_before_it_ends() {
    let mut rig = rig(|c| c.consecutive_failures(10).slow_calls(SEC, 1.0));
    let runs = |rig: &Rig| {
        let shown = rig.handle.snapshot();
        (shown.consecutive_failures, shown.consecutive_slow_calls)
    };
    rig.fail_times(2);
    let mut calls = rig.start_all(2);
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(runs(&rig), (2, 2));
    calls.pop().unwrap().fail();
    assert_eq!(runs(&rig), (3, 2));
    calls.pop().unwrap().ok();
    assert_eq!(runs(&rig), (0, 2));
}

/// Ten calls a second for two minutes. Of each ten, so many time out after two seconds, so many are late
/// and answer after two seconds, and so many fail at once. Gives what opened it, if anything did.
fn of_ten(timeouts: usize, late: usize, errors: usize, rig: &mut Rig) -> Option<Transition> {
    let mut waiting = VecDeque::new();
    for i in 0..1_200 {
        if i >= 20 {
            match waiting.pop_front().unwrap() {
                (true, Some(call)) => drop(InFlight::end(call, timed_out())),
                (false, Some(call)) => call.ok(),
                (_, None) => {}
            }
        }
        if rig.state() == Circuit::Closed {
            // Spread out: 0, 3, 6, 9, 2, 5, 8, 1, 4, 7.
            let at = i * 3 % 10;
            let hangs = at < timeouts + late;
            waiting.push_back((at < timeouts, hangs.then(|| rig.start())));
            if !hangs {
                let _ = rig.make(if at < timeouts + late + errors { failure() } else { Ok(0) });
            }
            rig.wait(100 * MS);
        }
        if let Some(opened) = rig.log.take().first() {
            return Some(*opened);
        }
    }
    None
}

#[test]
fn timeouts_and_quick_errors_add_up_to_the_failure_ratio() {
    let set = |c: CircuitBreakerConfig| c.failure_ratio(0.5).slow_calls(SEC, 0.5);
    for size in [20, 100] {
        let mut rig = rig(|c| set(c.count_window(size)));
        let opened = of_ten(3, 0, 3, &mut rig).expect("60 % fail");
        assert_eq!(opened.why, Why::FailureRatio(HALF.unwrap()), "of {size}");
    }
    for span in [10 * SEC, 60 * SEC] {
        let mut rig = rig(|c| set(c.time_window(span)));
        let opened = of_ten(3, 0, 3, &mut rig).expect("60 % fail");
        assert_eq!(opened.why, Why::FailureRatio(HALF.unwrap()), "in {span:?}");
    }
}

#[test]
fn a_hung_call_that_succeeds_in_the_end_is_not_taken_for_one_that_failed() {
    // 40 % hang, half of which fail, and 10 % fail at once: 30 % are failures, for two minutes.
    let set = |c: CircuitBreakerConfig| c.slow_calls(SEC, 0.9).min_calls(20);
    for (ratio, opens) in [(0.4, false), (0.22, true)] {
        let rigs = [
            rig(|c| set(c.count_window(100)).failure_ratio(ratio)),
            rig(|c| set(c.time_window(10 * SEC)).failure_ratio(ratio)),
        ];
        for mut rig in rigs {
            assert_eq!(of_ten(2, 2, 1, &mut rig).is_some(), opens, "{ratio}: {:?}", rig.counts());
        }
    }
}

#[test]
fn a_failure_leaves_the_time_window_with_the_call_that_it_belongs_to() {
    let mut rig = rig(|c| c.time_window(10 * SEC).min_calls(100).slow_calls(SEC, 1.0));
    let mut calls = rig.start_all(3);
    rig.wait(SEC);
    rig.handle.tick();
    rig.wait(5 * SEC);
    rig.ok_times(2);
    calls.pop().unwrap().fail();
    assert_eq!((rig.counts().total, rig.counts().failures), (5, 1));
    rig.wait(5 * SEC);
    assert_eq!((rig.counts().total, rig.counts().failures), (2, 0));
    // Its call is gone: among the calls of now.
    calls.pop().unwrap().fail();
    assert_eq!((rig.counts().total, rig.counts().failures), (2, 0), "there are none");
    rig.ok();
    assert_eq!((rig.counts().total, rig.counts().failures), (3, 1));
}

#[test]
fn a_failure_stays_in_a_count_window_for_as_many_calls_as_any_other() {
    let mut rig = rig(|c| c.count_window(10).min_calls(10).failure_ratio(1.0).slow_calls(SEC, 1.0));
    let mut calls = rig.start_all(3);
    rig.wait(SEC);
    rig.handle.tick();
    rig.ok_times(10);
    assert_eq!((rig.counts().failures, rig.counts().slow), (0, 0), "they have left it");
    calls.pop().unwrap().fail();
    for _ in 0..10 {
        assert_eq!((rig.counts().total, rig.counts().failures), (10, 1));
        rig.ok();
    }
    assert_eq!(rig.counts().failures, 1, "the first of the ten carried it");
    rig.ok();
    assert_eq!(rig.counts().failures, 0);
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
