//! tower-resilience 0.13: breaker, bulkhead, time limiter, retry with budget, router, fallback.
//!
//! Its optional `metrics` and `tracing` are off here, as they are by default: they would slow down
//! every row. Its count window is not a sliding one: it counts until the circuit changes state.
//! Its time window keeps a record per call and walks over all of them on each call; it knows slow
//! calls but not hung ones. All its layers box their future and read the clock for events, also
//! when nobody listens. Its bulkhead waits when it is full, which is its default and its faster
//! setting (refusing takes a timer per call, back-pressure more atomics). Its retry budget is the
//! AIMD one, which needs no clock. Its router splits and records nothing. It keeps no answers:
//! behind its fallback stands a [`StaleMap`].
//!
//! Two things make its rows jump at two threads and up. While the circuit is not closed, a call
//! that finds the breaker's lock taken waits for a timer of 1 ms in `poll_ready`. And the lock is
//! handed from waiter to waiter in turn: with more threads than cores, often to one that is not
//! running. On a runtime other tasks would go on meanwhile; here the thread waits.

use std::sync::Arc;

use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_resilience::bulkhead::{BulkheadLayer, BulkheadServiceError};
use tower_resilience::circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier,
    SlidingWindowType,
};
use tower_resilience::fallback::FallbackLayer;
use tower_resilience::retry::{RetryBudget, RetryBudgetBuilder, RetryLayer};
use tower_resilience::router::WeightedRouter;
use tower_resilience::timelimiter::{TimeLimiterError, TimeLimiterLayer};

use super::stale_map::StaleMap;
use crate::backend::{Answer, Backend, Fault, Request};
use crate::cases::{Case, Work};
use crate::drive::{Built, Contender};
use crate::terms;

/// tower-resilience.
#[derive(Debug)]
pub(super) struct TowerResilience;

impl Contender for TowerResilience {
    fn name(&self) -> &'static str {
        "tower-resilience"
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        match case.work {
            Work::BreakerCount => Built::same(case, count_breaker().layer(Backend)),
            Work::BreakerTime => {
                let lacks = "no hung calls";
                Built::less(case, time_breaker().layer(Backend), lacks)
            }
            Work::BreakerFlap => {
                let breaker = breaker()
                    .sliding_window_size(terms::WINDOW)
                    .wait_duration_in_open(terms::OPEN_FOR_A_MOMENT);
                Built::same(case, breaker.build().expect("valid").layer(Backend))
            }
            Work::Bulkhead => Built::same(case, bulkhead().layer(Backend)),
            Work::Timeout => Built::same(case, attempt_timeout().layer(Backend)),
            Work::Retry => {
                let retry = RetryLayer::<Request, Answer, Fault>::builder()
                    .max_attempts(terms::ATTEMPTS)
                    .exponential_backoff(terms::BACKOFF)
                    .retry_on(|_| false)
                    .budget(budget())
                    .build();
                Built::same(case, retry.layer(Backend))
            }
            Work::Canary => {
                let router = WeightedRouter::builder()
                    .route(Backend, terms::STABLE)
                    .route(Backend, terms::CANARY)
                    .random();
                Built::less(case, router.build(), "splits only: no record, no verdict")
            }
            Work::StaleAnswer => Built::same(case, stale_answer()),
            Work::Stack => stack(case),
            _ => None,
        }
    }
}

fn breaker() -> CircuitBreakerConfigBuilder<DefaultClassifier> {
    CircuitBreakerLayer::builder()
        .failure_rate_threshold(terms::FAILURE_RATE)
        .minimum_number_of_calls(terms::WINDOW)
        .wait_duration_in_open(terms::STAYS_OPEN)
}

fn count_breaker() -> CircuitBreakerLayer {
    breaker().sliding_window_size(terms::WINDOW).build().expect("valid")
}

fn time_breaker() -> CircuitBreakerLayer {
    breaker()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(terms::SPAN)
        .slow_call_duration_threshold(terms::SLOW)
        .slow_call_rate_threshold(terms::FAILURE_RATE)
        .build()
        .expect("valid")
}

fn bulkhead() -> BulkheadLayer {
    BulkheadLayer::builder().max_concurrent_calls(terms::LIMIT).build().expect("valid")
}

fn attempt_timeout() -> TimeLimiterLayer {
    TimeLimiterLayer::builder().timeout_duration(terms::ATTEMPT).build()
}

fn budget() -> Arc<dyn RetryBudget> {
    RetryBudgetBuilder::new().aimd().build().expect("valid")
}

/// A fallback that serves what the map keeps, over a breaker; good answers are kept.
fn stale_answer()
-> impl tower::Service<Request, Response = Answer, Error: Send, Future: Send> + Clone + Send {
    let keeps = StaleMap::<Answer>::default();
    let serves = keeps.clone();
    let fallback = FallbackLayer::service(move |request: Request| {
        let kept = serves
            .stale(request.key)
            .map(Answer::marked)
            .ok_or(CircuitBreakerError::<Fault>::OpenCircuit);
        std::future::ready(kept)
    });
    ServiceBuilder::new()
        .layer(fallback)
        .map_response(move |answer: Answer| {
            keeps.keep(answer.key, answer);
            answer
        })
        .layer(count_breaker())
        .service(Backend)
}

/// What one arm's retry sees go wrong.
type ArmError = CircuitBreakerError<BulkheadServiceError<TimeLimiterError<Fault>>>;

/// Every layer of the stack that the crate has; the breaker is the count one, its faster.
fn stack(case: &'static Case) -> Option<Built> {
    let arm = || {
        let retry = RetryLayer::<Request, Answer, ArmError>::builder()
            .max_attempts(terms::ATTEMPTS)
            .exponential_backoff(terms::BACKOFF)
            .retry_on(|error: &ArmError| {
                let CircuitBreakerError::Inner(error) = error else {
                    return false;
                };
                matches!(error, BulkheadServiceError::Inner(TimeLimiterError::Timeout))
            })
            .budget(budget())
            .build();
        ServiceBuilder::new()
            .layer(retry)
            .layer(count_breaker())
            .layer(bulkhead())
            .layer(attempt_timeout())
            .service(Backend)
    };
    let arms = WeightedRouter::builder()
        .route(arm(), terms::STABLE)
        .route(arm(), terms::CANARY)
        .random()
        .build();
    let deadline = TimeLimiterLayer::builder().timeout_duration(terms::DEADLINE).build();
    let map = StaleMap::<Answer>::default();
    let serves = map.clone();
    let fallback = FallbackLayer::service(move |request: Request| {
        let kept = serves
            .stale(request.key)
            .map(Answer::marked)
            .ok_or(TimeLimiterError::<ArmError>::Timeout);
        std::future::ready(kept)
    });
    let service = fallback.layer(deadline.layer(arms).map_response(move |answer: Answer| {
        map.keep(answer.key, answer);
        answer
    }));
    Built::less(case, service, "no kill switch, SLO, canary verdict, slow and hung calls")
}
