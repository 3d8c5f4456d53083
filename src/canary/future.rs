//! The futures of this room, and what a call owes the comparison.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::check::Check;
use super::engine::Ticket;
use super::layer::Shared;
use super::tell::{Routed, Tell};
use crate::error::Carry;
use crate::event::{Answered, Call};
use crate::guarded::{Guarded, Settle, SettleWith, Unfinished};
use crate::local::Local;
use crate::outcome::{Classify, Outcome, judge};

/// The response future of a [`Split`](super::Split).
///
/// Dropping it is safe at any point: a dropped call says nothing of its version, unless it was slow
/// already.
pub type SplitFuture<F, G, Req, Res, C, K, U = Routed> =
    Guarded<Either<F, G>, Counted<Req, Res, C, K, U>>;

/// The response future of a [`Watch`](super::Watch).
pub type WatchFuture<F, Req, Res, T, C, K> = Guarded<F, Counted<Req, Res, C, K, T>>;

pin_project! {
    /// The call of either version.
    #[derive(Debug)]
    pub struct Either<F, G> {
        #[pin]
        of: Of<F, G>,
    }
}

pin_project! {
    #[project = OfProj]
    #[derive(Debug)]
    enum Of<F, G> {
        Baseline { #[pin] future: F },
        Canary { #[pin] future: G },
    }
}

impl<F, G> Either<F, G> {
    #[inline]
    pub(super) fn baseline(future: F) -> Self {
        Self { of: Of::Baseline { future } }
    }

    #[inline]
    pub(super) fn canary(future: G) -> Self {
        Self { of: Of::Canary { future } }
    }
}

impl<F, G> Future for Either<F, G>
where
    F: Future,
    G: Future<Output = F::Output>,
{
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().of.project() {
            OfProj::Baseline { future } => future.poll(cx),
            OfProj::Canary { future } => future.poll(cx),
        }
    }
}

/// One call of one version; counted when it ends.
pub struct Counted<Req, Res, C, K: Check<Req, Res>, T> {
    local: Local<Arc<Shared<C, K, T>>>,
    /// `None`: it is of no version, as far as the comparison goes.
    ticket: Option<Ticket>,
    kept: Option<K::Kept>,
    of: PhantomData<fn(&Req, &Res)>,
}

impl<Req, Res, C, K: Check<Req, Res>, T> fmt::Debug for Counted<Req, Res, C, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl<Req, Res, C, K: Check<Req, Res>, T> Counted<Req, Res, C, K, T> {
    #[inline(always)]
    pub(super) fn new(
        local: Local<Arc<Shared<C, K, T>>>,
        ticket: Option<Ticket>,
        kept: Option<K::Kept>,
    ) -> Self {
        Self { local, ticket, kept, of: PhantomData }
    }

    fn end(&self, ticket: Ticket, outcome: Outcome, answered: Answered) {
        let trial = &self.local.trial;
        if outcome == Outcome::Ignored {
            trial.engine.withdraw(ticket);
        } else {
            trial.end(ticket, outcome.is_failure());
        }
        if trial.sinks.wants_calls() {
            trial.sinks.called(&Call::new(outcome, answered));
        }
    }
}

impl<Req, Res, C, K: Check<Req, Res>, T> Settle for Counted<Req, Res, C, K, T> {
    fn unfinished(self, how: Unfinished) {
        if let Some(ticket) = self.ticket {
            match how {
                Unfinished::Panicked => self.end(ticket, Outcome::Failure, Answered::Nothing),
                Unfinished::Dropped => self.end(ticket, Outcome::Ignored, Answered::Left),
            }
        }
    }
}

impl<Req, Res, E, C, K, T> SettleWith<Res, E> for Counted<Req, Res, C, K, T>
where
    C: Classify<Res, E>,
    K: Check<Req, Res>,
    T: Tell<Req, Res>,
    E: Carry,
{
    #[inline(always)]
    fn finished_quickly(&mut self, result: Result<&Res, &E>) -> bool {
        let Some(ticket) = self.ticket else { return true };
        let trial = &self.local.trial;
        let only_counts = !ticket.is_late() && self.kept.is_none();
        if !only_counts || judge(&*self.local.classify, result) != Outcome::Success {
            return false;
        }
        trial.end(ticket, false);
        trial.sinks.called(&Call::new(Outcome::Success, Answered::with(result.is_ok())));
        true
    }

    fn finished(&mut self, result: Result<&Res, &E>) {
        let Some(mut ticket) = self.ticket else { return };
        if ticket.is_late() {
            let told = result.ok().and_then(|response| self.local.tell.by_response(response));
            let Some(arm) = told else { return };
            ticket = ticket.told(arm);
        }
        let outcome = judge(&*self.local.classify, result);
        if let (Some(kept), Ok(response), true) = (&self.kept, result, outcome != Outcome::Ignored)
        {
            let check = &self.local.check;
            self.local.trial.check(&ticket, || check.check(kept, response));
        }
        self.end(ticket, outcome, Answered::with(result.is_ok()));
    }
}
