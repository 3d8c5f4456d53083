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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Called { future } => return future.poll(cx),
                StateProj::Waiting { service, request } => {
                    // Polled anew even if it was Pending a moment ago: the waker that it holds is
                    // that of the task that asked for readiness, which may not be this one.
                    match ready!(service.poll_ready(cx)) {
                        Ok(()) => {
                            let request = request.take().expect("polled after a panic");
                            let future = service.call(request);
                            // The instance is dropped here: it has made its call.
                            state.set(State::Called { future });
                        }
                        Err(error) => {
                            state.set(State::Failed);
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                StateProj::Failed => panic!("polled after it was done"),
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
