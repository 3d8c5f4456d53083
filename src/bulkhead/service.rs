//! Takes a place, calls the inner service, or refuses.

use std::task::{Context, Poll};
use tower_service::Service;

use super::future::{Place, ResponseFuture};
use super::layer::Shared;
use crate::error::{Carry, Reason, Rejected, Room};
use crate::guarded;
use crate::local::Local;
use crate::readied::Readied;

/// A service with a bounded number of calls in flight.
///
/// Made by [`BulkheadLayer`](super::BulkheadLayer), whose limit it shares with its clones.
/// `poll_ready` is Ready when the inner is, or when the bulkhead is full; the place is taken in
/// `call`.
#[derive(Debug)]
pub struct Bulkhead<S> {
    inner: Readied<S>,
    local: Local<Shared>,
}

impl<S> Bulkhead<S> {
    pub(super) fn new(inner: S, local: Local<Shared>) -> Self {
        Self { inner: Readied::new(inner), local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

impl<S: Clone> Clone for Bulkhead<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.fork() }
    }
}

impl<S, Req> Service<Req> for Bulkhead<S>
where
    S: Service<Req>,
    S::Error: Carry,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx, || self.local.engine.is_full())
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let ready = self.inner.take();
        let reason = match ready {
            Some(inner) if self.local.engine.acquire() => {
                return guarded::call(Place(self.local.share()), || inner.call(req));
            }
            None if !self.local.engine.is_full() => Reason::NotReady,
            _ => Reason::BulkheadFull,
        };
        let sinks = &self.local.sinks;
        guarded::refuse(sinks.refused(Rejected::new(Room::Bulkhead, reason, sinks.name())))
    }
}
