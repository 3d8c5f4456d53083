//! The layers under probe: how each is built, what it counts, and where it differs.

use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::canary::{ByRequest, Canary, CanaryConfig, Split, WatchLayer};
use seawall::fallback::{self, Failed, FallbackConfig, FallbackLayer, Function, NoContext};
use seawall::kill_switch::{KillSwitch, KillSwitchConfig, KillSwitchLayer};
use seawall::ready::ReadyInCallLayer;
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use seawall::verdict::Arm;
#[cfg(feature = "cache")]
use seawall::{
    fallback::{ByKey, CachedConfig, CachedLayer},
    key::Key,
};
use tower::Layer;
use tower::layer::util::Stack;

#[cfg(feature = "cache")]
use crate::inner::Req;
use crate::inner::{Err, Res};

/// A layer and what the probes must know of it.
pub(crate) struct Subject<L> {
    pub(crate) layer: L,
    gauges: Vec<(&'static str, Gauge)>,
    pub(crate) while_pending: WhilePending,
    /// Does a pending call need tokio's timer?
    pub(crate) needs_timer: bool,
    /// What its future may hold beside 64 bytes of its own: tokio's `Sleep`.
    pub(crate) apart: usize,
    /// Of how many layers it is made.
    pub(crate) depth: usize,
    /// How many services it is put around.
    pub(crate) inners: usize,
}

/// What a layer does while its inner's `poll_ready` is Pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhilePending {
    /// It is Pending too.
    IsPending,
    /// It is Ready, and waits in the call, where errors of `poll_ready` come up too.
    WaitsInCall,
    /// It is Ready, and the call ends at once: with an answer of its own, or as refused.
    AnswersItself,
}

type Gauge = Box<dyn Fn() -> u64 + Send>;

impl<L> Subject<L> {
    /// A layer that never refuses under the probes' load, at most 10,000 in flight.
    pub(crate) fn new(layer: L) -> Self {
        Self {
            layer,
            gauges: Vec::new(),
            while_pending: WhilePending::IsPending,
            needs_timer: false,
            apart: 0,
            depth: 1,
            inners: 1,
        }
    }

    /// Something that must be 0 whenever no call is in flight.
    pub(crate) fn gauge(
        mut self,
        name: &'static str,
        read: impl Fn() -> u64 + Send + 'static,
    ) -> Self {
        self.gauges.push((name, Box::new(read)));
        self
    }

    fn while_pending(mut self, it: WhilePending) -> Self {
        self.while_pending = it;
        self
    }

    fn needs_timer(mut self) -> Self {
        self.needs_timer = true;
        self.apart = size_of::<tokio::time::Sleep>();
        self
    }

    /// With `inner` below.
    fn over<M>(self, inner: Subject<M>) -> Subject<Stack<M, L>> {
        Subject {
            layer: Stack::new(inner.layer, self.layer),
            gauges: self.gauges.into_iter().chain(inner.gauges).collect(),
            // What waits in the call is never pending for what is above.
            while_pending: match (self.while_pending, inner.while_pending) {
                (outer, WhilePending::IsPending) => outer,
                (_, inner) => inner,
            },
            needs_timer: self.needs_timer || inner.needs_timer,
            apart: self.apart + inner.apart,
            depth: self.depth + inner.depth,
            inners: inner.inners,
        }
    }

    #[track_caller]
    pub(crate) fn assert_gauges_are_zero(&self, when: &str) {
        for (name, read) in &self.gauges {
            assert_eq!(read(), 0, "{name} {when}");
        }
    }
}

pub(crate) fn kill_switch() -> Subject<KillSwitchLayer> {
    Subject::new(KillSwitchLayer::new(&KillSwitch::new(KillSwitchConfig::new("probe"))))
}

pub(crate) fn bulkhead() -> Subject<BulkheadLayer> {
    let config = BulkheadConfig::new("probed").limit(10_000);
    let layer = BulkheadLayer::new(config).unwrap();
    let handle = layer.handle();
    Subject::new(layer).gauge("in_flight", move || handle.snapshot().in_flight.into())
}

pub(crate) fn timeout() -> Subject<TimeoutLayer> {
    let config = TimeoutConfig::new("probed").limit(Duration::from_secs(60 * 60));
    let layer = TimeoutLayer::new(config).unwrap();
    let handle = layer.handle();
    Subject::new(layer).gauge("timeouts", move || handle.snapshot().timeouts).needs_timer()
}

pub(crate) fn ready_in_call() -> Subject<ReadyInCallLayer> {
    Subject::new(ReadyInCallLayer::new()).while_pending(WhilePending::WaitsInCall)
}

/// Never opens here: its window is never full enough.
fn quiet(config: CircuitBreakerConfig) -> Subject<CircuitBreakerLayer> {
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let handle = layer.handle();
    Subject::new(layer).gauge("in_time", move || handle.snapshot().in_time)
}

pub(crate) fn breaker() -> Subject<CircuitBreakerLayer> {
    quiet(CircuitBreakerConfig::new("probed").count_window(4_095).min_calls(4_095))
}

/// With the rules that count calls in flight.
pub(crate) fn timed_breaker() -> Subject<CircuitBreakerLayer> {
    let minute = Duration::from_secs(60);
    let config = CircuitBreakerConfig::new("probed").time_window(minute).min_calls(1_000_000);
    quiet(config.slow_calls(minute, 1.0))
}

type ArmOf = fn(&u32) -> Arm;

/// Two versions of which the second has no calls: clones of one service.
#[derive(Clone)]
pub(crate) struct SplitLayer(Canary);

impl<S: Clone> Layer<S> for SplitLayer {
    type Service = Split<S, S>;

    fn layer(&self, inner: S) -> Split<S, S> {
        self.0.split(inner.clone(), inner)
    }
}

pub(crate) fn canary_split() -> Subject<SplitLayer> {
    let canary = Canary::new(CanaryConfig::new("probed")).unwrap();
    Subject { inners: 2, ..Subject::new(SplitLayer(canary)) }
}

pub(crate) fn canary_watch() -> Subject<WatchLayer<ByRequest<ArmOf>>> {
    let arm: ArmOf = |request| if request % 2 == 0 { Arm::Canary } else { Arm::Baseline };
    let canary = Canary::new(CanaryConfig::new("probed")).unwrap();
    Subject::new(canary.watch(ByRequest(arm)))
}

/// A plan without answers: the probes see what the layer itself does.
type NoAnswer = fn(&Failed<'_, Res, Err>) -> Option<Res>;

pub(crate) fn fallback() -> Subject<FallbackLayer<Function<NoContext, NoAnswer, Res, Err>>> {
    let none: NoAnswer = |_| None;
    let layer = FallbackLayer::new(FallbackConfig::new("probed"), fallback::function(none));
    Subject::new(layer).while_pending(WhilePending::AnswersItself)
}

#[cfg(feature = "cache")]
type KeyOf = fn(&Req) -> Option<Key>;

#[cfg(feature = "cache")]
pub(crate) fn cached() -> Subject<CachedLayer<ByKey<KeyOf>, Res>> {
    let key: KeyOf = |request| Some(Key::of(request));
    let layer = FallbackLayer::cached(CachedConfig::new("probed", key)).unwrap();
    Subject::new(layer).while_pending(WhilePending::AnswersItself)
}

type Stacked =
    Stack<Stack<Stack<ReadyInCallLayer, TimeoutLayer>, BulkheadLayer>, CircuitBreakerLayer>;

/// One over the other, in the preset's order.
pub(crate) fn stacked() -> Subject<Stacked> {
    breaker().over(bulkhead().over(timeout().over(ready_in_call())))
}
