//! The future of a [`ReadyInCall`](super::ReadyInCall): waits, if it must, then calls.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// The response future of a [`ReadyInCall`](super::ReadyInCall).
    ///
    /// Dropped while it waits, nothing was called: the request and its place in the inner's queue
    /// are given up.
    pub struct ResponseFuture<S: Service<Req>, Req> {
        #[pin]
        state: State<S, Req, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, F> {
        Waiting { service: S, request: Option<Req> },
        Called { #[pin] future: F },
        // `poll_ready` gave an error.
        Failed,
    }
}

impl<S: Service<Req>, Req> ResponseFuture<S, Req> {
    #[inline]
    pub(super) fn called(future: S::Future) -> Self {
        Self { state: State::Called { future } }
    }

    pub(super) fn waiting(service: S, request: Req) -> Self {
        Self { state: State::Waiting { service, request: Some(request) } }
    }
}

impl<S: Service<Req>, Req> Future for ResponseFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let StateProj::Called { future } = self.as_mut().project().state.project() {
            return future.poll(cx);
        }
        self.wait(cx)
    }
}

impl<S: Service<Req>, Req> ResponseFuture<S, Req> {
    /// Waits until the instance is ready, and calls it.
    fn wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let mut state = self.project().state;
        let StateProj::Waiting { service, request } = state.as_mut().project() else {
            panic!("polled after it was done");
        };
        // Polled anew even if it was Pending a moment ago: the waker that it holds is that of the task
        // that asked for readiness, which may not be this one.
        match ready!(service.poll_ready(cx)) {
            Ok(()) => {
                let request = request.take().expect("polled after a panic");
                let future = service.call(request);
                // The instance is dropped here: it has made its call.
                state.set(State::Called { future });
                match state.project() {
                    StateProj::Called { future } => future.poll(cx),
                    _ => unreachable!("it was just called"),
                }
            }
            Err(error) => {
                state.set(State::Failed);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting { .. } => "waiting",
            State::Called { .. } => "called",
            State::Failed => "failed",
        };
        write!(f, "ResponseFuture({state})")
    }
}
