//! A budget as it is handed about: clones share the tokens.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::bucket::{Bucket, Cost, TOKEN};
use super::config::BudgetConfig;
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::ratio::Ratio;

/// How many calls may be repeated. Clones share the tokens.
#[derive(Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

struct Inner {
    bucket: Bucket,
    clock: Clock,
    /// As last set.
    config: Mutex<BudgetConfig>,
}

/// A budget at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Whole tokens that could be taken now.
    pub tokens: u32,
    /// The most there can be.
    pub burst: u32,
}

impl Snapshot {
    /// What is left, as a share of the most there can be.
    pub fn left(&self) -> Ratio {
        Ratio::of(self.tokens.into(), self.burst.into()).unwrap_or(Ratio::ZERO)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::by(Clock::default())
    }
}

impl Budget {
    /// A layer's own, where it was given none.
    pub(crate) fn by(clock: Clock) -> Self {
        Self::new(BudgetConfig::new().clock(clock)).expect("the defaults are in their ranges")
    }

    /// A full budget with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: BudgetConfig) -> Result<Self, ConfigError> {
        let terms = config.terms()?;
        let clock = config.clock.clone();
        let bucket = Bucket::new(terms, clock.now());
        Ok(Self { inner: Arc::new(Inner { bucket, clock, config: Mutex::new(config) }) })
    }

    /// A first attempt was made.
    #[inline]
    pub fn deposit(&self) {
        self.inner.bucket.deposit();
    }

    /// Pays for a repetition, or says that there is nothing to pay it with.
    pub fn withdraw(&self, cost: Cost) -> Option<Withdrawn> {
        let amount = self.inner.bucket.withdraw(cost, self.inner.clock.now())?;
        Some(Withdrawn { budget: self.clone(), amount })
    }

    /// The budget as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let Inner { bucket, clock, .. } = &*self.inner;
        let whole = |amount: u64| u32::try_from(amount / TOKEN).unwrap_or(u32::MAX);
        Snapshot { tokens: whole(bucket.balance(clock.now())), burst: whole(bucket.terms().cap) }
    }

    /// Changes the settings; the tokens stay, up to the new `burst`.
    ///
    /// ```
    /// use seawall::budget::Budget;
    ///
    /// let budget = Budget::default();
    /// budget.reconfigure(|config| config.burst(5)).unwrap();
    /// assert_eq!(budget.snapshot().tokens, 5);
    /// assert!(budget.reconfigure(|config| config.burst(0)).is_err());
    /// assert_eq!(budget.snapshot().burst, 5, "a refused change changes nothing");
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] as at construction; then nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(BudgetConfig) -> BudgetConfig,
    ) -> Result<(), ConfigError> {
        let mut config = self.inner.config.lock();
        let changed = change(config.clone());
        self.inner.bucket.set_terms(changed.terms()?);
        *config = changed;
        Ok(())
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot { tokens, burst } = self.snapshot();
        write!(f, "Budget({tokens} of {burst})")
    }
}

/// Tokens that were taken for a call that is yet to be made.
///
/// Dropped, they go back: a repetition that never begins costs nothing.
#[must_use = "dropped, the tokens go back"]
pub struct Withdrawn {
    budget: Budget,
    /// Billionths; nothing once they are spent.
    amount: u64,
}

impl Withdrawn {
    /// The call is made.
    pub fn spend(mut self) {
        self.amount = 0;
    }

    /// Whether the call is really made is told later, by the layers inside: spent unless it is
    /// [given back](Paid::give_back).
    pub(crate) fn pay(mut self) -> Paid {
        Paid(std::mem::take(&mut self.amount))
    }
}

impl Drop for Withdrawn {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.budget.inner.bucket.refund(self.amount);
        }
    }
}

impl fmt::Debug for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Withdrawn({} billionths)", self.amount)
    }
}

/// What was paid for a repetition that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paid(u64);

impl Paid {
    /// A layer inside refused the call: nothing was sent, nothing is to pay.
    pub(crate) fn give_back(&mut self, budget: &Budget) {
        let amount = std::mem::take(&mut self.0);
        if amount > 0 {
            budget.inner.bucket.refund(amount);
        }
    }
}
