//! Stale answers wear a mark: nobody can take one for fresh.

use std::time::Duration;

use crate::error::Rejected;
use crate::outcome::Outcome;

/// Why an old answer, or a stand-in, was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A seawall layer refused the call, or gave it up.
    Rejected(Rejected),
    /// The call was made and ended so.
    Failed(Outcome),
}

impl Cause {
    /// Its name in a header or a label: the refusal's reason, or the outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected(rejected) => rejected.reason.as_str(),
            Self::Failed(outcome) => outcome.as_str(),
        }
    }
}

/// How old a cached answer is, and why it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Staleness {
    /// Time since the service gave it, at least.
    pub age: Duration,
    /// What stood in the way of a fresh one.
    pub cause: Cause,
}

/// A response that can be marked as stale. What is cached must be able to say so.
///
/// Implemented for [`Answer`], and with feature `http` for `http::Response` (an `Age` header and an
/// extension). There is no implementation for plain types: an unmarked stale answer is a type error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no mark for a stale answer",
    note = "put `.map_response(seawall::stale::Answer::fresh)` around the client, or implement `MarkStale`"
)]
pub trait MarkStale: Sized {
    /// The same response, marked.
    fn mark_stale(self, staleness: Staleness) -> Self;
}

/// A response that may wear the mark, and can be asked.
pub trait IsStale {
    /// The mark, if it wears one.
    fn staleness(&self) -> Option<Staleness>;
}

/// Any value, and whether it is stale: wraps response types that have no room for a mark.
///
/// Below a cached fallback, `service.map_response(Answer::fresh)` puts any type into one.
///
/// ```
/// use seawall::outcome::Outcome;
/// use seawall::stale::{Answer, Cause, MarkStale, Staleness};
/// use std::time::Duration;
///
/// let quote = Answer::fresh("9.99 EUR");
/// assert!(!quote.is_stale());
///
/// let age = Duration::from_secs(40);
/// let old = quote.mark_stale(Staleness { age, cause: Cause::Failed(Outcome::Failure) });
/// assert_eq!(old.stale.unwrap().age, age);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The response itself.
    pub value: T,
    /// `Some` when it came from the cache.
    pub stale: Option<Staleness>,
}

impl<T> Answer<T> {
    /// Straight from the service.
    pub const fn fresh(value: T) -> Self {
        Self { value, stale: None }
    }

    /// Did it come from the cache?
    pub const fn is_stale(&self) -> bool {
        self.stale.is_some()
    }
}

impl<T> MarkStale for Answer<T> {
    fn mark_stale(self, staleness: Staleness) -> Self {
        Self { stale: Some(staleness), ..self }
    }
}

impl<T> IsStale for Answer<T> {
    fn staleness(&self) -> Option<Staleness> {
        self.stale
    }
}
