//! Asks the switch, and calls the inner service, refuses, or goes past the layers.

use std::task::{Context, Poll};
use tower_service::Service;

use super::future::{EitherFuture, ResponseFuture};
use super::mode::Mode;
use super::switch::KillSwitch;
use crate::error::{Carry, Reason, Rejected, Room};
use crate::readied::Readied;

/// A service that a [`KillSwitch`] can halt.
///
/// `poll_ready` is Ready when the inner is, or when the switch is on halt. A call in flight isn't
/// touched by a flip.
#[derive(Clone, Debug)]
pub struct Switched<S> {
    inner: Readied<S>,
    switch: KillSwitch,
}

impl<S> Switched<S> {
    pub(super) fn new(inner: S, switch: KillSwitch) -> Self {
        Self { inner: Readied::new(inner), switch }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

impl<S, Req> Service<Req> for Switched<S>
where
    S: Service<Req>,
    S::Error: Carry,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx, || self.switch.mode() == Mode::Halt)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let halted = self.switch.mode() == Mode::Halt;
        match self.inner.take() {
            Some(inner) if !halted => ResponseFuture::called(inner.call(req)),
            _ => ResponseFuture::refused(refuse(&self.switch, halted)),
        }
    }
}

#[cold]
fn refuse(switch: &KillSwitch, halted: bool) -> Rejected {
    let reason = if halted { Reason::Halted } else { Reason::NotReady };
    switch.sinks().refused(Rejected::new(Room::KillSwitch, reason, switch.name()))
}

/// A layered service, and the same client without the layers.
///
/// The way is chosen in `poll_ready`, and the call goes the way that was made ready.
#[derive(Debug)]
pub struct Bypass<W, S> {
    switch: KillSwitch,
    layered: W,
    bare: S,
    past: bool,
}

impl<W, S> Bypass<W, S> {
    pub(crate) fn new(switch: KillSwitch, layered: W, bare: S) -> Self {
        Self { switch, layered, bare, past: false }
    }
}

impl<W: Clone, S: Clone> Clone for Bypass<W, S> {
    fn clone(&self) -> Self {
        Self::new(self.switch.clone(), self.layered.clone(), self.bare.clone())
    }
}

impl<W, S, Req> Service<Req> for Bypass<W, S>
where
    W: Service<Req>,
    S: Service<Req, Response = W::Response, Error = W::Error>,
{
    type Response = W::Response;
    type Error = W::Error;
    type Future = EitherFuture<W::Future, S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), W::Error>> {
        self.past = self.switch.mode() == Mode::Bypass;
        if self.past { self.bare.poll_ready(cx) } else { self.layered.poll_ready(cx) }
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        if self.past {
            EitherFuture::Past { future: self.bare.call(req) }
        } else {
            EitherFuture::Layered { future: self.layered.call(req) }
        }
    }
}
