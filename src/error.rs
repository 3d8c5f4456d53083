//! What a refused caller gets, and what a wrong configuration gets.
//!
//! Layers keep the service's own error type: each asks only that it can [`Carry`] a [`Rejected`].
//! So six stacked layers give one error type, not six nested ones, and a refusal allocates only
//! where the user's error type does.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::criticality::Criticality;

/// The boxed error that tower's own layers use.
///
/// Carrying a [`Rejected`] in it allocates once a refusal; [`Error`] and enums do not. Find it with
/// [`Carry::rejected`].
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The kind of layer that speaks: in a [`Rejected`], in an event, in a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Room {
    /// [`breaker`](crate::breaker)
    Breaker,
    /// [`bulkhead`](crate::bulkhead)
    Bulkhead,
    /// [`fallback`](crate::fallback)
    Fallback,
    /// [`hedge`](crate::hedge)
    Hedge,
    /// [`retry`](crate::retry)
    Retry,
    /// [`timeout`](crate::timeout)
    Timeout,
    /// [`ready`](crate::ready)
    Ready,
    /// [`kill_switch`](crate::kill_switch)
    KillSwitch,
    /// [`slo`](crate::slo)
    Slo,
    /// [`canary`](crate::canary)
    Canary,
    /// A rollout of a new version.
    Rollout,
    /// [`bulkhead::Gauge`](crate::bulkhead::Gauge): any pool of things that can run out.
    Pool,
}

impl Room {
    /// The name in metrics and messages: `breaker`, `bulkhead`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Bulkhead => "bulkhead",
            Self::Fallback => "fallback",
            Self::Hedge => "hedge",
            Self::Retry => "retry",
            Self::Timeout => "timeout",
            Self::Ready => "ready",
            Self::KillSwitch => "kill_switch",
            Self::Slo => "slo",
            Self::Canary => "canary",
            Self::Rollout => "rollout",
            Self::Pool => "pool",
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call was refused or given up.
// A whole word, so that the results that hold one have their tag in a word of its own, and are copied in
// words: with it among smaller fields each layer took some 3 ns more.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The circuit is open, or half-open with all its probes out.
    CircuitOpen,
    /// An operator holds the circuit open.
    ForcedOpen,
    /// As many calls are in flight as the bulkhead lets.
    BulkheadFull,
    /// No place came free in the bulkhead for as long as the call may wait for one.
    WaitedTooLong,
    /// The inner service wasn't ready when the call was made.
    NotReady,
    /// The time for one attempt, or for the whole call, ran out.
    TimedOut,
    /// The request's deadline has passed, or would have by the time the call began.
    DeadlinePassed,
    /// Too many calls were repeated already.
    BudgetEmpty,
    /// An attempt was sent and not answered: it may have been carried out.
    InDoubt,
    /// A kill switch is on halt.
    Halted,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::CircuitOpen,
        Self::ForcedOpen,
        Self::BulkheadFull,
        Self::WaitedTooLong,
        Self::NotReady,
        Self::TimedOut,
        Self::DeadlinePassed,
        Self::BudgetEmpty,
        Self::InDoubt,
        Self::Halted,
    ];

    /// The name in metrics: `circuit_open`, `bulkhead_full`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit_open",
            Self::ForcedOpen => "forced_open",
            Self::BulkheadFull => "bulkhead_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::NotReady => "not_ready",
            Self::TimedOut => "timed_out",
            Self::DeadlinePassed => "deadline_passed",
            Self::BudgetEmpty => "budget_empty",
            Self::InDoubt => "in_doubt",
            Self::Halted => "halted",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::CircuitOpen => "the circuit is open",
            Self::ForcedOpen => "the circuit is held open",
            Self::BulkheadFull => "too many calls are in flight",
            Self::WaitedTooLong => "no place came free in time",
            Self::NotReady => "the service is not ready",
            Self::TimedOut => "the call took too long",
            Self::DeadlinePassed => "there is no time left",
            Self::BudgetEmpty => "the retry budget is empty",
            Self::InDoubt => "an attempt may have been carried out",
            Self::Halted => "it is halted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that seawall refused, or gave up on.
///
/// `Copy`, at most 40 bytes, made without allocating. What matters most to a caller is
/// [`sent`](Self::sent): whether the service may have heard of the call at all.
///
/// ```
/// use seawall::error::{Reason, Rejected, Room};
/// use std::time::Duration;
///
/// let refused = Rejected::new(Room::Breaker, Reason::CircuitOpen, "payments")
///     .retry_after(Some(Duration::from_millis(1500)));
/// assert!(!refused.sent(), "safe to repeat elsewhere");
/// assert_eq!(
///     refused.to_string(),
///     "payments: refused by the breaker, the circuit is open (retry after 1.5s)"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rejected {
    /// Which kind of layer refused.
    pub room: Room,
    /// Why.
    pub reason: Reason,
    /// The instance's name, as given in its configuration.
    pub name: &'static str,
    /// When trying again may help; `None` where the layer can't know.
    pub retry_after: Option<Duration>,
    /// Which class of calls had no place left, where the layer tells them apart.
    pub class: Option<Criticality>,
    sent: bool,
}

impl Rejected {
    /// A refusal before anything was sent.
    pub const fn new(room: Room, reason: Reason, name: &'static str) -> Self {
        Self { room, reason, name, retry_after: None, class: None, sent: false }
    }

    /// With the time after which trying again may help.
    #[must_use]
    pub const fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Of a call of this class.
    #[must_use]
    pub const fn of_class(mut self, class: Option<Criticality>) -> Self {
        self.class = class;
        self
    }

    /// The same, after the inner service was called: the answer is in doubt.
    #[must_use]
    pub const fn after_sending(mut self) -> Self {
        self.sent = true;
        self
    }

    /// Was the inner service called? `false`: nothing happened. `true`: it may have.
    pub const fn sent(&self) -> bool {
        self.sent
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.sent { "given up by" } else { "refused by" };
        write!(f, "{}: {verb} the {}, {}", self.name, self.room, self.reason.sentence())?;
        if let Some(class) = self.class {
            write!(f, " (class {class})")?;
        }
        match self.retry_after {
            Some(after) => write!(f, " (retry after {after:?})"),
            None => Ok(()),
        }
    }
}

impl StdError for Rejected {}

/// An error type that can carry a [`Rejected`]: all that a layer asks of its service's errors.
///
/// [`BoxError`] and [`Error`] do; an enum of your own takes six lines:
///
/// ```
/// use seawall::error::{Carry, Reason, Rejected, Room};
///
/// #[derive(Debug)]
/// enum PayError {
///     Declined,
///     Refused(Rejected),
/// }
///
/// impl Carry for PayError {
///     fn from_rejected(rejected: Rejected) -> Self {
///         Self::Refused(rejected)
///     }
///     fn rejected(&self) -> Option<&Rejected> {
///         if let Self::Refused(r) = self { Some(r) } else { None }
///     }
/// }
///
/// let full = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
/// assert_eq!(PayError::from_rejected(full).rejected(), Some(&full));
/// assert_eq!(PayError::Declined.rejected(), None);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't carry a refusal",
    note = "a layer refuses calls in the service's own error type: put `.map_err(seawall::Error::from)` \
            right below it, or implement `Carry` for an error of your own"
)]
pub trait Carry: Sized {
    /// Wraps a refusal.
    fn from_rejected(rejected: Rejected) -> Self;
    /// The refusal, if this error is one.
    fn rejected(&self) -> Option<&Rejected>;
}

/// For any lifetime: were it for `'static` alone, a future over it couldn't be spawned from an `async`
/// block, since rustc forgets there which lifetime it was.
impl<'a> Carry for Box<dyn StdError + Send + Sync + 'a> {
    fn from_rejected(rejected: Rejected) -> Self {
        Box::new(Boxed(rejected))
    }

    fn rejected(&self) -> Option<&Rejected> {
        // A downcast needs `'static`, which a source is. Whose source is all of itself, same place and
        // same size, is a `Boxed`; an error that merely has a refusal among its causes is no refusal.
        let rejected = self.source()?.downcast_ref::<Rejected>()?;
        let is_all = std::ptr::addr_eq(&raw const **self, rejected)
            && size_of_val(&**self) == size_of::<Rejected>();
        is_all.then_some(rejected)
    }
}

/// A refusal in a box: its own source, so that it can be found again.
#[derive(Debug)]
#[repr(transparent)]
struct Boxed(Rejected);

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Boxed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// The service's own error, or a refusal: the error type of the preset.
///
/// A single layer over a foreign error: `.map_err(seawall::Error::from)` below it.
///
/// ```
/// use seawall::error::{Carry, Error};
/// use std::io;
///
/// let lifted: Error<io::Error> = io::Error::other("broken pipe").into();
/// assert_eq!(lifted.rejected(), None);
/// assert_eq!(lifted.to_string(), "broken pipe");
/// assert!(lifted.into_inner().is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// seawall refused the call, or gave it up.
    Rejected(Rejected),
    /// The service failed by itself.
    Inner(E),
}

impl<E> Error<E> {
    /// The service's own error, if it is one.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            Self::Rejected(_) => None,
        }
    }
}

impl Error<BoxError> {
    /// As one boxed error, so that `?` can hand it on: `Error<BoxError>` itself is no
    /// [`std::error::Error`], because [`BoxError`] is none.
    ///
    /// ```
    /// use seawall::error::{BoxError, Carry, Error, Reason, Rejected, Room};
    ///
    /// fn hand_on(result: Result<u32, Error<BoxError>>) -> Result<u32, BoxError> {
    ///     Ok(result.map_err(Error::into_boxed)?)
    /// }
    ///
    /// let full = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
    /// let boxed = hand_on(Err(Error::Rejected(full))).unwrap_err();
    /// assert_eq!(boxed.rejected(), Some(&full));
    /// assert_eq!(hand_on(Err(Error::Inner("down".into()))).unwrap_err().to_string(), "down");
    /// ```
    pub fn into_boxed(self) -> BoxError {
        match self {
            Self::Rejected(rejected) => Carry::from_rejected(rejected),
            Self::Inner(error) => error,
        }
    }
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Inner(error)
    }
}

impl<E> Carry for Error<E> {
    fn from_rejected(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }

    fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Inner(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Rejected(_) => None,
            Self::Inner(error) => error.source(),
        }
    }
}

/// A setting that can't be: which field, what it was given, and what it takes.
///
/// ```
/// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
///
/// let config = CircuitBreakerConfig::new("payments").failure_ratio(f64::NAN);
/// let error = CircuitBreakerLayer::new(config).unwrap_err();
/// assert_eq!(error.field(), "failure_ratio");
/// assert_eq!(error.to_string(), "failure_ratio is NaN, but must be above 0 and at most 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    value: String,
    range: &'static str,
}

impl ConfigError {
    /// `field` was given `value`, and takes `range` (a phrase that follows "must be").
    pub fn new(field: &'static str, value: impl fmt::Debug, range: &'static str) -> Self {
        Self { field, value: format!("{value:?}"), range }
    }

    /// The setting's name.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What it takes.
    pub fn range(&self) -> &'static str {
        self.range
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, but must be {}", self.field, self.value, self.range)
    }
}

impl StdError for ConfigError {}

/// `value`, or a [`ConfigError`] if `ok` doesn't hold of it.
pub(crate) fn check<T: fmt::Debug>(
    field: &'static str,
    value: T,
    range: &'static str,
    ok: impl FnOnce(&T) -> bool,
) -> Result<T, ConfigError> {
    if ok(&value) { Ok(value) } else { Err(ConfigError::new(field, value, range)) }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_fits_six_words() {
        assert!(size_of::<Rejected>() <= 48, "{}", size_of::<Rejected>());
    }

    #[test]
    fn a_boxed_error_carries_a_refusal_and_nothing_else_passes_for_one() {
        let refused = Rejected::new(Room::Timeout, Reason::TimedOut, "x").after_sending();
        let boxed: BoxError = Carry::from_rejected(refused);
        assert_eq!(boxed.rejected(), Some(&refused));
        let other: BoxError = "nope".into();
        assert_eq!(other.rejected(), None);

        #[derive(Debug)]
        struct Wraps(u64, Rejected);
        impl fmt::Display for Wraps {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        impl StdError for Wraps {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.1)
            }
        }
        let caused: BoxError = Box::new(Wraps(7, refused));
        assert_eq!(caused.rejected(), None, "another dependency's refusal, told as its cause");
    }
}
