//! Waits for the call, and asks the plan when it ends.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::layer::Shared;
use super::plan::{Failed, Plan};
use crate::error::{Carry, Reason, Rejected, Room};
use crate::event::{Answered, Call};
use crate::local::Local;
use crate::outcome::{Classify, Outcome, judge};
use crate::stale::Cause;
use crate::sync::Ordering;

pin_project! {
    /// The response future of a [`Fallback`](super::Fallback).
    ///
    /// Dropping it at any point leaves nothing behind.
    pub struct ResponseFuture<F, P, C, X, Req> {
        // `None`: the inner service wasn't ready.
        #[pin]
        future: Option<F>,
        // What the plan took from the request. Never moved: it may be the largest part of this.
        context: X,
        local: Local<Arc<Shared<P, C>>>,
        request: PhantomData<fn(Req)>,
    }
}

impl<F, P, C, X, Req> ResponseFuture<F, P, C, X, Req> {
    #[inline]
    pub(super) fn new(future: Option<F>, context: X, local: Local<Arc<Shared<P, C>>>) -> Self {
        Self { future, context, local, request: PhantomData }
    }
}

impl<F, P, C, X, Req, Res, E> Future for ResponseFuture<F, P, C, X, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Carry,
    P: Plan<Req, Res, E, Context = X>,
    C: Classify<Res, E>,
{
    type Output = Result<Res, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.future.as_pin_mut() {
            Some(future) => match future.poll(cx) {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    this.local.plan.pending(this.context);
                    return Poll::Pending;
                }
            },
            None => Err(this.local.not_ready()),
        };
        let shared = &***this.local;
        // A way of its own for nearly every call, so that it is short.
        if let (Ok(response), false) = (&result, shared.sinks.wants_calls()) {
            if judge(&shared.classify, Ok::<_, &E>(response)) == Outcome::Success {
                shared.plan.good(this.context, response);
                return Poll::Ready(result);
            }
        }
        // A copy, which may be in memory: then the result itself need not be.
        let seen = result;
        match shared.end::<Req, Res, E>(this.context, seen.as_ref()) {
            Some(answer) => Poll::Ready(Ok(answer)),
            None => Poll::Ready(seen),
        }
    }
}

impl<P, C> Shared<P, C> {
    #[cold]
    fn not_ready<E: Carry>(&self) -> E {
        let name = self.sinks.name();
        let rejected = Rejected::new(Room::Fallback, Reason::NotReady, name);
        E::from_rejected(self.sinks.refused(rejected))
    }

    /// The answer that the caller gets in place of the result.
    #[inline(never)]
    fn end<Req, Res, E>(&self, context: &P::Context, result: Result<&Res, &E>) -> Option<Res>
    where
        E: Carry,
        P: Plan<Req, Res, E>,
        C: Classify<Res, E>,
    {
        let outcome = judge(&self.classify, result);
        let report = |answered| {
            if self.sinks.wants_calls() {
                self.sinks.called(&Call::new(outcome, answered));
            }
        };
        let rejected = result.err().and_then(Carry::rejected);
        let cause = match (rejected, outcome) {
            (Some(rejected), _) => Cause::Rejected(*rejected),
            (None, Outcome::Failure | Outcome::InDoubt) => Cause::Failed(outcome),
            (None, Outcome::Ignored) => {
                report(Answered::with(result.is_ok()));
                return None;
            }
            (None, Outcome::Success) => {
                if let Ok(response) = result {
                    self.plan.good(context, response);
                }
                report(Answered::Fresh);
                return None;
            }
        };
        let failed = Failed::new(cause, result);
        let answer = self.plan.answer(context, &failed);
        let (count, answered) = match answer {
            Some(_) => (&self.counts.answered, Answered::Substitute),
            None => (&self.counts.passed_on, Answered::with(result.is_ok())),
        };
        report(answered);
        // Relaxed: a counter nothing hangs on.
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

impl<F, P, C, X, Req> fmt::Debug for ResponseFuture<F, P, C, X, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.future {
            Some(_) => "called",
            None => "not ready",
        };
        write!(f, "ResponseFuture({state})")
    }
}
