//! When it opens: the trip rules over both windows.

use std::time::Duration;

use seawall::event::{Circuit, Why};
use seawall::ratio::Ratio;

use crate::rig::{MS, SEC, failure, rig};

const HALF: Option<Ratio> = Ratio::percent(50);

#[test]
fn the_verdict_is_the_windows_whichever_call_came_last() {
    let mut rig = rig(|c| c.count_window(10).min_calls(5).failure_ratio(0.6));
    rig.calls("FFFS");
    assert_eq!(rig.state(), Circuit::Closed, "four calls of five");
    rig.ok();
    assert_eq!(rig.state(), Circuit::Open, "a success completed the five");
    let opened = rig.log.take()[0];
    assert_eq!((opened.counts.failures, opened.counts.total), (3, 5));
}

#[test]
fn a_verdict_is_taken_on_every_recorded_call() {
    // With each call: what a list of the last eight says is what the breaker does.
    for pattern in 0_u32..1 << 10 {
        let mut rig = rig(|c| c.count_window(8).min_calls(4).failure_ratio(0.75));
        let mut seen: Vec<bool> = Vec::new();
        for bit in 0..10 {
            let failed = pattern >> bit & 1 == 1;
            let _ = rig.make(if failed { failure() } else { Ok(0) });
            seen.push(failed);
            let last = &seen[seen.len().saturating_sub(8)..];
            let failures = last.iter().filter(|failed| **failed).count();
            let trips = last.len() >= 4 && failures * 4 >= last.len() * 3;
            assert_eq!(rig.state() == Circuit::Open, trips, "{pattern:b} after {bit}");
            if trips {
                break;
            }
        }
    }
}

#[test]
fn a_threshold_that_is_met_exactly_opens() {
    let mut met = rig(|c| c.count_window(8).min_calls(8).failure_ratio(0.5));
    met.calls("SSSSFFFF");
    assert_eq!(met.state(), Circuit::Open);
    let mut missed = rig(|c| c.count_window(8).min_calls(8).failure_ratio(0.5));
    missed.calls("SSSSSFFF");
    assert_eq!(missed.state(), Circuit::Closed);
}

#[test]
fn a_threshold_of_everything_can_be_reached() {
    let mut rig = rig(|c| c.count_window(5).min_calls(5).failure_ratio(1.0));
    rig.calls("FFFF");
    assert_eq!(rig.state(), Circuit::Closed);
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn min_calls_speaks_below_the_windows_size() {
    let mut rig = rig(|c| c.count_window(100).min_calls(4).failure_ratio(0.5));
    rig.calls("FFF");
    assert_eq!(rig.state(), Circuit::Closed);
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open, "four calls are enough of a hundred");
}

#[test]
fn min_calls_is_ten_by_default_or_all_of_a_smaller_window() {
    for (window, enough) in [(100, 10), (10, 10), (4, 4), (1, 1)] {
        let mut rig = rig(|c| c.count_window(window));
        rig.fail_times(enough - 1);
        assert_eq!(rig.state(), Circuit::Closed, "{window}");
        rig.fail();
        assert_eq!(rig.state(), Circuit::Open, "{window}");
    }
}

#[test]
fn only_finished_calls_are_in_the_denominator() {
    let mut rig = rig(|c| c.count_window(20).min_calls(5).failure_ratio(0.6));
    let hanging = rig.start_all(10);
    rig.calls("FFFFF");
    assert_eq!(rig.state(), Circuit::Open, "five of five, not five of fifteen");
    drop(hanging);
}

#[test]
fn failures_leave_a_count_window_one_by_one() {
    let mut rig = rig(|c| c.count_window(4).min_calls(4).failure_ratio(0.75));
    rig.calls("FFSS");
    rig.calls("SF"); // F S S F: no, S S S F
    assert_eq!((rig.counts().failures, rig.counts().total), (1, 4));
    rig.calls("F");
    assert_eq!(rig.state(), Circuit::Closed);
    rig.calls("F");
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn after_ten_thousand_successes_the_next_half_window_of_failures_opens_it() {
    for timed in [false, true] {
        let mut rig = rig(|c| {
            let c = if timed { c.time_window(10 * SEC) } else { c.count_window(100) };
            c.min_calls(10).failure_ratio(0.5)
        });
        rig.ok_times(10_000);
        if timed {
            rig.wait(10 * SEC);
            rig.ok_times(50);
        }
        rig.fail_times(49);
        assert_eq!(rig.state(), Circuit::Closed);
        rig.fail();
        assert_eq!(rig.state(), Circuit::Open);
    }
}

#[test]
fn a_run_of_failures_opens_it_below_min_calls_and_a_success_ends_the_run() {
    let mut rig = rig(|c| c.no_failure_ratio().consecutive_failures(3));
    rig.calls("FFSFF");
    assert_eq!((rig.state(), rig.handle.snapshot().consecutive_failures), (Circuit::Closed, 2));
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open);
    assert_eq!(rig.log.take()[0].why, Why::ConsecutiveFailures(3));
}

#[test]
fn so_many_failures_in_the_window_open_it_whatever_their_share() {
    let mut rig = rig(|c| c.count_window(50).no_failure_ratio().failures(3));
    rig.ok_times(40);
    rig.calls("FSSF");
    assert_eq!(rig.state(), Circuit::Closed);
    rig.calls("SF");
    assert_eq!(rig.state(), Circuit::Open);
    assert_eq!(rig.log.take()[0].why, Why::Failures(3));
}

#[test]
fn each_rule_fires_by_itself() {
    let all = |c: seawall::breaker::CircuitBreakerConfig| {
        c.count_window(20)
            .min_calls(10)
            .failure_ratio(0.5)
            .slow_calls(100 * MS, 0.5)
            .consecutive_failures(4)
            .failures(9)
    };
    let why = |drive: &dyn Fn(&mut crate::rig::Rig)| {
        let mut rig = rig(all);
        drive(&mut rig);
        rig.log.take().first().map(|opened| opened.why)
    };
    assert_eq!(why(&|rig| rig.calls("FFFF")), Some(Why::ConsecutiveFailures(4)));
    assert_eq!(why(&|rig| rig.calls("SFFFSSFSSS")), None, "four of ten");
    let half = Some(Why::FailureRatio(HALF.unwrap()));
    assert_eq!(why(&|rig| rig.calls("SFFFSSFSSF")), half, "five of ten");
    assert_eq!(why(&|rig| rig.calls("SSSSSSSSSSSFFFSFFFSFFF")), Some(Why::Failures(9)));
    let slow = why(&|rig| {
        for _ in 0..5 {
            rig.ok();
            rig.takes(100 * MS, Ok(0));
        }
    });
    assert_eq!(slow, Some(Why::SlowRatio(HALF.unwrap())));
}

#[test]
fn a_time_window_forgets_a_failure_that_is_exactly_one_span_old() {
    let config = |c: seawall::breaker::CircuitBreakerConfig| {
        c.time_window(10 * SEC).min_calls(4).failure_ratio(0.5)
    };
    let mut inside = rig(config);
    inside.calls("FFF");
    inside.wait(10 * SEC - Duration::from_nanos(1));
    inside.fail();
    assert_eq!(inside.state(), Circuit::Open, "all four within the span");

    let mut outside = rig(config);
    outside.calls("SSF");
    outside.wait(10 * SEC);
    outside.fail();
    assert_eq!(outside.state(), Circuit::Closed, "the first three are out");
    assert_eq!(outside.counts().total, 1);
}

#[test]
fn a_time_window_keeps_what_is_younger_than_nine_tenths() {
    for phase in 0..20 {
        let mut rig = rig(|c| c.time_window(10 * SEC));
        rig.wait(phase * 100 * MS);
        rig.fail();
        rig.wait(9 * SEC - Duration::from_nanos(1));
        assert_eq!(rig.counts().failures, 1, "recorded {phase} tenths of a second in");
        rig.wait(SEC + Duration::from_nanos(1));
        assert_eq!(rig.counts().total, 0);
    }
}

#[test]
fn an_idle_gap_of_any_length_clears_a_time_window() {
    for gap in [10 * SEC, crate::rig::HOUR, crate::rig::CENTURY] {
        let mut rig = rig(|c| c.time_window(10 * SEC).min_calls(4).failure_ratio(0.5));
        rig.calls("FFF");
        rig.wait(gap);
        assert_eq!(rig.counts().failure_ratio(), None, "no data is no ratio");
        rig.fail();
        assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 1));
    }
}

#[test]
fn no_data_is_no_ratio() {
    let rig = rig(|c| c);
    assert_eq!((rig.counts().failure_ratio(), rig.counts().slow_ratio()), (None, None));
}

#[test]
fn shares_are_compared_as_integers_at_every_size() {
    // 99 of 200 isn't half; 4 of 1,000 meets 0.4 % and doesn't meet 0.41 %.
    for (window, failures, ratio, opens) in [
        (200, 99, 0.5, false),
        (200, 100, 0.5, true),
        (1_000, 4, 0.004, true),
        (1_000, 4, 0.0041, false),
        (1_000, 499, 0.5, false),
        (4_095, 4_094, 1.0, false),
        (4_095, 4_095, 1.0, true),
        (4_095, 1, 0.000_244, true),
    ] {
        let mut rig = rig(|c| c.count_window(window).min_calls(window as u32).failure_ratio(ratio));
        rig.fail_times(failures);
        rig.ok_times(window - failures);
        assert_eq!(rig.state() == Circuit::Open, opens, "{failures}/{window} at {ratio}");
    }
}

#[test]
fn one_layer_is_one_circuit_for_all_its_services_and_clones() {
    let mut rig = rig(|c| c.count_window(4));
    let mut clone = crate::rig::Rig {
        service: rig.service.clone(),
        handle: rig.handle.clone(),
        hand: rig.hand.clone(),
        log: rig.log.clone(),
    };
    rig.calls("FF");
    clone.calls("FF");
    assert!(rig.refused().retry_after.is_some());
    assert!(clone.refused().retry_after.is_some());
}
