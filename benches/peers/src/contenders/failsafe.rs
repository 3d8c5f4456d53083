//! failsafe 1.3: a circuit breaker behind a mutex, as a wrapper around futures.
//!
//! No tower layer: the few lines of service that a user would write around it are here. Its two
//! policies are taken one at a time, each where it fits. `consecutive_failures` keeps no window;
//! it stands in for the count window, and neither reads the clock nor allocates. The rate over a
//! time window is an exponential moving average with a count in five slices; it knows no slow and
//! no hung calls. Half open, it lets everyone in; one success closes it, one failure opens it.

use std::task::{Context, Poll};

use failsafe::futures::CircuitBreaker;
use failsafe::{Config, Error, backoff, failure_policy};
use tower::Service;

use crate::backend::{Answer, Backend, Fault, Reply, Request};
use crate::cases::{Case, Work};
use crate::drive::{Built, Contender};
use crate::terms;

/// failsafe.
#[derive(Debug)]
pub(super) struct Failsafe;

impl Contender for Failsafe {
    fn name(&self) -> &'static str {
        "failsafe"
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        let stays_open = backoff::constant(terms::STAYS_OPEN);
        match case.work {
            Work::BreakerCount => {
                let policy =
                    failure_policy::consecutive_failures(terms::FAILURES_IN_A_ROW, stays_open);
                let service = Guarded { breaker: Config::new().failure_policy(policy).build() };
                match case.failing_before {
                    0 => Built::less(case, service, "no window: failures in a row"),
                    _ => Built::same(case, service),
                }
            }
            Work::BreakerTime => {
                let policy = failure_policy::success_rate_over_time_window(
                    1.0 - terms::FAILURE_RATE,
                    terms::WINDOW as u32,
                    terms::SPAN,
                    stays_open,
                );
                let service = Guarded { breaker: Config::new().failure_policy(policy).build() };
                Built::less(case, service, "a moving average, no slow and no hung calls")
            }
            Work::BreakerFlap => {
                let moment = backoff::constant(terms::OPEN_FOR_A_MOMENT);
                let policy = failure_policy::consecutive_failures(1, moment);
                let service = Guarded { breaker: Config::new().failure_policy(policy).build() };
                Built::less(case, service, "no limit on probes: everyone is let in")
            }
            _ => None,
        }
    }
}

/// The backend, each call handed to the breaker.
#[derive(Clone)]
struct Guarded<B> {
    breaker: B,
}

impl<B> Service<Request> for Guarded<B>
where
    B: CircuitBreaker,
{
    type Response = Answer;
    type Error = Error<Fault>;
    type Future =
        failsafe::futures::ResponseFuture<Reply, B::FailurePolicy, B::Instrument, failsafe::Any>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Backend.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.breaker.call(Backend.call(request))
    }
}
