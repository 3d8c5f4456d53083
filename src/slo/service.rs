//! Calls the inner service, and notes how it went.

use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

use super::future::{Noted, ResponseFuture};
use super::handle::Core;
use crate::error::Carry;
use crate::guarded;
use crate::local::Owner;
use crate::outcome::{ByResult, Classify};

/// A service whose calls are recorded against an objective.
///
/// `poll_ready` is the inner's. A call that its caller drops isn't counted; one that panics is bad.
#[derive(Debug)]
pub struct Observed<S, C = ByResult> {
    inner: S,
    core: Owner<Arc<Core>>,
    classify: C,
}

impl<S, C> Observed<S, C> {
    pub(super) fn new(inner: S, core: Owner<Arc<Core>>, classify: C) -> Self {
        Self { inner, core, classify }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, C: Clone> Clone for Observed<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.core.clone(), self.classify.clone())
    }
}

impl<S, C, Req> Service<Req> for Observed<S, C>
where
    S: Service<Req>,
    S::Error: Carry,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let noted = Noted::new(self.core.share(), self.classify.clone());
        let calling = guarded::calling(noted);
        let future = self.inner.call(req);
        calling.into_future(future)
    }
}
