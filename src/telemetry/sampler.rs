//! Looks at what no event tells.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::catalogue as all;
use super::catalogue::Metric;
use super::metrics::Metrics;
use super::registry::Registry;
use super::state_set::StateSet;
use crate::error::Room;
use crate::measure::{Level, Measure, Measurement};

/// Looks at handles from time to time, and gives what it sees to the recorder: calls in flight, limits,
/// what is left of budgets, burn rates, bytes kept.
///
/// Give it the handles, then either [`sample`](Self::sample) before each scrape, or let
/// [`run`](Self::run) do it every few seconds. Looking never writes to a layer; handles to metrics are
/// kept, so nothing is built anew.
///
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use seawall::stack;
/// use seawall::telemetry::{Metrics, Sampler};
///
/// let recorder = PrometheusBuilder::new().build_recorder();
/// let page = recorder.handle();
/// let metrics = Metrics::new().recorder(recorder);
/// let stack = stack::payment("payments").observe(metrics.clone()).build()?;
///
/// let mut sampler = Sampler::new(&metrics);
/// sampler.watch(stack.handles().clone());
/// sampler.sample();
/// assert!(page.render().contains(r#"seawall_bulkhead_limit{name="payments"} 100"#));
/// # Ok::<_, seawall::ConfigError>(())
/// ```
pub struct Sampler {
    registry: Registry,
    watched: Vec<Watched>,
}

struct Watched {
    what: Box<dyn Measure + Send>,
    handles: Vec<Handle>,
}

/// A metric of one instance, registered once.
struct Handle {
    metric: &'static str,
    of: (Room, &'static str),
    /// The second label's value, where there is a second label.
    label: &'static str,
    to: To,
}

enum To {
    Counter(Counter),
    Gauge(Gauge),
    States(StateSet),
}

/// The names of verdicts, the first one first.
const VERDICTS: [&str; 9] = [
    "idle",
    "learning",
    "warming_up",
    "healthy",
    "promotable",
    "suspect",
    "held",
    "no_data",
    "roll_back",
];
const POSITIONS: [&str; 3] = ["run", "bypass", "halt"];

impl Sampler {
    /// Gives what it sees to the recorder of `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        metrics.describe();
        Self { registry: metrics.registry.clone(), watched: Vec::new() }
    }

    /// Looks at `handle` too.
    pub fn watch(&mut self, handle: impl Measure + Send + 'static) -> &mut Self {
        self.watched.push(Watched { what: Box::new(handle), handles: Vec::new() });
        self
    }

    /// Looks at everything once. A recorder that panics is caught at the instance it panicked at.
    pub fn sample(&mut self) {
        let Self { registry, watched } = self;
        for Watched { what, handles } in watched {
            let look = || what.measure(&mut |seen| show(registry, handles, seen));
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
        }
    }

    /// Looks at everything `every` so often, for as long as it is polled. Dropping it is safe at any
    /// point.
    pub async fn run(mut self, every: Duration) {
        loop {
            self.sample();
            tokio::time::sleep(every).await;
        }
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sampler({} handles)", self.watched.len())
    }
}

/// Gives one level to the metric that is its own.
fn show(registry: &Registry, handles: &mut Vec<Handle>, seen: Measurement) {
    let mut to = Writer { registry, handles, seen };
    let pool = seen.room == Room::Pool;
    match seen.level {
        Level::FailureRatio(ratio) => to.gauge(all::FAILURE_RATIO, ratio),
        Level::SlowRatio(ratio) => to.gauge(all::SLOW_RATIO, ratio),
        Level::InFlight(n) if pool => to.gauge(all::POOL_IN_USE, n),
        Level::InFlight(n) => to.gauge(all::IN_FLIGHT, n),
        Level::Limit(n) if pool => to.gauge(all::POOL_SIZE, n),
        Level::Limit(n) => to.gauge(all::LIMIT, n),
        Level::Waiting(n) => to.gauge(all::WAITING, n),
        Level::Utilization(ratio) if pool => to.gauge(all::POOL_UTILIZATION, ratio),
        Level::Utilization(ratio) => to.gauge(all::UTILIZATION, ratio),
        Level::Budget(left) if seen.room == Room::Hedge => to.gauge(all::HEDGE_BUDGET, left),
        Level::Budget(left) => to.gauge(all::RETRY_BUDGET, left),
        Level::Retried(n) => to.total(all::RETRIES, n),
        Level::Hedged(n) => to.total(all::HEDGES, n),
        Level::CacheBytes(n) => to.gauge(all::CACHE_BYTES, n as f64),
        Level::CacheEntries(n) => to.gauge(all::CACHE_ENTRIES, n as f64),
        Level::StaleShare(ratio) => to.gauge(all::STALE_RATIO, ratio),
        Level::Burn { window, rate } => to.gauge_of(all::BURN_RATE, window, rate),
        Level::BudgetLeft(left) => to.gauge(all::BUDGET_REMAINING, left),
        Level::Target(target) => to.gauge(all::SLO_TARGET, target),
        Level::Recorded { total, bad } => {
            to.total(all::SLO_CALLS, total);
            to.total(all::SLO_BAD_CALLS, bad);
        }
        Level::Verdict(verdict) => to.state(all::CANARY_VERDICT, &VERDICTS, verdict.as_str()),
        Level::Weight(ratio) => to.gauge(all::CANARY_WEIGHT, ratio),
        Level::Evidence(nats) => to.gauge(all::CANARY_EVIDENCE, nats),
        Level::Compared { arm, calls, failed } => {
            to.gauge_of(all::CANARY_CALLS, arm.as_str(), calls as f64);
            to.gauge_of(all::CANARY_FAILED_CALLS, arm.as_str(), failed as f64);
        }
        Level::Position(position) => to.state(all::KILL_SWITCH, &POSITIONS, position),
        Level::HookPanics(n) => to.total_of(all::HOOK_PANICS, seen.room.as_str(), n),
    }
}

/// Finds, or registers, the metric of what was seen.
struct Writer<'a> {
    registry: &'a Registry,
    handles: &'a mut Vec<Handle>,
    seen: Measurement,
}

impl Writer<'_> {
    fn gauge(&mut self, metric: &Metric, value: impl Into<f64>) {
        self.gauge_of(metric, "", value);
    }

    fn gauge_of(&mut self, metric: &Metric, label: &'static str, value: impl Into<f64>) {
        let make = |registry: &Registry, labels: &[_]| To::Gauge(registry.gauge(metric, labels));
        if let To::Gauge(gauge) = self.find(metric, label, make) {
            gauge.set::<f64>(value.into());
        }
    }

    fn total(&mut self, metric: &Metric, value: u64) {
        self.total_of(metric, "", value);
    }

    fn total_of(&mut self, metric: &Metric, label: &'static str, value: u64) {
        let make =
            |registry: &Registry, labels: &[_]| To::Counter(registry.counter(metric, labels));
        if let To::Counter(counter) = self.find(metric, label, make) {
            counter.absolute(value);
        }
    }

    fn state(&mut self, metric: &Metric, states: &[&'static str], state: &str) {
        let name = self.seen.name;
        let make = |registry: &Registry, _: &[_]| {
            To::States(StateSet::new(registry, metric, name, states))
        };
        if let To::States(set) = self.find(metric, "", make) {
            set.set(state);
        }
    }

    fn find(
        &mut self,
        metric: &Metric,
        label: &'static str,
        make: impl FnOnce(&Registry, &[&'static str]) -> To,
    ) -> &To {
        let of = (self.seen.room, self.seen.name);
        let same = |handle: &Handle| {
            handle.metric == metric.name && handle.of == of && handle.label == label
        };
        let at = self.handles.iter().position(same).unwrap_or_else(|| {
            let labels = [of.1, label];
            let to = make(self.registry, &labels[..if label.is_empty() { 1 } else { 2 }]);
            self.handles.push(Handle { metric: metric.name, of, label, to });
            self.handles.len() - 1
        });
        &self.handles[at].to
    }
}
