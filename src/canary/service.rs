//! Shares calls between two versions, or listens to who served them.

use std::fmt;
use std::task::{Context, Poll};
use tower_service::Service;

use super::check::{Check, NoCheck};
use super::future::{Counted, Either, SplitFuture, WatchFuture};
use super::layer::{Shared, keep};
use super::tell::{Routed, Tell};
use crate::error::{Carry, Reason, Rejected, Room};
use crate::guarded;
use crate::local::Local;
use crate::outcome::{ByResult, Classify};
use crate::readied::Readied;
use crate::verdict::Arm;

/// A service made of two versions of one.
///
/// Made by [`Canary::split`](super::Canary::split). Each call draws its version by itself, at random, so
/// that nothing in the traffic can favour one; it is counted for the version that it drew.
///
/// # Readiness
/// Ready when the baseline is. The canary is polled while it has a share of the calls, and a canary that
/// isn't ready holds nobody up: its call goes to the baseline, and counts for neither. A canary whose
/// `poll_ready` failed is not polled again by this clone: calls that draw it go to the baseline and count
/// as failures of the canary. Once the canary has all calls, Ready when *it* is.
pub struct Split<B, N, C = ByResult, K = NoCheck> {
    baseline: Readied<B>,
    canary: Readied<N>,
    /// The canary's `poll_ready` gave an error.
    failed: bool,
    local: Local<Shared<C, K>>,
}

impl<B, N, C, K> Split<B, N, C, K> {
    pub(super) fn new(baseline: B, canary: N, local: Local<Shared<C, K>>) -> Self {
        let (baseline, canary) = (Readied::new(baseline), Readied::new(canary));
        Self { baseline, canary, failed: false, local }
    }

    /// The known version.
    pub fn baseline(&self) -> &B {
        self.baseline.get_ref()
    }

    /// The version on trial.
    pub fn canary(&self) -> &N {
        self.canary.get_ref()
    }
}

impl<B: Clone, N: Clone, C, K> Clone for Split<B, N, C, K> {
    fn clone(&self) -> Self {
        let (baseline, canary) = (self.baseline.clone(), self.canary.clone());
        // A clone of a service that failed may be another connection.
        Self { baseline, canary, failed: false, local: self.local.fork() }
    }
}

impl<B: fmt::Debug, N: fmt::Debug, C, K> fmt::Debug for Split<B, N, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("baseline", self.baseline())
            .field("canary", self.canary())
            .field("trial", &self.local.trial)
            .finish_non_exhaustive()
    }
}

impl<B, N, C, K, Req> Service<Req> for Split<B, N, C, K>
where
    B: Service<Req>,
    B::Error: Carry,
    N: Service<Req, Response = B::Response, Error = B::Error>,
    C: Classify<B::Response, B::Error>,
    K: Check<Req, B::Response>,
{
    type Response = B::Response;
    type Error = B::Error;
    type Future = SplitFuture<B::Future, N::Future, Req, B::Response, C, K>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), B::Error>> {
        // Always: the baseline takes over whenever the canary can't.
        let baseline = self.baseline.poll_ready(cx, || false);
        let engine = &self.local.trial.engine;
        if engine.is_drained() || self.failed {
            return baseline;
        }
        match self.canary.poll_ready(cx, || false) {
            Poll::Ready(Ok(())) if engine.is_full() => Poll::Ready(Ok(())),
            Poll::Pending if engine.is_full() => Poll::Pending,
            Poll::Ready(Err(_)) => {
                self.failed = true;
                baseline
            }
            _ => baseline,
        }
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let trial = &self.local.trial;
        let arm = trial.engine.draw();
        let (baseline, canary) = (self.baseline.take(), self.canary.take());
        let served = match (arm, canary) {
            (Arm::Canary, Some(canary)) => Ok(canary),
            _ => Err(baseline),
        };
        let counts = arm == Arm::Baseline || served.is_ok();
        if !counts {
            trial.count_unready();
            if self.failed {
                let ticket = trial.engine.start(Some(Arm::Canary), || trial.clock.now());
                trial.tell(trial.engine.end(ticket, true, || trial.clock.now()));
            }
        }
        let debt = || {
            let ticket = counts.then(|| trial.engine.start(Some(arm), || trial.clock.now()));
            let kept = if counts { keep(&self.local, &req) } else { None };
            Counted::new(self.local.share(), ticket, kept)
        };
        match served {
            Ok(canary) => guarded::call(debt(), || Either::canary(canary.call(req))),
            Err(Some(baseline)) => guarded::call(debt(), || Either::baseline(baseline.call(req))),
            Err(None) => {
                let rejected = Rejected::new(Room::Canary, Reason::NotReady, trial.sinks.name());
                guarded::refuse(trial.sinks.refused(rejected))
            }
        }
    }
}

/// A service that two versions stand behind, and something else decides which of them serves a call.
///
/// Made by a [`WatchLayer`](super::WatchLayer). Readiness is the inner service's.
pub struct Watch<S, T = Routed, C = ByResult, K = NoCheck> {
    inner: S,
    local: Local<Shared<C, K, T>>,
}

impl<S, T, C, K> Watch<S, T, C, K> {
    pub(super) fn new(inner: S, local: Local<Shared<C, K, T>>) -> Self {
        Self { inner, local }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, T, C, K> Clone for Watch<S, T, C, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), local: self.local.fork() }
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

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let trial = &self.local.trial;
        let arm = self.local.tell.by_request(&req);
        let ticket = trial.engine.start(arm, || trial.clock.now());
        let kept = keep(&self.local, &req);
        let debt = Counted::new(self.local.share(), Some(ticket), kept);
        guarded::call(debt, || self.inner.call(req))
    }
}
