//! Asks the circuit, calls the inner service, or refuses.

use std::task::{Context, Poll};
use tower_service::Service;

use super::engine::Refusal;
use super::future::{Admitted, ResponseFuture};
use super::layer::Shared;
use crate::error::{Carry, Reason, Rejected, Room};
use crate::guarded;
use crate::local::Local;
use crate::outcome::{ByResult, Classify};
use crate::readied::Readied;

/// A service behind a circuit breaker.
///
/// Made by [`CircuitBreakerLayer`](super::CircuitBreakerLayer), whose circuit it shares with its
/// clones. `poll_ready` is Ready when the inner is, or when the circuit would refuse; admission, and
/// the taking of a probe, happen in `call`.
#[derive(Debug)]
pub struct CircuitBreaker<S, C = ByResult> {
    inner: Readied<S>,
    local: Local<Shared<C>>,
}

impl<S, C> CircuitBreaker<S, C> {
    pub(super) fn new(inner: S, local: Local<Shared<C>>) -> Self {
        Self { inner: Readied::new(inner), local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

impl<S: Clone, C> Clone for CircuitBreaker<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.fork() }
    }
}

impl<S, C, Req> Service<Req> for CircuitBreaker<S, C>
where
    S: Service<Req>,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let circuit = &self.local.circuit;
        self.inner.poll_ready(cx, || circuit.engine.would_refuse(|| circuit.clock.now()))
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let ready = self.inner.take();
        let circuit = &self.local.circuit;
        let admitted = |ticket| Admitted::new(self.local.share(), ticket);
        let quickly = match ready {
            Some(_) => circuit.engine.admit_quickly(|| circuit.clock.now()),
            None => None,
        };
        let (admission, ready) = match (quickly, ready) {
            // A way of its own, so that the ticket is written where it stays.
            (Some(ticket), Some(inner)) => {
                return guarded::call(admitted(ticket), || inner.call(req));
            }
            (_, ready) => (circuit.admit_slowly(), ready),
        };
        let Refusal { reason, retry_after } = match (admission, ready) {
            (Ok(ticket), Some(inner)) => {
                return guarded::call(admitted(ticket), || inner.call(req));
            }
            (Ok(ticket), None) => {
                circuit.tell(circuit.engine.give_back(ticket, || circuit.clock.now()));
                Refusal { reason: Reason::NotReady, retry_after: None }
            }
            (Err(refusal), _) => refusal,
        };
        let rejected = Rejected::new(Room::Breaker, reason, circuit.sinks.name());
        guarded::refuse(circuit.sinks.refused(rejected.retry_after(retry_after)))
    }
}
