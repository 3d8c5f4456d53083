//! Makes fallbacks that share one plan.

use std::sync::Arc;
use tower_layer::Layer;

use super::config::FallbackConfig;
use super::handle::FallbackHandle;
use super::service::Fallback;
use crate::error::Room;
use crate::event::Sinks;
use crate::local::Owner;
use crate::outcome::ByResult;
use crate::sync::AtomicU64;

#[cfg(feature = "cache")]
use {
    super::cached::Cached, super::cached_config::CachedConfig, super::handle::CachedHandle,
    crate::error::ConfigError,
};

/// Answers for calls that were refused or failed: one layer value is one plan (one value, one
/// function, one cache), shared by every service it makes and every clone of them.
///
/// The services' error type must be able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Debug)]
pub struct FallbackLayer<P, C = ByResult> {
    shared: Arc<Shared<P, C>>,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Shared<P, C> {
    pub(super) plan: P,
    pub(super) classify: C,
    pub(super) sinks: Arc<Sinks>,
    pub(super) counts: Arc<Counts>,
}

/// Counted on the failing path alone: a good call writes nothing here.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) answered: AtomicU64,
    pub(super) passed_on: AtomicU64,
}

impl<P, C> FallbackLayer<P, C> {
    /// A fallback by `plan`, such as [`value`](super::value()) or [`function`](super::function()).
    pub fn new(config: FallbackConfig<C>, plan: P) -> Self {
        let sinks = config.observers.attach(Room::Fallback, config.name);
        Self::of(plan, config.classify, Arc::new(sinks))
    }

    pub(super) fn of(plan: P, classify: C, sinks: Arc<Sinks>) -> Self {
        let counts = Arc::new(Counts { answered: AtomicU64::new(0), passed_on: AtomicU64::new(0) });
        Self { shared: Arc::new(Shared { plan, classify, sinks, counts }) }
    }

    /// Tells how often it answered.
    pub fn handle(&self) -> FallbackHandle {
        FallbackHandle::new(Arc::clone(&self.shared.counts), Arc::clone(&self.shared.sinks))
    }
}

/// A [`FallbackLayer`] that keeps good responses by the rules `K`, in the form `T`.
#[cfg(feature = "cache")]
pub type CachedLayer<K, T, C = ByResult> = FallbackLayer<Cached<K, T>, C>;

#[cfg(feature = "cache")]
impl<K, T, C> CachedLayer<K, T, C> {
    /// A fallback that keeps the last good response per key and gives it out, marked, when a call
    /// is refused or fails: see the [module's](super) words on it.
    ///
    /// ```
    /// use seawall::error::BoxError;
    /// use seawall::fallback::{CachedConfig, FallbackLayer};
    /// use seawall::key::Key;
    /// use seawall::stale::Answer;
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let cached = FallbackLayer::cached(CachedConfig::new("quotes", |id: &u64| Some(Key::of(id))))?;
    /// let cache = cached.cache();
    /// let mut up = true;
    /// let mut quotes = ServiceBuilder::new().layer(cached).service(service_fn(move |id: u64| {
    ///     let answer: Result<_, BoxError> =
    ///         if up { Ok(Answer::fresh(id * 100)) } else { Err("down".into()) };
    ///     up = false;
    ///     async move { answer }
    /// }));
    ///
    /// let fresh = quotes.ready().await?.call(7_u64).await?;
    /// let stale = quotes.ready().await?.call(7).await?;
    /// assert_eq!((fresh.value, fresh.is_stale()), (700, false));
    /// assert_eq!((stale.value, stale.is_stale()), (700, true));
    /// assert!(quotes.ready().await?.call(8).await.is_err(), "never seen: the error itself");
    /// assert_eq!((cache.snapshot().stale, cache.snapshot().missed), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that can't be.
    pub fn cached(config: CachedConfig<K, C>) -> Result<Self, ConfigError> {
        let sinks = Arc::new(config.observers.attach(Room::Fallback, config.name));
        let (plan, classify) = Cached::new(config, Arc::clone(&sinks))?;
        Ok(Self::of(plan, classify, sinks))
    }

    /// Reads the cache, and changes its limits while calls run.
    pub fn cache(&self) -> CachedHandle<T> {
        CachedHandle::new(Arc::clone(self.shared.plan.core()), Arc::clone(&self.shared.counts))
    }
}

impl<P, C> Clone for FallbackLayer<P, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, P, C> Layer<S> for FallbackLayer<P, C> {
    type Service = Fallback<S, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Fallback::new(inner, Owner::new(Arc::clone(&self.shared)))
    }
}
