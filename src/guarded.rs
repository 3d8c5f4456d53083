//! A call in flight and what it owes its layer: the one future of all layers that admit calls.
//!
//! Whatever a layer hands out with an admission (a permit, a place in a window, a probe) must come
//! back exactly once, however the call ends: an answer, an error, a drop at any await point, a panic
//! in `call` or in `poll`, a runtime that shuts down. [`Guarded`] sees to that for every room; a
//! room only says what to do at each end, in its [`Settle`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Carry, Rejected};

/// How a call ended that gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// Its future was dropped.
    Dropped,
    /// The inner service panicked, in `call` or in `poll`.
    Panicked,
}

/// What an admitted call owes its layer; consumed by whichever end comes.
pub(crate) trait Settle {
    /// The inner future was polled and isn't done: for rooms that time calls, and only then.
    fn pending(&mut self) {}
    /// The call ended without a result.
    fn unfinished(self, how: Unfinished);
}

/// What is owed when the call ends with a result.
pub(crate) trait SettleWith<Res, E>: Settle {
    /// What the result means to the room.
    type Verdict;
    /// Judges `result`. A classifier of the user's runs here and may panic: nothing is taken back
    /// before it has spoken, and if it doesn't, the call ends as if it had been dropped.
    fn judge(&self, result: Result<&Res, &E>) -> Self::Verdict;
    /// The call ended with a result that was judged so.
    fn finished(self, verdict: Self::Verdict);
}

/// Holds a [`Settle`] until its call ends, and knows whether the inner service is running: a panic
/// there drops it with the flag up. (`thread::panicking()` is false once a panic was caught.)
struct Owed<G: Settle> {
    debt: Option<G>,
    inside: bool,
}

impl<G: Settle> Drop for Owed<G> {
    fn drop(&mut self) {
        if let Some(debt) = self.debt.take() {
            debt.unfinished(if self.inside { Unfinished::Panicked } else { Unfinished::Dropped });
        }
    }
}

/// Calls a service under a debt: a panic in `call` settles it too.
#[inline]
pub(crate) fn call<F, G: Settle>(debt: G, call: impl FnOnce() -> F) -> Guarded<F, G> {
    let mut owed = Owed { debt: Some(debt), inside: true };
    let future = call();
    owed.inside = false;
    Guarded { state: State::Called { future, owed } }
}

/// A call that was refused.
#[inline]
pub(crate) fn refuse<F, G: Settle>(rejected: Rejected) -> Guarded<F, G> {
    Guarded { state: State::Refused { rejected: Some(rejected) } }
}

pin_project! {
    /// The future of a layer that admits calls: the inner future, or a refusal.
    ///
    /// What the call owes its layer is settled in the poll that completes it, or when it is
    /// dropped before.
    pub struct Guarded<F, G: Settle> {
        #[pin]
        state: State<F, G>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, G: Settle> {
        Called { #[pin] future: F, owed: Owed<G> },
        Refused { rejected: Option<Rejected> },
    }
}

impl<F, G, Res, E> Future for Guarded<F, G>
where
    F: Future<Output = Result<Res, E>>,
    G: SettleWith<Res, E>,
    E: Carry,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { future, owed } => {
                owed.inside = true;
                let polled = future.poll(cx);
                owed.inside = false;
                match &polled {
                    Poll::Ready(result) => {
                        if let Some(debt) = &owed.debt {
                            let verdict = debt.judge(result.as_ref());
                            if let Some(debt) = owed.debt.take() {
                                debt.finished(verdict);
                            }
                        }
                    }
                    Poll::Pending => {
                        if let Some(debt) = &mut owed.debt {
                            debt.pending();
                        }
                    }
                }
                polled
            }
            StateProj::Refused { rejected } => {
                let rejected = rejected.take().expect("polled after it was done");
                Poll::Ready(Err(E::from_rejected(rejected)))
            }
        }
    }
}

impl<F, G: Settle> fmt::Debug for Guarded<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { owed, .. } if owed.debt.is_none() => "done",
            State::Called { .. } => "called",
            State::Refused { .. } => "refused",
        };
        write!(f, "Guarded({state})")
    }
}
