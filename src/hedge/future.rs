//! One call, then two, then one answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::layer::Shared;
use crate::budget::{Cost, Paid};
use crate::clock::Moment;
use crate::error::{Carry, Reason, Rejected, Room};
use crate::event::{Answered, Call};
use crate::local::Local;
use crate::outcome::{Classify, judge};
use crate::request::{Attempt, Marked};

pin_project! {
    /// The response future of a [`Hedge`](super::Hedge).
    ///
    /// Dropping it is safe at any point: both calls are dropped with it. When one of them answers, the
    /// other is dropped in the poll that says so, so that what it held comes back before the caller
    /// hears of it.
    pub struct ResponseFuture<S: Service<R>, R, C> {
        #[pin]
        first: Option<S::Future>,
        #[pin]
        second: Option<S::Future>,
        // Armed when the first call was pending.
        #[pin]
        timer: Option<Sleep>,
        ongoing: Ongoing<S, R, C>,
    }
}

impl<S: Service<R>, R, C> ResponseFuture<S, R, C> {
    #[inline]
    pub(super) fn new(future: S::Future, ongoing: Ongoing<S, R, C>) -> Self {
        Self { first: Some(future), second: None, timer: None, ongoing }
    }
}

impl<S, R, C> Future for ResponseFuture<S, R, C>
where
    S: Service<R> + Clone,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
    R: Clone + Marked,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        assert!(this.first.is_some() || this.second.is_some(), "polled after it was done");
        loop {
            let (first, second) = (this.first.as_mut(), this.second.as_mut());
            if let Poll::Ready(result) = poll_leg(Leg::First, first, second, this.ongoing, cx) {
                this.timer.set(None);
                return Poll::Ready(result);
            }
            let (first, second) = (this.first.as_mut(), this.second.as_mut());
            if let Poll::Ready(result) = poll_leg(Leg::Second, second, first, this.ongoing, cx) {
                return Poll::Ready(result);
            }
            if !this.ongoing.may_hedge() {
                return Poll::Pending;
            }
            if this.timer.is_none() {
                let delay = this.ongoing.begin();
                this.timer.set(Some(sleep(delay)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
            this.timer.set(None);
            let Some(second) = this.ongoing.hedge(cx) else { return Poll::Pending };
            // Round again: it must be polled once, to wake us.
            this.second.set(Some(second));
        }
    }
}

/// Polls one of the two calls; ready if what it ended with is the answer.
fn poll_leg<S, R, C>(
    leg: Leg,
    mut mine: Pin<&mut Option<S::Future>>,
    mut other: Pin<&mut Option<S::Future>>,
    ongoing: &mut Ongoing<S, R, C>,
    cx: &mut Context<'_>,
) -> Poll<Result<S::Response, S::Error>>
where
    S: Service<R>,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
{
    let Some(future) = mine.as_mut().as_pin_mut() else { return Poll::Pending };
    let result = ready!(future.poll(cx));
    mine.set(None);
    let good = ongoing.ended(leg, result.as_ref());
    // A failure is the answer only when there is no other call to wait for.
    if !good && other.is_some() {
        return Poll::Pending;
    }
    other.set(None);
    Poll::Ready(result)
}

/// Which of the two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg {
    First,
    Second,
}

/// All of a call but its two futures.
pub(super) struct Ongoing<S, R, C> {
    local: Local<Arc<Shared<S, C>>>,
    /// The request for the second call, until that is made or given up.
    spare: Option<R>,
    /// When the first call was found pending.
    began: Option<Moment>,
    /// For the second call.
    paid: Paid,
    /// This call has earned its share of a token, or a layer further out counts it.
    counted: bool,
}

impl<S, R, C> Ongoing<S, R, C> {
    #[inline]
    pub(super) fn new(local: Local<Arc<Shared<S, C>>>, spare: Option<R>, nested: bool) -> Self {
        Self { local, spare, began: None, paid: Paid::default(), counted: nested }
    }

    fn may_hedge(&self) -> bool {
        self.spare.is_some()
    }

    /// The first call is pending: how long to wait for it alone.
    fn begin(&mut self) -> std::time::Duration {
        let rules = &self.local.rules;
        let now = rules.clock.now();
        self.began = Some(now);
        rules.engine.delay(now)
    }

    /// One of the calls ended: is that an answer, whatever the other does?
    fn ended<Res, E>(&mut self, leg: Leg, result: Result<&Res, &E>) -> bool
    where
        E: Carry,
        C: Classify<Res, E>,
    {
        let Shared { rules, classify, .. } = &**self.local;
        let outcome = judge(&**classify, result);
        let rejected = result.err().and_then(Carry::rejected);
        let refused = rejected.is_some_and(|rejected| !rejected.sent());
        match leg {
            Leg::Second if refused => {
                rules.engine.counts.refused.add_one();
                self.paid.give_back(&rules.budget);
            }
            // The first is sent by now, whichever of them ended.
            _ if !refused && !std::mem::replace(&mut self.counted, true) => rules.budget.deposit(),
            _ => {}
        }
        let good = !outcome.is_failure() && !refused;
        if good {
            if leg == Leg::Second {
                rules.engine.counts.won.add_one();
            }
            if rules.engine.measures() {
                let took = self.began.map(|began| rules.clock.now().since(began));
                rules.engine.record(took.unwrap_or_default());
            }
        }
        if rules.sinks.wants_calls() {
            let call = Call::new(outcome, Answered::with(result.is_ok()));
            rules.sinks.called(&call.timed(leg == Leg::Second, None));
        }
        good
    }

    /// The delay is over: the second call, if it may be made now.
    fn hedge(&mut self, cx: &mut Context<'_>) -> Option<S::Future>
    where
        S: Service<R> + Clone,
        R: Marked,
    {
        let mut request = self.spare.take()?;
        let rules = &self.local.rules;
        let counts = &rules.engine.counts;
        if request.deadline().is_some_and(|deadline| deadline <= rules.clock.now()) {
            counts.too_late.add_one();
            self.tell(Reason::DeadlinePassed);
            return None;
        }
        let Some(token) = rules.budget.withdraw(Cost::One) else {
            counts.budget_empty.add_one();
            self.tell(Reason::BudgetEmpty);
            return None;
        };
        let mut service = self.local.template.lock().clone();
        let Poll::Ready(Ok(())) = service.poll_ready(cx) else {
            counts.not_ready.add_one();
            self.tell(Reason::NotReady);
            return None;
        };
        counts.hedges.add_one();
        request.set_attempt(Attempt::new(2).hedged());
        self.paid = token.pay();
        Some(service.call(request))
    }

    /// A second call was due, and isn't made.
    fn tell(&self, reason: Reason) {
        let sinks = &self.local.rules.sinks;
        sinks.refused(Rejected::new(Room::Hedge, reason, sinks.name()));
    }
}

impl<S: Service<R>, R, C> fmt::Debug for ResponseFuture<S, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.first, &self.second) {
            (Some(_), Some(_)) => "both called",
            (None, None) => "done",
            _ => "called",
        };
        write!(f, "ResponseFuture({state})")
    }
}
