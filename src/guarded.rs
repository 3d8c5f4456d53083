//! A call in flight and what it owes its layer: the one future of all layers that admit calls.
//!
//! Whatever a layer hands out with an admission (a permit, a place in a window, a probe) must come
//! back exactly once, however the call ends: an answer, an error, a drop at any await point, a panic
//! in `call` or in `poll`, a runtime that shuts down. [`Guarded`] sees to that for every room; a
//! room only says what to do at each end, in its `Settle`.

use std::fmt;
use std::future::Future;
use std::mem;
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

/// What an admitted call owes its layer; settled by whichever end comes.
pub(crate) trait Settle {
    /// The inner future was polled and isn't done: for rooms that time calls, and only then.
    fn pending(&mut self) {}
    /// The call ended without a result.
    fn unfinished(self, how: Unfinished);
}

/// What is owed when the call ends with a result.
pub(crate) trait SettleWith<Res, E>: Settle {
    /// The call ended with `result`: settles it, if little has to be done; else `false`, and it is
    /// still owed.
    ///
    /// For nearly every call, so it should be short, and inlined: as long as nobody asks for the address
    /// of an answer it needs no place in memory, and travels through the layers in registers.
    fn finished_quickly(&mut self, _result: Result<&Res, &E>) -> bool {
        false
    }

    /// The call ended with `result`.
    ///
    /// Who asks a judge that may panic asks it first: a panic in here settles the call as one in the
    /// inner service would.
    fn finished(&mut self, result: Result<&Res, &E>);
}

/// Holds a [`Settle`] until its call ends.
struct Owed<G: Settle>(Option<G>);

impl<G: Settle> Drop for Owed<G> {
    #[inline]
    fn drop(&mut self) {
        if let Some(debt) = self.0.take() {
            debt.unfinished(Unfinished::Dropped);
        }
    }
}

/// Stands while the inner service runs; dropped only by a panic.
struct Inside<'a, G: Settle>(&'a mut Option<G>);

impl<G: Settle> Drop for Inside<'_, G> {
    fn drop(&mut self) {
        if let Some(debt) = self.0.take() {
            debt.unfinished(Unfinished::Panicked);
        }
    }
}

/// Stands while the inner service is called: a panic there settles the call.
///
/// ```ignore
/// let calling = guarded::calling(debt);
/// let future = inner.call(req);
/// calling.into_future(future)
/// ```
///
/// Not a function that takes a closure: the compiler inlines calls of layers into one another, so that the
/// inner future is made where it stays, but seldom closures as large as those are then.
pub(crate) struct Calling<G: Settle>(Option<G>);

/// A call is made under this debt.
#[inline(always)]
pub(crate) fn calling<G: Settle>(debt: G) -> Calling<G> {
    Calling(Some(debt))
}

impl<G: Settle> Calling<G> {
    /// The call was made.
    #[inline(always)]
    pub(crate) fn into_future<F>(mut self, future: F) -> Guarded<F, G> {
        let owed = Owed(self.0.take());
        mem::forget(self);
        Guarded { state: State::Called { future, owed } }
    }
}

impl<G: Settle> Drop for Calling<G> {
    fn drop(&mut self) {
        drop(Inside(&mut self.0));
    }
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

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { future, owed } => {
                let inside = Inside(&mut owed.0);
                let polled = future.poll(cx);
                let settled = match (&polled, &mut *inside.0) {
                    (Poll::Ready(result), Some(debt)) => debt.finished_quickly(result.as_ref()),
                    (Poll::Pending, Some(debt)) => {
                        debt.pending();
                        false
                    }
                    (_, None) => true,
                };
                mem::forget(inside);
                match polled {
                    Poll::Ready(result) => {
                        if !settled {
                            // A copy, which may be in memory: then the result itself need not be.
                            let seen = result;
                            settle(owed.0.take(), seen.as_ref());
                            return Poll::Ready(seen);
                        }
                        owed.0 = None; // in its place: to move it costs more
                        Poll::Ready(result)
                    }
                    Poll::Pending => Poll::Pending,
                }
            }
            StateProj::Refused { rejected } => {
                let rejected = rejected.take().expect("polled after it was done");
                Poll::Ready(Err(E::from_rejected(rejected)))
            }
        }
    }
}

/// Settles what takes more than a few instructions.
#[inline(never)]
fn settle<G, Res, E>(debt: Option<G>, result: Result<&Res, &E>)
where
    G: SettleWith<Res, E>,
{
    let mut owed = Owed(debt);
    let inside = Inside(&mut owed.0);
    if let Some(debt) = &mut *inside.0 {
        debt.finished(result);
    }
    mem::forget(inside);
    owed.0 = None;
}

impl<F, G: Settle> fmt::Debug for Guarded<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { owed, .. } if owed.0.is_none() => "done",
            State::Called { .. } => "called",
            State::Refused { .. } => "refused",
        };
        write!(f, "Guarded({state})")
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::rc::Rc;
    use std::task::Waker;

    struct Log(Rc<RefCell<Vec<Unfinished>>>);

    impl Settle for Log {
        fn unfinished(self, how: Unfinished) {
            self.0.borrow_mut().push(how);
        }
    }

    impl SettleWith<(), crate::error::BoxError> for Log {
        fn finished(&mut self, _: Result<&(), &crate::error::BoxError>) {}
    }

    struct Panics;

    impl Future for Panics {
        type Output = Result<(), crate::error::BoxError>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            resume_unwind(Box::new("told to"))
        }
    }

    #[test]
    fn a_panic_settles_the_call_at_once_though_its_future_is_kept() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut future = Box::pin(calling(Log(Rc::clone(&log))).into_future(Panics));
        let mut poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(catch_unwind(AssertUnwindSafe(&mut poll)).is_err());
        assert_eq!(*log.borrow(), [Unfinished::Panicked]);
        assert!(catch_unwind(AssertUnwindSafe(&mut poll)).is_err());
        drop(future);
        assert_eq!(*log.borrow(), [Unfinished::Panicked], "once");
    }
}
