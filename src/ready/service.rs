//! Says that it is ready; calls the inner service now, or gives the call an instance to wait for.

use std::mem;
use std::task::{Context, Poll};
use tower_service::Service;

use super::future::ResponseFuture;
use crate::readied::Readied;

/// A service that is always ready, and waits for its inner in the call.
///
/// The instance that was made ready is the one called. One that was pending goes into the call,
/// with its place in whatever queue it waits in, and a clone takes its place here; no other path
/// clones.
#[derive(Clone, Debug)]
pub struct ReadyInCall<S> {
    inner: Readied<S>,
}

impl<S> ReadyInCall<S> {
    /// Around `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner: Readied::new(inner) }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

impl<S: Clone> ReadyInCall<S> {
    /// The instance that isn't ready; a clone takes its place.
    #[cold]
    fn take_waiting(&mut self) -> S {
        let fresh = self.inner.clone();
        mem::replace(&mut self.inner, fresh).into_inner()
    }
}

impl<S, Req> Service<Req> for ReadyInCall<S>
where
    S: Service<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    /// Always Ready. The inner is polled, so that a free one is called without a wait.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let Poll::Ready(Err(_)) = self.inner.poll_ready(cx, || true) {
            // Spent, see the module's "Errors of `poll_ready`". The clone tells the call.
            self.inner = self.inner.clone();
        }
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        match self.inner.take() {
            Some(inner) => ResponseFuture::called(inner.call(req)),
            None => ResponseFuture::waiting(self.take_waiting(), req),
        }
    }
}
