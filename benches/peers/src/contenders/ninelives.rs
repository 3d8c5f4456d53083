//! ninelives 0.2: breaker, bulkhead, timeout and retry as tower layers.
//!
//! Its breaker counts failures in a row and keeps no window. All its layers box their future, read
//! the clock, and send events to a sink; the sink here is the default one, which ignores them.
//! Retry has no budget. It calls a clone of the inner service rather than the one that was made
//! ready. It has no canary, no SLO and no kept answers. Settings are checked at construction.

use ninelives::{
    Backoff, BulkheadLayer, CircuitBreakerConfig, CircuitBreakerLayer, ResilienceError, RetryLayer,
    RetryPolicy, TimeoutLayer,
};
use tower::{Layer, ServiceBuilder};

use crate::backend::{Backend, Fault};
use crate::cases::{Case, Work};
use crate::drive::{Built, Contender};
use crate::terms;

/// ninelives.
#[derive(Debug)]
pub(super) struct NineLives;

impl Contender for NineLives {
    fn name(&self) -> &'static str {
        "ninelives"
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        match case.work {
            Work::BreakerCount => {
                let service = breaker(terms::FAILURES_IN_A_ROW, terms::STAYS_OPEN).layer(Backend);
                match case.failing_before {
                    0 => Built::less(case, service, "no window: failures in a row"),
                    _ => Built::same(case, service),
                }
            }
            Work::BreakerFlap => {
                Built::same(case, breaker(1, terms::OPEN_FOR_A_MOMENT).layer(Backend))
            }
            Work::Bulkhead => Built::same(case, bulkhead().layer(Backend)),
            Work::Timeout => Built::same(case, timeout(terms::ATTEMPT).layer(Backend)),
            Work::Retry => {
                let retry = retry::<Fault>(|_| false);
                Built::less(case, retry.layer(Backend), "no budget")
            }
            Work::Stack if case.failing_before == 0 => {
                let service = ServiceBuilder::new()
                    .layer(timeout(terms::DEADLINE))
                    .layer(retry::<ArmError>(timed_out))
                    .layer(breaker(terms::FAILURES_IN_A_ROW, terms::STAYS_OPEN))
                    .layer(bulkhead())
                    .layer(timeout(terms::ATTEMPT))
                    .service(Backend);
                let lacks = "only deadline, retry, breaker (no window), limit, attempt timeout";
                Built::less(case, service, lacks)
            }
            _ => None,
        }
    }
}

/// What the retry sees go wrong: each layer wraps the error of the one below.
type ArmError = ResilienceError<ResilienceError<ResilienceError<Fault>>>;

fn timed_out(error: &ArmError) -> bool {
    use ResilienceError::{Inner, Timeout};
    matches!(error, Inner(Inner(Timeout { .. })))
}

fn breaker(failures: u32, stays_open: std::time::Duration) -> CircuitBreakerLayer {
    let config = CircuitBreakerConfig::new(failures as usize, stays_open, 1).expect("valid");
    CircuitBreakerLayer::new(config).expect("valid")
}

fn bulkhead() -> BulkheadLayer {
    BulkheadLayer::new(terms::LIMIT).expect("valid")
}

fn timeout(after: std::time::Duration) -> TimeoutLayer {
    TimeoutLayer::new(after).expect("valid")
}

fn retry<E>(worth_it: fn(&E) -> bool) -> RetryLayer<E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let policy = RetryPolicy::builder()
        .max_attempts(terms::ATTEMPTS)
        .backoff(Backoff::exponential(terms::BACKOFF))
        .should_retry(worth_it);
    policy.build().expect("valid").into_layer()
}
