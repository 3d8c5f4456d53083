//! The parts of a stack: each a room's settings, a layer of the user's, or nothing.

use std::fmt;
use std::time::Duration;

use tower_layer::Identity;

use super::arm::Parts;
use crate::breaker::{CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer};
use crate::bulkhead::{BulkheadConfig, BulkheadHandle, BulkheadLayer, OneClass};
use crate::canary::{Canary, CanaryConfig, CanaryHandle};
use crate::clock::Clock;
use crate::criticality::Criticality;
use crate::error::ConfigError;
use crate::event::Observers;
use crate::kill_switch::{KillSwitch, KillSwitchLayer};
use crate::measure::{Measure, Measurement};
use crate::outcome::ByResult;
use crate::request::InRequest;
use crate::retry::{RetryConfig, RetryHandle, RetryLayer};
use crate::rollout::{Rollout, RolloutConfig};
use crate::slo::{Objective, Slo, SloLayer};
use crate::timeout::{TimeoutConfig, TimeoutHandle, TimeoutLayer};
use crate::verdict::Arm as Version;

/// What all parts of a stack have in common.
#[derive(Clone, Debug)]
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

    /// The same part under another name, where it has one: for a second arm.
    #[must_use]
    fn rename(self, _name: &'static str) -> Self
    where
        Self: Sized,
    {
        self
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

    fn rename(self, name: &'static str) -> Self {
        Self { config: self.config.rename(name), ..self }
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

    fn rename(self, name: &'static str) -> Self {
        Self { config: self.config.rename(name), ..self }
    }
}

impl Part for KillSwitch {
    type Layer = KillSwitchLayer;
    type Handle = KillSwitch;

    fn assemble(self, _: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        Ok((KillSwitchLayer::new(&self), self))
    }
}

/// The bulkhead's settings, and who tells it what a request is worth.
#[derive(Clone, Debug)]
pub struct Bounded<C = OneClass> {
    pub(super) config: BulkheadConfig,
    rank: C,
    /// Requests are told apart.
    ranked: bool,
}

impl Bounded {
    pub(super) fn new(config: BulkheadConfig) -> Self {
        Self { config, rank: OneClass, ranked: false }
    }
}

impl<C> Bounded<C> {
    pub(super) fn rank<N>(self, rank: N) -> Bounded<N> {
        Bounded { config: self.config, rank, ranked: true }
    }
}

/// What critical calls have for themselves, where requests are told apart and nothing else was said.
const CRITICAL: f64 = 0.7;

impl<C> Part for Bounded<C> {
    type Layer = BulkheadLayer<C>;
    type Handle = BulkheadHandle;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let mut config = self.config.share_with(common.clock.as_ref(), &common.observers);
        if self.ranked && !config.has_shares() {
            config = config.share(Criticality::Critical, CRITICAL);
        }
        let layer = BulkheadLayer::new(config)?.rank(self.rank);
        let handle = layer.handle();
        Ok((layer, handle))
    }

    fn rename(self, name: &'static str) -> Self {
        Self { config: self.config.rename(name), ..self }
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

    fn rename(self, name: &'static str) -> Self {
        TimeoutConfig::rename(self, name)
    }
}

/// A timeout that looks at the requests' deadlines: of a whole call, or of an attempt inside one.
#[derive(Clone, Debug)]
pub struct DeadlinePart(pub(super) TimeoutConfig);

impl Part for DeadlinePart {
    type Layer = TimeoutLayer<InRequest>;
    type Handle = TimeoutHandle;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let (layer, handle) = self.0.assemble(common)?;
        Ok((layer.with_deadline(), handle))
    }

    fn limit(&self) -> Option<Duration> {
        Part::limit(&self.0)
    }

    fn rename(self, name: &'static str) -> Self {
        Self(self.0.rename(name))
    }
}

/// An objective, and who tells what is good.
#[derive(Clone, Debug)]
pub struct SloPart<C> {
    pub(super) objective: Objective,
    pub(super) classify: C,
}

impl<C> Part for SloPart<C> {
    type Layer = SloLayer<C>;
    type Handle = Slo;

    fn assemble(self, common: &Common) -> Result<(Self::Layer, Self::Handle), ConfigError> {
        let slo = Slo::new(self.objective.share(common.clock.as_ref(), &common.observers))?;
        Ok((SloLayer::new(&slo).classify(self.classify), slo))
    }
}

/// The part where two versions are compared, and perhaps calls shared between them; `A` are the parts of
/// the baseline's arm.
pub trait Trial<A> {
    /// What it becomes.
    type Layer;
    /// How an operator reaches it.
    type Handle: Clone;

    /// Becomes layers, and says what the parts of the baseline's arm are to have in common.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that can't be.
    fn assemble(
        self,
        arm: &A,
        common: &Common,
    ) -> Result<(Self::Layer, Self::Handle, Common), ConfigError>;
}

impl<A> Trial<A> for Off {
    type Layer = Identity;
    type Handle = ();

    fn assemble(self, _: &A, common: &Common) -> Result<(Identity, (), Common), ConfigError> {
        Part::assemble(self, common).map(|(layer, handle)| (layer, handle, common.clone()))
    }
}

impl<L, A> Trial<A> for Custom<L> {
    type Layer = L;
    type Handle = ();

    fn assemble(self, _: &A, common: &Common) -> Result<(L, (), Common), ConfigError> {
        Part::assemble(self, common).map(|(layer, handle)| (layer, handle, common.clone()))
    }
}

/// The settings of a canary that gets a share of the calls, and how its answers are judged.
#[derive(Clone)]
pub struct CanaryPart<G, R = Off> {
    pub(super) config: CanaryConfig,
    pub(super) set_up: G,
    pub(super) rollout: R,
}

impl<G, R> fmt::Debug for CanaryPart<G, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// What steers a canary's share of the calls: a rollout, or, where there is none, an operator.
pub trait Steers {
    /// How an operator reaches it.
    type Handle: Clone;

    /// Does it only look?
    fn only_watches(&self) -> bool;

    /// Begins to steer; gives the rollout, if it is one.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that can't be.
    fn steer(
        self,
        versions: CanaryHandle,
        common: &Common,
    ) -> Result<(Self::Handle, Option<Rollout>), ConfigError>;
}

impl Steers for Off {
    type Handle = ();

    fn only_watches(&self) -> bool {
        false
    }

    fn steer(self, _: CanaryHandle, _: &Common) -> Result<((), Option<Rollout>), ConfigError> {
        Ok(((), None))
    }
}

impl Steers for RolloutConfig {
    type Handle = Rollout;

    fn only_watches(&self) -> bool {
        self.is_dry_run()
    }

    fn steer(
        self,
        versions: CanaryHandle,
        common: &Common,
    ) -> Result<(Rollout, Option<Rollout>), ConfigError> {
        let config = self.share(common.clock.as_ref(), &common.observers);
        let rollout = Rollout::new(config, versions)?;
        Ok((rollout.clone(), Some(rollout)))
    }
}

impl<G, C, K, U, A, R> Trial<A> for CanaryPart<G, R>
where
    R: Steers,
    G: FnOnce(Canary) -> Canary<C, K, U>,
    A: Parts + Clone,
    A::Handles: Clone,
{
    type Layer = CanaryLayers<Canary<C, K, U>, A::Layers>;
    type Handle = CanaryHandles<A::Handles, R::Handle>;

    fn assemble(
        self,
        arm: &A,
        common: &Common,
    ) -> Result<(Self::Layer, Self::Handle, Common), ConfigError> {
        let mut config = self.config.share(common.clock.as_ref(), &common.observers);
        if self.rollout.only_watches() {
            config = config.only_watch(true);
        }
        let name = config.name();
        let canary = (self.set_up)(Canary::new(config)?);
        let comparison = canary.handle();
        let (rollout, steering) = self.rollout.steer(comparison.clone(), common)?;
        // A rollout hears the breakers of both arms.
        let of = |version| {
            let mut common = common.clone();
            if let Some(rollout) = &steering {
                common.observers.add(rollout.circuit(version));
            }
            common
        };
        let (arm, handles) = arm.clone().rename(name).assemble(&of(Version::Canary))?;
        let handles = CanaryHandles { comparison, arm: handles, rollout };
        Ok((CanaryLayers { canary, arm }, handles, of(Version::Baseline)))
    }
}

/// A comparison, and the layers of the canary's arm.
#[derive(Clone, Copy, Debug)]
pub struct CanaryLayers<C, A> {
    pub(super) canary: C,
    pub(super) arm: A,
}

/// How an operator reaches a canary.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CanaryHandles<A, R = ()> {
    /// The comparison: its verdict, and the canary's share of the calls.
    pub comparison: CanaryHandle,
    /// The parts of the canary's arm.
    pub arm: A,
    /// The rollout; `()` where there is none.
    pub rollout: R,
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

/// The comparison, and the canary's own arm.
impl<A: Measure, R: Measure> Measure for CanaryHandles<A, R> {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        self.comparison.measure(show);
        self.arm.measure(show);
        self.rollout.measure(show);
    }
}
