//! Lifts a client's error, so that it can carry a refusal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::Error;

/// A service whose error is [`Error<E>`](Error): the client's own, or a refusal of the layers
/// outside.
///
/// The preset puts it around the client, so that any client will do.
#[derive(Clone, Copy, Debug)]
pub struct Lift<S>(S);

impl<S> Lift<S> {
    /// The client.
    pub fn get_ref(&self) -> &S {
        &self.0
    }
}

impl<S: Service<Req>, Req> Service<Req> for Lift<S> {
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = LiftFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        LiftFuture { inner: self.0.call(req) }
    }
}

/// Makes [`Lift`]s.
#[derive(Clone, Copy, Debug)]
pub struct LiftLayer;

impl<S> Layer<S> for LiftLayer {
    type Service = Lift<S>;

    fn layer(&self, inner: S) -> Lift<S> {
        Lift(inner)
    }
}

pin_project! {
    /// The response future of [`Lift`].
    #[derive(Debug)]
    pub struct LiftFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F: Future<Output = Result<Res, E>>, Res, E> Future for LiftFuture<F> {
    type Output = Result<Res, Error<E>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).map_err(Error::Inner))
    }
}
