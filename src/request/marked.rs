//! The marks, and the trait by which layers read and write them.

use super::idempotency::IdempotencyKey;
use crate::clock::Moment;

/// What a call does, hence what a second one like it would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Changes nothing: may be made any number of times, also two at once.
    Read,
    /// Changes something once, however often it is made: it carries an idempotency key, or sets what
    /// may be set twice.
    Idempotent,
    /// Does it again each time: once it may have been carried out, it is never repeated. Whatever
    /// isn't declared is this.
    #[default]
    Once,
}

impl Operation {
    /// May it be repeated when it isn't known whether it was carried out?
    pub const fn may_repeat_in_doubt(self) -> bool {
        matches!(self, Self::Read | Self::Idempotent)
    }

    /// Is there something to find out when no answer came?
    pub const fn has_effect(self) -> bool {
        !matches!(self, Self::Read)
    }
}

/// Which of a call's attempts a request is; on every attempt of a layer that repeats calls.
///
/// Its presence says that a layer further out is in charge of repeating: those inside make one
/// attempt. So three retries of three attempts, one inside the other, make three attempts, not 27.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    number: u32,
    hedged: bool,
}

impl Attempt {
    /// The attempt with this number, counted from 1, of a call that may be made again when it failed.
    pub const fn new(number: u32) -> Self {
        Self { number, hedged: false }
    }

    /// The same, of a call that may be made twice at once.
    #[must_use]
    pub const fn hedged(self) -> Self {
        Self { hedged: true, ..self }
    }

    /// Counted from 1.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// May a hedge inside still make a second call? Of a first attempt, unless it is a hedge's own.
    pub const fn may_be_hedged(self) -> bool {
        self.number <= 1 && !self.hedged
    }
}

/// A request that can be marked.
///
/// Every method has a default, so that a type of your own needs one line; with it, nothing is
/// repeated in doubt, there is no deadline, and retries inside one another can't know of each other.
/// [`Ask`](super::Ask) has room for all marks.
///
/// ```
/// use seawall::request::{Marked, Operation};
///
/// #[derive(Clone)]
/// struct Transfer;
/// impl Marked for Transfer {}
///
/// #[derive(Clone)]
/// struct Balance;
/// impl Marked for Balance {
///     fn operation(&self) -> Operation {
///         Operation::Read
///     }
/// }
/// assert!(!Transfer.operation().may_repeat_in_doubt());
/// assert!(Balance.operation().may_repeat_in_doubt());
/// ```
pub trait Marked {
    /// What it does. Default [`Operation::Once`].
    fn operation(&self) -> Operation {
        Operation::Once
    }

    /// When it is of no use any more, on the clock of the layers. Default: never.
    fn deadline(&self) -> Option<Moment> {
        None
    }

    /// With this deadline.
    fn set_deadline(&mut self, _deadline: Moment) {}

    /// Which attempt it is, if a layer further out repeats it. Default: none does.
    fn attempt(&self) -> Option<Attempt> {
        None
    }

    /// As this attempt.
    fn set_attempt(&mut self, _attempt: Attempt) {}

    /// The key by which the other side knows a repetition. Default: none.
    fn idempotency_key(&self) -> Option<IdempotencyKey> {
        None
    }
}
