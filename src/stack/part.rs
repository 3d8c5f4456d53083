//! The parts of a stack: each a room's settings, a layer of the user's, or nothing.

use std::time::Duration;

use tower_layer::Identity;

use crate::breaker::{CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer};
use crate::bulkhead::{BulkheadConfig, BulkheadHandle, BulkheadLayer};
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::event::Observers;
use crate::kill_switch::{KillSwitch, KillSwitchLayer};
use crate::outcome::ByResult;
use crate::retry::{RetryConfig, RetryHandle, RetryLayer};
use crate::timeout::{TimeoutConfig, TimeoutHandle, TimeoutLayer};

/// What all parts of a stack have in common.
#[derive(Debug)]
pub struct Common {
    pub(super) clock: Option<Clock>,
    pub(super) observers: Observers,
    /// The limit of one attempt, if there is one.
    pub(super) attempt: Option<Duration>,
}

/// A part of a stack: becomes a layer, and a handle to reach it.
///
/// Implemented for the rooms' settings, for [`Custom`] layers, and for [`Off`].
pub trait Part {
    /// The layer it becomes.
    type Layer;
    /// How an operator reaches it; `()` where there is nothing to reach.
    type Handle: Clone;

    /// Becomes a layer.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that can't be.
    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError>;

    /// The longest that one call can take here, if this part limits that.
    fn limit(&self) -> Option<Duration> {
        None
    }
}

/// A part that is left out: no layer, no cost.
#[derive(Clone, Copy, Debug)]
pub struct Off;

impl Part for Off {
    type Layer = Identity;
    type Handle = ();

    fn assemble(self, _: &Common) -> Result<(Identity, ()), ConfigError> {
        Ok((Identity::new(), ()))
    }
}

/// A part that is replaced by a layer of the user's.
#[derive(Clone, Copy, Debug)]
pub struct Custom<L>(pub L);

impl<L> Part for Custom<L> {
    type Layer = L;
    type Handle = ();

    fn assemble(self, _: &Common) -> Result<(L, ()), ConfigError> {
        Ok((self.0, ()))
    }
}

/// The breaker's settings, and who classifies for it.
#[derive(Clone, Debug)]
pub struct Breaker<C = ByResult> {
    pub(super) config: CircuitBreakerConfig,
    pub(super) classify: C,
}

impl<C> Part for Breaker<C> {
    type Layer = CircuitBreakerLayer<C>;
    type Handle = CircuitBreakerHandle;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let mut config = self.config.share(common.clock.as_ref(), &common.observers);
        if let Some(limit) = common.attempt {
            config = config.slow_calls_by_default(limit / 2).lease_by_slow_threshold();
            config.check_slow_below(limit)?;
        }
        let layer = CircuitBreakerLayer::new(config)?.classify(self.classify);
        let handle = layer.handle();
        Ok((layer, handle))
    }
}

/// The retry's settings, and who classifies for it.
#[derive(Clone, Debug)]
pub struct Again<C> {
    pub(super) config: RetryConfig,
    pub(super) classify: C,
}

impl<C> Part for Again<C> {
    type Layer = RetryLayer<C>;
    type Handle = RetryHandle;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let config = self.config.share(common.clock.as_ref(), &common.observers);
        let layer = RetryLayer::new(config)?.classify(self.classify);
        let handle = layer.handle();
        Ok((layer, handle))
    }
}

impl Part for KillSwitch {
    type Layer = KillSwitchLayer;
    type Handle = KillSwitch;

    fn assemble(self, _: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        Ok((KillSwitchLayer::new(&self), self))
    }
}

impl Part for BulkheadConfig {
    type Layer = BulkheadLayer;
    type Handle = BulkheadHandle;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let layer = BulkheadLayer::new(self.share_with(common.clock.as_ref(), &common.observers))?;
        let handle = layer.handle();
        Ok((layer, handle))
    }
}

impl Part for TimeoutConfig {
    type Layer = TimeoutLayer;
    type Handle = TimeoutHandle;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let layer = TimeoutLayer::new(self.share(common.clock.as_ref(), &common.observers))?;
        let handle = layer.handle();
        Ok((layer, handle))
    }

    fn limit(&self) -> Option<Duration> {
        Some(TimeoutConfig::limit_set(self))
    }
}

#[cfg(feature = "http")]
impl<R> Part for crate::http::BufferConfig<R> {
    type Layer = crate::http::BufferLayer<R>;
    type Handle = ();

    fn assemble(self, _: &Common) -> Result<(Self::Layer, ()), ConfigError> {
        Ok((crate::http::BufferLayer::new(self)?, ()))
    }
}

#[cfg(feature = "cache")]
pub use cached::CachedPart;

#[cfg(feature = "cache")]
mod cached {
    use super::{Common, Part};
    use crate::error::ConfigError;
    use crate::fallback::{CachedConfig, CachedHandle, CachedLayer, FallbackLayer};
    use std::fmt;
    use std::marker::PhantomData;

    /// The cached fallback's settings; `T` is the form in which it keeps responses.
    pub struct CachedPart<K, T, C> {
        pub(in crate::stack) config: CachedConfig<K, C>,
        pub(in crate::stack) keeps: PhantomData<fn() -> T>,
    }

    impl<K: fmt::Debug, T, C: fmt::Debug> fmt::Debug for CachedPart<K, T, C> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.config.fmt(f)
        }
    }

    impl<K, T, C> Part for CachedPart<K, T, C> {
        type Layer = CachedLayer<K, T, C>;
        type Handle = CachedHandle<T>;

        fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
            let config = self.config.share(common.clock.as_ref(), &common.observers);
            let layer = FallbackLayer::cached(config)?;
            let handle = layer.cache();
            Ok((layer, handle))
        }
    }
}
