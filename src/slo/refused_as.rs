//! What a refusal is to an objective.

use std::time::Duration;

use crate::error::Rejected;
use crate::outcome::{Classify, Outcome};

/// A classifier by which refusals of seawall's own layers, and calls that they gave up, are `outcome`,
/// and all else is what `C` says.
///
/// To the layers a refusal is nobody's fault ([`Outcome::Ignored`]). To a user who got no answer it is a
/// failure: [`Outcome::Failure`].
///
/// ```
/// use seawall::error::{BoxError, Rejected, Reason, Room};
/// use seawall::outcome::{ByResult, Classify, Outcome};
/// use seawall::slo::RefusedAs;
///
/// let by = RefusedAs::new(Outcome::Failure, ByResult);
/// let refused = Rejected::new(Room::Breaker, Reason::CircuitOpen, "payments");
/// assert_eq!(Classify::<(), BoxError>::rejected(&by, &refused), Outcome::Failure);
/// assert_eq!(Classify::<(), BoxError>::rejected(&ByResult, &refused), Outcome::Ignored);
/// assert_eq!(Classify::<(), BoxError>::classify(&by, Ok(&())), Outcome::Success);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RefusedAs<C> {
    outcome: Outcome,
    classify: C,
}

impl<C> RefusedAs<C> {
    /// Refusals are `outcome`; `classify` tells of the others.
    pub const fn new(outcome: Outcome, classify: C) -> Self {
        Self { outcome, classify }
    }
}

impl<C, Res, E> Classify<Res, E> for RefusedAs<C>
where
    C: Classify<Res, E>,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        self.classify.classify(result)
    }

    fn rejected(&self, _: &Rejected) -> Outcome {
        self.outcome
    }

    fn retry_after(&self, result: Result<&Res, &E>) -> Option<Duration> {
        self.classify.retry_after(result)
    }
}
