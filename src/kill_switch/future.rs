//! The futures of switched services.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Carry, Rejected};

pin_project! {
    /// The response future of a [`Switched`](super::Switched).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called { #[pin] future: F },
        Refused { rejected: Option<Rejected> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn called(future: F) -> Self {
        Self { state: State::Called { future } }
    }

    pub(super) fn refused(rejected: Rejected) -> Self {
        Self { state: State::Refused { rejected: Some(rejected) } }
    }
}

impl<F, Res, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Carry,
{
    type Output = Result<Res, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { future } => future.poll(cx),
            StateProj::Refused { rejected } => {
                let rejected = rejected.take().expect("polled after it was done");
                Poll::Ready(Err(E::from_rejected(rejected)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "called",
            State::Refused { .. } => "refused",
        };
        write!(f, "ResponseFuture({state})")
    }
}

pin_project! {
    /// The response future of a [`Bypass`](super::Bypass).
    #[project = EitherProj]
    #[derive(Debug)]
    #[allow(missing_docs)] // the two ways, as named
    pub enum EitherFuture<L, P> {
        /// Through the layers.
        Layered { #[pin] future: L },
        /// Past them.
        Past { #[pin] future: P },
    }
}

impl<L, P, T> Future for EitherFuture<L, P>
where
    L: Future<Output = T>,
    P: Future<Output = T>,
{
    type Output = T;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.project() {
            EitherProj::Layered { future } => future.poll(cx),
            EitherProj::Past { future } => future.poll(cx),
        }
    }
}
