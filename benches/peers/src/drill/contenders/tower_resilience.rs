//! tower-resilience 0.13, in the order that its guide gives: fallback, retry with budget, breaker, bulkhead,
//! time limiter.
//!
//! The breaker is its fast-fail preset (a quarter of the calls, 20 calls, one probe, 10 s open), over a time
//! window of 10 s and with slow calls counted: its count window is none that slides. It keeps no
//! answers; behind its fallback stands the map that a careful user would write. Where its wait is tuned by
//! hand it is 1 s: no preset and no guide of it says so.

use std::sync::Arc;
use std::time::Duration;

use tower::{Layer, Service, ServiceBuilder};
use tower_resilience::bulkhead::{BulkheadLayer, BulkheadServiceError};
use tower_resilience::circuitbreaker::{
    CircuitBreakerError, CircuitBreakerLayer, SlidingWindowType,
};
use tower_resilience::fallback::FallbackLayer;
use tower_resilience::retry::{ExponentialRandomBackoff, RetryBudgetBuilder, RetryLayer};
use tower_resilience::timelimiter::{TimeLimiterError, TimeLimiterLayer};

use super::split::Split;
use super::{ATTEMPT, ATTEMPTS, Answer, BACKOFF, Client, LIMIT, Request, Site, Through};
use crate::contenders::StaleMap;
use crate::drill::downstream::{Failed, Kind};

type Refused = CircuitBreakerError<BulkheadServiceError<TimeLimiterError<Failed>>>;

const FAST_FAIL: Duration = Duration::from_secs(10);
const TUNED: Duration = Duration::from_secs(1);

pub(super) fn make(site: &Site, _: usize) -> Box<dyn Client> {
    Through::boxed(guarded(site, FAST_FAIL))
}

pub(super) fn make_with_map(site: &Site, _: usize) -> Box<dyn Client> {
    with_map(site, FAST_FAIL)
}

pub(super) fn make_tuned(site: &Site, _: usize) -> Box<dyn Client> {
    with_map(site, TUNED)
}

fn guarded(
    site: &Site,
    open: Duration,
) -> impl Service<Request, Response = Answer, Error = Refused, Future: Send> + Clone + Send + 'static
{
    let breaker = CircuitBreakerLayer::fast_fail()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(Duration::from_secs(10))
        .minimum_number_of_calls(20)
        .slow_call_duration_threshold(ATTEMPT / 2)
        .slow_call_rate_threshold(0.25)
        .wait_duration_in_open(open)
        // A full bulkhead is not the service's failure.
        .failure_classifier(|result: &Result<Answer, BulkheadServiceError<_>>| {
            matches!(result, Err(BulkheadServiceError::Inner(_)))
        })
        .build()
        .expect("valid");
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(LIMIT).reject_when_full();
    let budget = RetryBudgetBuilder::new().token_bucket().tokens_per_second(50.0).max_tokens(50);
    let retry = RetryLayer::<Request, Answer, Refused>::builder()
        .max_attempts_fn(|request: &Request| if request.may_repeat() { ATTEMPTS } else { 1 })
        .backoff(ExponentialRandomBackoff::new(BACKOFF, 0.5).expect("valid"))
        .retry_on(|error: &Refused| {
            matches!(error, CircuitBreakerError::Inner(BulkheadServiceError::Inner(_)))
        })
        .budget(budget.build().expect("valid"));
    ServiceBuilder::new()
        .layer(retry.build())
        .layer(breaker)
        .layer(bulkhead.build().expect("valid"))
        .layer(TimeLimiterLayer::builder().timeout_duration(ATTEMPT).build())
        .service(Split::of(site))
}

fn with_map(site: &Site, open: Duration) -> Box<dyn Client> {
    let keeps = Arc::new(StaleMap::default());
    let serves = Arc::clone(&keeps);
    let fallback = FallbackLayer::<Request, Answer, Refused>::service(move |request: Request| {
        let kept = if request.is_read() { serves.stale(request.key) } else { None };
        let kept = kept.map(|answer: Answer| Answer { stale: true, ..answer });
        std::future::ready(kept.ok_or(CircuitBreakerError::OpenCircuit))
    });
    let guarded = tower::util::MapResponse::new(guarded(site, open), move |answer: Answer| {
        if answer.kind == Kind::Read {
            keeps.keep(answer.key, answer);
        }
        answer
    });
    Through::boxed(fallback.layer(guarded))
}
