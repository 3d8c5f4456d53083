//! The preset for a payment client, and what can be changed about it.
#![allow(clippy::type_complexity)] // the parts, by name

use std::time::Duration;

use super::arm::{Arm, Parts};
use super::edge::Edge;
use super::part::{Bounded, Breaker, Common, Custom, Off, Part, Trial};
use super::stacked::{Handles, Layers, Stack};
use crate::breaker::CircuitBreakerConfig;
use crate::bulkhead::BulkheadConfig;
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::event::{Observe, Observers};
use crate::outcome::ByResult;
use crate::ready::ReadyInCallLayer;
use crate::timeout::TimeoutConfig;

/// A stack for a client of a payment service called `name`: breaker, bulkhead, attempt timeout and
/// readiness in the call; a cached fallback once it is told what a read is.
///
/// | part | default | why |
/// | --- | --- | --- |
/// | objective | none | only you know what was promised: [`slo`](Payment::slo) |
/// | fallback | none | only you know what may be read again: [`cached`](Payment::cached), [`http`](Payment::http) |
/// | kill switch | none | [`kill_switch`](Payment::kill_switch) |
/// | deadline | none | without a retry the attempt timeout bounds the call: [`deadline`](Payment::deadline) |
/// | canary | none | [`canary`](Payment::canary), [`rollout`](Payment::rollout), [`watch`](Payment::watch) |
/// | retry | none | only you know what may be made twice: [`retry`](Payment::retry) |
/// | breaker | see below | |
/// | bulkhead | 100 calls; once [`rank`](Payment::rank) tells what is critical, 70 of them for that, if it comes | at 120 ms a call that is 800 a second; at four times a service's capacity 98 % of the charges get through, and 25 % where nobody ranks |
/// | attempt timeout | 1 s | eight times a healthy 120 ms, and half of what a user waits |
/// | readiness | in the call | a client that never becomes ready is timed out too |
///
/// The breaker opens, by the calls of the last 5 s, when half of them failed or three in ten took longer
/// than half the attempt timeout; and at once on 15 failures in a row, or 50 slow calls in a row, since at
/// 1,000 calls a second a total failure would need long to become half of the window. One probe decides
/// after 500 ms, growing by half to at most 2.3 s, or to the time in which 300 calls come, if that is shorter;
/// a slow one has failed, and isn't waited for any longer.
/// Then half of the calls are let through for 100 ms, before all.
///
/// These figures come out of the drills (`cargo run --release -p seawall-peers -- drill`):
///
/// - *The window and the slow share.* Fifty clients of five calls a second each, whose service is five
///   times as slow for ten seconds (`storm-50`), notice after 1.2 s, send it 772 calls, and are well 2.7 s after
///   it. A longer window, or half instead of 0.3, was later in all three.
/// - *The wait.* The mean recovery takes half of the longest wait; the calls of a fleet that probes
///   are as many as the waits that fit into the outage. 2.3 s keeps recovery below 3 s at worst. A client of
///   250 calls a second can afford more: with one probe in 300 calls it is well 0.9 s after an outage, on
///   average, not 1.3, and sends about one call a second. So little is taken off at random, a tenth,
///   because unequal waits make recovery later for the same number of probes.
/// - *The run.* 15 failures in a row notice an outage after 44 calls; 20 took 55. Where 15 % of the calls fail
///   15 in a row come once in decades at 1,000 a second, at 30 % about once a day.
/// - *The ramp.* Two steps of 200 ms cost a client of five calls a second half a second more, and saved
///   nothing that the bulkhead doesn't.
pub fn payment(name: &'static str) -> Payment {
    let breaker = CircuitBreakerConfig::new(name)
        .time_window(Duration::from_secs(5))
        .failure_ratio(0.5)
        .consecutive_failures(15)
        .cool_down(Duration::from_millis(500))
        .cool_down_factor(1.5)
        .max_cool_down(Duration::from_millis(2_300))
        .calls_per_probe(300)
        .jitter(0.1)
        .probes(1)
        .ramp([0.5])
        .ramp_step(Duration::from_millis(100));
    Payment {
        edge: Edge::NONE,
        arm: Arm {
            retry: Off,
            breaker: Breaker { config: breaker, classify: ByResult },
            bulkhead: Bounded::new(BulkheadConfig::new(name).limit(100)),
            timeout: TimeoutConfig::new(name).limit(Duration::from_secs(1)),
            ready: Custom(ReadyInCallLayer::new()),
            buffer: Off,
        },
        name,
        clock: None,
        observers: Observers::default(),
    }
}

/// Builds a [`Stack`]; made by [`payment`].
///
/// `E` are the parts that are met first, whichever arm serves the call; `A` those that each arm has for
/// itself.
#[derive(Clone, Debug)]
pub struct Payment<E = Edge, A = Arm> {
    pub(super) edge: E,
    pub(super) arm: A,
    pub(super) name: &'static str,
    clock: Option<Clock>,
    observers: Observers,
}

/// The parts `$old`, one of them replaced by what has its name, perhaps of another type.
macro_rules! replace {
    ($Parts:ident { $part:ident; $($kept:ident),* }, $old:expr) => {{
        let $Parts { $part: _, $($kept),* } = $old;
        $Parts { $part, $($kept),* }
    }};
}
pub(super) use replace;

impl<E, A> Payment<E, A> {
    pub(super) fn with_edge<N>(self, change: impl FnOnce(E) -> N) -> Payment<N, A> {
        let Self { edge, arm, name, clock, observers } = self;
        Payment { edge: change(edge), arm, name, clock, observers }
    }

    pub(super) fn with_arm<N>(self, change: impl FnOnce(A) -> N) -> Payment<E, N> {
        let Self { edge, arm, name, clock, observers } = self;
        Payment { edge, arm: change(arm), name, clock, observers }
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

#[cfg(all(feature = "http", feature = "cache"))]
type HttpCache = super::part::CachedPart<
    crate::http::CacheRules,
    crate::http::KeptResponse,
    crate::http::ByStatus,
>;

#[cfg(all(feature = "http", feature = "cache"))]
type HttpArm<Y, K, T, R> =
    Arm<Y, Breaker<crate::http::ByStatus>, K, T, R, crate::http::BufferConfig>;

#[cfg(all(feature = "http", feature = "cache"))]
impl<O, F, X, D, C, Y, B, K, T, R, H> Payment<Edge<O, F, X, D, C>, Arm<Y, Breaker<B>, K, T, R, H>> {
    /// For an HTTP client: classifies by status, reads the bodies of `GET` and `HEAD` inside the call,
    /// and answers those from the cache, by the rules of HTTP, when the call is refused or fails.
    ///
    /// What may be in the cache, and for whom, is told at [`CacheRules`](crate::http::CacheRules). The
    /// parts can be changed after it: [`cached`](Self::cached) with
    /// [`http::cached`](crate::http::cached) for other rules, [`classify`](Self::classify) with
    /// [`ByStatus::connect_errors`](crate::http::ByStatus::connect_errors) so that a refused connection
    /// isn't in doubt. Features `http` and `cache`.
    #[must_use]
    pub fn http(self) -> Payment<Edge<O, HttpCache, X, D, C>, HttpArm<Y, K, T, R>> {
        let name = self.name;
        self.cached(crate::http::cached(name))
            .classify(crate::http::ByStatus::new())
            .buffer(crate::http::BufferConfig::new())
    }
}

impl<O, F, X, D, C, Y, B, K, T, R, H> Payment<Edge<O, F, X, D, C>, Arm<Y, B, K, T, R, H>>
where
    O: Part,
    F: Part,
    X: Part,
    D: Part,
    C: Trial<Arm<Y, B, K, T, R, H>>,
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
    /// isn't below the attempt timeout, or the attempt timeout is above the deadline.
    pub fn build(
        self,
    ) -> Result<
        Stack<
            Layers<
                O::Layer,
                F::Layer,
                X::Layer,
                D::Layer,
                C::Layer,
                <Arm<Y, B, K, T, R, H> as Parts>::Layers,
            >,
            Handles<
                O::Handle,
                F::Handle,
                X::Handle,
                D::Handle,
                C::Handle,
                Y::Handle,
                B::Handle,
                K::Handle,
                T::Handle,
            >,
        >,
        ConfigError,
    > {
        let Self { edge, arm, clock, observers, .. } = self;
        let common = Common { clock, observers, attempt: arm.timeout.limit() };
        if let (Some(whole), Some(attempt)) = (edge.deadline.limit(), common.attempt) {
            if whole < attempt {
                return Err(ConfigError::new("deadline", whole, "at least the attempt timeout"));
            }
        }
        let (slo, slo_handle) = edge.slo.assemble(&common)?;
        let (fallback, fallback_handle) = edge.fallback.assemble(&common)?;
        let (switch, switch_handle) = edge.switch.assemble(&common)?;
        let (deadline, deadline_handle) = edge.deadline.assemble(&common)?;
        let (canary, canary_handle, common) = edge.canary.assemble(&arm, &common)?;
        let (arm, arm_handles) = arm.assemble(&common)?;
        let layers = Layers { slo, fallback, switch, deadline, canary, arm };
        let handles = Handles {
            slo: slo_handle,
            fallback: fallback_handle,
            switch: switch_handle,
            deadline: deadline_handle,
            canary: canary_handle,
            retry: arm_handles.retry,
            breaker: arm_handles.breaker,
            bulkhead: arm_handles.bulkhead,
            timeout: arm_handles.timeout,
        };
        Ok(Stack::new(layers, handles))
    }
}
