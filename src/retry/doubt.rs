//! Calls that ended in doubt, and who finds out what became of them.

use crate::clock::Moment;
use crate::request::{IdempotencyKey, Operation};

/// A call that has an effect, and ended without anyone knowing whether it was carried out: an attempt
/// gave no answer (or was dropped while it was under way), and no later attempt succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Doubt {
    /// The name of the retry.
    pub name: &'static str,
    /// When it ended, on the retry's clock.
    pub at: Moment,
    /// What it does: [`Idempotent`](Operation::Idempotent) or [`Once`](Operation::Once).
    pub operation: Operation,
    /// The request's key, by which the other side may be asked.
    pub key: Option<IdempotencyKey>,
    /// How often it was sent.
    pub attempts: u32,
}

impl Doubt {
    pub(super) const fn new(
        name: &'static str,
        at: Moment,
        operation: Operation,
        key: Option<IdempotencyKey>,
        attempts: u32,
    ) -> Self {
        Self { name, at, operation, key, attempts }
    }
}

/// Hears of calls that ended in doubt, to find out, later, what became of them.
///
/// Closures implement it. It is called on the thread that ended the call, outside any lock: hand the
/// work on (a channel, a table of open charges). A panic is caught and counted.
///
/// ```
/// use seawall::retry::{Doubt, RetryConfig};
/// use std::sync::mpsc;
///
/// let (to_reconcile, open) = mpsc::channel();
/// let config = RetryConfig::new("payments").reconcile(move |doubt: &Doubt| {
///     if let Some(key) = &doubt.key {
///         let _ = to_reconcile.send(key.clone());
///     }
/// });
/// # let _ = (config, open);
/// ```
pub trait Reconcile: Send + Sync + 'static {
    /// `doubt` is all that is known of the call.
    fn in_doubt(&self, doubt: &Doubt);
}

impl<F: Fn(&Doubt) + Send + Sync + 'static> Reconcile for F {
    fn in_doubt(&self, doubt: &Doubt) {
        self(doubt);
    }
}
