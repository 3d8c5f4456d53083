//! The future of a [`Timeout`](super::Timeout): the inner future, and a timer once it is pending.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::layer::Shared;
use crate::clock::Moment;
use crate::error::{Carry, Reason, Rejected, Room};
use crate::local::Local;

pin_project! {
    #[project = FutureProj]
    /// The response future of a [`Timeout`](super::Timeout).
    ///
    /// Dropping it drops the inner future and the timer: that is no timeout, and isn't counted. At
    /// the limit the inner future is dropped in the poll that says so.
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
        local: Local<Arc<Shared>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Running {
            #[pin]
            future: F,
            // Inline, and there only when the inner future was pending: no allocation.
            #[pin]
            timer: Option<Sleep>,
            timer_first: bool,
            // Of the request, if it has one.
            deadline: Option<Moment>,
        },
        // Its deadline had passed when it was called.
        Refused,
        TimedOut,
    }
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) fn new(future: F, deadline: Option<Moment>, local: Local<Arc<Shared>>) -> Self {
        let state = State::Running { future, timer: None, timer_first: false, deadline };
        Self { state, local }
    }

    pub(super) fn refused(local: Local<Arc<Shared>>) -> Self {
        Self { state: State::Refused, local }
    }
}

impl<F, Res, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Carry,
{
    type Output = Result<Res, E>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().project().state.project() {
            // The first poll, and for many calls the only one: no timer was needed.
            StateProj::Running { future, timer, .. } if timer.is_none() => match future.poll(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => self.start_timer(cx),
            },
            _ => self.poll_with_timer(cx),
        }
    }
}

impl<F> ResponseFuture<F> {
    /// The inner future is pending, for the first time.
    fn start_timer<Res, E: Carry>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Res, E>> {
        let mut this = self.project();
        if let StateProj::Running { mut timer, deadline, .. } = this.state.as_mut().project() {
            timer.set(Some(sleep(time_left(this.local, *deadline))));
            if !timer_is_over(timer, cx) {
                return Poll::Pending;
            }
        }
        this.time_out()
    }

    fn poll_with_timer<Res, E: Carry>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Res, E>>
    where
        F: Future<Output = Result<Res, E>>,
    {
        let mut this = self.project();
        let (future, mut timer, timer_first) = match this.state.as_mut().project() {
            StateProj::Running { future, timer, timer_first, .. } => (future, timer, timer_first),
            StateProj::Refused => {
                this.state.set(State::TimedOut);
                return Poll::Ready(Err(E::from_rejected(refuse(this.local))));
            }
            StateProj::TimedOut => panic!("polled after it was done"),
        };
        // A future that uses up the task's budget in each poll would leave none for the timer, which
        // then is never even registered: so from the third poll on, the timer is asked first. Not in
        // the second, where most calls end: an answer there costs no look at the timer.
        let mut over = *timer_first && timer_is_over(timer.as_mut(), cx);
        if let Poll::Ready(result) = future.poll(cx) {
            // Tied to completion: a kept future that is done holds no timer.
            timer.set(None);
            return Poll::Ready(result);
        }
        if !*timer_first {
            *timer_first = true;
            over = timer_is_over(timer, cx);
        }
        if over { this.time_out() } else { Poll::Pending }
    }
}

impl<F> FutureProj<'_, F> {
    fn time_out<Res, E: Carry>(mut self) -> Poll<Result<Res, E>> {
        // Drops the inner future now: what it holds comes back before the caller hears of it.
        self.state.set(State::TimedOut);
        Poll::Ready(Err(E::from_rejected(give_up(self.local))))
    }
}

fn timer_is_over(timer: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> bool {
    timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready())
}

/// How long a call that is found pending now may be so.
fn time_left(shared: &Shared, deadline: Option<Moment>) -> Duration {
    let limit = shared.engine.limit();
    deadline.map_or(limit, |deadline| limit.min(deadline.since(shared.clock.now())))
}

/// Counts and reports one call that had no time left when it was made.
#[cold]
fn refuse(shared: &Shared) -> Rejected {
    shared.engine.came_late();
    let sinks = &shared.sinks;
    sinks.refused(Rejected::new(Room::Timeout, Reason::DeadlinePassed, sinks.name()))
}

/// Counts and reports one call that took too long.
#[cold]
fn give_up(shared: &Shared) -> Rejected {
    shared.engine.timed_out();
    let sinks = &shared.sinks;
    let rejected = Rejected::new(Room::Timeout, Reason::TimedOut, sinks.name());
    sinks.refused(rejected.after_sending())
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Running { timer: None, .. } => "called",
            State::Running { timer: Some(_), .. } => "pending",
            State::Refused => "refused",
            State::TimedOut => "timed out",
        };
        write!(f, "ResponseFuture({state})")
    }
}
