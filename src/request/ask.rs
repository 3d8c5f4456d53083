//! Any value, as a request with room for marks.

use super::idempotency::IdempotencyKey;
use super::marked::{Attempt, Marked, Operation};
use crate::clock::Moment;

/// Any value, and what travels with it: for requests whose own type has no room for marks.
///
/// The counterpart of [`Answer`](crate::stale::Answer). Around a client that takes the bare value,
/// `client.map_request(Ask::into_inner)` takes it out again.
///
/// ```
/// use seawall::request::Ask;
///
/// assert_eq!(Ask::read("quote 7").into_inner(), "quote 7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<T> {
    /// The request itself.
    pub value: T,
    operation: Operation,
    deadline: Option<Moment>,
    attempt: Option<Attempt>,
    key: Option<IdempotencyKey>,
}

impl<T> Ask<T> {
    const fn new(value: T, operation: Operation) -> Self {
        Self { value, operation, deadline: None, attempt: None, key: None }
    }

    /// A request that changes nothing.
    pub const fn read(value: T) -> Self {
        Self::new(value, Operation::Read)
    }

    /// A request that does the same however often it is made, by its nature: it sets what may be set
    /// twice.
    pub const fn idempotent(value: T) -> Self {
        Self::new(value, Operation::Idempotent)
    }

    /// A request that the other side carries out once, however often it comes with this key.
    ///
    /// Make a [new key](IdempotencyKey::new) for each operation, here, outside all that repeats: the
    /// attempts are clones of this value, so key and content are the same in all of them.
    pub fn keyed(key: IdempotencyKey, value: T) -> Self {
        Self { key: Some(key), ..Self::new(value, Operation::Idempotent) }
    }

    /// A request that must not be made twice.
    pub const fn once(value: T) -> Self {
        Self::new(value, Operation::Once)
    }

    /// Of no use after `deadline`.
    #[must_use]
    pub const fn by(mut self, deadline: Moment) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The request itself.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Marked for Ask<T> {
    #[inline]
    fn operation(&self) -> Operation {
        self.operation
    }

    #[inline]
    fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    #[inline]
    fn set_deadline(&mut self, deadline: Moment) {
        self.deadline = Some(deadline);
    }

    #[inline]
    fn attempt(&self) -> Option<Attempt> {
        self.attempt
    }

    #[inline]
    fn set_attempt(&mut self, attempt: Attempt) {
        self.attempt = Some(attempt);
    }

    fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.key.clone()
    }
}
