//! Calls the inner service; the future does the rest.

use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

use super::future::ResponseFuture;
use super::layer::Shared;
use crate::error::Carry;
use crate::local::Owner;
use crate::request::{Deadlines, NoDeadline};

/// A service whose calls end within a limit.
///
/// Made by [`TimeoutLayer`](super::TimeoutLayer), whose limit it shares with its clones. It refuses
/// nothing beforehand: `poll_ready` is the inner's. A call whose deadline has passed is refused, where
/// requests have one: `D`.
#[derive(Debug)]
pub struct Timeout<S, D = NoDeadline> {
    inner: S,
    local: Owner<Arc<Shared>>,
    deadlines: D,
}

impl<S, D> Timeout<S, D> {
    pub(super) fn new(inner: S, local: Owner<Arc<Shared>>, deadlines: D) -> Self {
        Self { inner, local, deadlines }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, D: Copy> Clone for Timeout<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.clone(), deadlines: self.deadlines }
    }
}

impl<S, D, Req> Service<Req> for Timeout<S, D>
where
    S: Service<Req>,
    S::Error: Carry,
    D: Deadlines<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, mut req: Req) -> Self::Future {
        let mut deadline = None;
        if D::LOOKS {
            let now = self.local.clock.now();
            let limit = now.plus(self.local.engine.limit());
            let earlier = self.deadlines.deadline(&req).map_or(limit, |asked| asked.min(limit));
            if earlier <= now {
                return ResponseFuture::refused(self.local.share());
            }
            self.deadlines.set(&mut req, earlier);
            deadline = Some(earlier);
        }
        ResponseFuture::new(self.inner.call(req), deadline, self.local.share())
    }
}
