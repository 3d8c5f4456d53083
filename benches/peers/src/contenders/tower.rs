//! tower 0.5's own layers: `ConcurrencyLimit`, `Timeout`, `Retry` with `TpsBudget`.
//!
//! It has no breaker, no canary, no SLO and no kept answers. `ConcurrencyLimit` lets callers wait
//! when it is full; refusing takes `LoadShed` around it, which a free permit does not need, so it
//! is left out. `Timeout` starts its timer with the call (but arms it only when the answer is not
//! there at once) and boxes its error. `Retry` clones the service for each call, not only for a
//! second attempt.

use std::sync::Arc;

use tower::retry::Policy;
use tower::retry::budget::{Budget, TpsBudget};
use tower::timeout::error::Elapsed;
use tower::{BoxError, ServiceBuilder};

use crate::backend::{Answer, Backend, Fault, Request};
use crate::cases::{Case, Work};
use crate::drive::{Built, Contender};
use crate::terms;

/// tower's built-in layers.
#[derive(Debug)]
pub(super) struct Tower;

impl Contender for Tower {
    fn name(&self) -> &'static str {
        "tower"
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        let layers = ServiceBuilder::new();
        match case.work {
            Work::Bulkhead => {
                Built::same(case, layers.concurrency_limit(terms::LIMIT).service(Backend))
            }
            Work::Timeout => Built::same(case, layers.timeout(terms::ATTEMPT).service(Backend)),
            Work::Retry => {
                let again = Again::when(|_: &Fault| false);
                Built::same(case, layers.retry(again).service(Backend))
            }
            Work::Stack if case.failing_before == 0 => {
                let again = Again::when(|error: &BoxError| error.is::<Elapsed>());
                let service = layers
                    .timeout(terms::DEADLINE)
                    .retry(again)
                    .concurrency_limit(terms::LIMIT)
                    .timeout(terms::ATTEMPT)
                    .service(Backend);
                let lacks = "only deadline, retry + budget, limit, attempt timeout";
                Built::less(case, service, lacks)
            }
            _ => None,
        }
    }
}

/// A retry policy as tower's users write it: a budget, a limit on attempts, a wait that doubles.
struct Again<E> {
    budget: Arc<TpsBudget>,
    made: usize,
    worth_it: fn(&E) -> bool,
}

// By hand: derived, it would ask errors to be `Clone`.
impl<E> Clone for Again<E> {
    fn clone(&self) -> Self {
        Self { budget: Arc::clone(&self.budget), ..*self }
    }
}

impl<E> Again<E> {
    fn when(worth_it: fn(&E) -> bool) -> Self {
        let ttl = std::time::Duration::from_secs(10);
        let budget = TpsBudget::new(ttl, terms::BUDGET_FLOOR, terms::BUDGET);
        Self { budget: Arc::new(budget), made: 1, worth_it }
    }
}

impl<E> Policy<Request, Answer, E> for Again<E> {
    type Future = tokio::time::Sleep;

    fn retry(&mut self, _: &mut Request, result: &mut Result<Answer, E>) -> Option<Self::Future> {
        match result {
            Ok(_) => {
                self.budget.deposit();
                None
            }
            Err(error) => {
                let again =
                    (self.worth_it)(error) && self.made < terms::ATTEMPTS && self.budget.withdraw();
                again.then(|| {
                    self.made += 1;
                    tokio::time::sleep(terms::BACKOFF * (1 << (self.made - 2)))
                })
            }
        }
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(*request)
    }
}
