//! The preset for a payment client, and what can be changed about it.

use std::time::Duration;

use super::part::{Again, Breaker, Common, Custom, Off, Part};
use super::stacked::{Handles, Layers, Stack};
use crate::breaker::CircuitBreakerConfig;
use crate::bulkhead::BulkheadConfig;
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::event::{Observe, Observers};
use crate::kill_switch::KillSwitch;
use crate::outcome::ByResult;
use crate::ready::ReadyInCallLayer;
use crate::retry::RetryConfig;
use crate::stack::lift::LiftLayer;
use crate::timeout::TimeoutConfig;

/// A stack for a client of a payment service called `name`: breaker, bulkhead, attempt timeout and
/// readiness in the call; a cached fallback once it is told what a read is.
///
/// | part | default | why |
/// | --- | --- | --- |
/// | fallback | none | only you know what may be read again: [`cached`](Payment::cached), [`http`](Payment::http) |
/// | retry | none | only you know what may be made twice: [`retry`](Payment::retry) |
/// | kill switch | none | [`kill_switch`](Payment::kill_switch) |
/// | breaker | see below | |
/// | bulkhead | 100 calls | at 120 ms a call that is 800 a second |
/// | attempt timeout | 1 s | eight times a healthy 120 ms, and half of what a user waits |
/// | readiness | in the call | a client that never becomes ready is timed out too |
///
/// The breaker opens, by the calls of the last 10 s, when half of them failed or half took longer than
/// half the attempt timeout; and at once on 20 failures in a row, or 50 slow calls in a row, since at
/// 1,000 calls a second a total failure would need five seconds to become half of ten. One probe decides
/// after 500 ms, growing by half to at most 2 s; a slow one has failed, and isn't waited for any longer.
/// Then a fifth, then half of the calls are let through for 200 ms each, before all.
pub fn payment(name: &'static str) -> Payment {
    let breaker = CircuitBreakerConfig::new(name)
        .time_window(Duration::from_secs(10))
        .failure_ratio(0.5)
        .consecutive_failures(20)
        .cool_down(Duration::from_millis(500))
        .cool_down_factor(1.5)
        .max_cool_down(Duration::from_secs(2))
        .probes(1)
        .ramp([0.2, 0.5])
        .ramp_step(Duration::from_millis(200));
    Payment {
        fallback: Off,
        switch: Off,
        retry: Off,
        breaker: Breaker { config: breaker, classify: ByResult },
        bulkhead: BulkheadConfig::new(name).limit(100),
        timeout: TimeoutConfig::new(name).limit(Duration::from_secs(1)),
        ready: Custom(ReadyInCallLayer::new()),
        buffer: Off,
        name,
        clock: None,
        observers: Observers::default(),
    }
}

/// Builds a [`Stack`]; made by [`payment`]. Each type parameter is a part, outermost first.
#[derive(Clone, Debug)]
pub struct Payment<
    F = Off,
    X = Off,
    Y = Off,
    B = Breaker<ByResult>,
    K = BulkheadConfig,
    T = TimeoutConfig,
    R = Custom<ReadyInCallLayer>,
    H = Off,
> {
    fallback: F,
    switch: X,
    retry: Y,
    breaker: B,
    bulkhead: K,
    timeout: T,
    ready: R,
    buffer: H,
    name: &'static str,
    clock: Option<Clock>,
    observers: Observers,
}

/// The builder with one part of another type, and the rest of `$old`.
macro_rules! with {
    ($old:ident { $part:ident: $new:expr, $($kept:ident),* }) => {
        Payment {
            $part: $new,
            $($kept: $old.$kept,)*
            name: $old.name,
            clock: $old.clock,
            observers: $old.observers,
        }
    };
}

impl<F, X, Y, B, K, T, R, H> Payment<F, X, Y, B, K, T, R, H> {
    /// Answers with the last good response of the same key, marked, when a call is refused or fails.
    #[cfg(feature = "cache")]
    #[must_use]
    #[allow(clippy::type_complexity)] // the parts, by name
    pub fn cached<Rules, Kept, C>(
        self,
        config: crate::fallback::CachedConfig<Rules, C>,
    ) -> Payment<super::part::CachedPart<Rules, Kept, C>, X, Y, B, K, T, R, H> {
        let keeps = std::marker::PhantomData;
        with!(self {
            fallback: super::part::CachedPart { config, keeps },
            switch,
            breaker,
            bulkhead,
            timeout,
            ready,
            buffer,
            retry
        })
    }

    /// Answers by `layer`, such as a [`FallbackLayer`](crate::fallback::FallbackLayer), when a call is
    /// refused or fails.
    #[must_use]
    pub fn fallback<L>(self, layer: L) -> Payment<Custom<L>, X, Y, B, K, T, R, H> {
        with!(self {
            fallback: Custom(layer),
            switch,
            breaker,
            bulkhead,
            timeout,
            ready,
            buffer,
            retry
        })
    }

    /// A kill switch: on halt, calls are refused, inside the fallback; on bypass, they go straight to
    /// the client (but for the body, and the error's type). The client must be `Clone`.
    #[must_use]
    pub fn kill_switch(self, switch: &KillSwitch) -> Payment<F, KillSwitch, Y, B, K, T, R, H> {
        with!(self {
            switch: switch.clone(),
            fallback,
            breaker,
            bulkhead,
            timeout,
            ready,
            buffer,
            retry
        })
    }

    /// Repeats calls that failed: each attempt passes breaker, bulkhead and timeout. The request must be
    /// `Clone` and [`Marked`](crate::request::Marked), the client `Clone`. `classify` tells how attempts
    /// ended: [`ErrInDoubt`](crate::outcome::ErrInDoubt), or for HTTP
    /// [`ByStatus::for_retry`](crate::http::ByStatus::for_retry).
    #[must_use]
    pub fn retry<C>(
        self,
        config: RetryConfig,
        classify: C,
    ) -> Payment<F, X, Again<C>, B, K, T, R, H> {
        let again = Again { config, classify };
        with!(self { retry: again, fallback, switch, breaker, bulkhead, timeout, ready, buffer })
    }

    /// No fallback: refused and failed calls stay what they are.
    #[must_use]
    pub fn no_fallback(self) -> Payment<Off, X, Y, B, K, T, R, H> {
        with!(self { fallback: Off, switch, breaker, bulkhead, timeout, ready, buffer, retry })
    }

    /// `layer` in the breaker's place.
    #[must_use]
    pub fn breaker_layer<L>(self, layer: L) -> Payment<F, X, Y, Custom<L>, K, T, R, H> {
        with!(self {
            breaker: Custom(layer),
            fallback,
            switch,
            bulkhead,
            timeout,
            ready,
            buffer,
            retry
        })
    }

    /// No breaker.
    #[must_use]
    pub fn no_breaker(self) -> Payment<F, X, Y, Off, K, T, R, H> {
        with!(self { breaker: Off, fallback, switch, bulkhead, timeout, ready, buffer, retry })
    }

    /// No bulkhead.
    #[must_use]
    pub fn no_bulkhead(self) -> Payment<F, X, Y, B, Off, T, R, H> {
        with!(self { bulkhead: Off, fallback, switch, breaker, timeout, ready, buffer, retry })
    }

    /// `layer` in the bulkhead's place.
    #[must_use]
    pub fn bulkhead_layer<L>(self, layer: L) -> Payment<F, X, Y, B, Custom<L>, T, R, H> {
        with!(self {
            bulkhead: Custom(layer),
            fallback,
            switch,
            breaker,
            timeout,
            ready,
            buffer,
            retry
        })
    }

    /// No limit on the time of an attempt. Then the breaker has no slow rule unless you give it one.
    #[must_use]
    pub fn no_timeout(self) -> Payment<F, X, Y, B, K, Off, R, H> {
        with!(self { timeout: Off, fallback, switch, breaker, bulkhead, ready, buffer, retry })
    }

    /// `layer` in the attempt timeout's place. Its limit isn't known here: as with
    /// [`no_timeout`](Self::no_timeout), the breaker has no slow rule unless you give it one.
    #[must_use]
    pub fn timeout_layer<L>(self, layer: L) -> Payment<F, X, Y, B, K, Custom<L>, R, H> {
        with!(self {
            timeout: Custom(layer),
            fallback,
            switch,
            breaker,
            bulkhead,
            ready,
            buffer,
            retry
        })
    }

    /// `layer` in the place of what waits for readiness.
    #[must_use]
    pub fn ready_layer<L>(self, layer: L) -> Payment<F, X, Y, B, K, T, Custom<L>, H> {
        with!(self {
            ready: Custom(layer),
            fallback,
            switch,
            breaker,
            bulkhead,
            timeout,
            buffer,
            retry
        })
    }

    /// Waits for the client in `poll_ready`: for clients that can't be cloned, or are always ready.
    #[must_use]
    pub fn no_ready_in_call(self) -> Payment<F, X, Y, B, K, T, Off, H> {
        with!(self { ready: Off, fallback, switch, breaker, bulkhead, timeout, buffer, retry })
    }

    /// Which bodies are read inside the call, and up to what length.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn buffer<Reads>(
        self,
        config: crate::http::BufferConfig<Reads>,
    ) -> Payment<F, X, Y, B, K, T, R, crate::http::BufferConfig<Reads>> {
        with!(self { buffer: config, fallback, switch, breaker, bulkhead, timeout, ready, retry })
    }

    /// Nothing between the client and what waits for its readiness: bodies pass through as they come.
    #[must_use]
    pub fn no_innermost(self) -> Payment<F, X, Y, B, K, T, R, Off> {
        with!(self { buffer: Off, fallback, switch, breaker, bulkhead, timeout, ready, retry })
    }

    /// `layer` right around the client, in the place of [`buffer`](Self::buffer).
    #[must_use]
    pub fn innermost<L>(self, layer: L) -> Payment<F, X, Y, B, K, T, R, Custom<L>> {
        with!(self {
            buffer: Custom(layer),
            fallback,
            switch,
            breaker,
            bulkhead,
            timeout,
            ready,
            retry
        })
    }

    /// The clock of all parts. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// One more observer, attached to all parts that have something to tell.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }
}

impl<F, X, Y, C, K, T, R, H> Payment<F, X, Y, Breaker<C>, K, T, R, H> {
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
        self.breaker.config = change(self.breaker.config);
        self
    }

    /// Who tells the breaker how calls ended.
    #[must_use]
    pub fn classify<N>(self, classify: N) -> Payment<F, X, Y, Breaker<N>, K, T, R, H> {
        with!(self {
            breaker: Breaker { config: self.breaker.config, classify },
            fallback,
            switch,
            bulkhead,
            timeout,
            ready,
            buffer,
            retry
        })
    }
}

impl<F, X, Y, B, T, R, H> Payment<F, X, Y, B, BulkheadConfig, T, R, H> {
    /// Changes the bulkhead's settings.
    #[must_use]
    pub fn bulkhead(mut self, change: impl FnOnce(BulkheadConfig) -> BulkheadConfig) -> Self {
        self.bulkhead = change(self.bulkhead);
        self
    }
}

impl<F, X, Y, B, K, R, H> Payment<F, X, Y, B, K, TimeoutConfig, R, H> {
    /// The limit of one attempt. Default 1 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = self.timeout.limit(limit);
        self
    }
}

#[cfg(all(feature = "http", feature = "cache"))]
type HttpCache = super::part::CachedPart<
    crate::http::CacheRules,
    crate::http::KeptResponse,
    crate::http::ByStatus,
>;

#[cfg(all(feature = "http", feature = "cache"))]
type HttpBuffer = crate::http::BufferConfig;

#[cfg(all(feature = "http", feature = "cache"))]
impl<F, X, Y, C, K, T, R, H> Payment<F, X, Y, Breaker<C>, K, T, R, H> {
    /// For an HTTP client: classifies by status, reads the bodies of `GET` and `HEAD` inside the call,
    /// and answers those from the cache, by the rules of HTTP, when the call is refused or fails.
    ///
    /// What may be in the cache, and for whom, is told at [`CacheRules`](crate::http::CacheRules). The
    /// parts can be changed after it: [`cached`](Self::cached) with
    /// [`http::cached`](crate::http::cached) for other rules, [`classify`](Self::classify) with
    /// [`ByStatus::connect_errors`](crate::http::ByStatus::connect_errors) so that a refused connection
    /// isn't in doubt. Features `http` and `cache`.
    #[must_use]
    pub fn http(
        self,
    ) -> Payment<HttpCache, X, Y, Breaker<crate::http::ByStatus>, K, T, R, HttpBuffer> {
        let name = self.name;
        self.cached(crate::http::cached(name))
            .classify(crate::http::ByStatus::new())
            .buffer(crate::http::BufferConfig::new())
    }
}

impl<F, X, Y, B, K, T, R, H> Payment<F, X, Y, B, K, T, R, H>
where
    F: Part,
    X: Part,
    Y: Part,
    B: Part,
    K: Part,
    T: Part,
    R: Part,
    H: Part,
{
    /// The stack.
    ///
    /// # Errors
    /// [`ConfigError`] of the part that has a setting that can't be, or if the breaker's slow threshold
    /// isn't below the attempt timeout.
    #[allow(clippy::type_complexity)] // the parts, by name
    pub fn build(
        self,
    ) -> Result<
        Stack<
            Layers<F::Layer, X::Layer, Y::Layer, B::Layer, K::Layer, T::Layer, R::Layer, H::Layer>,
            Handles<F::Handle, X::Handle, Y::Handle, B::Handle, K::Handle, T::Handle>,
        >,
        ConfigError,
    > {
        let common =
            Common { clock: self.clock, observers: self.observers, attempt: self.timeout.limit() };
        let (fallback, fallback_handle) = self.fallback.assemble(&common)?;
        let (switch, switch_handle) = self.switch.assemble(&common)?;
        let (retry, retry_handle) = self.retry.assemble(&common)?;
        let (breaker, breaker_handle) = self.breaker.assemble(&common)?;
        let (bulkhead, bulkhead_handle) = self.bulkhead.assemble(&common)?;
        let (timeout, timeout_handle) = self.timeout.assemble(&common)?;
        let (ready, _) = self.ready.assemble(&common)?;
        let (buffer, _) = self.buffer.assemble(&common)?;
        let handles = Handles {
            fallback: fallback_handle,
            switch: switch_handle,
            retry: retry_handle,
            breaker: breaker_handle,
            bulkhead: bulkhead_handle,
            timeout: timeout_handle,
        };
        let layers = Layers {
            fallback,
            switch,
            retry,
            breaker,
            bulkhead,
            timeout,
            ready,
            lift: LiftLayer,
            buffer,
        };
        Ok(Stack::new(layers, handles))
    }
}
