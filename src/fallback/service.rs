//! Shows the plan the request, and calls the inner service.

use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

use super::future::ResponseFuture;
use super::layer::Shared;
use super::plan::Plan;
use crate::error::Carry;
use crate::local::Owner;
use crate::outcome::{ByResult, Classify};
use crate::readied::Readied;

/// A service whose refused and failed calls may be answered by a [`Plan`].
///
/// Made by [`FallbackLayer`](super::FallbackLayer), whose plan it shares with its clones.
///
/// # Readiness
/// `poll_ready` polls the inner service and is Ready even when the inner is Pending: whether there
/// is an answer depends on the request, which isn't there yet, and a dead service that is Pending
/// for ever must not block an answer. A call to a service that wasn't ready is refused with
/// [`Reason::NotReady`](crate::error::Reason::NotReady), and the plan may answer for it as for any
/// refusal. So this layer turns back-pressure into refusals: over a service that is Pending at busy
/// times, put `ReadyInCall` between the two, as the preset does, and calls wait in their own future
/// instead. An *error* of the inner's `poll_ready` is passed on: tower says that such a service is
/// to be thrown away.
///
/// # Cancel safety
/// The response future may be dropped at any point; nothing is held between polls, and a response
/// is kept, if at all, in the very poll that brought it.
#[derive(Debug)]
pub struct Fallback<S, P, C = ByResult> {
    inner: Readied<S>,
    local: Owner<Arc<Shared<P, C>>>,
}

impl<S, P, C> Fallback<S, P, C> {
    pub(super) fn new(inner: S, local: Owner<Arc<Shared<P, C>>>) -> Self {
        Self { inner: Readied::new(inner), local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

impl<S: Clone, P, C> Clone for Fallback<S, P, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.clone() }
    }
}

impl<S, P, C, Req> Service<Req> for Fallback<S, P, C>
where
    S: Service<Req>,
    S::Error: Carry,
    P: Plan<Req, S::Response, S::Error>,
    C: Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, P, C, P::Context, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx, || true)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let context = self.local.plan.context(&req);
        let future = self.inner.take().map(|inner| inner.call(req));
        ResponseFuture::new(future, context, self.local.share())
    }
}
