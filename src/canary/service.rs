//! Shares calls between two versions, or listens to who served them.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

use super::check::{Check, NoCheck};
use super::future::{Counted, Either, SplitFuture, WatchFuture};
use super::keys::Drawn;
use super::layer::{Shared, keep};
use super::tell::{Routed, Tell, Unit};
use crate::error::Carry;
use crate::guarded;
use crate::local::Owner;
use crate::outcome::{ByResult, Classify};
use crate::verdict::Arm;

/// A service made of two versions of one.
///
/// Made by [`Canary::split`](super::Canary::split). Each call draws its version by itself, at random, so
/// that nothing in the traffic can favour one; it is counted for the version that it drew. Or callers
/// [stick](super::Canary::sticky) to the version that they drew.
///
/// # Readiness
/// Ready when the baseline is. The canary is polled while it has a share of the calls, and a canary that
/// isn't ready holds nobody up: its call goes to the baseline, and counts for neither. A canary whose
/// `poll_ready` failed is not polled again by this clone: calls that draw it go to the baseline and count
/// as failures of the canary. Once the canary has all calls, Ready when *it* is.
pub struct Split<B, N, C = ByResult, K = NoCheck, U = Routed> {
    baseline: B,
    canary: N,
    local: Owner<Arc<Shared<C, K, U>>>,
    ready: Ready,
}

/// Which version said that it is ready; cleared by a call and by a clone.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    baseline: bool,
    canary: bool,
    /// The canary's `poll_ready` gave an error: it must not be polled again.
    failed: bool,
}

impl<B, N, C, K, U> Split<B, N, C, K, U> {
    pub(super) fn new(baseline: B, canary: N, local: Owner<Arc<Shared<C, K, U>>>) -> Self {
        Self { baseline, canary, local, ready: Ready::default() }
    }

    /// The known version.
    pub fn baseline(&self) -> &B {
        &self.baseline
    }

    /// The version on trial.
    pub fn canary(&self) -> &N {
        &self.canary
    }

    /// A call drew the canary, which isn't ready.
    #[cold]
    fn unready(&self, drawn: Option<Drawn>) {
        let trial = &self.local.trial;
        trial.count_unready();
        if self.ready.failed {
            if let Some(ticket) = trial.start(Arm::Canary, drawn) {
                trial.end(ticket, true);
            }
        }
    }
}

impl<B: Clone, N: Clone, C, K, U> Clone for Split<B, N, C, K, U> {
    fn clone(&self) -> Self {
        // A clone of a canary that failed may be another connection: it is polled again.
        Self::new(self.baseline.clone(), self.canary.clone(), self.local.clone())
    }
}

impl<B: fmt::Debug, N: fmt::Debug, C, K, U> fmt::Debug for Split<B, N, C, K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("baseline", self.baseline())
            .field("canary", self.canary())
            .field("trial", &self.local.trial)
            .finish_non_exhaustive()
    }
}

impl<B, N, C, K, U, Req> Service<Req> for Split<B, N, C, K, U>
where
    U: Unit<Req> + Tell<Req, B::Response>,
    B: Service<Req>,
    B::Error: Carry,
    N: Service<Req, Response = B::Response, Error = B::Error>,
    C: Classify<B::Response, B::Error>,
    K: Check<Req, B::Response>,
{
    type Response = B::Response;
    type Error = B::Error;
    type Future = SplitFuture<B::Future, N::Future, Req, B::Response, C, K, U>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), B::Error>> {
        // Always: the baseline takes over whenever the canary can't.
        let baseline = self.baseline.poll_ready(cx);
        self.ready.baseline = matches!(baseline, Poll::Ready(Ok(())));
        self.ready.canary = false;
        let engine = &self.local.trial.engine;
        if engine.is_drained() || self.ready.failed {
            return baseline;
        }
        match self.canary.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.ready.canary = true,
            Poll::Ready(Err(_)) => {
                self.ready.failed = true;
                return baseline;
            }
            Poll::Pending => {}
        }
        match (engine.is_full(), self.ready.canary) {
            (true, true) => Poll::Ready(Ok(())),
            (true, false) => Poll::Pending,
            _ => baseline,
        }
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let trial = &self.local.trial;
        let ready = Ready { failed: self.ready.failed, ..Ready::default() };
        let was = std::mem::replace(&mut self.ready, ready);
        let (arm, drawn) = trial.engine.draw(self.local.tell.caller(&req));
        let canary = arm == Arm::Canary && was.canary;
        if !canary && !was.baseline {
            return guarded::refuse(trial.refuse());
        }
        let (ticket, kept) = if canary || arm == Arm::Baseline {
            let ticket = trial.start(arm, drawn);
            (ticket, ticket.and_then(|_| keep(&self.local, &req)))
        } else {
            self.unready(drawn);
            (None, None)
        };
        let debt = Counted::new(self.local.share(), ticket, kept);
        let calling = guarded::calling(debt);
        let future = if canary {
            Either::canary(self.canary.call(req))
        } else {
            Either::baseline(self.baseline.call(req))
        };
        calling.into_future(future)
    }
}

/// A service that two versions stand behind, and something else decides which of them serves a call.
///
/// Made by a [`WatchLayer`](super::WatchLayer). Readiness is the inner service's.
pub struct Watch<S, T = Routed, C = ByResult, K = NoCheck> {
    inner: S,
    local: Owner<Arc<Shared<C, K, T>>>,
}

impl<S, T, C, K> Watch<S, T, C, K> {
    pub(super) fn new(inner: S, local: Owner<Arc<Shared<C, K, T>>>) -> Self {
        Self { inner, local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, T, C, K> Clone for Watch<S, T, C, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.clone() }
    }
}

impl<S: fmt::Debug, T, C, K> fmt::Debug for Watch<S, T, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("inner", &self.inner)
            .field("trial", &self.local.trial)
            .finish_non_exhaustive()
    }
}

impl<S, T, C, K, Req> Service<Req> for Watch<S, T, C, K>
where
    S: Service<Req>,
    S::Error: Carry,
    T: Tell<Req, S::Response>,
    C: Classify<S::Response, S::Error>,
    K: Check<Req, S::Response>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WatchFuture<S::Future, Req, S::Response, T, C, K>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let trial = &self.local.trial;
        let arm = self.local.tell.by_request(&req);
        let ticket = trial.engine.start(arm, || trial.clock.now());
        let kept = keep(&self.local, &req);
        let debt = Counted::new(self.local.share(), Some(ticket), kept);
        let calling = guarded::calling(debt);
        let future = self.inner.call(req);
        calling.into_future(future)
    }
}
