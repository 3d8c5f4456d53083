//! Takes a place, calls the inner service, waits, or refuses.

use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

use super::future::{Place, QueuedFuture, ResponseFuture, Waiter};
use super::layer::Shared;
use super::rank::{OneClass, Rank};
use super::waiting::Joined;
use crate::clock::Moment;
use crate::criticality::Criticality;
use crate::error::{Carry, Reason, Rejected};
use crate::guarded;
use crate::local::Owner;
use crate::readied::Readied;
use crate::request::{Deadlines, NoDeadline};

/// A call that finds no place is refused at once: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtOnce;

/// A call that finds no place waits for one; `D` says whether requests have deadlines
/// ([`with_deadline`](super::BulkheadLayer::with_deadline)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Queued<D = NoDeadline>(PhantomData<D>);

/// A service with a bounded number of calls in flight.
///
/// Made by [`BulkheadLayer`](super::BulkheadLayer), whose limit it shares with its clones.
/// `poll_ready` is Ready when the inner is, or when any call would be refused; the place is taken in
/// `call`. If it waits there ([`Queued`]), the instance that was made ready waits with it, and is the
/// one called.
#[derive(Clone, Debug)]
pub struct Bulkhead<S, C = OneClass, Q = AtOnce> {
    inner: Readied<S>,
    local: Owner<Arc<Shared>>,
    rank: C,
    queue: PhantomData<Q>,
}

impl<S, C, Q> Bulkhead<S, C, Q> {
    pub(super) fn new(inner: S, local: Owner<Arc<Shared>>, rank: C) -> Self {
        Self { inner: Readied::new(inner), local, rank, queue: PhantomData }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }
}

/// When calls may wait, where they can't.
const NEVER: Option<fn() -> Moment> = None;

/// Refuses a call that has no place, or no inner to call.
#[inline(never)]
fn refuse(shared: &Shared, rank: Option<Criticality>, ready: bool) -> Rejected {
    shared.refuse(reason(shared, rank.unwrap_or_default(), ready), rank)
}

/// Why a call is refused that has no place, or no inner to call.
fn reason(shared: &Shared, class: Criticality, ready: bool) -> Reason {
    let engine = &shared.engine;
    if !ready && engine.places().has_room(class, engine.shares()) {
        Reason::NotReady
    } else {
        Reason::BulkheadFull
    }
}

impl<S, C, Req> Service<Req> for Bulkhead<S, C, AtOnce>
where
    S: Service<Req>,
    S::Error: Carry,
    C: Rank<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let engine = &self.local.engine;
        self.inner.poll_ready(cx, || engine.is_full(NEVER))
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let ready = self.inner.take();
        let shared = &mut self.local;
        let rank = self.rank.rank(&req);
        let class = rank.unwrap_or_default();
        match ready {
            Some(inner) if shared.engine.acquire(class) => {
                let calling = guarded::calling(Place::new(shared.share(), class));
                let future = inner.call(req);
                calling.into_future(future)
            }
            ready => guarded::refuse(refuse(shared, rank, ready.is_some())),
        }
    }
}

impl<S, C, D, Req> Service<Req> for Bulkhead<S, C, Queued<D>>
where
    S: Service<Req> + Clone,
    S::Error: Carry,
    C: Rank<Req>,
    D: Deadlines<Req> + Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = QueuedFuture<S, Req, S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let shared = &self.local;
        self.inner.poll_ready(cx, || {
            let waits = !shared.max_wait().is_zero();
            shared.engine.is_full(waits.then_some(|| shared.clock.now()))
        })
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let ready = self.inner.take();
        let shared = &mut self.local;
        let rank = self.rank.rank(&req);
        let class = rank.unwrap_or_default();
        let Some(inner) = ready else {
            return QueuedFuture::refused(shared.refuse(reason(shared, class, false), rank));
        };
        if shared.engine.acquire(class) {
            return QueuedFuture::called(Place::new(shared.share(), class), inner, req);
        }
        let patience = if D::LOOKS {
            shared.patience(D::default().deadline(&req))
        } else {
            shared.patience(None)
        };
        // Who won't wait needs no place in the line, no timer, no runtime.
        let waits = !patience.wait.is_zero();
        match shared.engine.join(class, patience.since, waits) {
            Joined::Entered => QueuedFuture::called(Place::new(shared.share(), class), inner, req),
            Joined::Refused => QueuedFuture::refused(shared.refuse(patience.at_once(), rank)),
            Joined::Waits(ticket) => {
                shared.turned_away();
                let waiter = Waiter::new(shared.share(), ticket, rank, patience);
                let left = inner.clone();
                QueuedFuture::waiting(waiter, std::mem::replace(inner, left), req)
            }
        }
    }
}
