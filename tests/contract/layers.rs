//! The layers under probe: how each is built, what it counts, and where it differs.

use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::canary::{ByRequest, Canary, CanaryConfig, Split, WatchLayer};
use seawall::fallback::{self, Failed, FallbackConfig, FallbackLayer, Function, NoContext};
use seawall::hedge::{HedgeConfig, HedgeLayer};
use seawall::kill_switch::{KillSwitch, KillSwitchConfig, KillSwitchLayer};
use seawall::ready::ReadyInCallLayer;
use seawall::request::{Ask, Safe};
use seawall::retry::{RetryConfig, RetryLayer};
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use seawall::verdict::Arm;
#[cfg(feature = "cache")]
use seawall::{
    breaker::CircuitBreakerHandle,
    bulkhead::BulkheadHandle,
    error::Error,
    fallback::{ByKey, CachedConfig, CachedHandle, CachedLayer},
    key::Key,
    stack,
    timeout::TimeoutHandle,
};
use tower::Layer;
use tower::layer::util::Stack;
use tower::util::MapRequestLayer;
#[cfg(feature = "cache")]
use tower::{layer::util::Identity, util::MapErr};

use crate::inner::{Acting, Err, Req, Res};

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

/// A layer over requests with room for marks, between two that put them in and take them out.
type Marked<L, R> =
    Stack<Stack<MapRequestLayer<fn(Ask<Req>) -> Req>, L>, MapRequestLayer<fn(Req) -> R>>;

fn marked<L, R>(layer: L, into: fn(Req) -> R, apart: usize) -> Subject<Marked<L, R>> {
    let out: fn(Ask<Req>) -> Req = Ask::into_inner;
    let layer =
        Stack::new(Stack::new(MapRequestLayer::new(out), layer), MapRequestLayer::new(into));
    Subject {
        // The functions that map are two words of the service.
        depth: 2,
        // The request for another attempt, and the timer.
        apart: size_of::<Ask<Req>>() + size_of::<tokio::time::Sleep>() + apart,
        ..Subject::new(layer)
    }
}

/// Repeats nothing here: an unknown error of what may be done once.
pub(crate) fn retry() -> Subject<Marked<RetryLayer, Ask<Req>>> {
    let layer = RetryLayer::new(RetryConfig::new("probed")).unwrap();
    let handle = layer.handle();
    // The last result, while the next attempt is waited for.
    let result = size_of::<Result<Res, Err>>();
    marked(layer, Ask::once, result).gauge("retries", move || handle.snapshot().retries)
}

/// Its delay is never over here.
pub(crate) fn hedge() -> Subject<Marked<HedgeLayer, Safe<Ask<Req>>>> {
    let config = HedgeConfig::new("probed").after(Duration::from_secs(60 * 60));
    let layer = HedgeLayer::new(config).unwrap();
    let handle = layer.handle();
    // The second call.
    let mut subject = marked(layer, Safe::from_read, size_of::<Acting>())
        .gauge("hedges", move || handle.snapshot().hedges);
    subject.needs_timer = true;
    subject
}

/// As an attempt's timeout is: with the deadline of each request.
pub(crate) fn timeout_with_deadline()
-> Subject<Marked<TimeoutLayer<seawall::request::InRequest>, Ask<Req>>> {
    let config = TimeoutConfig::new("probed").limit(Duration::from_secs(60 * 60));
    let layer = TimeoutLayer::new(config).unwrap().with_deadline();
    let handle = layer.handle();
    let mut subject =
        marked(layer, Ask::once, 0).gauge("timeouts", move || handle.snapshot().timeouts);
    subject.needs_timer = true;
    subject
}

type Stacked =
    Stack<Stack<Stack<ReadyInCallLayer, TimeoutLayer>, BulkheadLayer>, CircuitBreakerLayer>;

/// One over the other, in the preset's order.
pub(crate) fn stacked() -> Subject<Stacked> {
    breaker().over(bulkhead().over(timeout().over(ready_in_call())))
}

/// The payment preset as it is built, but for limits that the probes' load would meet. It lifts its
/// client's errors, which here can carry a refusal already: that is undone on top of it.
#[cfg(feature = "cache")]
#[derive(Clone)]
pub(crate) struct Preset(PresetStack);

#[cfg(feature = "cache")]
type PresetStack = stack::Stack<
    stack::Layers<
        Identity,
        CachedLayer<ByKey<KeyOf>, Res>,
        Identity,
        Identity,
        Identity,
        stack::ArmLayers<
            Identity,
            CircuitBreakerLayer,
            BulkheadLayer,
            TimeoutLayer,
            ReadyInCallLayer,
            Identity,
        >,
    >,
    stack::Handles<
        (),
        CachedHandle<Res>,
        (),
        (),
        (),
        (),
        CircuitBreakerHandle,
        BulkheadHandle,
        TimeoutHandle,
    >,
>;

#[cfg(feature = "cache")]
impl<S> Layer<S> for Preset
where
    PresetStack: Layer<S>,
{
    type Service = MapErr<<PresetStack as Layer<S>>::Service, fn(Error<Err>) -> Err>;

    fn layer(&self, inner: S) -> Self::Service {
        MapErr::new(self.0.layer(inner), |error| match error {
            Error::Rejected(rejected) => Error::Rejected(rejected),
            Error::Inner(error) => error,
        })
    }
}

#[cfg(feature = "cache")]
pub(crate) fn preset() -> Subject<Preset> {
    let key: KeyOf = |request| Some(Key::of(request));
    let stack = stack::payment("probed")
        .cached(CachedConfig::new("probed", key))
        .breaker(|breaker| breaker.min_calls(1_000_000).consecutive_failures(u16::MAX))
        .bulkhead(|bulkhead| bulkhead.limit(10_000))
        .timeout(Duration::from_secs(60 * 60))
        .build()
        .unwrap();
    let (breaker, bulkhead) = (stack.handles().breaker.clone(), stack.handles().bulkhead.clone());
    let mut subject = Subject::new(Preset(stack))
        .gauge("in_time", move || breaker.snapshot().in_time)
        .gauge("in_flight", move || bulkhead.snapshot().in_flight.into())
        .while_pending(WhilePending::WaitsInCall)
        .needs_timer();
    // Five rooms, what lifts the errors, and what undoes that.
    subject.depth = 7;
    subject
}
