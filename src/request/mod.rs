//! What travels with a request beside its content: when it must be done, which attempt it is, and
//! what repeating it would do.
//!
//! Layers that repeat a call (retry, hedge) and layers that end one (timeout) must know these things,
//! and so must the layers inside them: a retry inside a retry must not multiply, and nothing should
//! be started that can't be done in time. So they travel *in the request*. [`Marked`] reads and writes
//! them; every method has a default for types without room for a mark. [`Ask`] puts any value into a
//! request with room for all of them; with feature `http`, `http::Request` has it too.
//!
//! ```
//! use seawall::request::{Ask, IdempotencyKey, Marked, Operation};
//!
//! let quote = Ask::read(7);
//! assert_eq!(quote.operation(), Operation::Read);
//!
//! // A charge: one key for all attempts of it, another for the next charge.
//! let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
//! assert_eq!(charge.operation(), Operation::Idempotent);
//! assert_eq!(charge.clone().idempotency_key(), charge.idempotency_key());
//!
//! // Nothing said: it may be done once. After an answer that never came, it is not repeated.
//! assert_eq!(Ask::once("9.99 EUR").operation(), Operation::Once);
//! ```

mod ask;
mod deadline;
mod idempotency;
mod marked;
mod safe;

pub use ask::Ask;
pub use deadline::{Deadlines, InRequest, NoDeadline};
pub use idempotency::{IdempotencyKey, NotAKey};
pub use marked::{Attempt, Marked, Operation};
pub use safe::Safe;
