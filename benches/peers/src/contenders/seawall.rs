//! This library: breaker, bulkhead, timeout, retry, kept answers, canary split, objective, kill switch and
//! metrics.
//!
//! All on the system's clock. A single room is put around the backend as its documentation says; kept
//! answers and the whole stack are the preset's, which shares readings of the clock among its layers.
//! The preset's parts that a case has no use for are left out.

use metrics_exporter_prometheus::PrometheusBuilder;
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::canary::{Canary, CanaryConfig, CanaryHandle, Split};
use seawall::clock::Clock;
use seawall::error::Error;
use seawall::fallback::CachedConfig;
use seawall::http::KeyRules;
use seawall::key::Key;
use seawall::kill_switch::{KillSwitch, KillSwitchConfig};
use seawall::outcome::{ByResult, Outcome};
use seawall::ratio::Ratio;
use seawall::request::{Ask, Marked, Operation};
use seawall::retry::{RetryConfig, RetryLayer};
use seawall::slo::{Objective, Slo, SloLayer};
use seawall::stack::{self, LiftLayer};
use seawall::stale::{MarkStale, Staleness};
use seawall::telemetry::Metrics;
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::SEAWALL;
use crate::backend::{Answer, Backend, Fault, Request};
use crate::cases::{Case, Work};
use crate::drive::{Built, Contender};
use crate::terms;

/// seawall.
#[derive(Debug)]
pub(super) struct Seawall;

/// What every layer here is given.
pub(crate) const CLOCK: Clock = Clock::system();

impl MarkStale for Answer {
    fn mark_stale(self, _: Staleness) -> Self {
        Self { stale: true, ..self }
    }
}

/// A read: it may be made again.
impl Marked for Request {
    fn operation(&self) -> Operation {
        Operation::Read
    }
}

impl Contender for Seawall {
    fn name(&self) -> &'static str {
        SEAWALL
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        let backend = LiftLayer.layer(Backend);
        match case.work {
            Work::BreakerCount => Built::same(case, breaker(count_window()).layer(backend)),
            Work::BreakerTime => Built::same(case, breaker(time_window()).layer(backend)),
            Work::BreakerFlap => {
                let moment = terms::OPEN_FOR_A_MOMENT;
                let config = count_window().cool_down(moment).max_cool_down(moment).probes(1);
                Built::same(case, breaker(config).layer(backend))
            }
            Work::Bulkhead => {
                let layer = BulkheadLayer::new(bulkhead()).expect("valid");
                Built::same(case, layer.layer(backend))
            }
            Work::Timeout => {
                let config = TimeoutConfig::new("cost").limit(terms::ATTEMPT).clock(CLOCK);
                Built::same(case, TimeoutLayer::new(config).expect("valid").layer(backend))
            }
            Work::Retry => {
                let layer = RetryLayer::new(RetryConfig::new("cost").clock(CLOCK)).expect("valid");
                Built::same(case, layer.layer(backend))
            }
            Work::Metrics => {
                let metrics = Metrics::new().recorder(PrometheusBuilder::new().build_recorder());
                Built::same(case, breaker(count_window().observe(metrics)).layer(backend))
            }
            Work::Canary => {
                let config = CanaryConfig::new("cost").errors_only(terms::ATTEMPT);
                Built::same(case, split(config, backend))
            }
            Work::CanaryMeasured => Built::same(case, split(CanaryConfig::new("cost"), backend)),
            Work::Slo => Built::same(case, slo().layer(backend)),
            Work::StaleAnswer => {
                let stack = stack::payment("cost")
                    .cached(CachedConfig::new("cost", key))
                    .breaker(|_| count_window())
                    .no_bulkhead()
                    .no_timeout()
                    .no_ready_in_call()
                    .clock(CLOCK);
                Built::same(case, stack.build().expect("valid").service(Backend))
            }
            Work::HttpKey => Built::same(case, http_key()),
            Work::Stack => {
                let switch = KillSwitch::new(KillSwitchConfig::new("cost").clock(CLOCK));
                let canary = CanaryConfig::new("cost-canary").errors_only(terms::ATTEMPT);
                let stack = stack::payment("cost")
                    .slo(objective(), ByResult)
                    .cached(CachedConfig::new("cost", |ask: &Ask<Request>| key(&ask.value)))
                    .kill_switch(&switch)
                    .deadline(terms::DEADLINE)
                    .canary(canary, |canary| canary)
                    .retry(RetryConfig::new("cost"), not_worth_a_retry)
                    .breaker(|_| time_window())
                    .bulkhead(|_| bulkhead())
                    .timeout(terms::ATTEMPT)
                    .clock(CLOCK);
                let stack = stack.build().expect("valid");
                give_a_twentieth(&stack.handles().canary.comparison);
                // The request has no room for a deadline and an attempt's number: `Ask` has.
                let backend = Backend.map_request(Ask::into_inner);
                let stack = stack.split(backend.clone(), backend);
                Built::same(case, stack.map_request(Ask::read))
            }
            _ => None,
        }
    }
}

fn breaker(config: CircuitBreakerConfig) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new(config).expect("valid")
}

fn count_window() -> CircuitBreakerConfig {
    let config = CircuitBreakerConfig::new("cost").count_window(terms::WINDOW);
    config
        .min_calls(terms::WINDOW as u32)
        .failure_ratio(terms::FAILURE_RATE)
        .cool_down(terms::STAYS_OPEN)
        .max_cool_down(terms::STAYS_OPEN)
        .jitter(0.0)
        .clock(CLOCK)
}

/// With every rule that looks at the clock: slow calls and hung ones.
fn time_window() -> CircuitBreakerConfig {
    count_window()
        .time_window(terms::SPAN)
        .slow_calls(terms::SLOW, terms::FAILURE_RATE)
        .consecutive_slow_calls(50)
        .consecutive_failures(20)
}

fn bulkhead() -> BulkheadConfig {
    BulkheadConfig::new("cost").limit(terms::LIMIT).clock(CLOCK)
}

/// Two versions that are the same one, the canary with a twentieth of the calls.
fn split<S: Clone>(config: CanaryConfig, backend: S) -> Split<S, S> {
    let canary = Canary::new(config.clock(CLOCK)).expect("valid");
    give_a_twentieth(&canary.handle());
    canary.split(backend.clone(), backend)
}

fn give_a_twentieth(canary: &CanaryHandle) {
    assert!(canary.set_weight(Ratio::from_ppm(50_000).expect("a share")));
}

fn objective() -> Objective {
    Objective::availability("cost", 0.999).clock(CLOCK)
}

fn slo() -> SloLayer {
    SloLayer::new(&Slo::new(objective()).expect("valid"))
}

/// As the backend says of its error.
fn not_worth_a_retry(result: Result<&Answer, &Error<Fault>>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { Outcome::Ignored }
}

fn key(request: &Request) -> Option<Key> {
    Some(Key::of(&request.key))
}

/// The backend, and before each call the key of a request as a browser's or a service's may look.
fn http_key()
-> impl tower::Service<Request, Response = Answer, Error: Send, Future: Send> + Clone + Send {
    let rules = KeyRules::new();
    let asked = http::Request::get("https://pay.example/v1/accounts/5ea-a11/balance?currency=EUR")
        .header("accept", "application/json")
        .header("authorization", "Bearer 0123456789abcdef0123456789abcdef")
        .header("user-agent", "checkout/1.0")
        .body(())
        .expect("valid");
    let key = move |request: Request| {
        std::hint::black_box(rules.key(std::hint::black_box(&asked)));
        request
    };
    ServiceBuilder::new().map_request(key).service(Backend)
}
