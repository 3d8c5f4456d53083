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

use plan::{Op, Settings};
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

fn follow(settings: &Settings, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut rig = Rig::new(settings);
    for op in ops {
        rig.run(*op)?;
    }
    rig.wind_up()?;
    rig.lap()
}

fn agrees(settings: impl Strategy<Value = Settings>) {
    let all = (settings, plan::ops());
    match TestRunner::new(cases()).run(&all, |(settings, ops)| follow(&settings, &ops)) {
        Ok(()) => {}
        Err(TestError::Fail(why, (settings, ops))) => panic!("{why}\n{settings:?}\n{ops:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
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
