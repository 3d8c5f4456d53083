//! recloser 1.4: a circuit breaker in ring buffers, as a wrapper around futures.
//!
//! No tower layer: the few lines of service that a user would write around it are here. Its window
//! is exactly the last `closed_len` calls, behind a spin lock; it knows no time window, and no slow
//! and no hung calls. Its future holds the breaker's own `Arc`, which all threads count up and
//! down, and pins an epoch on every poll. Half open, it lets everyone in until its second ring
//! buffer is full. Its `call` for plain functions costs less, but can't be put around a future.

use std::task::{Context, Poll};

use recloser::{AnyError, AsyncRecloser, Error, RecloserFuture};
use tower::Service;

use crate::backend::{Answer, Backend, Fault, Reply, Request};
use crate::cases::{Case, Work};
use crate::drive::{Built, Contender};
use crate::terms;

/// recloser.
#[derive(Debug)]
pub(super) struct Recloser;

impl Contender for Recloser {
    fn name(&self) -> &'static str {
        "recloser"
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        let breaker = recloser::Recloser::custom().error_rate(terms::FAILURE_RATE as f32);
        match case.work {
            Work::BreakerCount => {
                let breaker = breaker.closed_len(terms::WINDOW).open_wait(terms::STAYS_OPEN);
                Built::same(case, Guarded { breaker: breaker.build().into() })
            }
            Work::BreakerFlap => {
                // One probe: the shortest it can be half open (it takes one call more).
                let breaker = breaker.half_open_len(1).open_wait(terms::OPEN_FOR_A_MOMENT);
                let service = Guarded { breaker: breaker.build().into() };
                Built::less(case, service, "no limit on probes: everyone is let in")
            }
            _ => None,
        }
    }
}

/// The backend, each call handed to the breaker.
#[derive(Clone)]
struct Guarded {
    breaker: AsyncRecloser,
}

impl Service<Request> for Guarded {
    type Response = Answer;
    type Error = Error<Fault>;
    type Future = RecloserFuture<Reply, AnyError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Backend.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.breaker.call(Backend.call(request))
    }
}
