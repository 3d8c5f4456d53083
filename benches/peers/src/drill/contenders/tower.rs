//! tower's own layers: retry with a budget and its backoff, load-shed, limit, timeout.
//!
//! It has no breaker and keeps no answers. Only what may be repeated is; a full limit refuses at once.

use std::sync::Arc;
use std::time::Duration;

use tower::load_shed::error::Overloaded;
use tower::retry::Policy;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::rng::HasherRng;
use tower::{BoxError, ServiceBuilder};

use super::split::Split;
use super::{ATTEMPT, ATTEMPTS, Answer, BACKOFF, Client, LIMIT, Request, Site, Through};

pub(super) fn make(site: &Site, _: usize) -> Box<dyn Client> {
    let service = ServiceBuilder::new()
        .retry(Again::new())
        .load_shed()
        .concurrency_limit(LIMIT)
        .timeout(ATTEMPT)
        .service(Split::of(site));
    Through::boxed(service)
}

/// A policy as tower's documentation shows it.
#[derive(Clone)]
struct Again {
    budget: Arc<TpsBudget>,
    left: usize,
    waits: ExponentialBackoff,
}

impl Again {
    fn new() -> Self {
        // A fifth of the calls, and ten a second: as the others have it.
        let budget = TpsBudget::new(Duration::from_secs(10), 10, 0.2);
        let most = Duration::from_secs(1);
        let mut maker = ExponentialBackoffMaker::new(BACKOFF, most, 0.99, HasherRng::default())
            .expect("the base is below the cap");
        Self { budget: Arc::new(budget), left: ATTEMPTS - 1, waits: maker.make_backoff() }
    }
}

impl Policy<Request, Answer, BoxError> for Again {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        request: &mut Request,
        result: &mut Result<Answer, BoxError>,
    ) -> Option<Self::Future> {
        let Err(error) = result else {
            self.budget.deposit();
            return None;
        };
        let worth_it = request.may_repeat() && !error.is::<Overloaded>();
        if !worth_it || self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        Some(self.waits.next_backoff())
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(*request)
    }
}
