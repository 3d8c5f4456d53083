//! Every absurd setting is a typed error or a layer that works: never a panic, never a wedge.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use proptest::prelude::*;
use seawall::ConfigError;
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::clock::{Clock, ManualClock};
use seawall::error::BoxError;
use seawall::event::Circuit;
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tokio_test::task;
use tower::{Layer, Service, service_fn};

fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::from_millis(1)),
        Just(Duration::from_secs(1)),
        Just(Duration::from_secs(86_400)),
        Just(Duration::from_nanos(u64::MAX)),
        Just(Duration::MAX),
        any::<u64>().prop_map(Duration::from_nanos),
    ]
}

fn shares() -> impl Strategy<Value = f64> {
    let odd = [0.0, -0.0, -1.0, 1e-9, 0.5, 1.0, 1.000_001, f64::NAN, f64::INFINITY, f64::MIN];
    prop_oneof![prop::sample::select(odd.to_vec()), 0.0..1.0_f64]
}

fn counts() -> impl Strategy<Value = usize> {
    let odd = [0, 1, 2, 32, 33, 4_095, 4_096, u32::MAX as usize, usize::MAX];
    prop_oneof![prop::sample::select(odd.to_vec()), 1..200_usize]
}

/// One setting, changed, and what it is changed to.
struct Change {
    value: String,
    set: Box<dyn Fn(CircuitBreakerConfig) -> CircuitBreakerConfig>,
}

impl Change {
    fn make(&self, config: CircuitBreakerConfig) -> CircuitBreakerConfig {
        (self.set)(config)
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} makes it {:?}", self.value, self.make(CircuitBreakerConfig::new("x")))
    }
}

fn change() -> impl Strategy<Value = Change> {
    fn of<T: Clone + fmt::Debug + 'static>(
        values: impl Strategy<Value = T> + 'static,
        set: fn(CircuitBreakerConfig, T) -> CircuitBreakerConfig,
    ) -> BoxedStrategy<Change> {
        values
            .prop_map(move |value| Change {
                value: format!("{value:?}"),
                set: Box::new(move |config| set(config, value.clone())),
            })
            .boxed()
    }
    prop_oneof![
        of(counts(), |c, n| c.count_window(n)),
        of(spans(), |c, span| c.time_window(span)),
        of(shares(), |c, share| c.failure_ratio(share)),
        of(Just(()), |c, ()| c.no_failure_ratio()),
        of((spans(), shares()), |c, (span, share)| c.slow_calls(span, share)),
        of(any::<u16>(), |c, n| c.consecutive_failures(n)),
        of(any::<u16>(), |c, n| c.consecutive_slow_calls(n)),
        of(counts(), |c, n| c.failures(n as u32)),
        of(counts(), |c, n| c.min_calls(n as u32)),
        of(spans(), |c, span| c.cancel_counts_after(span)),
        of(spans(), |c, span| c.cool_down(span)),
        of(shares(), |c, share| c.cool_down_factor(share * 1_000.0)),
        of(spans(), |c, span| c.max_cool_down(span)),
        of(shares(), |c, share| c.jitter(share)),
        of(counts(), |c, n| c.probes(n)),
        of(spans(), |c, span| c.probe_lease(span)),
        of(prop::collection::vec(shares(), 0..8), |c, shares| c.ramp(shares)),
        of(spans(), |c, span| c.ramp_step(span)),
        of(any::<bool>(), |c, shadow| c.shadow(shadow)),
    ]
}

fn says_what_it_takes(error: &ConfigError) -> bool {
    !error.field().is_empty() && !error.value().is_empty() && !error.range().is_empty()
}

/// Fails, succeeds, hangs and is dropped, while time jumps; then a circuit must close again.
fn exercise(layer: &CircuitBreakerLayer, hand: &ManualClock) {
    let handle = layer.handle();
    let mut service = layer.layer(service_fn(|ok: bool| {
        ready(if ok { Ok(()) } else { Err::<(), BoxError>("down".into()) })
    }));
    let mut ask = |ok| {
        let mut caller = task::spawn(());
        assert!(caller.enter(|cx, _| Service::<bool>::poll_ready(&mut service, cx)).is_ready());
        task::spawn(service.call(ok))
    };
    for span in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(90_000)] {
        for ok in [false, true, false, false] {
            assert!(ask(ok).poll().is_ready());
            drop(ask(ok));
            hand.advance(span);
            handle.tick();
        }
        hand.set_back(span);
    }
    handle.force_open();
    assert!(
        matches!(ask(true).poll(), std::task::Poll::Ready(result) if result.is_err() || handle.snapshot().shadowed > 0)
    );
    handle.reset();
    let seen = handle.snapshot();
    assert_eq!((seen.state, seen.counts.total, seen.in_time), (Circuit::Closed, 0, 0));
    assert!(matches!(ask(true).poll(), std::task::Poll::Ready(Ok(()))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_breaker_of_any_settings_is_refused_or_works(changes in prop::collection::vec(change(), 1..6)) {
        let (clock, hand) = Clock::manual();
        let plain = || CircuitBreakerConfig::new("x").clock(clock.clone());
        match CircuitBreakerLayer::new(changes.iter().fold(plain(), |config, change| change.make(config))) {
            Ok(layer) => exercise(&layer, &hand),
            Err(error) => prop_assert!(says_what_it_takes(&error), "{error}"),
        }
        // The same, while it is in use: all of it is taken, or nothing changes.
        let layer = CircuitBreakerLayer::new(plain()).unwrap();
        for change in &changes {
            if let Err(error) = layer.handle().reconfigure(|config| change.make(config)) {
                prop_assert!(says_what_it_takes(&error), "{error}");
            }
        }
        exercise(&layer, &hand);
    }

    #[test]
    fn a_bulkhead_or_timeout_of_any_limit_is_refused_or_works(places in counts(), limit in spans()) {
        match BulkheadLayer::new(BulkheadConfig::new("x").limit(places)) {
            Ok(layer) => {
                let mut service = layer.layer(service_fn(|()| ready(Ok::<_, BoxError>(()))));
                let mut caller = task::spawn(());
                prop_assert!(caller.enter(|cx, _| Service::<()>::poll_ready(&mut service, cx)).is_ready());
                prop_assert!(task::spawn(service.call(())).poll().is_ready());
                prop_assert_eq!(layer.handle().snapshot().in_flight, 0);
            }
            Err(error) => prop_assert!(says_what_it_takes(&error), "{error}"),
        }
        match TimeoutLayer::new(TimeoutConfig::new("x").limit(limit)) {
            Ok(layer) => prop_assert_eq!(layer.handle().snapshot().limit, limit),
            Err(error) => prop_assert!(says_what_it_takes(&error), "{error}"),
        }
    }
}
