//! What a stale answer is to an objective.

use std::time::Duration;

use crate::error::Rejected;
use crate::outcome::{Classify, Outcome};
use crate::stale::IsStale;

/// A classifier by which stale answers are `outcome`, and all else is what `C` says.
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::outcome::{ByResult, Classify, Outcome};
/// use seawall::slo::StaleAs;
/// use seawall::stale::{Answer, Cause, MarkStale, Staleness};
/// use std::time::Duration;
///
/// let by = StaleAs::new(Outcome::Failure, ByResult);
/// let fresh = Answer::fresh(7);
/// let age = Duration::from_secs(40);
/// let stale = fresh.mark_stale(Staleness { age, cause: Cause::Failed(Outcome::Failure) });
/// assert_eq!(Classify::<_, BoxError>::classify(&by, Ok(&fresh)), Outcome::Success);
/// assert_eq!(Classify::<_, BoxError>::classify(&by, Ok(&stale)), Outcome::Failure);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StaleAs<C> {
    outcome: Outcome,
    classify: C,
}

impl<C> StaleAs<C> {
    /// Stale answers are `outcome`; `classify` tells of the others.
    pub const fn new(outcome: Outcome, classify: C) -> Self {
        Self { outcome, classify }
    }
}

impl<C, Res, E> Classify<Res, E> for StaleAs<C>
where
    C: Classify<Res, E>,
    Res: IsStale,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        match result {
            Ok(response) if response.staleness().is_some() => self.outcome,
            other => self.classify.classify(other),
        }
    }

    fn rejected(&self, rejected: &Rejected) -> Outcome {
        self.classify.rejected(rejected)
    }

    fn retry_after(&self, result: Result<&Res, &E>) -> Option<Duration> {
        self.classify.retry_after(result)
    }
}
