//! What the test suites of other libraries pin down, and what seawall does there.
//!
//! Each vector is a fact about a peer, by its number. Where peers contradict each other or common
//! sense, the test shows seawall's choice. [`ACCOUNT`] says of every vector where it is looked at.

#[allow(dead_code)] // the bench has more tools than these tests need
#[path = "breaker/rig.rs"]
mod rig;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::error::{BoxError, Reason, Rejected, Room};
use seawall::event::{Circuit, Counts, Why};
use seawall::outcome::{Classify, Outcome};
use seawall::ratio::Ratio;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower_test::mock;

use rig::{MS, Made, Rig, SEC, answers, does, failure, refusal, rig, rig_with};

/// Each vector and the tests that look at it: a test of this file, or `file::test`. A vector about a
/// room that isn't built yet has a reason instead.
const ACCOUNT: &[(&str, &[&str])] = &[
    ("V1", &["the_window_decides_and_not_the_last_call"]),
    ("V2", &["the_window_decides_and_not_the_last_call"]),
    ("V3", &["tests/breaker/hung.rs::slow_is_slow_whether_it_succeeds_or_fails"]),
    ("V4", &["a_call_as_long_as_the_threshold_is_slow_and_all_slow_can_be_reached"]),
    ("V5", &["tests/breaker/hung.rs::slow_and_failed_never_add_up"]),
    ("V7", &["throughput_and_rate_decide_together"]),
    ("V8", &["a_failure_as_old_as_the_window_is_out"]),
    ("V10", &["runs_and_shares_of_failures"]),
    ("V12", &["runs_and_shares_of_failures"]),
    ("V14", &["half_of_eight_trips_and_less_or_fewer_do_not"]),
    ("V16", &["the_first_call_may_be_enough_and_its_advice_is_heeded"]),
    (
        "V17",
        &[
            "settings_that_others_bend_are_errors",
            "tests/breaker/config.rs::spans_that_are_zero_or_endless_are_errors",
        ],
    ),
    ("V18", &["settings_that_others_bend_are_errors"]),
    ("V19", &["settings_that_others_bend_are_errors"]),
    (
        "V20",
        &[
            "tests/breaker/config.rs::shares_that_are_none_are_errors_that_name_the_field_and_the_range",
        ],
    ),
    ("V21", &["tests/breaker/rules.rs::shares_are_compared_as_integers_at_every_size"]),
    ("V22", &["tests/breaker/rules.rs::shares_are_compared_as_integers_at_every_size"]),
    ("V23", &["tests/breaker/rules.rs::a_threshold_of_everything_can_be_reached"]),
    ("V24", &["settings_that_others_bend_are_errors", "a_probe_more_than_can_be_is_an_error"]),
    ("V25", &["tests/breaker/rules.rs::no_data_is_no_ratio"]),
    ("V27", &["not yet: the adaptive limits have no tests of their own so far"]),
    ("V28", &["not yet: the adaptive limits have no tests of their own so far"]),
    ("V31", &["tests/breaker/clocks.rs::after_the_clock_went_back_failures_still_open_it"]),
    ("V32", &["tests/breaker/recovery.rs::at_exactly_the_deadline_the_first_caller_is_a_probe"]),
    ("V33", &["every_window_goes_by_the_same_clock"]),
    ("V37", &["calls_from_before_it_opened_cannot_close_or_reopen_it"]),
    ("V38", &["tests/breaker/rules.rs::only_finished_calls_are_in_the_denominator"]),
    ("V39", &["a_late_failure_neither_extends_the_wait_nor_is_told_twice"]),
    ("V40", &["a_late_failure_neither_extends_the_wait_nor_is_told_twice"]),
    ("V42", &["tests/breaker/rules.rs::only_finished_calls_are_in_the_denominator"]),
    ("V43", &["a_seat_that_comes_free_admits_one_more"]),
    ("V44", &["what_four_probes_decide"]),
    ("V45", &["ignored_probes_give_their_seats_back_and_a_failing_one_never_closes"]),
    ("V46", &["three_probes_one_after_the_other_and_at_once"]),
    ("V47", &["probes_that_panic_vanish_or_never_run_do_not_wedge_it"]),
    ("V48", &["probes_that_panic_vanish_or_never_run_do_not_wedge_it", "places_come_back"]),
    ("V50", &["probes_that_panic_vanish_or_never_run_do_not_wedge_it"]),
    ("V51", &["a_cancelled_probe_leaves_it_half_open_for_as_long_as_it_takes"]),
    ("V52", &["what_is_cancelled_says_nothing_and_what_timed_out_counts_once"]),
    ("V54", &["tests/breaker/recovery.rs::hung_probes_cannot_wedge_it_whoever_comes_next"]),
    ("V57", &["tests/breaker/recovery.rs::closing_clears_the_window"]),
    ("V58", &["while_all_probes_hang_further_calls_are_refused_at_once"]),
    (
        "V59",
        &[
            "tests/breaker/operators.rs::forced_open_refuses_all_for_ever_and_says_that_an_operator_did_it",
            "tests/breaker/operators.rs::disabled_lets_all_pass_and_records_nothing",
            "tests/breaker/operators.rs::a_shadow_refuses_nothing_and_says_what_it_would_have_done",
            "tests/breaker/operators.rs::an_order_follows_another_and_the_same_order_again_is_no_transition",
        ],
    ),
    ("V60", &["no_timer_moves_a_circuit_that_an_operator_holds"]),
    ("V61", &["an_order_before_there_are_services_holds_for_all_of_them"]),
    (
        "V62",
        &[
            "tests/breaker/events.rs::an_observer_that_panics_is_counted_and_touches_nothing_else",
            "tests/breaker/events.rs::an_observer_may_reach_into_the_circuit",
        ],
    ),
    ("V63", &["two_in_and_the_third_refused", "a_limit_of_zero_is_an_error"]),
    ("V64", &["a_shrink_returns_at_once_and_a_grow_admits_at_once"]),
    (
        "V65",
        &[
            "a_free_place_needs_no_waiting",
            "tests/bulkhead.rs::cancelled_at_any_point_gives_the_place_back",
            "tests/retry.rs::a_full_bulkhead_inside_ends_the_retrying",
        ],
    ),
    (
        "V67",
        &["places_come_back", "not yet: the adaptive limits have no tests of their own so far"],
    ),
    ("V69", &["not yet: the adaptive limits have no tests of their own so far"]),
    (
        "V71",
        &["tests/breaker/outcomes.rs::refusals_of_our_own_layers_that_were_not_sent_say_nothing"],
    ),
    ("V72", &["places_come_back"]),
    (
        "V74",
        &[
            "the_servers_wish_is_capped_as_an_open_time_and_never_undershot",
            "tests/http_retry.rs::both_forms_of_retry_after_are_floors_under_the_backoff",
            "tests/retry.rs::a_hostile_retry_after_is_capped",
        ],
    ),
    ("V75", &["tests/timeout.rs::a_call_that_its_caller_drops_has_not_timed_out"]),
    ("V76", &["tests/retry.rs::without_a_backoff_a_call_is_made_again_at_once_and_needs_no_timer"]),
    ("V77", &["tests/retry.rs::an_open_breaker_inside_ends_the_retrying"]),
    ("V80", &["src/budget/bucket.rs::deposits_are_withdrawn_once_and_none_is_lost"]),
];

#[test]
fn every_vector_is_accounted_for() {
    let numbers = [
        1..=5,
        7..=8,
        10..=10,
        12..=12,
        14..=14,
        16..=25,
        27..=28,
        31..=33,
        37..=40,
        42..=48,
        50..=52,
        54..=54,
        57..=65,
        67..=67,
        69..=69,
        71..=72,
        74..=77,
        80..=80,
    ];
    let numbers: Vec<String> = numbers.into_iter().flatten().map(|n| format!("V{n}")).collect();
    let accounted: Vec<&str> = ACCOUNT.iter().map(|(number, _)| *number).collect();
    assert_eq!(accounted, numbers);

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (number, places) in ACCOUNT {
        for place in places.iter().filter(|place| !place.starts_with("not yet: ")) {
            let (file, test) = place.split_once("::").unwrap_or(("tests/vectors.rs", place));
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            let there = source.lines().any(|line| line.contains(&format!("fn {test}(")));
            assert!(there, "{number}: {place}");
        }
    }
}

fn payments() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new("payments")
}

/// The field that a configuration is refused for.
fn refused_for(config: CircuitBreakerConfig) -> Option<&'static str> {
    CircuitBreakerLayer::new(config).err().map(|error| error.field())
}

// ---- tripping

// V1, V2: one peer trips on a success that completes the window, another never. Seawall does.
#[test]
fn the_window_decides_and_not_the_last_call() {
    let mut rig =
        rig(|c| c.time_window(20 * SEC).min_calls(5).failure_ratio(0.5).cool_down(5 * SEC));
    rig.calls("FFFS");
    assert_eq!(rig.state(), Circuit::Closed, "four calls of five");
    rig.calls("S");
    assert_eq!((rig.state(), rig.log.len()), (Circuit::Open, 1));
    assert_eq!(rig.counts().failure_ratio(), Ratio::percent(60));
    rig.refused();
}

// V4: elsewhere a call as long as the threshold isn't slow, and all slow of all can't be reached.
#[test]
fn a_call_as_long_as_the_threshold_is_slow_and_all_slow_can_be_reached() {
    let mut rig = rig(|c| c.count_window(3).min_calls(3).slow_calls(10 * MS, 1.0));
    for time in [10, 20, 10] {
        assert_eq!(rig.state(), Circuit::Closed);
        rig.takes(time * MS, Ok(0));
    }
    assert_eq!((rig.state(), rig.counts().slow), (Circuit::Open, 3));
}

// V7: (calls, min-calls, share of failures, threshold) and whether it trips.
#[test]
fn throughput_and_rate_decide_together() {
    for (calls, min, failing, threshold, trips) in [
        (10, 10, 1, 0.1, true),
        (11, 10, 2, 0.1, true),
        (9, 10, 1, 0.1, false),
        (10, 10, 0, 0.1, false),
    ] {
        let mut rig = rig(|c| c.time_window(30 * SEC).min_calls(min).failure_ratio(threshold));
        rig.fail_times(failing);
        for _ in failing..calls {
            let _ = rig.make(Ok(0));
        }
        assert_eq!(rig.state() == Circuit::Open, trips, "{calls} calls, {failing} failed");
    }
}

// V8: the last moment of the window, and the first after it.
#[test]
fn a_failure_as_old_as_the_window_is_out() {
    let tenth = |c: CircuitBreakerConfig| c.time_window(10 * SEC).min_calls(4).failure_ratio(0.5);
    let mut rig = rig(tenth);
    rig.calls("FFF");
    rig.wait(10 * SEC - Duration::from_nanos(1));
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open);
    let mut rig = self::rig(tenth);
    rig.calls("SSF");
    rig.wait(10 * SEC);
    rig.fail();
    assert_eq!(rig.state(), Circuit::Closed);
}

// V10, V12: what opens it, call by call.
#[test]
fn runs_and_shares_of_failures() {
    type Set = fn(CircuitBreakerConfig) -> CircuitBreakerConfig;
    let run_of_six: Set = |c| c.no_failure_ratio().consecutive_failures(6);
    let sixty_percent_of_three: Set = |c| c.min_calls(3).failure_ratio(0.6);
    let two_of_three: Set = |c| c.count_window(3).min_calls(3).failure_ratio(0.66);
    let three_of_four: Set = |c| c.count_window(4).min_calls(4).failure_ratio(0.75);
    let run_of_three: Set = |c| c.no_failure_ratio().consecutive_failures(3);
    for (set, script, opens) in [
        (run_of_six, "FFFFF", false),
        (run_of_six, "FFFFFSFFFFF", false),
        (run_of_six, "FFFFFSFFFFFF", true),
        (sixty_percent_of_three, "FSF", true),
        (two_of_three, "FS", false),
        (two_of_three, "FSF", true),
        (three_of_four, "SFSFSFSFSFSFSFSFSFSF", false),
        (run_of_three, "FSFF", false),
        (run_of_three, "FSFFF", true),
    ] {
        let mut rig = rig(set);
        rig.calls(script);
        assert_eq!(rig.state() == Circuit::Open, opens, "{script}");
    }
    // And what opened it is gone when it closed.
    let mut rig = rig(|c| run_of_six(c).probes(1));
    rig.open_and_wait();
    rig.ok();
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.counts, snapshot.consecutive_failures), (Counts::default(), 0));
}

// V14
#[test]
fn half_of_eight_trips_and_less_or_fewer_do_not() {
    for (min, script, opens) in
        [(8, "SFSFSFSF", true), (8, "SFSFSFSS", false), (4, "FFFF", true), (5, "FFFF", false)]
    {
        let mut rig = rig(|c| c.time_window(10 * SEC).min_calls(min).failure_ratio(0.5));
        rig.calls(script);
        assert_eq!(rig.state() == Circuit::Open, opens, "{script}");
    }
    // Timeouts are failures.
    let given_up = Rejected::new(Room::Timeout, Reason::TimedOut, "payments").after_sending();
    let mut rig = rig(|c| c.time_window(10 * SEC).min_calls(4));
    for _ in 0..4 {
        rig.start_work(answers(refusal(given_up)));
    }
    assert_eq!(rig.state(), Circuit::Open);
}

/// Reads how long the service wants to be left alone, in seconds, from the error's text.
struct Banned;

impl Classify<u32, BoxError> for Banned {
    fn classify(&self, result: Result<&u32, &BoxError>) -> Outcome {
        if result.is_ok() { Outcome::Success } else { Outcome::Failure }
    }

    fn retry_after(&self, result: Result<&u32, &BoxError>) -> Option<Duration> {
        let text = result.err()?.to_string();
        text.strip_prefix("banned for ")?.parse().ok().map(Duration::from_secs)
    }
}

// V16: an error that says "banned for two hours" opens a peer's circuit by itself. Here a rule does: of
// one failure in a row, say, and the ban is a floor under the cool-down.
#[test]
fn the_first_call_may_be_enough_and_its_advice_is_heeded() {
    let hours = Duration::from_secs(7_200);
    let mut rig = rig_with(Banned, |c| c.consecutive_failures(1).max_cool_down(2 * hours));
    rig.make(Err("banned for 7200".into()));
    assert_eq!(rig.log.take()[0].why, Why::ConsecutiveFailures(1));
    assert_eq!(rig.refused().retry_after, Some(hours));
    let mut rig = rig_with(Banned, |c| c);
    rig.make(failure());
    assert_eq!(rig.state(), Circuit::Closed);
}

// V17, V18, V19, V24: settings that peers clamp, replace, or take and can't meet.
#[test]
fn settings_that_others_bend_are_errors() {
    let c = payments;
    for (config, field) in [
        // More calls than the window holds: clamped elsewhere, or never met.
        (c().count_window(5).min_calls(6), Some("min_calls")),
        (c().count_window(3).failures(5), Some("failures")),
        (c().time_window(10 * SEC).min_calls(100), None),
        (c().time_window(10 * SEC).failures(100), None),
        (c().failure_ratio(0.0), Some("failure_ratio")),
        (c().failure_ratio(1.01), Some("failure_ratio")),
        (c().failure_ratio(0.000_01), None),
        (c().slow_calls(SEC, 0.0), Some("slow_calls")),
        (c().slow_calls(SEC, 1.01), Some("slow_calls")),
        (c().slow_calls(Duration::ZERO, 0.5), Some("slow_calls")),
        (c().min_calls(0), Some("min_calls")),
        (c().min_calls(1), None),
        (c().count_window(0), Some("count_window")),
        (c().time_window(Duration::ZERO), Some("time_window")),
        (c().time_window(100 * MS), None),
        (c().probes(0), Some("probes")),
        (c().cool_down(Duration::ZERO), Some("cool_down")),
        (c().cool_down(MS), None),
        (c().probe_lease(Duration::ZERO), Some("probe_lease")),
    ] {
        assert_eq!(refused_for(config.clone()), field, "{config:?}");
    }
}

// V24: five successes of three probes never come.
#[test]
fn a_probe_more_than_can_be_is_an_error() {
    assert_eq!(refused_for(payments().probes(33)), Some("probes"));
    // Whatever the share: so many probes always decide.
    for probes in 1..=32 {
        for ratio in [0.000_001, 0.5, 1.0] {
            for answer in [Ok(0), failure()] {
                let mut rig = rig(|c| c.count_window(2).failure_ratio(ratio).probes(probes));
                rig.open_and_wait();
                for _ in 0..probes {
                    let again = answer.as_ref().map(|_| 0).map_err(|e| e.to_string().into());
                    let _ = rig.make(again);
                }
                assert_ne!(rig.state(), Circuit::HalfOpen, "{probes} at {ratio}");
            }
        }
    }
}

// ---- clock

// V33: a peer's lock-free window reads another clock than its locked one.
#[test]
fn every_window_goes_by_the_same_clock() {
    for failing in [true, false] {
        let mut rig = rig(|c| c.time_window(10 * SEC).failure_ratio(1.0).min_calls(1_000));
        for _ in 0..50 {
            rig.make(if failing { failure() } else { Ok(0) });
        }
        assert_eq!(rig.counts().total, 50);
        rig.wait(rig::HOUR);
        assert_eq!(rig.counts().total, 0);
    }
    // And hung calls, waits, leases and ramps go by it too.
    let mut rig =
        rig(|c| c.time_window(10 * SEC).min_calls(2).slow_calls(SEC, 0.5).probes(2).ramp([0.5]));
    let _hanging = rig.start_all(2);
    for state in [Circuit::Open, Circuit::HalfOpen, Circuit::Open] {
        rig.wait(rig::HOUR);
        if state == Circuit::HalfOpen {
            std::mem::forget(rig.start());
        }
        rig.handle.tick();
        if state == Circuit::Open {
            let _ = rig.make(Ok(0));
        }
        assert!(rig.handle.snapshot().state.is_open(), "{state}");
    }
}

// ---- calls that outlive the state they started in

// V37
#[test]
fn calls_from_before_it_opened_cannot_close_or_reopen_it() {
    for succeed in [true, false] {
        let mut rig = rig(|c| c.count_window(10).probes(4));
        let old = rig.start_all(4);
        rig.open_and_wait();
        let probe = rig.start();
        for call in old {
            if succeed { call.ok() } else { call.fail() }
        }
        let snapshot = rig.handle.snapshot();
        assert_eq!((snapshot.state, snapshot.probes.total), (Circuit::HalfOpen, 0));
        assert_eq!(snapshot.stale, 4);
        probe.ok();
        assert_eq!(rig.handle.snapshot().probes.total, 1);
    }
}

// V39, V40
#[test]
fn a_late_failure_neither_extends_the_wait_nor_is_told_twice() {
    let mut rig = rig(|c| c.count_window(4).cool_down(5 * SEC));
    let mut late = rig.start_all(2).into_iter();
    rig.open();
    rig.wait(2 * SEC);
    let answer = late.next().unwrap().end(Err("its own error".into()));
    assert_eq!(answer.unwrap_err().to_string(), "its own error");
    assert_eq!(rig.refused().retry_after, Some(3 * SEC));
    assert_eq!((rig.log.len(), rig.counts().total), (1, 4));
    // Held by an operator, it stays as it is.
    rig.handle.force_open();
    late.next().unwrap().ok();
    assert_eq!(rig.state(), Circuit::ForcedOpen);
}

// ---- probes

fn half_open(probes: usize) -> Rig {
    let mut rig = rig(|c| c.count_window(10).probes(probes));
    rig.open_and_wait();
    drop(rig.start());
    rig
}

// V43
#[test]
fn a_seat_that_comes_free_admits_one_more() {
    let mut rig = half_open(4);
    let mut probes = rig.start_all(4);
    rig.refused();
    rig.refused();
    drop(probes.pop());
    probes.push(rig.start());
    rig.refused();
}

// V44
#[test]
fn what_four_probes_decide() {
    for (script, state) in [("FFSF", Circuit::Open), ("FSSS", Circuit::Closed)] {
        let mut rig = half_open(4);
        let mut left = script.chars();
        while rig.state() == Circuit::HalfOpen {
            rig.calls(&left.next().unwrap().to_string());
        }
        assert_eq!(rig.state(), state, "{script}");
        if state == Circuit::Closed {
            assert_eq!(rig.counts(), Counts::default());
        }
    }
    // Three of four slow, and none failed.
    let mut rig = rig(|c| c.count_window(10).slow_calls(SEC, 0.75).probes(4));
    rig.open_and_wait();
    for time in [SEC, SEC, MS, SEC] {
        rig.takes(time, Ok(0));
    }
    assert_eq!(rig.state(), Circuit::Open);
    assert_eq!(rig.log.take().last().unwrap().counts.failures, 0);
}

// V45: elsewhere three successes and an ignored error leave it half-open, and the failure that comes then
// closes it. Here three successes of four, at a ratio of a half, have closed it before.
#[test]
fn ignored_probes_give_their_seats_back_and_a_failing_one_never_closes() {
    let ignored = || answers(refusal(Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "x")));
    let mut rig = half_open(4);
    rig.calls("SS");
    rig.start_work(ignored());
    assert_eq!((rig.state(), rig.handle.snapshot().probes.total), (Circuit::HalfOpen, 2));
    rig.calls("S");
    assert_eq!(rig.state(), Circuit::Closed, "by a success");
    let mut rig = half_open(4);
    for _ in 0..4 {
        rig.start_work(ignored());
    }
    assert_eq!((rig.state(), rig.handle.snapshot().probes.total), (Circuit::HalfOpen, 0));
    rig.calls("SSS");
    assert_eq!(rig.state(), Circuit::Closed);
}

// V46: a ratio of 1/3 makes one failure of three reopen it, and three successes needed to close.
#[test]
fn three_probes_one_after_the_other_and_at_once() {
    let set = |c: CircuitBreakerConfig| c.count_window(6).failure_ratio(0.333).probes(3);
    let mut rig = rig(set);
    rig.open_and_wait();
    rig.calls("SS");
    assert_eq!(rig.state(), Circuit::HalfOpen);
    let third = rig.start();
    rig.refused();
    third.ok();
    assert_eq!(rig.state(), Circuit::Closed);
    let mut rig = self::rig(set);
    rig.open_and_wait();
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open);
}

// V47, V48, V50: probes that end in none of the usual ways.
#[test]
fn probes_that_panic_vanish_or_never_run_do_not_wedge_it() {
    // A panic is a failure.
    let mut rig = half_open(2);
    rig.panics(does(async { panic!("no ordinary error") }));
    assert_eq!(rig.state(), Circuit::Open);
    // One that is dropped, run or not, is nobody's success: its seat goes to the next.
    let mut rig = half_open(2);
    for _ in 0..100 {
        drop(rig.start());
        let never_polled = catch_unwind(AssertUnwindSafe(|| {
            drop(tower::Service::call(&mut rig.service, answers(Ok(0))));
        }));
        assert!(never_polled.is_ok());
    }
    assert_eq!((rig.state(), rig.handle.snapshot().probes.total), (Circuit::HalfOpen, 0));
    // One that is leaked is a failure when its lease is over, and not 100,000 s later.
    std::mem::forget(rig.start());
    std::mem::forget(rig.start());
    rig.refused();
    rig.wait(10 * SEC);
    rig.refused();
    assert_eq!(rig.state(), Circuit::Open);
    rig.wait(10 * SEC);
    rig.ok_times(2);
    assert_eq!(rig.state(), Circuit::Closed);
}

// V51: elsewhere back to open; here the seat is free, and the next caller is the probe.
#[test]
fn a_cancelled_probe_leaves_it_half_open_for_as_long_as_it_takes() {
    let mut rig = half_open(1);
    rig.wait(10 * SEC);
    rig.ok();
    assert_eq!(rig.state(), Circuit::Closed);
}

// V52
#[test]
fn what_is_cancelled_says_nothing_and_what_timed_out_counts_once() {
    let mut rig = rig(|c| c.count_window(10));
    drop(rig.start());
    assert_eq!(rig.counts().total, 0);
    let given_up = Rejected::new(Room::Timeout, Reason::TimedOut, "payments").after_sending();
    let call = rig.start_work(answers(refusal(given_up)));
    assert!(call.result.as_ref().unwrap().is_err());
    drop(call);
    assert_eq!((rig.counts().total, rig.counts().failures), (1, 1));
}

// V58
#[test]
fn while_all_probes_hang_further_calls_are_refused_at_once() {
    let mut rig = half_open(3);
    let _hanging = rig.start_all(3);
    for _ in 0..5 {
        assert!(rig.refused().retry_after.is_some());
    }
}

// ---- manual states

// V60: a timer that moves an open circuit once moved one that an operator held. There is none here.
#[test]
fn no_timer_moves_a_circuit_that_an_operator_holds() {
    let mut rig = rig(|c| c.count_window(4).cool_down(2 * SEC));
    rig.open();
    rig.handle.force_open();
    for _ in 0..10 {
        rig.wait(2 * SEC);
        rig.handle.tick();
        assert_eq!(rig.refused().reason, Reason::ForcedOpen);
    }
}

// V61
#[test]
fn an_order_before_there_are_services_holds_for_all_of_them() {
    use tower::{Layer, Service, ServiceExt};
    let layer = CircuitBreakerLayer::new(payments()).unwrap();
    layer.handle().force_open();
    let mut services = [layer.layer(rig::Inner), layer.clone().layer(rig::Inner)];
    drop(layer);
    for service in &mut services {
        for _ in 0..100 {
            let ready = futures::executor::block_on(service.ready()).unwrap();
            futures::executor::block_on(ready.call(answers(Ok(0)))).unwrap_err();
        }
    }
}

// ---- bulkhead

type Bulkhead = mock::Spawn<seawall::bulkhead::Bulkhead<mock::Mock<u32, u32>>>;

fn bulkhead(limit: usize) -> (Bulkhead, mock::Handle<u32, u32>, seawall::bulkhead::BulkheadHandle) {
    let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(limit)).unwrap();
    let (service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(1_000);
    (service, inner, layer.handle())
}

/// A call in flight; or its refusal.
macro_rules! enters {
    ($service:ident) => {{
        assert_ready_ok!($service.poll_ready());
        let mut call = task::spawn($service.call(7));
        assert_pending!(call.poll());
        call
    }};
}

macro_rules! is_full {
    ($service:ident) => {{
        assert_ready_ok!($service.poll_ready());
        let error = assert_ready_err!(task::spawn($service.call(7)).poll());
        let refused = *seawall::error::Carry::rejected(&error).unwrap();
        assert_eq!(refused.reason, Reason::BulkheadFull);
    }};
}

// V63
#[test]
fn two_in_and_the_third_refused() {
    let (mut service, _inner, handle) = bulkhead(2);
    let (first, _second) = (enters!(service), enters!(service));
    is_full!(service);
    assert_eq!(handle.snapshot().in_flight, 2);
    drop(first);
    let _third = enters!(service);
    is_full!(service);
}

// V63: elsewhere a limit of zero is a closed bulkhead.
#[test]
fn a_limit_of_zero_is_an_error() {
    let error = BulkheadLayer::new(BulkheadConfig::new("payments").limit(0)).unwrap_err();
    assert_eq!(error.field(), "limit");
}

// V64: elsewhere the caller who shrinks waits for the calls in flight.
#[test]
fn a_shrink_returns_at_once_and_a_grow_admits_at_once() {
    let (mut service, _inner, handle) = bulkhead(2);
    let (first, second) = (enters!(service), enters!(service));
    handle.reconfigure(|c| c.limit(1)).unwrap();
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.limit, snapshot.in_flight), (1, 2));
    drop(first);
    is_full!(service);
    handle.reconfigure(|c| c.limit(2)).unwrap();
    let _third = enters!(service);
    is_full!(service);
    drop(second);
    let _fourth = enters!(service);
}

// V65: a free place is taken before any timer is looked at.
#[test]
fn a_free_place_needs_no_waiting() {
    let (mut service, _inner, _) = bulkhead(1);
    // No runtime, and so no timer.
    let _call = enters!(service);
}

// V48, V67, V72: each place comes back once, when the call really ends.
#[test]
fn places_come_back() {
    for round in 0..3 {
        let (mut service, mut inner, handle) = bulkhead(1);
        let mut call = enters!(service);
        let (_, answer) = match task::spawn(inner.next_request()).poll() {
            std::task::Poll::Ready(Some(request)) => request,
            other => panic!("{other:?}"),
        };
        match round {
            0 => answer.send_response(7),
            1 => answer.send_error("an uncaught one"),
            _ => drop(answer),
        }
        let _ = call.poll();
        assert_eq!(handle.snapshot().in_flight, 0, "at the end of the call");
        drop(call);
        assert_eq!(handle.snapshot().in_flight, 0, "once");
        let _one = enters!(service);
        is_full!(service);
    }
    // A panic in the call gives it back too.
    use tower::{Layer, Service, ServiceExt};
    let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(1)).unwrap();
    let mut service = layer.layer(rig::Inner);
    for _ in 0..3 {
        let panics = || {
            let ready = futures::executor::block_on(service.ready()).unwrap();
            futures::executor::block_on(ready.call(does(async { panic!("in the call") })))
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(layer.handle().snapshot().in_flight, 0);
    }
}

// ---- the server's wishes

// V74: uncapped elsewhere, as an open time too.
#[test]
fn the_servers_wish_is_capped_as_an_open_time_and_never_undershot() {
    for (asks, waits) in [(3, 3), (30, 30), (7_200, 30)] {
        let mut rig = rig_with(Banned, |c| c.count_window(4).jitter(1.0));
        while rig.state() == Circuit::Closed {
            let made = rig.make(Err(format!("banned for {asks}").into()));
            assert!(matches!(made, Made::Passed));
        }
        assert_eq!(rig.refused().retry_after, Some(Duration::from_secs(waits)), "asked for {asks}");
    }
}
