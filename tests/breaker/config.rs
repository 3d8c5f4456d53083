//! What can't be set says so: which field, what it was given, what it takes.

use std::time::Duration;

use proptest::prelude::*;
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::error::ConfigError;
use seawall::event::Circuit;

use crate::rig::{Made, Rig, SEC, failure, rig};

fn error(set: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig) -> ConfigError {
    let made = CircuitBreakerLayer::new(set(CircuitBreakerConfig::new("payments")));
    // Not `unwrap_err`: that would show all the cells of a window.
    made.map(|_| ()).unwrap_err()
}

const DAY: Duration = Duration::from_secs(86_400);
const NS: Duration = Duration::from_nanos(1);
/// Numbers that are no share.
const NO_SHARE: [f64; 8] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, -1.0, 1.000_001, 2.0, f64::MAX];

#[test]
fn shares_that_are_none_are_errors_that_name_the_field_and_the_range() {
    for share in NO_SHARE {
        let error = error(|c| c.failure_ratio(share));
        assert_eq!(error.field(), "failure_ratio");
        assert_eq!(error.value(), format!("{share:?}"));
        assert_eq!(error.range(), "above 0 and at most 1");
        assert_eq!(self::error(|c| c.slow_calls(SEC, share)).field(), "slow_calls");
        assert_eq!(self::error(|c| c.jitter(share)).field(), "jitter");
        assert_eq!(self::error(|c| c.ramp([share])).field(), "ramp");
    }
    // A rule that nothing at all would fire.
    assert_eq!(error(|c| c.failure_ratio(0.0)).field(), "failure_ratio");
    assert_eq!(error(|c| c.failure_ratio(1e-9)).field(), "failure_ratio");
    assert_eq!(error(|c| c.slow_calls(SEC, 0.0)).field(), "slow_calls");
}

#[test]
fn counts_out_of_range_are_errors() {
    for calls in [0, 4_096, usize::MAX] {
        let error = error(|c| c.count_window(calls));
        assert_eq!((error.field(), error.value()), ("count_window", &*calls.to_string()));
        assert_eq!(error.range(), "from 1 to 4095");
    }
    for probes in [0, 33, usize::MAX] {
        assert_eq!(error(|c| c.probes(probes)).field(), "probes");
    }
    for calls in [0, 101, u32::MAX] {
        assert_eq!(error(|c| c.count_window(100).min_calls(calls)).field(), "min_calls");
        assert_eq!(error(|c| c.count_window(100).failures(calls)).field(), "failures");
    }
    assert_eq!(error(|c| c.time_window(SEC).min_calls(0)).field(), "min_calls");
    assert_eq!(error(|c| c.time_window(SEC).failures(0)).field(), "failures");
    assert_eq!(error(|c| c.consecutive_failures(0)).field(), "consecutive_failures");
    let slow = error(|c| c.slow_calls(SEC, 0.5).consecutive_slow_calls(0));
    assert_eq!(slow.field(), "consecutive_slow_calls");
}

#[test]
fn spans_that_are_zero_or_endless_are_errors() {
    for span in [Duration::ZERO, DAY + NS, Duration::MAX] {
        assert_eq!(error(|c| c.time_window(span)).field(), "time_window", "{span:?}");
        assert_eq!(error(|c| c.slow_calls(span, 0.5)).field(), "slow_calls", "{span:?}");
        assert_eq!(error(|c| c.probe_lease(span)).field(), "probe_lease", "{span:?}");
        assert_eq!(error(|c| c.ramp([0.5]).ramp_step(span)).field(), "ramp_step", "{span:?}");
        assert_eq!(error(|c| c.max_cool_down(span)).field(), "max_cool_down", "{span:?}");
        let cool_down = error(|c| c.cool_down(span).max_cool_down(Duration::MAX));
        assert_eq!(cool_down.field(), "cool_down", "{span:?}");
        let cancels = error(|c| c.cancel_counts_after(span));
        assert_eq!(cancels.field(), "cancel_counts_after", "{span:?}");
        assert!(cancels.range().contains("above zero"), "{}", cancels.range());
    }
    // Windows smaller than their buckets, thresholds smaller than their cohorts.
    assert_eq!(error(|c| c.time_window(100 * crate::rig::MS - NS)).field(), "time_window");
    assert_eq!(error(|c| c.slow_calls(crate::rig::MS - NS, 0.5)).field(), "slow_calls");
}

#[test]
fn cool_downs_that_cannot_be_are_errors() {
    for factor in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.999, 1_000.1] {
        assert_eq!(error(|c| c.cool_down_factor(factor)).field(), "cool_down_factor");
    }
    let cap = error(|c| c.cool_down(2 * SEC).max_cool_down(SEC));
    assert_eq!(cap.to_string(), "max_cool_down is 1s, but must be from cool_down to a day");
}

#[test]
fn ramps_that_do_not_rise_are_errors() {
    let ramps: [&[f64]; 6] = [
        &[0.5, 0.5],
        &[0.5, 0.1],
        &[0.0],
        &[1.0],
        &[0.000_9],
        &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    ];
    for ramp in ramps {
        let error = error(|c| c.ramp(ramp.iter().copied()));
        assert_eq!((error.field(), error.value()), ("ramp", &*format!("{ramp:?}")));
    }
}

#[test]
fn a_breaker_that_nothing_could_open_is_an_error() {
    let error = error(|c| c.no_failure_ratio());
    assert_eq!((error.field(), error.value()), ("failure_ratio", "\"off\""));
}

#[test]
fn a_rule_on_runs_of_slow_calls_needs_to_know_what_is_slow() {
    assert_eq!(error(|c| c.consecutive_slow_calls(5)).field(), "consecutive_slow_calls");
}

#[test]
fn the_ends_of_each_range_are_accepted() {
    let sets: [fn(CircuitBreakerConfig) -> CircuitBreakerConfig; 14] = [
        |c| c.count_window(1),
        |c| c.count_window(4_095).min_calls(4_095).failures(4_095),
        |c| c.time_window(100 * crate::rig::MS),
        |c| c.time_window(DAY).min_calls(u32::MAX).failures(u32::MAX),
        |c| c.failure_ratio(0.000_001),
        |c| c.failure_ratio(1.0),
        |c| c.slow_calls(crate::rig::MS, 1.0).consecutive_slow_calls(u16::MAX),
        |c| c.slow_calls(DAY, 0.000_001),
        |c| c.jitter(0.0).probes(1),
        |c| c.jitter(1.0).probes(32),
        |c| c.cool_down(NS).max_cool_down(NS).cool_down_factor(1_000.0),
        |c| c.cool_down(DAY).max_cool_down(DAY),
        |c| c.ramp([0.001, 0.999]).ramp_step(NS).probe_lease(NS).cancel_counts_after(NS),
        |c| c.ramp([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).ramp_step(DAY).cancel_counts_after(DAY),
    ];
    for (i, set) in sets.into_iter().enumerate() {
        let made = CircuitBreakerLayer::new(set(CircuitBreakerConfig::new("payments")));
        assert!(made.is_ok(), "{i}: {made:?}");
    }
}

// ---- any configuration at all

#[derive(Clone, Debug)]
enum Set {
    CountWindow(usize),
    TimeWindow(Duration),
    FailureRatio(f64),
    NoFailureRatio,
    SlowCalls(Duration, f64),
    NoSlowCalls,
    Consecutive(u16),
    ConsecutiveSlow(u16),
    Failures(u32),
    MinCalls(u32),
    CancelAfter(Duration),
    CancelsNever,
    CoolDown(Duration),
    Factor(f64),
    MaxCoolDown(Duration),
    Jitter(f64),
    Probes(usize),
    Lease(Duration),
    Ramp(Vec<f64>),
    RampStep(Duration),
    Shadow(bool),
}

impl Set {
    fn to(&self, c: CircuitBreakerConfig) -> CircuitBreakerConfig {
        match self.clone() {
            Self::CountWindow(n) => c.count_window(n),
            Self::TimeWindow(span) => c.time_window(span),
            Self::FailureRatio(share) => c.failure_ratio(share),
            Self::NoFailureRatio => c.no_failure_ratio(),
            Self::SlowCalls(threshold, share) => c.slow_calls(threshold, share),
            Self::NoSlowCalls => c.no_slow_calls(),
            Self::Consecutive(n) => c.consecutive_failures(n),
            Self::ConsecutiveSlow(n) => c.consecutive_slow_calls(n),
            Self::Failures(n) => c.failures(n),
            Self::MinCalls(n) => c.min_calls(n),
            Self::CancelAfter(age) => c.cancel_counts_after(age),
            Self::CancelsNever => c.cancels_never_count(),
            Self::CoolDown(wait) => c.cool_down(wait),
            Self::Factor(factor) => c.cool_down_factor(factor),
            Self::MaxCoolDown(wait) => c.max_cool_down(wait),
            Self::Jitter(share) => c.jitter(share),
            Self::Probes(n) => c.probes(n),
            Self::Lease(time) => c.probe_lease(time),
            Self::Ramp(shares) => c.ramp(shares),
            Self::RampStep(time) => c.ramp_step(time),
            Self::Shadow(shadow) => c.shadow(shadow),
        }
    }
}

const FIELDS: [&str; 18] = [
    "count_window",
    "time_window",
    "failure_ratio",
    "slow_calls",
    "consecutive_failures",
    "consecutive_slow_calls",
    "failures",
    "min_calls",
    "cancel_counts_after",
    "cool_down",
    "cool_down_factor",
    "max_cool_down",
    "jitter",
    "probes",
    "probe_lease",
    "ramp",
    "ramp_step",
    "window",
];

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => (1_u64..100_000).prop_map(Duration::from_millis),
        2 => any::<u64>().prop_map(Duration::from_nanos),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
        1 => Just(DAY),
        1 => Just(NS),
    ]
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => 0.001..1.0,
        1 => any::<f64>(),
        1 => prop::sample::select(NO_SHARE.to_vec()),
        1 => Just(0.0),
        1 => Just(1.0),
    ]
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1_usize..50,
        2 => 0_usize..5_000,
        1 => Just(usize::MAX),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    let int = || count().prop_map(|n| n as u32);
    prop_oneof![
        count().prop_map(Set::CountWindow),
        span().prop_map(Set::TimeWindow),
        share().prop_map(Set::FailureRatio),
        Just(Set::NoFailureRatio),
        (span(), share()).prop_map(|(t, s)| Set::SlowCalls(t, s)),
        Just(Set::NoSlowCalls),
        int().prop_map(|n| Set::Consecutive(n as u16)),
        int().prop_map(|n| Set::ConsecutiveSlow(n as u16)),
        int().prop_map(Set::Failures),
        int().prop_map(Set::MinCalls),
        span().prop_map(Set::CancelAfter),
        Just(Set::CancelsNever),
        span().prop_map(Set::CoolDown),
        prop_oneof![1.0..10.0, any::<f64>()].prop_map(Set::Factor),
        span().prop_map(Set::MaxCoolDown),
        share().prop_map(Set::Jitter),
        count().prop_map(Set::Probes),
        span().prop_map(Set::Lease),
        prop_oneof![
            2 => Just(vec![0.1, 0.3, 0.6]),
            1 => prop::collection::vec(share(), 0..8)
        ]
        .prop_map(Set::Ramp),
        span().prop_map(Set::RampStep),
        any::<bool>().prop_map(Set::Shadow),
    ]
}

/// Fails calls, as if time went on, until it opens; then succeeds until it closes. A bound on both.
fn opens_and_comes_back(rig: &mut Rig) -> Result<(), TestCaseError> {
    let hanging: Vec<_> =
        (0..3).map(|_| rig.start_work(crate::rig::does(std::future::pending()))).collect();
    rig.wait(Duration::from_millis(3));
    drop(hanging);
    for _ in 0..100_000 {
        if rig.state() == Circuit::Open {
            break;
        }
        let _ = rig.make(failure());
    }
    if rig.state() != Circuit::Open {
        // Only the absolute rules may need more failures than that.
        return Ok(());
    }
    for _ in 0..10_000 {
        if rig.state() == Circuit::Closed {
            return Ok(());
        }
        if let Made::Refused(refused) = rig.make(Ok(0)) {
            prop_assert!(refused.retry_after.is_some());
        }
        rig.wait(rig.handle.snapshot().retry_after.unwrap_or_default());
    }
    Err(TestCaseError::fail(format!("wedged: {:?}", rig.handle.snapshot())))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, // a failing case is shown in full
        ..ProptestConfig::with_cases(2_000)
    })]

    #[test]
    fn any_configuration_is_a_typed_error_or_a_breaker_that_opens_and_comes_back(
        sets in prop::collection::vec(set(), 0..5),
    ) {
        let config = sets.iter().fold(CircuitBreakerConfig::new("payments"), |c, set| set.to(c));
        match CircuitBreakerLayer::new(config) {
            Err(error) => {
                prop_assert!(FIELDS.contains(&error.field()), "{}", error);
                prop_assert!(!error.value().is_empty() && !error.range().is_empty());
            }
            Ok(_) => {
                let mut rig = rig(|c| sets.iter().fold(c, |c, set| set.to(c)));
                opens_and_comes_back(&mut rig)?;
            }
        }
    }

    #[test]
    fn any_live_change_is_a_typed_error_that_changes_nothing_or_holds(
        changes in prop::collection::vec(prop::collection::vec(set(), 0..3), 1..6),
    ) {
        let mut rig = rig(|c| c.count_window(20).ramp([0.1, 0.5]));
        for sets in changes {
            let before = format!("{:?}", rig.handle.snapshot());
            let changed = rig.handle.reconfigure(|c| sets.iter().fold(c, |c, set| set.to(c)));
            if let Err(error) = changed {
                prop_assert!(FIELDS.contains(&error.field()), "{}", error);
            }
            prop_assert_eq!(before, format!("{:?}", rig.handle.snapshot()));
            let _ = rig.make(failure());
            rig.wait(SEC);
        }
        opens_and_comes_back(&mut rig)?;
    }
}
