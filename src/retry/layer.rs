//! Makes services that repeat calls by the same rules and from the same budget.

use std::sync::Arc;

use parking_lot::Mutex;
use tower_layer::Layer;

use super::config::RetryConfig;
use super::doubt::Doubt;
use super::engine::Engine;
use super::handle::RetryHandle;
use super::service::Retry;
use crate::budget::Budget;
use crate::error::{ConfigError, Room};
use crate::event::Sinks;
use crate::local::Owner;
use crate::outcome::ErrInDoubt;
use crate::request::{IdempotencyKey, Operation};
use crate::rng;

/// Repeats calls that failed: one layer value is one set of rules and one budget, shared by every
/// service it makes and every clone of them.
///
/// `C` tells how attempts ended ([`Classify`](crate::outcome::Classify)); the services' error type must
/// be able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Debug)]
pub struct RetryLayer<C = ErrInDoubt> {
    rules: Arc<Rules>,
    classify: Arc<C>,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) engine: Engine,
    pub(super) budget: Budget,
    pub(super) sinks: Sinks,
    /// As last set; changed through the handle. Holds the clock and the hook, which stay.
    pub(super) config: Mutex<RetryConfig>,
    fixed: RetryConfig,
}

impl Rules {
    pub(super) fn now(&self) -> crate::clock::Moment {
        self.fixed.clock.now()
    }

    /// The key of a request, if anyone will ask for it.
    #[inline]
    pub(super) fn key(
        &self,
        read: impl FnOnce() -> Option<IdempotencyKey>,
    ) -> Option<IdempotencyKey> {
        if self.fixed.reconcile.is_some() { read() } else { None }
    }

    /// Counts and tells of a call that ended in doubt.
    #[cold]
    pub(super) fn tell_doubt(
        &self,
        operation: Operation,
        key: Option<IdempotencyKey>,
        attempts: u32,
    ) {
        self.engine.counts.in_doubt.add_one();
        if let Some(hook) = &self.fixed.reconcile {
            let doubt = Doubt::new(self.fixed.name, self.now(), operation, key, attempts);
            let told = std::panic::AssertUnwindSafe(|| hook.in_doubt(&doubt));
            if std::panic::catch_unwind(told).is_err() {
                self.engine.counts.hook_panics.add_one();
            }
        }
    }
}

/// What the services have in common that one call of [`RetryLayer::layer`] made.
pub(super) struct Shared<S, C> {
    pub(super) rules: Arc<Rules>,
    pub(super) classify: Arc<C>,
    /// A second attempt calls a clone of this. Kept here, not in each call, so that a call that
    /// succeeds at once clones no service; behind a lock, so that `S` need not be `Sync`.
    pub(super) template: Mutex<S>,
}

impl RetryLayer {
    /// Repeats by these rules: `Ok` is success, and an error of which nothing is known leaves the call
    /// in doubt ([`ErrInDoubt`]).
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: RetryConfig) -> Result<Self, ConfigError> {
        let settings = config.settings()?;
        let budget = config.budget.clone().unwrap_or_else(|| Budget::by(config.clock.clone()));
        let rules = Rules {
            engine: Engine::new(settings, config.seed.unwrap_or_else(rng::entropy)),
            budget,
            sinks: config.observers.attach(Room::Retry, config.name),
            config: Mutex::new(config.clone()),
            fixed: config,
        };
        Ok(Self { rules: Arc::new(rules), classify: Arc::new(ErrInDoubt) })
    }
}

impl<C> RetryLayer<C> {
    /// The same rules and budget, with `classify` to tell how attempts ended.
    ///
    /// What it calls [`Failure`](crate::outcome::Outcome::Failure) is repeated whatever the request
    /// does: let that be only what was certainly not carried out, or what only reads are answered with.
    ///
    /// ```
    /// use seawall::error::BoxError;
    /// use seawall::outcome::Outcome;
    /// use seawall::retry::{RetryConfig, RetryLayer};
    ///
    /// let layer = RetryLayer::new(RetryConfig::new("payments"))
    ///     .unwrap()
    ///     .classify(|result: Result<&u16, &BoxError>| match result {
    ///         Ok(429) => Outcome::Failure,
    ///         Ok(500..) | Err(_) => Outcome::InDoubt,
    ///         Ok(_) => Outcome::Success,
    ///     });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify<N>(self, classify: N) -> RetryLayer<N> {
        RetryLayer { rules: self.rules, classify: Arc::new(classify) }
    }

    /// Reads the rules and the counts, and changes the rules while calls run.
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(Arc::clone(&self.rules))
    }
}

impl<C> Clone for RetryLayer<C> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules), classify: Arc::clone(&self.classify) }
    }
}

impl<S: Clone, C> Layer<S> for RetryLayer<C> {
    type Service = Retry<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared {
            rules: Arc::clone(&self.rules),
            classify: Arc::clone(&self.classify),
            template: Mutex::new(inner.clone()),
        };
        Retry::new(inner, Owner::new(Arc::new(shared)))
    }
}

/// A seawall budget under tower's own retry.
#[cfg(feature = "tower")]
impl tower::retry::budget::Budget for Budget {
    fn deposit(&self) {
        Budget::deposit(self);
    }

    fn withdraw(&self) -> bool {
        let token = Budget::withdraw(self, crate::budget::Cost::One);
        token.map(crate::budget::Withdrawn::spend).is_some()
    }
}
