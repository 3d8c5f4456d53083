//! Requests that may be made twice at once: shown by their type.

use super::Ask;
use super::idempotency::IdempotencyKey;
use super::marked::{Attempt, Marked, Operation};
use crate::clock::Moment;

/// A request that was declared safe to make twice, even at the same time.
///
/// A hedge takes nothing else, so that a charge can't be hedged by mistake: the compiler says so.
/// There are three ways to one: [`declare`](Self::declare) it, where you know that it changes nothing;
/// [`of`](Self::of) a request that says so itself; and an [`Ask::read`].
///
/// ```
/// use seawall::request::{Ask, Safe};
///
/// let quote = Safe::from_read("quote 7");
/// assert_eq!(quote.get().value, "quote 7");
/// assert!(Safe::of(Ask::once("9.99 EUR")).is_err(), "given back");
/// ```
///
/// It can't be made from nothing:
/// ```compile_fail
/// let forged = seawall::request::Safe("9.99 EUR");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safe<R>(R);

impl<R> Safe<R> {
    /// Your word that making `request` twice, even at once, does what making it once does.
    pub const fn declare(request: R) -> Self {
        Self(request)
    }

    /// The request.
    pub const fn get(&self) -> &R {
        &self.0
    }

    /// The request.
    pub fn into_inner(self) -> R {
        self.0
    }
}

impl<R: Marked> Safe<R> {
    /// `request`, if it says of itself that it changes nothing, or that the other side knows a
    /// repetition.
    ///
    /// # Errors
    /// The request, where it may only be made once.
    pub fn of(request: R) -> Result<Self, R> {
        if request.operation().may_repeat_in_doubt() { Ok(Self(request)) } else { Err(request) }
    }
}

impl<T> Safe<Ask<T>> {
    /// A request that changes nothing: [`Ask::read`].
    pub const fn from_read(value: T) -> Self {
        Self(Ask::read(value))
    }
}

impl<R: Marked> Marked for Safe<R> {
    fn operation(&self) -> Operation {
        match self.0.operation() {
            // Declared, where the request itself can't say.
            Operation::Once => Operation::Idempotent,
            said => said,
        }
    }

    fn deadline(&self) -> Option<Moment> {
        self.0.deadline()
    }

    fn set_deadline(&mut self, deadline: Moment) {
        self.0.set_deadline(deadline);
    }

    fn attempt(&self) -> Option<Attempt> {
        self.0.attempt()
    }

    fn set_attempt(&mut self, attempt: Attempt) {
        self.0.set_attempt(attempt);
    }

    fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.0.idempotency_key()
    }
}
