//! The breaker beside a model that is too simple to be wrong.
//!
//! Random calls, outcomes, cancellations, panics, clock steps and orders go to both, and after each
//! step all that can be seen of the breaker must be what the model says. 10,000 cases a property;
//! for a million:
//!
//! ```text
//! SEAWALL_ORACLE_CASES=1000000 cargo test --release --test oracle
//! ```

#[path = "oracle/model.rs"]
mod model;
#[path = "oracle/plan.rs"]
mod plan;
#[path = "oracle/rig.rs"]
mod rig;
#[path = "oracle/storm.rs"]
mod storm;

use std::task::{Context, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::clock::Clock;
use seawall::error::BoxError;
use tower::{Layer, Service};

use plan::{Change, End, Mark, Op, Settings, Shape};
use rig::Rig;

fn cases() -> u32 {
    let told = std::env::var("SEAWALL_ORACLE_CASES").ok();
    told.map_or(10_000, |cases| cases.parse().expect("a number of cases"))
}

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 100_000,
        ..ProptestConfig::default()
    })
}

fn drive(mut rig: Rig, ops: &[Op]) -> Result<(), TestCaseError> {
    for op in ops {
        rig.run(*op)?;
    }
    rig.wind_up()?;
    rig.lap()
}

fn follow(settings: &Settings, ops: &[Op]) -> Result<(), TestCaseError> {
    drive(Rig::new(settings), ops)
}

fn run(
    settings: impl Strategy<Value = Settings>,
    case: impl Fn(&Settings, &[Op]) -> Result<(), TestCaseError>,
) {
    let all = (settings, plan::ops());
    match runner().run(&all, |(settings, ops)| case(&settings, &ops)) {
        Ok(()) => {}
        Err(TestError::Fail(why, (settings, ops))) => panic!("{why}\n{settings:?}\n{ops:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn agrees(settings: impl Strategy<Value = Settings>) {
    run(settings, follow);
}

#[test]
fn a_breaker_over_the_last_calls_does_what_the_model_does() {
    agrees(plan::count_windows());
}

#[test]
fn a_breaker_over_the_last_span_does_what_the_model_does() {
    agrees(plan::time_windows());
}

#[test]
fn a_ramping_breaker_does_what_the_model_does() {
    agrees(plan::ramps());
}

#[test]
fn whatever_the_clock_does_nothing_is_lost_and_no_count_lies() {
    let settings = prop_oneof![plan::count_windows(), plan::time_windows(), plan::ramps()];
    run(settings, |settings, ops| drive(Rig::loose(settings), ops));
}

#[test]
fn a_hanging_call_is_counted_once_it_is_slow_and_at_most_a_cohort_late() {
    let threshold = prop_oneof![
        plan::MS..10 * plan::MS,
        plan::MS..10 * plan::SECOND,
        plan::MS..24 * plan::HOUR,
    ];
    // In thousandths of the threshold: when calls start, and when somebody looks.
    let moments = prop::collection::vec((0..200_u64, any::<bool>()), 1..80);
    let verdict = runner().run(&(threshold, moments), |(threshold, moments)| {
        let (clock, hand) = Clock::manual();
        let config = CircuitBreakerConfig::new("band")
            .count_window(100)
            .failure_ratio(1.0)
            .min_calls(100)
            .slow_calls(Duration::from_nanos(threshold), 1.0)
            .clock(clock.clone());
        let layer = CircuitBreakerLayer::new(config).unwrap();
        let mut service =
            layer.layer(tower::service_fn(|()| std::future::pending::<Result<(), BoxError>>()));
        let (handle, mut calls, mut starts) = (layer.handle(), Vec::new(), Vec::new());
        for (thousandths, starts_here) in moments {
            hand.advance(Duration::from_nanos(threshold / 1_000 * thousandths));
            handle.tick();
            let now = clock.now().as_nanos();
            let older = |age| starts.iter().filter(|start| now - *start >= age).count() as u64;
            let width = threshold / 8;
            let grain = width / (1 << 14) + 2;
            let must_be = older(threshold + width + grain);
            let may_be = older(threshold - grain);
            let shown = handle.snapshot();
            prop_assert!((must_be..=may_be).contains(&shown.counts.slow), "{shown:?}");
            prop_assert_eq!(shown.counts.slow + shown.in_time, starts.len() as u64);
            if starts_here {
                starts.push(now);
                assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
                calls.push(service.call(()));
            }
        }
        drop(calls);
        prop_assert_eq!(handle.snapshot().in_time, 0);
        Ok(())
    });
    if let Err(error) = verdict {
        panic!("{error}");
    }
}

#[test]
fn after_a_storm_on_many_threads_nothing_is_left_of_it() {
    let slow = Some((2 * plan::MS, 500_000));
    let short = Settings { cool_down: plan::MS, lease: plan::MS, min_calls: 5, ..plain() };
    let settings = [
        Settings { slow, ..short.clone() },
        Settings {
            slow,
            cancels: Some(plan::MS),
            shape: Shape::Time(plan::SECOND),
            ..short.clone()
        },
        Settings { ramp: vec![100, 500], ramp_step: plan::MS, ..short.clone() },
        Settings { consecutive: Some(3), failures: Some(4), shape: Shape::Count(64), ..short },
    ];
    for (seed, settings) in settings.iter().enumerate() {
        storm::rages(settings, u64::from(cases() / 4).max(1), seed as u64);
    }
}

// What the oracle once found, each in its shortest form.

fn does_what_the_model_does(settings: &Settings, ops: &[Op]) {
    if let Err(error) = follow(settings, ops) {
        panic!("{error}");
    }
}

/// A window of ten calls that opens at half of two, for 100 ms.
fn plain() -> Settings {
    Settings {
        shape: Shape::Count(10),
        failure_ratio: Some(500_000),
        slow: None,
        consecutive: None,
        consecutive_slow: None,
        failures: None,
        min_calls: 2,
        cancels: Some(plan::SECOND),
        cool_down: 100 * plan::MS,
        factor_percent: 200,
        cap: 10 * plan::SECOND,
        probes: 3,
        lease: 10 * plan::SECOND,
        ramp: Vec::new(),
        ramp_step: plan::SECOND,
        shadow: false,
    }
}

const OPEN: Op = Op::Burst(2, End::Err);
const DEADLINE: Op = Op::To(Mark::Wait, 0);

#[test]
fn an_operator_who_ends_a_round_of_probes_is_told_what_they_came_to() {
    for order in [Op::ForceOpen, Op::ForceClose, Op::Disable, Op::Reset] {
        does_what_the_model_does(&plain(), &[OPEN, DEADLINE, Op::Burst(1, End::Ok), order]);
    }
}

#[test]
fn a_probe_that_says_nothing_after_its_lease_is_a_slow_failure_all_the_same() {
    for cancels in [None, Some(60 * plan::SECOND)] {
        let settings = Settings { cancels, probes: 1, ..plain() };
        let late = [OPEN, DEADLINE, Op::Start(0), Op::On(settings.lease)];
        for end in [Op::Cancel(0), Op::Finish(0, End::Ignored), Op::Finish(0, End::NotSent)] {
            does_what_the_model_does(&settings, &[&late[..], &[end]].concat());
        }
    }
}

#[test]
fn a_probe_that_says_nothing_after_its_round_is_no_late_outcome() {
    let once = [OPEN, DEADLINE, Op::Start(0), Op::Start(0), Op::Reset];
    let again = [OPEN, DEADLINE, Op::Start(0), Op::Start(0)];
    let ends = [Op::Cancel(0), Op::Finish(0, End::Ignored)];
    does_what_the_model_does(&plain(), &[&once[..], &again, &ends].concat());
}

#[test]
fn a_lease_that_ends_under_eased_rules_does_not_close_it() {
    let settings = Settings { failure_ratio: Some(1), lease: plan::MS, probes: 2, ..plain() };
    let eased = Op::Change(Change::FailureRatio(Some(1_000_000)));
    let half_way = [OPEN, DEADLINE, Op::Start(0), Op::Burst(1, End::Ok), eased];
    does_what_the_model_does(
        &settings,
        &[&half_way[..], &[Op::On(plan::MS), Op::Start(0)]].concat(),
    );
}
