//! The inner service of a layer that may refuse, and whether it said it was ready.
//!
//! Refusing layers admit in `call`, never in `poll_ready`: a refusal there would be terminal for
//! `Balance` and `Buffer`, and a permit taken there would leak with a clone that is never called.
//! So `poll_ready` is Ready when the inner is, or when the layer would refuse now anyway; and `call`
//! must know which of the two it was.

use std::task::{Context, Poll};
use tower_service::Service;

/// An inner service and its `ready` flag: set by `poll_ready`, cleared by `call` and by `Clone`.
#[derive(Debug)]
pub(crate) struct Readied<S> {
    inner: S,
    ready: bool,
}

impl<S> Readied<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, ready: false }
    }

    /// Ready when the inner is, or when `would_refuse` says that no inner is needed.
    ///
    /// The inner is always polled, so that it makes progress and keeps the waker.
    #[inline]
    pub(crate) fn poll_ready<Req>(
        &mut self,
        cx: &mut Context<'_>,
        would_refuse: impl FnOnce() -> bool,
    ) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Poll::Pending if would_refuse() => {
                self.ready = false;
                Poll::Ready(Ok(()))
            }
            other => {
                self.ready = false;
                other
            }
        }
    }

    /// The inner to call, if it was ready; a second call needs a second `poll_ready`.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<&mut S> {
        std::mem::take(&mut self.ready).then_some(&mut self.inner)
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.inner
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone> Clone for Readied<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}
