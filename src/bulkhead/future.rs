//! The futures of a [`Bulkhead`](super::Bulkhead), and the place that a call holds or waits for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::layer::{Patience, Shared};
use super::queue::Standing;
use super::waiting::Ticket;
use crate::clock::Moment;
use crate::criticality::Criticality;
use crate::error::{Carry, Reason, Rejected};
use crate::guarded::{self, Guarded, Settle, SettleWith, Unfinished};
use crate::local::Local;
use crate::outcome::{ByResult, Outcome, judge};

/// The response future of a [`Bulkhead`](super::Bulkhead).
///
/// Dropping it at any point gives its place back.
pub type ResponseFuture<F> = Guarded<F, Place>;

/// The place of one call; given back when the call ends.
#[derive(Debug)]
pub struct Place {
    local: Local<Arc<Shared>>,
    /// When the call began, in ns; 0 where nobody asks.
    since: u64,
    class: Criticality,
}

impl Place {
    /// The place that was just taken for a call of this class.
    #[inline(always)]
    pub(super) fn new(local: Local<Arc<Shared>>, class: Criticality) -> Self {
        let since = local.begin().map_or(0, Moment::as_nanos);
        Self { local, since, class }
    }
}

impl Settle for Place {
    // A call that was dropped, or that panicked, says nothing about how long an answer takes.
    fn unfinished(self, _: Unfinished) {
        self.local.release(self.class);
    }
}

impl<Res, E: Carry> SettleWith<Res, E> for Place {
    #[inline(always)]
    fn finished_quickly(&mut self, _: Result<&Res, &E>) -> bool {
        let untimed = self.since == 0;
        if untimed {
            self.local.release(self.class);
        }
        untimed
    }

    fn finished(&mut self, result: Result<&Res, &E>) {
        let since = Moment::from_nanos(self.since);
        match judge(&ByResult, result) {
            Outcome::Success => self.local.release_and_learn(self.class, since, true),
            Outcome::InDoubt => self.local.release_and_learn(self.class, since, false),
            // Errors are quick or slow for reasons of their own.
            _ => self.local.release(self.class),
        }
    }
}

/// A call's slot in the queue; left when it is dropped.
#[derive(Debug)]
pub(super) struct Waiter {
    local: Local<Arc<Shared>>,
    ticket: Option<Ticket>,
    rank: Option<Criticality>,
    patience: Patience,
}

/// What became of a call that waited.
enum Waited {
    Still,
    Entered(Place),
    Refused(Rejected),
}

impl Waiter {
    pub(super) fn new(
        local: Local<Arc<Shared>>,
        ticket: Ticket,
        rank: Option<Criticality>,
        patience: Patience,
    ) -> Self {
        Self { local, ticket: Some(ticket), rank, patience }
    }

    /// Has its turn come? Keeps the waker if not.
    fn ask(&mut self, waker: &Waker) -> Waited {
        let ticket = self.ticket.as_ref().expect("polled after it was done");
        let standing = self.local.engine.ask(ticket, waker);
        if standing == Standing::Waits {
            return Waited::Still;
        }
        self.end(standing)
    }

    /// How long it may still wait: it may not have been polled at once.
    fn rest(&self) -> Duration {
        let Patience { since, wait, .. } = self.patience;
        wait.saturating_sub(self.local.clock.now().since(since))
    }

    /// Its time is over; but its turn may just have come.
    fn give_up(&mut self) -> Waited {
        let ticket = self.ticket.as_ref().expect("polled after it was done");
        self.end(self.local.engine.give_up(ticket))
    }

    /// The ticket is used up.
    fn end(&mut self, standing: Standing) -> Waited {
        let class = self.ticket.take().map(|ticket| ticket.class).unwrap_or_default();
        let refuse = |reason| Waited::Refused(self.local.refuse(reason, self.rank));
        match standing {
            Standing::Entered => Waited::Entered(Place::new(self.local.share(), class)),
            Standing::PushedOut => refuse(Reason::BulkheadFull),
            Standing::Waits => refuse(self.patience.over()),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.local.engine.leave(&ticket, || self.local.clock.now());
        }
    }
}

pin_project! {
    /// The response future of a [`Bulkhead`](super::Bulkhead) with a queue: waits for a place, if it
    /// must, then calls.
    ///
    /// Dropped while it waits, it leaves the queue, and nothing was called; a place that it was granted
    /// in that instant passes on to the next. Dropped later, it gives its place back.
    pub struct QueuedFuture<S, Req, F> {
        #[pin]
        state: State<S, Req, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, F> {
        Waiting {
            // What is called when its turn comes; gone in a panic.
            held: Option<(S, Req)>,
            waiter: Waiter,
            // There only when it has to wait.
            #[pin]
            timer: Option<Sleep>,
        },
        Called { #[pin] call: ResponseFuture<F> },
    }
}

impl<S, Req> QueuedFuture<S, Req, S::Future>
where
    S: Service<Req>,
{
    #[inline]
    pub(super) fn called(place: Place, inner: &mut S, req: Req) -> Self {
        let calling = guarded::calling(place);
        let future = inner.call(req);
        Self { state: State::Called { call: calling.into_future(future) } }
    }

    pub(super) fn refused(rejected: Rejected) -> Self {
        Self { state: State::Called { call: guarded::refuse(rejected) } }
    }

    pub(super) fn waiting(waiter: Waiter, readied: S, req: Req) -> Self {
        Self { state: State::Waiting { held: Some((readied, req)), waiter, timer: None } }
    }
}

impl<S, Req> Future for QueuedFuture<S, Req, S::Future>
where
    S: Service<Req>,
    S::Error: Carry,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Called { call } => return call.poll(cx),
                StateProj::Waiting { held, waiter, mut timer } => {
                    let mut waited = waiter.ask(cx.waker());
                    if matches!(waited, Waited::Still) {
                        if timer.is_none() {
                            timer.set(Some(sleep(waiter.rest())));
                        }
                        if timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_pending()) {
                            return Poll::Pending;
                        }
                        waited = waiter.give_up();
                    }
                    match waited {
                        Waited::Still => return Poll::Pending,
                        Waited::Refused(rejected) => guarded::refuse(rejected),
                        Waited::Entered(place) => {
                            let (mut readied, req) = held.take().expect("called once");
                            let calling = guarded::calling(place);
                            let future = readied.call(req);
                            calling.into_future(future)
                        }
                    }
                }
            };
            // Drops the timer, and the instance, which has made its call.
            state.set(State::Called { call: next });
        }
    }
}

impl<S, Req, F> fmt::Debug for QueuedFuture<S, Req, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Waiting { .. } => f.write_str("QueuedFuture(waiting)"),
            State::Called { call } => write!(f, "QueuedFuture({call:?})"),
        }
    }
}
