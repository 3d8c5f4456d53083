//! Metrics and log events, as a scraper and a subscriber see them.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer};
use seawall::bulkhead::{Gauge as PoolGauge, GaugeConfig};
use seawall::canary::{Canary, CanaryConfig};
use seawall::clock::Clock;
use seawall::error::{BoxError, Reason};
use seawall::event::{Circuit, Event, Kind};
use seawall::fallback::CachedConfig;
use seawall::key::Key as CacheKey;
use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
use seawall::outcome::ErrInDoubt;
use seawall::request::Marked;
use seawall::retry::RetryConfig;
use seawall::rollout::{Rollout, RolloutConfig};
use seawall::slo::{Objective, Slo};
use seawall::stack;
use seawall::stale::Answer;
use seawall::telemetry::{CATALOGUE, Metrics, Sampler, Tracing, Type};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Metrics, and the page that Prometheus would read.
fn page() -> (Metrics, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (Metrics::new().recorder(recorder), handle)
}

/// What a page says: series and value.
fn read(page: &PrometheusHandle) -> BTreeMap<String, f64> {
    let text = page.render();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[track_caller]
fn says(page: &PrometheusHandle, series: &str) -> f64 {
    let all = read(page);
    *all.get(series).unwrap_or_else(|| panic!("{series} is not among {:#?}", all.keys()))
}

#[derive(Clone, Copy)]
struct Id(u32);

impl Marked for Id {}

async fn client(id: u32) -> Result<Answer<u32>, BoxError> {
    if id == 0 { Err("503".into()) } else { Ok(Answer::fresh(id)) }
}

#[tokio::test(start_paused = true)]
async fn a_scrape_shows_calls_refusals_states_and_levels_of_a_whole_stack() {
    let (metrics, page) = page();
    let metrics = metrics.durations(true);
    let switch = KillSwitch::new(KillSwitchConfig::new("payments").observe(metrics.clone()));
    let stack = stack::payment("payments")
        .cached(CachedConfig::new("payments", |id: &Id| Some(CacheKey::of(&id.0))))
        .kill_switch(&switch)
        .retry(RetryConfig::new("payments").attempts(2), ErrInDoubt)
        .breaker(|config| config.consecutive_failures(5))
        .bulkhead(|config| config.limit(7))
        .observe(metrics.clone())
        .build()
        .unwrap();
    let handles = stack.handles();
    let slo = Slo::new(Objective::availability("checkout", 0.999).observe(metrics.clone()));
    let slo = slo.unwrap();
    let pool = PoolGauge::new(GaugeConfig::new("database").observe(metrics.clone()));
    let mut sampler = Sampler::new(&metrics);
    sampler.watch(handles.clone()).watch(slo.clone()).watch(pool.clone());
    let service = stack.service(service_fn(|id: Id| client(id.0)));
    let ask = |id: u32| service.clone().oneshot(Id(id));

    assert_eq!(says(&page, r#"seawall_breaker_state{name="payments",state="closed"}"#), 1.0);
    let refused =
        r#"seawall_refusals_total{name="payments",layer="breaker",reason="circuit_open"}"#;
    assert_eq!(says(&page, refused), 0.0, "it is there before the first refusal");

    for id in [1, 2, 3] {
        ask(id).await.unwrap();
    }
    for _ in 0..5 {
        ask(0).await.unwrap_err();
    }
    assert_eq!(handles.breaker.snapshot().state, Circuit::Open);
    assert!(ask(2).await.unwrap().stale.is_some());
    ask(9).await.unwrap_err();
    switch.flip(Mode::Halt, "alice", "drill");
    assert!(ask(3).await.unwrap().stale.is_some());

    for _ in 0..998 {
        slo.record(true);
    }
    slo.record(false);
    slo.record(false);
    tokio::time::advance(Duration::from_secs(6)).await;
    slo.tick();
    for _ in 0..=100 {
        pool.read(9, 10);
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    sampler.sample();
    sampler.sample();

    let series = [
        (r#"seawall_calls_total{name="payments",layer="breaker",outcome="success"}"#, 3.0),
        (r#"seawall_calls_total{name="payments",layer="breaker",outcome="failure"}"#, 5.0),
        (r#"seawall_calls_total{name="payments",layer="fallback",outcome="success"}"#, 3.0),
        (refused, 2.0),
        (r#"seawall_refusals_total{name="payments",layer="kill_switch",reason="halted"}"#, 1.0),
        (r#"seawall_breaker_state{name="payments",state="open"}"#, 1.0),
        (r#"seawall_breaker_state{name="payments",state="closed"}"#, 0.0),
        (
            r#"seawall_breaker_transitions_total{name="payments",from="closed",to="open",reason="consecutive_failures"}"#,
            1.0,
        ),
        (r#"seawall_bulkhead_in_flight{name="payments"}"#, 0.0),
        (r#"seawall_bulkhead_limit{name="payments"}"#, 7.0),
        (r#"seawall_bulkhead_utilization_ratio{name="payments"}"#, 0.0),
        (r#"seawall_retry_attempts_total{name="payments"}"#, 0.0),
        (r#"seawall_cache_answers_total{name="payments",state="fresh"}"#, 3.0),
        (r#"seawall_cache_answers_total{name="payments",state="stale"}"#, 2.0),
        (r#"seawall_cache_answers_total{name="payments",state="none"}"#, 6.0),
        (r#"seawall_cache_entries{name="payments"}"#, 3.0),
        (r#"seawall_kill_switch_position{name="payments",position="halt"}"#, 1.0),
        (r#"seawall_kill_switch_flips_total{name="payments",to="halt"}"#, 1.0),
        (r#"seawall_slo_calls_total{slo="checkout"}"#, 1_000.0),
        (r#"seawall_slo_bad_calls_total{slo="checkout"}"#, 2.0),
        (r#"seawall_slo_budget_remaining_ratio{slo="checkout"}"#, -1.0),
        (r#"seawall_pool_in_use{name="database"}"#, 9.0),
        (r#"seawall_pool_utilization_ratio{name="database"}"#, 0.9),
        (r#"seawall_saturated{name="database",layer="pool"}"#, 1.0),
        (r#"seawall_hook_panics_total{name="payments",layer="breaker"}"#, 0.0),
    ];
    for (series, value) in series {
        assert_eq!(says(&page, series), value, "{series}");
    }
    assert!(says(&page, r#"seawall_slo_burn_rate{slo="checkout",window="5m"}"#) > 0.0);
    assert!(says(&page, r#"seawall_cache_bytes{name="payments"}"#) > 0.0);
    assert!(says(&page, r#"seawall_retry_budget_ratio{name="payments"}"#) > 0.0);

    // What is scraped is what the catalogue says, name, type and labels.
    let text = page.render();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let metric = CATALOGUE.iter().find(|metric| metric.name == name);
            let metric = metric.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
            // Without buckets a histogram is exported as a summary.
            let kind = if kind == "summary" { "histogram" } else { kind };
            assert_eq!(metric.kind.as_str(), kind, "{name}");
            assert!(text.contains(&format!("# HELP {name} {}", metric.help)), "{name}");
        }
    }
    for series in read(&page).keys() {
        let (name, labels) = series.split_once('{').unwrap();
        let metric = CATALOGUE.iter().find(|metric| name.starts_with(metric.name)).unwrap();
        let keys = labels.trim_end_matches('}').split(',').map(|pair| pair.split('=').next());
        let keys: Vec<_> = keys.map(Option::unwrap).filter(|key| *key != "quantile").collect();
        assert_eq!(keys, metric.labels, "{series}");
    }
}

#[tokio::test(start_paused = true)]
async fn durations_are_recorded_only_where_they_are_asked_for() {
    for asked in [true, false] {
        let (metrics, page) = page();
        let config = CircuitBreakerConfig::new("x").observe(metrics.durations(asked));
        let layer = CircuitBreakerLayer::new(config).unwrap();
        let service = layer.layer(service_fn(|(): ()| async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            Ok::<_, BoxError>(())
        }));
        service.oneshot(()).await.unwrap();
        let sum = r#"seawall_call_duration_seconds_sum{name="x",outcome="success"}"#;
        let got = read(&page).get(sum).copied();
        if asked {
            let took = got.unwrap();
            assert!((took - 0.12).abs() < 0.002, "{took}");
        } else {
            assert_eq!(got, None);
        }
    }
}

#[tokio::test]
async fn without_calls_a_healthy_call_reports_nothing_and_refusals_are_counted_still() {
    let (metrics, page) = page();
    let config = CircuitBreakerConfig::new("x").observe(metrics.calls(false));
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let service = layer.layer(service_fn(|(): ()| ready(Ok::<_, BoxError>(()))));
    service.clone().oneshot(()).await.unwrap();
    layer.handle().force_open();
    service.oneshot(()).await.unwrap_err();
    let all = read(&page);
    assert!(all.keys().all(|series| !series.starts_with("seawall_calls_total")), "{all:?}");
    let refused = r#"seawall_refusals_total{name="x",layer="breaker",reason="forced_open"}"#;
    assert_eq!(all[refused], 1.0);
}

/// The states of a circuit that are said to hold.
fn holding(page: &PrometheusHandle) -> Vec<String> {
    let all = read(page);
    let states = all.iter().filter(|(series, _)| series.starts_with("seawall_breaker_state"));
    states.filter(|(_, value)| **value == 1.0).map(|(series, _)| series.clone()).collect()
}

#[test]
fn exactly_one_state_of_a_circuit_holds_after_each_step() {
    let (metrics, page) = page();
    let config = CircuitBreakerConfig::new("x").observe(metrics);
    let handle = CircuitBreakerLayer::new(config).unwrap().handle();
    type Order = fn(&CircuitBreakerHandle);
    let orders: [(Order, &str); 4] = [
        (CircuitBreakerHandle::force_open, "forced_open"),
        (CircuitBreakerHandle::force_close, "forced_closed"),
        (CircuitBreakerHandle::disable, "disabled"),
        (CircuitBreakerHandle::reset, "closed"),
    ];
    for (order, state) in orders {
        order(&handle);
        let want = format!(r#"seawall_breaker_state{{name="x",state="{state}"}}"#);
        assert_eq!(holding(&page), [want]);
    }
}

#[test]
fn transitions_that_overtake_each_other_leave_the_newest_state() {
    let (metrics, page) = page();
    let config = CircuitBreakerConfig::new("x").observe(metrics);
    let handle = CircuitBreakerLayer::new(config).unwrap().handle();
    for _ in 0..200 {
        std::thread::scope(|scope| {
            for order in [
                CircuitBreakerHandle::force_open,
                CircuitBreakerHandle::force_close,
                CircuitBreakerHandle::disable,
            ] {
                let handle = &handle;
                scope.spawn(move || order(handle));
            }
        });
        let state = handle.snapshot().state;
        let want = format!(r#"seawall_breaker_state{{name="x",state="{state}"}}"#);
        assert_eq!(holding(&page), [want]);
    }
}

#[test]
fn a_rollback_that_was_only_rehearsed_is_counted_as_that_and_pages_nobody() {
    for (dry_run, want) in [(true, [0.0, 1.0]), (false, [1.0, 0.0])] {
        let (metrics, page) = page();
        let canary = Canary::new(CanaryConfig::new("payments-v2").only_watch(dry_run)).unwrap();
        let config = RolloutConfig::new("payments").dry_run(dry_run).observe(metrics);
        let rollout = Rollout::new(config, canary.handle()).unwrap();
        rollout.start("deploy-1", "v2").unwrap();
        rollout.abort("alice", "wrong").unwrap();
        let counted = ["decided", "dry_run"].map(|result| {
            says(&page, &format!(r#"seawall_rollbacks_total{{name="payments",result="{result}"}}"#))
        });
        assert_eq!(counted, want, "dry run: {dry_run}");
    }
}

/// A recorder that notes units, and keeps nothing.
#[derive(Clone, Default)]
struct Units(Arc<Mutex<BTreeMap<String, Option<metrics::Unit>>>>);

impl Units {
    fn note(&self, name: KeyName, unit: Option<metrics::Unit>) {
        self.0.lock().unwrap().insert(name.as_str().to_owned(), unit);
    }
}

impl Recorder for Units {
    fn describe_counter(&self, name: KeyName, unit: Option<metrics::Unit>, _: SharedString) {
        self.note(name, unit);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<metrics::Unit>, _: SharedString) {
        self.note(name, unit);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<metrics::Unit>, _: SharedString) {
        self.note(name, unit);
    }
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// An exporter may put a unit into a name. `_seconds` and `_bytes` are there already; of a gauge whose unit
/// is 1 some make `_ratio`, and a count is none.
#[test]
fn units_are_told_where_the_name_has_them_already_and_nowhere_else() {
    let units = Units::default();
    let _ = Sampler::new(&Metrics::new().recorder(units.clone()));
    let told = units.0.lock().unwrap();
    assert_eq!(told.len(), CATALOGUE.len());
    for (name, unit) in &*told {
        let want = match name.trim_end_matches("_total").rsplit('_').next() {
            Some("seconds") => Some(metrics::Unit::Seconds),
            Some("bytes") => Some(metrics::Unit::Bytes),
            _ => None,
        };
        assert_eq!(*unit, want, "{name}");
    }
}

// ---- recorders that misbehave ----

/// Where a [`Hostile`] recorder misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Registration,
    Use,
}

/// A recorder that does `what` at each registration, or at each use of what it registered.
struct Hostile {
    at: At,
    what: Arc<dyn Fn() + Send + Sync>,
}

struct HostileHandle(Arc<dyn Fn() + Send + Sync>);

impl CounterFn for HostileHandle {
    fn increment(&self, _: u64) {
        (self.0)();
    }
    fn absolute(&self, _: u64) {
        (self.0)();
    }
}

impl GaugeFn for HostileHandle {
    fn increment(&self, _: f64) {
        (self.0)();
    }
    fn decrement(&self, _: f64) {
        (self.0)();
    }
    fn set(&self, _: f64) {
        (self.0)();
    }
}

impl Hostile {
    fn handle(&self) -> Option<Arc<HostileHandle>> {
        match self.at {
            At::Use => Some(Arc::new(HostileHandle(Arc::clone(&self.what)))),
            At::Registration => {
                (self.what)();
                None
            }
        }
    }
}

impl Recorder for Hostile {
    fn describe_counter(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {
        (self.what)();
    }
    fn describe_gauge(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.handle().map_or_else(Counter::noop, Counter::from_arc)
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.handle().map_or_else(Gauge::noop, Gauge::from_arc)
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The life of a circuit, observed by `metrics`: answers, failures, refusals, and back.
async fn lives(config: CircuitBreakerConfig) -> CircuitBreakerHandle {
    let layer = CircuitBreakerLayer::new(config.consecutive_failures(3)).unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(service_fn(|id: u32| client(id)));
    for _ in 0..5 {
        assert_eq!(service.ready().await.unwrap().call(7).await.unwrap().value, 7);
    }
    for _ in 0..3 {
        service.ready().await.unwrap().call(0).await.unwrap_err();
    }
    assert_eq!(handle.snapshot().state, Circuit::Open);
    service.ready().await.unwrap().call(7).await.unwrap_err();
    handle.reset();
    assert_eq!(service.ready().await.unwrap().call(7).await.unwrap().value, 7);
    handle
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_changes_nothing_about_calls() {
    for at in [At::Registration, At::Use] {
        let what = Arc::new(|| panic!("on purpose"));
        let metrics = Metrics::new().recorder(Hostile { at, what });
        let mut sampler = Sampler::new(&metrics);
        let handle = lives(CircuitBreakerConfig::new("x").observe(metrics)).await;
        let caught = handle.observer_panics();
        assert_eq!(caught > 0, at == At::Use, "{at:?}: {caught}");
        sampler.watch(handle);
        sampler.sample();
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_not_there_changes_nothing_about_calls() {
    // No test in this file installs one for the process.
    let metrics = Metrics::new();
    let mut sampler = Sampler::new(&metrics);
    let handle = lives(CircuitBreakerConfig::new("x").observe(metrics)).await;
    assert_eq!(handle.observer_panics(), 0);
    sampler.watch(handle);
    sampler.sample();
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_calls_back_does_not_deadlock() {
    for at in [At::Registration, At::Use] {
        let reach = Arc::new(OnceLock::<CircuitBreakerHandle>::new());
        let (inner, depth) = (Arc::clone(&reach), AtomicU64::new(0));
        let what = Arc::new(move || {
            let Some(handle) = inner.get() else { return };
            // What it does is reported too: once round is enough.
            if depth.fetch_add(1, Ordering::Relaxed) == 0 {
                handle.reconfigure(|config| config.failure_ratio(0.7)).unwrap();
                handle.force_open();
                handle.reset();
                let _ = handle.snapshot();
            }
            depth.fetch_sub(1, Ordering::Relaxed);
        });
        let metrics = Metrics::new().recorder(Hostile { at, what });
        let mut sampler = Sampler::new(&metrics);
        let config = CircuitBreakerConfig::new("x").observe(metrics).consecutive_failures(3);
        let layer = CircuitBreakerLayer::new(config).unwrap();
        let handle = layer.handle();
        assert!(reach.set(layer.handle()).is_ok());
        sampler.watch(layer.handle());
        let mut service = layer.layer(service_fn(|id: u32| client(id)));
        for id in [1, 0, 0, 0, 2, 0, 3] {
            let _ = service.ready().await.unwrap().call(id).await;
            sampler.sample();
        }
        assert_eq!(handle.observer_panics(), 0);
    }
}

/// What hangs once, after it is armed, until it is let go.
struct Trap {
    armed: Arc<AtomicU64>,
    entered: std::sync::mpsc::Receiver<()>,
    let_go: std::sync::mpsc::Sender<()>,
}

impl Trap {
    fn new() -> (Self, Arc<dyn Fn() + Send + Sync>) {
        let (enter, entered) = std::sync::mpsc::channel();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let (held, armed) = (Mutex::new(held), Arc::new(AtomicU64::new(0)));
        let trap = Arc::clone(&armed);
        let what = Arc::new(move || {
            if trap.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                enter.send(()).unwrap();
                let _ = held.lock().map(|held| held.recv());
            }
        });
        (Self { armed, entered, let_go }, what)
    }

    fn arm(&self) {
        self.armed.store(1, Ordering::SeqCst);
    }
}

#[test]
fn a_slow_recorder_holds_up_nobody_else() {
    let (trap, what) = Trap::new();
    let metrics = Metrics::new().recorder(Hostile { at: At::Use, what });
    let config = CircuitBreakerConfig::new("x").observe(metrics).consecutive_failures(9);
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let handle = layer.handle();
    let service = layer.layer(service_fn(|id: u32| client(id)));
    let ask = |id| tokio_test::block_on(service.clone().oneshot(id));
    std::thread::scope(|scope| {
        trap.arm();
        let slow = service.clone();
        let first = scope.spawn(move || tokio_test::block_on(slow.oneshot(7)).unwrap().value);
        trap.entered.recv().unwrap();
        assert_eq!(ask(8).unwrap().value, 8);
        handle.force_open();
        ask(8).unwrap_err();
        handle.reset();
        assert_eq!(ask(8).unwrap().value, 8);
        drop(trap.let_go);
        assert_eq!(first.join().unwrap(), 7);
    });
}

/// A circuit whose every call is slow: a metric of its own, that is registered with the first.
fn slow_calls(metrics: &Metrics) -> impl Fn() + Clone + Send + Sync + 'static {
    let (clock, hand) = Clock::manual();
    let config = CircuitBreakerConfig::new("x").slow_calls(Duration::from_secs(1), 1.0);
    let config = config.time_window(Duration::from_secs(10)).min_calls(100);
    let config = config.clock(clock).observe(metrics.clone());
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let service = layer.layer(service_fn(move |()| {
        hand.advance(Duration::from_secs(2));
        ready(Ok::<(), BoxError>(()))
    }));
    move || {
        let answered = futures::FutureExt::now_or_never(service.clone().oneshot(()));
        answered.expect("it answers at once").unwrap();
    }
}

type Work = Box<dyn Fn() + Send + Sync>;

/// Runs `work` on a thread of its own, and fails if it doesn't come to an end.
#[track_caller]
fn ends(work: impl FnOnce() + Send + 'static) {
    let (tell, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        work();
        tell.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(30)).expect("it hangs, or panicked");
}

#[test]
fn a_recorder_that_makes_a_call_while_it_registers_does_not_deadlock() {
    let call: Arc<OnceLock<Work>> = Arc::default();
    let (inner, depth) = (Arc::clone(&call), AtomicU64::new(0));
    let what = Arc::new(move || {
        let Some(call) = inner.get() else { return };
        if depth.fetch_add(1, Ordering::Relaxed) == 0 {
            call();
        }
    });
    let metrics = Metrics::new().recorder(Hostile { at: At::Registration, what });
    let made = slow_calls(&metrics);
    assert!(call.set(Box::new(made.clone())).is_ok());
    ends(made);
}

#[test]
fn a_recorder_that_hangs_while_it_registers_holds_up_nobody_else() {
    let (trap, what) = Trap::new();
    let metrics = Metrics::new().recorder(Hostile { at: At::Registration, what });
    let call = slow_calls(&metrics);
    trap.arm();
    let first = std::thread::spawn(call.clone());
    trap.entered.recv().unwrap();
    ends(call);
    drop(trap.let_go);
    first.join().unwrap();
}

#[test]
fn no_label_is_built_and_nothing_registered_for_a_call() {
    let registered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&registered);
    let what = Arc::new(move || _ = count.fetch_add(1, Ordering::Relaxed));
    let metrics = Metrics::new().recorder(Hostile { at: At::Registration, what });
    let slow = slow_calls(&metrics.clone().durations(true));
    let stack = stack::payment("payments")
        .cached(CachedConfig::new("payments", |id: &u32| Some(CacheKey::of(id))))
        .bulkhead(|config| config.limit(1))
        .observe(metrics.durations(true))
        .build()
        .unwrap();
    let service = stack.service(service_fn(|id: u32| client(id)));
    let round = || {
        for id in [1, 0, 2] {
            let _ = tokio_test::block_on(service.clone().oneshot(id));
        }
        stack.handles().breaker.force_open();
        let _ = tokio_test::block_on(service.clone().oneshot(1));
        let _ = tokio_test::block_on(service.clone().oneshot(3));
        slow();
    };
    round();
    stack.handles().breaker.reset();
    let before = registered.load(Ordering::Relaxed);
    assert!(before > 20, "{before}");
    for id in (0..1_000).map(|n| n % 3) {
        let _ = tokio_test::block_on(service.clone().oneshot(id));
        slow();
    }
    // A circuit that changes its state is rare: it may.
    let transitions = stack.handles().breaker.snapshot().generation;
    let after = registered.load(Ordering::Relaxed);
    assert!(after - before <= u64::from(transitions), "{before}, {after}");
}

#[test]
fn every_reason_has_its_label() {
    let labels: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
    for (at, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, at, "{reason} is in its place");
    }
}

// ---- log events ----

mod log {
    use super::*;
    use tracing::field::{Field, Visit};
    use tracing::subscriber::with_default;
    use tracing::{Level, Subscriber};
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::registry::Registry;

    use seawall::event::{Gravity, Notice, Turn};
    use seawall::notify::{Log, Notifier, NotifierConfig};

    const MOMENT: Duration = Duration::from_millis(1);

    type Line = BTreeMap<String, String>;

    #[derive(Default)]
    struct Fields(Line);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.insert(field.name().to_owned(), format!("{value:?}"));
        }
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name().to_owned(), value.to_owned());
        }
    }

    /// Keeps what it is told, and does `then` at each.
    struct Keeps<F> {
        lines: Arc<Mutex<Vec<(Level, Line)>>>,
        then: F,
    }

    impl<S: Subscriber, F: Fn() + 'static> tracing_subscriber::Layer<S> for Keeps<F> {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            self.lines.lock().unwrap().push((*event.metadata().level(), fields.0));
            (self.then)();
        }
    }

    /// What is logged while `work` runs.
    fn logged(then: impl Fn() + Send + Sync + 'static, work: impl FnOnce()) -> Vec<(Level, Line)> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let layer = Keeps { lines: Arc::clone(&lines), then };
        with_default(Registry::default().with(layer), work);
        std::mem::take(&mut *lines.lock().unwrap())
    }

    #[test]
    fn each_event_is_one_line_with_its_runbook_and_calls_are_none() {
        let lines = logged(
            || {},
            || {
                let config = CircuitBreakerConfig::new("payments").observe(Tracing::new());
                tokio_test::block_on(lives(config));
            },
        );
        let got: Vec<_> =
            lines.iter().map(|(level, line)| (*level, line["event"].as_str())).collect();
        assert_eq!(got, [(Level::WARN, "circuit_opened"), (Level::INFO, "circuit_closed")]);
        let opened = &lines[0].1;
        assert_eq!(opened["layer"], "breaker");
        assert_eq!(opened["name"], "payments");
        assert_eq!(opened["runbook"], "guide/runbook/circuit_open/index.html");
        assert_eq!(opened["message"], "payments: the circuit opened, 3 calls in a row failed");
    }

    #[test]
    fn what_fails_users_is_an_error() {
        let lines = logged(
            || {},
            || {
                let (clock, hand) = Clock::manual();
                let pool = PoolGauge::new(
                    GaugeConfig::new("database").clock(clock).observe(Tracing::new()),
                );
                for _ in 0..120 {
                    pool.read(10, 10);
                    pool.turned_away();
                    hand.advance(Duration::from_millis(100));
                }
            },
        );
        let got: Vec<_> =
            lines.iter().map(|(level, line)| (*level, line["event"].as_str())).collect();
        assert_eq!(got, [(Level::ERROR, "exhausted"), (Level::WARN, "saturated")]);
    }

    #[test]
    fn an_alert_is_one_line_in_the_log_and_so_is_its_end() {
        let tell = || {
            let config = NotifierConfig::new().channel(Log::new());
            let notifier = Notifier::new(config.gap(MOMENT, MOMENT)).unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let sent = |times| {
                let notifier = &notifier;
                async move {
                    while notifier.standing()[0].sent < times {
                        tokio::time::sleep(MOMENT).await;
                    }
                }
            };
            runtime.enable_time().build().unwrap().block_on(async {
                for (turn, times) in [(Turn::Begins, 1), (Turn::Ends, 2)] {
                    notifier.tell(&Notice::new("disk", turn, Gravity::Critical, "it is full"));
                    tokio::select! {
                        () = notifier.drive() => {}
                        () = sent(times) => {}
                    }
                }
            });
        };
        // Each on a thread of its own, and yet to the subscriber that was current here.
        let lines = logged(|| {}, tell);
        let got: Vec<_> = lines
            .iter()
            .map(|(level, line)| (*level, line["subject"].as_str(), line["state"].as_str()))
            .collect();
        assert_eq!(got, [(Level::ERROR, "disk", "firing"), (Level::INFO, "disk", "cleared")]);
        assert_eq!((&*lines[0].1["severity"], &*lines[0].1["message"]), ("critical", "it is full"));
    }

    #[test]
    fn a_subscriber_that_calls_back_does_not_deadlock() {
        let reach = Arc::new(OnceLock::<CircuitBreakerHandle>::new());
        let inner = Arc::clone(&reach);
        let then = move || {
            if let Some(handle) = inner.get() {
                handle.reconfigure(|config| config.failure_ratio(0.7)).unwrap();
                handle.force_close();
                let _ = handle.snapshot();
            }
        };
        let lines = logged(then, || {
            let config = CircuitBreakerConfig::new("x").observe(Tracing::new());
            let layer = CircuitBreakerLayer::new(config).unwrap();
            assert!(reach.set(layer.handle()).is_ok());
            layer.handle().force_open();
            assert_eq!(layer.handle().snapshot().state, Circuit::ForcedClosed, "it was heard");
            assert_eq!(layer.handle().observer_panics(), 0);
        });
        assert!(!lines.is_empty());
    }

    #[test]
    fn a_subscriber_that_panics_or_is_not_there_changes_nothing() {
        logged(
            || panic!("on purpose"),
            || {
                let config = CircuitBreakerConfig::new("x").observe(Tracing::new());
                let handle = tokio_test::block_on(lives(config));
                assert!(handle.observer_panics() > 0);
            },
        );
        let config = CircuitBreakerConfig::new("x").observe(Tracing::new());
        let handle = tokio_test::block_on(lives(config));
        assert_eq!(handle.observer_panics(), 0);
    }
}

#[test]
fn an_observer_that_panics_when_it_is_attached_hears_nothing_and_the_layer_is_built() {
    struct Panics;
    impl seawall::event::Observe for Panics {
        fn attach(
            self: Arc<Self>,
            _: seawall::error::Room,
            _: &'static str,
        ) -> Option<Box<dyn seawall::event::Sink>> {
            panic!("on purpose")
        }
    }
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    let config = CircuitBreakerConfig::new("x").observe(Panics).observe(move |event: &Event| {
        if let Kind::Transition(_) = event.kind {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let handle = CircuitBreakerLayer::new(config).unwrap().handle();
    assert_eq!(handle.observer_panics(), 1);
    handle.force_open();
    assert_eq!(heard.load(Ordering::Relaxed), 1, "the others hear all");
}

#[test]
fn metrics_of_all_types_are_in_the_catalogue() {
    for kind in [Type::Counter, Type::Gauge, Type::Histogram] {
        assert!(CATALOGUE.iter().any(|metric| metric.kind == kind));
    }
}
