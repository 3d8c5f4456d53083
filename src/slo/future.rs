//! The future of an [`Observed`](super::Observed) service, and what it notes.

use super::handle::Core;
use crate::clock::Moment;
use crate::error::Carry;
use crate::guarded::{Guarded, Settle, SettleWith, Unfinished};
use crate::local::Local;
use crate::outcome::{Classify, Outcome, judge};
use std::sync::Arc;

/// The response future of an [`Observed`](super::Observed) service.
///
/// Dropping it is safe at any point; the call isn't counted then.
pub type ResponseFuture<F, C> = Guarded<F, Noted<C>>;

/// One call that will be noted when it ends.
#[derive(Debug)]
pub struct Noted<C> {
    core: Local<Arc<Core>>,
    classify: C,
    /// When it began, where the objective is about time.
    began: Option<Moment>,
}

impl<C> Noted<C> {
    #[inline(always)]
    pub(super) fn new(core: Local<Arc<Core>>, classify: C) -> Self {
        let began = if core.within.is_some() { Some(core.now()) } else { None };
        Self { core, classify, began }
    }

    #[inline(always)]
    fn in_time(&self) -> bool {
        match (self.core.within, self.began) {
            (Some(within), Some(began)) => self.core.now().since(began) < within,
            _ => true,
        }
    }
}

impl<C> Settle for Noted<C> {
    fn unfinished(self, how: Unfinished) {
        if how == Unfinished::Panicked {
            self.core.record(false);
        }
    }
}

impl<C, Res, E> SettleWith<Res, E> for Noted<C>
where
    C: Classify<Res, E>,
    E: Carry,
{
    #[inline(always)]
    fn finished_quickly(&mut self, result: Result<&Res, &E>) -> bool {
        self.finished(result);
        true
    }

    #[inline(always)]
    fn finished(&mut self, result: Result<&Res, &E>) {
        match judge(&self.classify, result) {
            Outcome::Ignored => {}
            Outcome::Success => self.core.record(self.in_time()),
            Outcome::Failure | Outcome::InDoubt => self.core.record(false),
        }
    }
}
