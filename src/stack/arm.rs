//! The parts that each arm of a stack has for itself: what stands around one client.
#![allow(clippy::type_complexity)] // the parts, by name

use std::time::Duration;

use tower_layer::Layer;

use super::lift::{Lift, LiftLayer};
use super::part::{Again, Bounded, Breaker, Common, Custom, DeadlinePart, Off, Part};
use super::payment::{Payment, replace};
use crate::breaker::CircuitBreakerConfig;
use crate::bulkhead::BulkheadConfig;
use crate::error::ConfigError;
use crate::measure::{Measure, Measurement};
use crate::outcome::ByResult;
use crate::ready::ReadyInCallLayer;
use crate::retry::RetryConfig;
use crate::timeout::TimeoutConfig;

/// Retry, breaker, bulkhead, attempt timeout, readiness and buffer of a [`Payment`], outermost first.
#[derive(Clone, Debug)]
pub struct Arm<
    Y = Off,
    B = Breaker<ByResult>,
    K = Bounded,
    T = TimeoutConfig,
    R = Custom<ReadyInCallLayer>,
    H = Off,
> {
    pub(super) retry: Y,
    pub(super) breaker: B,
    pub(super) bulkhead: K,
    pub(super) timeout: T,
    pub(super) ready: R,
    pub(super) buffer: H,
}

impl<E, Y, B, K, T, R, H> Payment<E, Arm<Y, B, K, T, R, H>> {
    /// Repeats calls that failed: each attempt passes breaker, bulkhead and timeout. The request must be
    /// `Clone` and [`Marked`](crate::request::Marked), the client `Clone`. `classify` tells how attempts
    /// ended: [`ErrInDoubt`](crate::outcome::ErrInDoubt), or for HTTP
    /// [`ByStatus::for_retry`](crate::http::ByStatus::for_retry).
    #[must_use]
    pub fn retry<C>(
        self,
        config: RetryConfig,
        classify: C,
    ) -> Payment<E, Arm<Again<C>, B, K, T, R, H>> {
        let retry = Again { config, classify };
        self.with_arm(|arm| replace!(Arm { retry; breaker, bulkhead, timeout, ready, buffer }, arm))
    }

    /// `layer` in the breaker's place.
    #[must_use]
    pub fn breaker_layer<L>(self, layer: L) -> Payment<E, Arm<Y, Custom<L>, K, T, R, H>> {
        let breaker = Custom(layer);
        self.with_arm(|arm| replace!(Arm { breaker; retry, bulkhead, timeout, ready, buffer }, arm))
    }

    /// No breaker.
    #[must_use]
    pub fn no_breaker(self) -> Payment<E, Arm<Y, Off, K, T, R, H>> {
        let breaker = Off;
        self.with_arm(|arm| replace!(Arm { breaker; retry, bulkhead, timeout, ready, buffer }, arm))
    }

    /// `layer` in the bulkhead's place.
    #[must_use]
    pub fn bulkhead_layer<L>(self, layer: L) -> Payment<E, Arm<Y, B, Custom<L>, T, R, H>> {
        let bulkhead = Custom(layer);
        self.with_arm(|arm| replace!(Arm { bulkhead; retry, breaker, timeout, ready, buffer }, arm))
    }

    /// No bulkhead.
    #[must_use]
    pub fn no_bulkhead(self) -> Payment<E, Arm<Y, B, Off, T, R, H>> {
        let bulkhead = Off;
        self.with_arm(|arm| replace!(Arm { bulkhead; retry, breaker, timeout, ready, buffer }, arm))
    }

    /// No limit on the time of an attempt. Then the breaker has no slow rule unless you give it one.
    #[must_use]
    pub fn no_timeout(self) -> Payment<E, Arm<Y, B, K, Off, R, H>> {
        let timeout = Off;
        self.with_arm(|arm| replace!(Arm { timeout; retry, breaker, bulkhead, ready, buffer }, arm))
    }

    /// `layer` in the attempt timeout's place. Its limit isn't known here: as with
    /// [`no_timeout`](Self::no_timeout), the breaker has no slow rule unless you give it one.
    #[must_use]
    pub fn timeout_layer<L>(self, layer: L) -> Payment<E, Arm<Y, B, K, Custom<L>, R, H>> {
        let timeout = Custom(layer);
        self.with_arm(|arm| replace!(Arm { timeout; retry, breaker, bulkhead, ready, buffer }, arm))
    }

    /// `layer` in the place of what waits for readiness.
    #[must_use]
    pub fn ready_layer<L>(self, layer: L) -> Payment<E, Arm<Y, B, K, T, Custom<L>, H>> {
        let ready = Custom(layer);
        self.with_arm(|arm| replace!(Arm { ready; retry, breaker, bulkhead, timeout, buffer }, arm))
    }

    /// Waits for the client in `poll_ready`: for clients that can't be cloned, or are always ready.
    #[must_use]
    pub fn no_ready_in_call(self) -> Payment<E, Arm<Y, B, K, T, Off, H>> {
        let ready = Off;
        self.with_arm(|arm| replace!(Arm { ready; retry, breaker, bulkhead, timeout, buffer }, arm))
    }

    /// Which bodies are read inside the call, and up to what length.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn buffer<Reads>(
        self,
        config: crate::http::BufferConfig<Reads>,
    ) -> Payment<E, Arm<Y, B, K, T, R, crate::http::BufferConfig<Reads>>> {
        let buffer = config;
        self.with_arm(|arm| replace!(Arm { buffer; retry, breaker, bulkhead, timeout, ready }, arm))
    }

    /// Nothing between the client and what waits for its readiness: bodies pass through as they come.
    #[must_use]
    pub fn no_innermost(self) -> Payment<E, Arm<Y, B, K, T, R, Off>> {
        let buffer = Off;
        self.with_arm(|arm| replace!(Arm { buffer; retry, breaker, bulkhead, timeout, ready }, arm))
    }

    /// `layer` right around the client, in the place of `buffer`.
    #[must_use]
    pub fn innermost<L>(self, layer: L) -> Payment<E, Arm<Y, B, K, T, R, Custom<L>>> {
        let buffer = Custom(layer);
        self.with_arm(|arm| replace!(Arm { buffer; retry, breaker, bulkhead, timeout, ready }, arm))
    }
}

impl<E, Y, C, K, T, R, H> Payment<E, Arm<Y, Breaker<C>, K, T, R, H>> {
    /// Changes the breaker's settings.
    ///
    /// ```
    /// use seawall::stack;
    ///
    /// let stack = stack::payment("payments").breaker(|breaker| breaker.failure_ratio(0.3)).build();
    /// assert!(stack.is_ok());
    /// ```
    #[must_use]
    pub fn breaker(
        mut self,
        change: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig,
    ) -> Self {
        self.arm.breaker.config = change(self.arm.breaker.config);
        self
    }

    /// Who tells the breaker how calls ended.
    #[must_use]
    pub fn classify<N>(self, classify: N) -> Payment<E, Arm<Y, Breaker<N>, K, T, R, H>> {
        self.with_arm(|arm| {
            let breaker = Breaker { config: arm.breaker.config.clone(), classify };
            replace!(Arm { breaker; retry, bulkhead, timeout, ready, buffer }, arm)
        })
    }
}

impl<E, Y, B, C, T, R, H> Payment<E, Arm<Y, B, Bounded<C>, T, R, H>> {
    /// Changes the bulkhead's settings.
    #[must_use]
    pub fn bulkhead(mut self, change: impl FnOnce(BulkheadConfig) -> BulkheadConfig) -> Self {
        self.arm.bulkhead.config = change(self.arm.bulkhead.config);
        self
    }

    /// Who tells the bulkhead what a request is worth ([`Rank`](crate::bulkhead::Rank)): when places are
    /// few, background reads are refused before charges. Critical calls then have 0.7 of the places for
    /// themselves, if they come; say otherwise with [`BulkheadConfig::share`].
    ///
    /// ```
    /// use seawall::criticality::Criticality;
    /// use seawall::stack;
    ///
    /// let stack = stack::payment("payments")
    ///     .bulkhead(|bulkhead| bulkhead.share(Criticality::Critical, 0.5))
    ///     .rank(|amount: &u64| match amount {
    ///         0 => Criticality::Background,
    ///         _ => Criticality::Critical,
    ///     })
    ///     .build();
    /// assert!(stack.is_ok());
    /// ```
    #[must_use]
    pub fn rank<N>(self, rank: N) -> Payment<E, Arm<Y, B, Bounded<N>, T, R, H>> {
        self.with_arm(|arm| {
            let Arm { retry, breaker, bulkhead, timeout, ready, buffer } = arm;
            Arm { retry, breaker, bulkhead: bulkhead.rank(rank), timeout, ready, buffer }
        })
    }
}

impl<E, Y, B, K, R, H> Payment<E, Arm<Y, B, K, TimeoutConfig, R, H>> {
    /// The limit of one attempt. Default 1 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.arm.timeout = self.arm.timeout.limit(limit);
        self
    }
}

impl<E, Y, B, K, R, H> Payment<E, Arm<Y, B, K, DeadlinePart, R, H>> {
    /// The limit of one attempt. Default 1 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.arm.timeout.0 = self.arm.timeout.0.limit(limit);
        self
    }
}

/// What limits an attempt, once the whole call has a deadline: then an attempt is given what is left.
pub trait UnderDeadline {
    /// It, looking at deadlines.
    type Under;

    /// Looks at deadlines from here on, if it can.
    fn under(self) -> Self::Under;
}

impl UnderDeadline for TimeoutConfig {
    type Under = DeadlinePart;

    fn under(self) -> DeadlinePart {
        DeadlinePart(self)
    }
}

impl UnderDeadline for DeadlinePart {
    type Under = Self;

    fn under(self) -> Self {
        self
    }
}

impl UnderDeadline for Off {
    type Under = Self;

    fn under(self) -> Self {
        self
    }
}

impl<L> UnderDeadline for Custom<L> {
    type Under = Self;

    fn under(self) -> Self {
        self
    }
}

/// The parts of an arm, as a whole: they become layers together, for each arm anew.
pub trait Parts {
    /// The layers.
    type Layers;
    /// How an operator reaches them.
    type Handles;

    /// The same parts under another name.
    #[must_use]
    fn rename(self, name: &'static str) -> Self;

    /// Becomes layers.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that can't be.
    fn assemble(self, common: &Common) -> Result<(Self::Layers, Self::Handles), ConfigError>;
}

impl<Y, B, K, T, R, H> Parts for Arm<Y, B, K, T, R, H>
where
    Y: Part,
    B: Part,
    K: Part,
    T: Part,
    R: Part,
    H: Part,
{
    type Layers = ArmLayers<Y::Layer, B::Layer, K::Layer, T::Layer, R::Layer, H::Layer>;
    type Handles = ArmHandles<Y::Handle, B::Handle, K::Handle, T::Handle>;

    fn rename(self, name: &'static str) -> Self {
        Self {
            retry: self.retry.rename(name),
            breaker: self.breaker.rename(name),
            bulkhead: self.bulkhead.rename(name),
            timeout: self.timeout.rename(name),
            ready: self.ready.rename(name),
            buffer: self.buffer.rename(name),
        }
    }

    fn assemble(self, common: &Common) -> Result<(Self::Layers, Self::Handles), ConfigError> {
        let (retry, retry_handle) = self.retry.assemble(common)?;
        let (breaker, breaker_handle) = self.breaker.assemble(common)?;
        let (bulkhead, bulkhead_handle) = self.bulkhead.assemble(common)?;
        let (timeout, timeout_handle) = self.timeout.assemble(common)?;
        let (ready, _) = self.ready.assemble(common)?;
        let (buffer, _) = self.buffer.assemble(common)?;
        let layers =
            ArmLayers { retry, breaker, bulkhead, timeout, ready, lift: LiftLayer, buffer };
        let handles = ArmHandles {
            retry: retry_handle,
            breaker: breaker_handle,
            bulkhead: bulkhead_handle,
            timeout: timeout_handle,
        };
        Ok((layers, handles))
    }
}

/// The layers of one arm.
#[derive(Clone, Copy, Debug)]
pub struct ArmLayers<Y, B, K, T, R, H> {
    retry: Y,
    breaker: B,
    bulkhead: K,
    timeout: T,
    ready: R,
    lift: LiftLayer,
    buffer: H,
}

/// How an operator reaches the parts of one arm; `()` for those that are left out or replaced.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ArmHandles<Y, B, K, T> {
    /// The retry's.
    pub retry: Y,
    /// The breaker's.
    pub breaker: B,
    /// The bulkhead's.
    pub bulkhead: K,
    /// The attempt timeout's.
    pub timeout: T,
}

/// Puts an arm's layers around a client, in two steps: a way past the layers begins between them.
pub trait Guard<S> {
    /// The client, its bodies read and its errors lifted.
    type Client;
    /// The client behind all layers of the arm.
    type Service;

    /// The first step.
    fn client(&self, client: S) -> Self::Client;

    /// The second.
    fn guard(&self, client: Self::Client) -> Self::Service;
}

impl<S, Y, B, K, T, R, H> Guard<S> for ArmLayers<Y, B, K, T, R, H>
where
    H: Layer<S>,
    R: Layer<Lift<H::Service>>,
    T: Layer<R::Service>,
    K: Layer<T::Service>,
    B: Layer<K::Service>,
    Y: Layer<B::Service>,
{
    type Client = Lift<H::Service>;
    type Service = Y::Service;

    fn client(&self, client: S) -> Self::Client {
        self.lift.layer(self.buffer.layer(client))
    }

    fn guard(&self, client: Self::Client) -> Self::Service {
        let attempt = self.timeout.layer(self.ready.layer(client));
        self.retry.layer(self.breaker.layer(self.bulkhead.layer(attempt)))
    }
}

/// All parts that can be reached.
impl<Y: Measure, B: Measure, K: Measure, T: Measure> Measure for ArmHandles<Y, B, K, T> {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let parts: [&dyn Measure; 4] = [&self.retry, &self.breaker, &self.bulkhead, &self.timeout];
        parts.into_iter().for_each(|part| part.measure(show));
    }
}
