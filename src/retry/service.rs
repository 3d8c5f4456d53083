//! Marks the request, keeps a copy where another attempt is possible, and calls the inner service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::future::{Ongoing, ResponseFuture};
use super::layer::Shared;
use crate::error::Carry;
use crate::local::Owner;
use crate::outcome::{Classify, ErrInDoubt};
use crate::request::{Attempt, Marked};

/// A service whose failed calls may be made again.
///
/// Made by [`RetryLayer`](super::RetryLayer), whose rules and budget it shares with its clones. It
/// refuses nothing: `poll_ready` is the inner's. The first attempt is made by the instance that was
/// readied, each later one by a fresh clone of the service that the layer was put around, if that is
/// ready at once.
///
/// A request that bears the mark of a retry further out is passed through.
pub struct Retry<S, C = ErrInDoubt> {
    inner: S,
    local: Owner<Arc<Shared<S, C>>>,
}

impl<S, C> Retry<S, C> {
    pub(super) fn new(inner: S, local: Owner<Arc<Shared<S, C>>>) -> Self {
        Self { inner, local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, C> Clone for Retry<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Retry<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, Req> Service<Req> for Retry<S, C>
where
    S: Service<Req> + Clone,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
    Req: Clone + Marked,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let nested = request.attempt().is_some();
        let limit = if nested { 1 } else { self.local.rules.engine.attempts() };
        let spare = (limit > 1).then(|| request.clone());
        if spare.is_some() {
            request.set_attempt(Attempt::new(1));
        }
        // Before the call: should it panic, the request may have been sent.
        let ongoing = Ongoing::new(self.local.share(), &request, spare, limit, nested);
        ResponseFuture::new(self.inner.call(request), ongoing)
    }
}
