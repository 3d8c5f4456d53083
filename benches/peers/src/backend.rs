//! The service that every contender wraps, and what travels through it.
//!
//! It answers at once, for next to nothing, so that what remains is the layers. Requests say what
//! it shall do; that way one type serves healthy, failing and pending cases.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower::Service;

/// What a request asks the backend to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Answer at once.
    Answer,
    /// Fail at once.
    Fail,
    /// Be pending once, then answer.
    PendOnce,
}

/// A request: a key (an account, say) and what shall become of it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What is asked about.
    pub key: u64,
    /// What the backend does.
    pub ask: Ask,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The request's key.
    pub key: u64,
    /// What was found.
    pub value: u64,
    /// Set by a fallback on an answer that is not fresh.
    pub stale: bool,
}

impl Answer {
    /// The same answer, marked as not fresh.
    #[must_use]
    pub fn marked(self) -> Self {
        Self { stale: true, ..self }
    }
}

/// The backend's error. Not worth a retry: no case measures the wait for a second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backend failed")
    }
}

impl std::error::Error for Fault {}

/// The innermost service.
#[derive(Clone, Copy, Debug)]
pub struct Backend;

impl Service<Request> for Backend {
    type Response = Answer;
    type Error = Fault;
    type Future = Reply;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Reply {
        Reply { request }
    }
}

/// The backend's future.
#[derive(Debug)]
pub struct Reply {
    request: Request,
}

impl Future for Reply {
    type Output = Result<Answer, Fault>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Request { key, ask } = self.request;
        match ask {
            Ask::Answer => Poll::Ready(Ok(Answer { key, value: !key, stale: false })),
            Ask::Fail => Poll::Ready(Err(Fault)),
            Ask::PendOnce => {
                self.request.ask = Ask::Answer;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
