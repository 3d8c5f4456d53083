//! Calls the inner service; the future does the rest.

use std::task::{Context, Poll};
use tower_service::Service;

use super::future::ResponseFuture;
use super::layer::Shared;
use crate::error::Carry;
use crate::local::Local;

/// A service whose calls end within a limit.
///
/// Made by [`TimeoutLayer`](super::TimeoutLayer), whose limit it shares with its clones. It refuses
/// nothing beforehand: `poll_ready` is the inner's.
#[derive(Debug)]
pub struct Timeout<S> {
    inner: S,
    local: Local<Shared>,
}

impl<S> Timeout<S> {
    pub(super) fn new(inner: S, local: Local<Shared>) -> Self {
        Self { inner, local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone> Clone for Timeout<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.fork() }
    }
}

impl<S, Req> Service<Req> for Timeout<S>
where
    S: Service<Req>,
    S::Error: Carry,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        ResponseFuture::new(self.inner.call(req), self.local.share())
    }
}
