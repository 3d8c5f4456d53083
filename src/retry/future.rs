//! A call and its repetitions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::engine::{Ended, NEVER, Pace, Worth};
use super::layer::Shared;
use crate::budget::{Paid, Withdrawn};
use crate::clock::Moment;
use crate::error::{Carry, Reason, Rejected, Room};
use crate::event::{Answered, Call};
use crate::local::Local;
use crate::outcome::{Classify, Outcome, judge};
use crate::request::{Attempt, IdempotencyKey, Marked, Operation};

pin_project! {
    /// The response future of a [`Retry`](super::Retry).
    ///
    /// Dropping it is safe at any point: an attempt under way is dropped with it, and a token that was
    /// taken for one that has not begun goes back. If the call has an effect and may have been carried
    /// out, it ended in doubt, and [`Reconcile`](super::Reconcile) hears of it.
    pub struct ResponseFuture<S: Service<Req>, Req, C> {
        #[pin]
        state: State<S::Future>,
        // Of the attempt before, until another one was really made: it is the answer if none is. In a
        // box, so that calls that are not repeated have no room for two results.
        last: Option<Box<Last<S::Response, S::Error>>>,
        ongoing: Ongoing<S, Req, C>,
    }
}

/// How an attempt ended.
struct Last<Res, E> {
    outcome: Outcome,
    result: Result<Res, E>,
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called { #[pin] future: F },
        Waiting {
            // `None` for a wait of nothing: then the task yields once.
            #[pin]
            timer: Option<Sleep>,
            yielded: bool,
            token: Option<Withdrawn>,
        },
        Done,
    }
}

impl<S: Service<Req>, Req, C> ResponseFuture<S, Req, C> {
    #[inline]
    pub(super) fn new(future: S::Future, ongoing: Ongoing<S, Req, C>) -> Self {
        Self { state: State::Called { future }, last: None, ongoing }
    }
}

impl<S, Req, C> Future for ResponseFuture<S, Req, C>
where
    S: Service<Req> + Clone,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
    Req: Clone + Marked,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        // A way of its own for nearly every call, so that it is short.
        let ended = match this.state.project() {
            StateProj::Called { future } => match future.poll(cx) {
                Poll::Ready(result) => {
                    if this.ongoing.succeeded(result.as_ref()) {
                        *this.last = None;
                        return Poll::Ready(result);
                    }
                    Some(result)
                }
                Poll::Pending => {
                    this.ongoing.pending();
                    return Poll::Pending;
                }
            },
            _ => None,
        };
        self.go_on(ended, cx)
    }
}

impl<S, Req, C> ResponseFuture<S, Req, C>
where
    S: Service<Req> + Clone,
    S::Error: Carry,
    C: Classify<S::Response, S::Error>,
    Req: Clone + Marked,
{
    /// An attempt did not succeed, or the call waits for the next.
    fn go_on(
        self: Pin<&mut Self>,
        mut ended: Option<Result<S::Response, S::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        loop {
            if let Some(result) = ended.take() {
                match this.ongoing.again(result.as_ref()) {
                    Next::Attempt(wait, token) => {
                        let outcome = this.ongoing.outcome;
                        *this.last = Some(Box::new(Last { outcome, result }));
                        this.state.set(State::Waiting {
                            timer: (wait > Duration::ZERO).then(|| sleep(wait)),
                            yielded: false,
                            token: Some(token),
                        });
                    }
                    Next::Answer => {
                        this.state.set(State::Done);
                        *this.last = None;
                        return Poll::Ready(this.ongoing.answer_failed(result));
                    }
                    Next::Last => {
                        this.state.set(State::Done);
                        return Poll::Ready(this.ongoing.fall_back(this.last.take(), result));
                    }
                }
            }
            match this.state.as_mut().project() {
                StateProj::Called { future } => {
                    let Poll::Ready(result) = future.poll(cx) else {
                        this.ongoing.pending();
                        return Poll::Pending;
                    };
                    if this.ongoing.succeeded(result.as_ref()) {
                        *this.last = None;
                        return Poll::Ready(result);
                    }
                    ended = Some(result);
                }
                StateProj::Waiting { timer, yielded, token } => {
                    match timer.as_pin_mut() {
                        Some(timer) => ready!(timer.poll(cx)),
                        // However fast a service refuses, others have their turn in between.
                        None if !std::mem::replace(yielded, true) => {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        None => {}
                    }
                    let token = token.take().expect("polled after a panic");
                    match this.ongoing.begin(token, cx) {
                        Some(future) => this.state.set(State::Called { future }),
                        None => {
                            this.state.set(State::Done);
                            let last = this.last.take().expect("kept while it waits");
                            return Poll::Ready(this.ongoing.answer_failed(last.result));
                        }
                    }
                }
                StateProj::Done => panic!("polled after it was done"),
            }
        }
    }
}

/// What comes after an attempt that did not succeed.
enum Next {
    /// Another one, after this wait, paid with this token.
    Attempt(Duration, Withdrawn),
    /// Nothing: its result is the answer.
    Answer,
    /// Nothing, and it was refused, so it was not made: the result before it is the answer, if there is
    /// one.
    Last,
}

/// All of a call but the attempt that is under way.
pub(super) struct Ongoing<S, Req, C> {
    local: Local<Arc<Shared<S, C>>>,
    /// The request for the next attempt, if there may be one.
    spare: Option<Req>,
    operation: Operation,
    key: Option<IdempotencyKey>,
    deadline: Moment,
    /// When the first attempt was found pending, or had failed at once; [`NEVER`] before that. (Not an
    /// `Option`: the padding of several makes this struct slow to fill.)
    began: Moment,
    /// Attempts made, the one under way included, and how many may be.
    made: u32,
    limit: u32,
    drawn: u64,
    /// For the attempt under way.
    paid: Paid,
    outcome: Outcome,
    /// A layer further out repeats this call.
    nested: bool,
    /// An attempt is under way.
    sent: bool,
    /// An earlier attempt may have been carried out.
    doubt: bool,
}

impl<S, Req: Marked, C> Ongoing<S, Req, C> {
    /// Before the first attempt: what the request says of itself.
    #[inline]
    pub(super) fn new(
        local: Local<Arc<Shared<S, C>>>,
        request: &Req,
        spare: Option<Req>,
        limit: u32,
        nested: bool,
    ) -> Self {
        Self {
            operation: request.operation(),
            key: local.rules.key(|| request.idempotency_key()),
            deadline: request.deadline().unwrap_or(NEVER),
            spare,
            began: NEVER,
            made: 1,
            limit,
            drawn: 0,
            paid: Paid::default(),
            outcome: Outcome::Success,
            nested,
            sent: true,
            doubt: false,
            local,
        }
    }
}

impl<S, Req, C> Ongoing<S, Req, C> {
    /// The attempt under way isn't done. The clock is read once a call, and only then.
    #[inline]
    fn pending(&mut self) {
        if self.began == NEVER && self.spare.is_some() {
            self.began = self.local.rules.now();
        }
    }

    /// An attempt ended with `result`: is that the end of it?
    #[inline(always)]
    fn succeeded<Res, E>(&mut self, result: Result<&Res, &E>) -> bool
    where
        E: Carry,
        C: Classify<Res, E>,
    {
        // Before it is said that nothing is under way: should it panic, the call is in doubt.
        self.outcome = judge(&*self.local.classify, result);
        self.sent = false;
        if self.outcome != Outcome::Success {
            return false;
        }
        self.count_first();
        self.doubt = false;
        if self.made > 1 {
            self.local.rules.engine.counts.recovered.add_one();
        }
        self.report();
        true
    }

    /// A first attempt that reached the service has earned its share of a retry.
    #[inline(always)]
    fn count_first(&self) {
        if self.made == 1 && !self.nested {
            self.local.rules.budget.deposit();
        }
    }

    /// The call ends: told to whom wants to hear of each.
    #[inline(always)]
    fn report(&self) {
        if self.local.rules.sinks.wants_calls() {
            self.report_to_sinks();
        }
    }

    fn report_to_sinks(&self) {
        let answered = Answered::with(self.outcome == Outcome::Success);
        self.local.rules.sinks.called(&Call::new(self.outcome, answered));
    }

    /// An attempt ended with `result`, no success: what comes next?
    #[cold]
    fn again<Res, E>(&mut self, result: Result<&Res, &E>) -> Next
    where
        E: Carry,
        C: Classify<Res, E>,
    {
        self.doubt |= self.leaves_doubt();
        let rejected = result.err().and_then(Carry::rejected);
        let refused = rejected.is_some_and(|rejected| !rejected.sent());
        if refused {
            self.paid.give_back(&self.local.rules.budget);
        } else {
            self.count_first();
        }
        let counts = &self.local.rules.engine.counts;
        let ended = Ended {
            outcome: self.outcome,
            refused,
            unanswered: rejected.is_some() && !refused,
            operation: self.operation,
            made: self.made,
            limit: self.limit,
        };
        let cost = match ended.worth_repeating() {
            Worth::Yes(cost) => cost,
            Worth::No if refused => {
                if self.made > 1 {
                    counts.refused.add_one();
                }
                return Next::Last;
            }
            Worth::No => return Next::Answer,
            Worth::Unsafe => {
                counts.not_repeatable.add_one();
                return Next::Answer;
            }
            Worth::Spent => {
                if !self.nested {
                    counts.exhausted.add_one();
                }
                return Next::Answer;
            }
        };
        let now = self.local.rules.now();
        if self.began == NEVER {
            self.began = now;
        }
        let advice = match rejected {
            Some(rejected) => rejected.retry_after,
            None => self.local.classify.retry_after(result),
        };
        let wait = match self.local.rules.engine.wait(self.pace(), advice, now) {
            Ok(wait) => wait,
            Err(reason) => {
                self.give_up(reason);
                return Next::Answer;
            }
        };
        let Some(token) = self.local.rules.budget.withdraw(cost) else {
            self.give_up(Reason::BudgetEmpty);
            return Next::Answer;
        };
        self.drawn = wait.drawn;
        Next::Attempt(wait.length, token)
    }

    /// There will be no other attempt, though the call is worth one: counted, and told as a refusal.
    fn give_up(&self, reason: Reason) {
        let counts = &self.local.rules.engine.counts;
        let count = match reason {
            Reason::BudgetEmpty => &counts.budget_empty,
            Reason::NotReady => &counts.not_ready,
            _ => &counts.too_late,
        };
        count.add_one();
        let sinks = &self.local.rules.sinks;
        sinks.refused(Rejected::new(Room::Retry, reason, sinks.name()));
    }

    fn pace(&self) -> Pace {
        let Self { began, deadline, made, drawn, .. } = *self;
        Pace { began, deadline, made, drawn }
    }

    /// Does the attempt that ended leave something to find out?
    fn leaves_doubt(&self) -> bool {
        self.outcome == Outcome::InDoubt && self.operation.has_effect()
    }

    /// Begins the next attempt, if it is not too late and a service is ready at once.
    fn begin(&mut self, token: Withdrawn, cx: &mut Context<'_>) -> Option<S::Future>
    where
        S: Service<Req> + Clone,
        Req: Clone + Marked,
    {
        let rules = &self.local.rules;
        if rules.engine.too_late(self.pace(), rules.now()) {
            self.give_up(Reason::DeadlinePassed);
            return None;
        }
        let mut service = self.local.template.lock().clone();
        // Its error, if it has one, is not this call's: the last attempt's result is.
        let Poll::Ready(Ok(())) = service.poll_ready(cx) else {
            self.give_up(Reason::NotReady);
            return None;
        };
        rules.engine.counts.retries.add_one();
        self.made += 1;
        let mut request =
            if self.made < self.limit { self.spare.clone() } else { self.spare.take() }
                .expect("kept while there may be another attempt");
        request.set_attempt(Attempt::new(self.made));
        self.paid = token.pay();
        self.sent = true;
        Some(service.call(request))
    }

    /// The call ends with a refusal by a layer inside. A repetition that was refused was not made, so
    /// what came before it stands: else a layer further out would take a call that failed for one that
    /// was never sent.
    #[cold]
    fn fall_back<Res, E: Carry>(
        &mut self,
        last: Option<Box<Last<Res, E>>>,
        refused: Result<Res, E>,
    ) -> Result<Res, E> {
        match last {
            Some(last) => {
                self.outcome = last.outcome;
                // Not this attempt.
                self.made -= 1;
                self.answer_failed(last.result)
            }
            None => self.answer_failed(refused),
        }
    }

    /// The call ends: with `last`, unless that would hide that an earlier attempt is in doubt.
    #[cold]
    fn answer_failed<Res, E: Carry>(&mut self, last: Result<Res, E>) -> Result<Res, E> {
        self.report();
        if !std::mem::take(&mut self.doubt) {
            return last;
        }
        let hidden = !self.leaves_doubt();
        self.local.rules.tell_doubt(self.operation, self.key.take(), self.made);
        if !hidden {
            return last;
        }
        // A connection that was never made, say, tells nothing of the attempt before.
        let rejected = Rejected::new(Room::Retry, Reason::InDoubt, self.local.rules.sinks.name());
        Err(E::from_rejected(rejected.after_sending()))
    }
}

impl<S, Req, C> Drop for Ongoing<S, Req, C> {
    #[inline]
    fn drop(&mut self) {
        if (self.sent || self.doubt) && self.operation.has_effect() {
            self.local.rules.tell_doubt(self.operation, self.key.take(), self.made);
        }
    }
}

impl<S: Service<Req>, Req, C> fmt::Debug for ResponseFuture<S, Req, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "called",
            State::Waiting { .. } => "waiting",
            State::Done => "done",
        };
        write!(f, "ResponseFuture(attempt {}, {state})", self.ongoing.made)
    }
}
