//! Asks the circuit, calls the inner service, or refuses.

use std::task::{Context, Poll};
use tower_service::Service;

use super::engine::Ticket;
use super::future::{Admitted, ResponseFuture};
use super::layer::Shared;
use crate::error::Carry;
use crate::guarded;
use crate::local::Owner;
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
    local: Owner<Shared<C>>,
}

impl<S, C> CircuitBreaker<S, C> {
    pub(super) fn new(inner: S, local: Owner<Shared<C>>) -> Self {
        Self { inner: Readied::new(inner), local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

impl<S: Clone, C> Clone for CircuitBreaker<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.clone() }
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

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let circuit = &*self.local.circuit;
        let Some(inner) = self.inner.take() else {
            return guarded::refuse(circuit.refuse_unready());
        };
        // A way of its own for nearly every call, so that it is short.
        match circuit.engine.admit_quickly(|| circuit.clock.now()) {
            Some(ticket) => admitted(&mut self.local, ticket, inner, req),
            None => call_slowly(&mut self.local, inner, req),
        }
    }
}

#[inline(always)]
fn admitted<S: Service<Req>, C, Req>(
    local: &mut Owner<Shared<C>>,
    ticket: Ticket,
    inner: &mut S,
    req: Req,
) -> ResponseFuture<S::Future, C> {
    let calling = guarded::calling(Admitted::new(local.share(), ticket));
    let future = inner.call(req);
    calling.into_future(future)
}

/// Calls, or refuses, in whatever state.
#[inline(never)]
fn call_slowly<S: Service<Req>, C, Req>(
    local: &mut Owner<Shared<C>>,
    inner: &mut S,
    req: Req,
) -> ResponseFuture<S::Future, C> {
    let circuit = &*local.circuit;
    if let Some(refusal) = circuit.engine.refuse_quickly(|| circuit.clock.now()) {
        return guarded::refuse(circuit.refuse(refusal));
    }
    match circuit.admit_slowly() {
        Ok(ticket) => admitted(local, ticket, inner, req),
        Err(rejected) => guarded::refuse(rejected),
    }
}
