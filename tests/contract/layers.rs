//! The layers under probe: how each is built, what it counts, and where it differs.

use std::time::Duration;

use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::ready::ReadyInCallLayer;
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tower::layer::util::Stack;

/// A layer and what the probes must know of it.
pub(crate) struct Subject<L> {
    pub(crate) layer: L,
    gauges: Vec<(&'static str, Gauge)>,
    /// Does it wait for readiness in the call (and move errors of `poll_ready` there)?
    pub(crate) waits_in_call: bool,
    /// Does a pending call need tokio's timer?
    pub(crate) needs_timer: bool,
    /// What its future may hold beside 64 bytes of its own: tokio's `Sleep`.
    pub(crate) apart: usize,
    /// Of how many layers it is made.
    pub(crate) depth: usize,
}

type Gauge = Box<dyn Fn() -> u64 + Send>;

impl<L> Subject<L> {
    /// A layer that never refuses under the probes' load, at most 10,000 in flight.
    pub(crate) fn new(layer: L) -> Self {
        Self {
            layer,
            gauges: Vec::new(),
            waits_in_call: false,
            needs_timer: false,
            apart: 0,
            depth: 1,
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

    fn waits_in_call(mut self) -> Self {
        self.waits_in_call = true;
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
            waits_in_call: self.waits_in_call || inner.waits_in_call,
            needs_timer: self.needs_timer || inner.needs_timer,
            apart: self.apart + inner.apart,
            depth: self.depth + inner.depth,
        }
    }

    #[track_caller]
    pub(crate) fn assert_gauges_are_zero(&self, when: &str) {
        for (name, read) in &self.gauges {
            assert_eq!(read(), 0, "{name} {when}");
        }
    }
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
    Subject::new(ReadyInCallLayer::new()).waits_in_call()
}

/// All of them, in the preset's order.
pub(crate) fn stacked() -> Subject<Stack<Stack<ReadyInCallLayer, TimeoutLayer>, BulkheadLayer>> {
    bulkhead().over(timeout().over(ready_in_call()))
}
