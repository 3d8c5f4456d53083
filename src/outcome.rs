//! How a call ended, in the words that all rooms share.

use std::time::Duration;

use crate::error::{Carry, Rejected};

/// What a finished call says about the service that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It answered, and the answer is what a healthy service gives.
    Success,
    /// It failed.
    Failure,
    /// The call says nothing about it: refused before it was sent, or not its fault.
    Ignored,
    /// The request left, but no answer came: it may or may not have happened. A breaker and an SLO
    /// count it as failure; a retry repeats it only if it is declared idempotent; a fallback
    /// answers it from the cache only if it is declared a read.
    InDoubt,
}

impl Outcome {
    /// Does a breaker or an SLO count it as failure?
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::InDoubt)
    }

    /// What a refusal says of the service: nothing if it was never sent, doubt if it was.
    ///
    /// So a full local bulkhead never opens a breaker, and a timeout does.
    pub const fn of_rejected(rejected: &Rejected) -> Self {
        if rejected.sent() { Self::InDoubt } else { Self::Ignored }
    }

    /// The name in metrics: `success`, `failure`, `ignored`, `in_doubt`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Ignored => "ignored",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// Tells how a call ended from its result.
///
/// Closures implement it. It sees the result only; rooms that also need the request (retry,
/// fallback) ask it themselves. Refusals of inner seawall layers go to
/// [`rejected`](Self::rejected), so that a classifier speaks of the service alone.
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::outcome::{Classify, Outcome};
///
/// let by_code = |result: Result<&u16, &BoxError>| match result {
///     Ok(code) if *code >= 500 => Outcome::Failure,
///     Ok(_) => Outcome::Success,
///     Err(_) => Outcome::InDoubt,
/// };
/// assert_eq!(by_code.classify(Ok(&503)), Outcome::Failure);
/// assert_eq!(by_code.classify(Ok(&404)), Outcome::Success);
/// ```
pub trait Classify<Res, E> {
    /// How a call ended that gave `result`.
    fn classify(&self, result: Result<&Res, &E>) -> Outcome;

    /// How a call ended that an inner layer refused or gave up: [`Outcome::of_rejected`].
    fn rejected(&self, rejected: &Rejected) -> Outcome {
        Outcome::of_rejected(rejected)
    }

    /// How long the service asked to be left alone, in the result of a call that failed. A breaker's
    /// cool-down is then no shorter. By default it said nothing.
    fn retry_after(&self, _result: Result<&Res, &E>) -> Option<Duration> {
        None
    }
}

impl<F, Res, E> Classify<Res, E> for F
where
    F: Fn(Result<&Res, &E>) -> Outcome,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        self(result)
    }
}

/// `Ok` is success, `Err` is failure: the default [`Classify`].
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::outcome::{ByResult, Classify, Outcome};
///
/// let error: BoxError = "broken pipe".into();
/// assert_eq!(Classify::<(), _>::classify(&ByResult, Err(&error)), Outcome::Failure);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult;

impl<Res, E> Classify<Res, E> for ByResult {
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        }
    }
}

/// `Ok` is success, and an `Err` might mean anything: the default [`Classify`] of what repeats calls.
///
/// An error of which nothing is known may have come after the request was carried out. So a retry
/// repeats such a call only if it is declared to be repeatable; a classifier that knows the errors
/// apart (a refused connection was never sent) lets it do more.
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::outcome::{Classify, ErrInDoubt, Outcome};
///
/// let error: BoxError = "connection reset".into();
/// assert_eq!(Classify::<(), _>::classify(&ErrInDoubt, Err(&error)), Outcome::InDoubt);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrInDoubt;

impl<Res, E> Classify<Res, E> for ErrInDoubt {
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::InDoubt,
        }
    }
}

/// The outcome of `result`: the classifier's word, or, of a refusal, its word on refusals.
pub(crate) fn judge<C, Res, E>(classify: &C, result: Result<&Res, &E>) -> Outcome
where
    C: Classify<Res, E>,
    E: Carry,
{
    match result.err().and_then(Carry::rejected) {
        Some(rejected) => classify.rejected(rejected),
        None => classify.classify(result),
    }
}
