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

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use plan::{Change, End, Mark, Op, Settings, Shape};
use rig::Rig;

fn cases() -> ProptestConfig {
    let cases = std::env::var("SEAWALL_ORACLE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(10_000);
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 100_000,
        ..ProptestConfig::default()
    }
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
    match TestRunner::new(cases()).run(&all, |(settings, ops)| case(&settings, &ops)) {
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
fn who_finds_that_the_probes_suffice_under_eased_rules_is_let_in() {
    let settings = Settings { failure_ratio: Some(1), lease: plan::MS, probes: 2, ..plain() };
    let eased = Op::Change(Change::FailureRatio(Some(1_000_000)));
    let half_way = [OPEN, DEADLINE, Op::Start(0), Op::Burst(1, End::Ok), eased];
    does_what_the_model_does(
        &settings,
        &[&half_way[..], &[Op::On(plan::MS), Op::Start(0)]].concat(),
    );
}
