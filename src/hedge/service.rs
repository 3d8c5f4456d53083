//! Keeps a copy of the request, and calls the inner service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::future::{Ongoing, ResponseFuture};
use super::layer::Shared;
use crate::error::Carry;
use crate::local::Owner;
use crate::outcome::{Classify, ErrInDoubt};
use crate::request::{Attempt, Marked, Safe};

/// A service whose slow calls are made a second time; it takes only requests that are [`Safe`].
///
/// Made by [`HedgeLayer`](super::HedgeLayer), whose measurement and budget it shares with its clones. It
/// refuses nothing: `poll_ready` is the inner's. A second call is made by a fresh clone of the service
/// that the layer was put around, if that is ready at once.
///
/// A request that a retry further out makes for the second time, or that a hedge makes, is passed
/// through.
pub struct Hedge<S, C = ErrInDoubt> {
    inner: S,
    local: Owner<Arc<Shared<S, C>>>,
}

impl<S, C> Hedge<S, C> {
    pub(super) fn new(inner: S, local: Owner<Arc<Shared<S, C>>>) -> Self {
        Self { inner, local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, C> Clone for Hedge<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Hedge<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, R> Service<Safe<R>> for Hedge<S, C>
where
    S: Service<R> + Clone,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
    R: Clone + Marked,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Safe<R>) -> Self::Future {
        let mut request = request.into_inner();
        let attempt = request.attempt();
        let spare = attempt.is_none_or(Attempt::may_be_hedged).then(|| request.clone());
        if spare.is_some() {
            request.set_attempt(Attempt::new(1).hedged());
        }
        let ongoing = Ongoing::new(self.local.share(), spare, attempt.is_some());
        ResponseFuture::new(self.inner.call(request), ongoing)
    }
}
