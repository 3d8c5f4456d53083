//! What layers tell, as metrics.

use std::sync::{Arc, Once, OnceLock};

use metrics::{Counter, Gauge, Histogram, Recorder};

use super::catalogue as all;
use super::catalogue::Metric;
use super::registry::Registry;
use super::state_set::StateSet;
use crate::audit::{Audit, Step};
use crate::error::{Reason, Rejected, Room};
use crate::event::{Answered, Call, Circuit, Event, Kind, Observe, Sink, Wants};
use crate::outcome::Outcome;
use crate::verdict::Verdict;

/// Gives what layers tell to a recorder of the crate `metrics`: an [`Observe`] for every layer.
///
/// Metrics are registered when a layer is built, so *install the recorder first*; calls then add to
/// handles that are there. Without a recorder nothing happens. What no event tells, such as calls in
/// flight, a [`Sampler`](super::Sampler) looks at. The names are in [`CATALOGUE`](super::CATALOGUE).
///
/// Layers of one kind are told apart by their names: two breakers called `payments` are one to whoever
/// reads the metrics.
///
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
/// use seawall::telemetry::Metrics;
///
/// let recorder = PrometheusBuilder::new().build_recorder();
/// let page = recorder.handle();
/// let metrics = Metrics::new().recorder(recorder);
///
/// let config = CircuitBreakerConfig::new("payments").observe(metrics.clone());
/// let layer = CircuitBreakerLayer::new(config).unwrap();
/// layer.handle().force_open();
/// let open = r#"seawall_breaker_state{name="payments",state="forced_open"} 1"#;
/// assert!(page.render().contains(open));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) registry: Registry,
    durations: bool,
    calls: bool,
    described: Arc<Once>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            registry: Registry::default(),
            durations: false,
            calls: true,
            described: Arc::new(Once::new()),
        }
    }
}

impl Metrics {
    /// At the process's recorder, as it is when a layer is built.
    pub fn new() -> Self {
        Self::default()
    }

    /// At this recorder instead of the process's.
    #[must_use]
    pub fn recorder<R: Recorder + Send + Sync + 'static>(self, recorder: R) -> Self {
        Self {
            registry: Registry::to(Arc::new(recorder)),
            described: Arc::new(Once::new()),
            ..self
        }
    }

    /// Also how long calls took, as `seawall_call_duration_seconds`: two readings of the clock a call,
    /// and what a histogram costs. Default off.
    #[must_use]
    pub fn durations(self, durations: bool) -> Self {
        Self { durations, ..self }
    }

    /// Whether each call is counted, by outcome. Default on; off, a healthy call costs nothing.
    #[must_use]
    pub fn calls(self, calls: bool) -> Self {
        Self { calls, ..self }
    }

    /// Tells the recorder what the metrics are, once.
    pub(super) fn describe(&self) {
        self.described.call_once(|| self.registry.describe());
    }
}

impl Observe for Metrics {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        self.describe();
        Some(Box::new(Instance::new(&self, room, name)))
    }
}

/// A handle that is registered when it is first needed, and kept.
///
/// Whoever comes while another registers it registers it, too, and does not wait: a recorder may take its
/// time, or call back.
struct Kept<T>(OnceLock<T>);

impl<T> Kept<T> {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    #[inline]
    fn get(&self, register: impl FnOnce() -> T) -> &T {
        match self.0.get() {
            Some(kept) => kept,
            None => {
                let handle = register();
                self.0.get_or_init(|| handle)
            }
        }
    }
}

const OUTCOMES: [Outcome; 4] =
    [Outcome::Success, Outcome::Failure, Outcome::Ignored, Outcome::InDoubt];
const CIRCUITS: [Circuit; 7] = [
    Circuit::Closed,
    Circuit::Open,
    Circuit::HalfOpen,
    Circuit::Ramping,
    Circuit::ForcedOpen,
    Circuit::ForcedClosed,
    Circuit::Disabled,
];

/// The metrics of one layer.
struct Instance {
    registry: Registry,
    room: Room,
    name: &'static str,
    wants: Wants,
    outcomes: [Kept<Counter>; OUTCOMES.len()],
    durations: [Kept<Histogram>; OUTCOMES.len()],
    slow: Kept<Counter>,
    answers: [Kept<Counter>; 3],
    refusals: [Kept<Counter>; Reason::ALL.len()],
    saturated: Kept<Gauge>,
    states: Option<StateSet>,
}

impl Instance {
    fn new(of: &Metrics, room: Room, name: &'static str) -> Self {
        let registry = of.registry.clone();
        let circuits = CIRCUITS.map(Circuit::as_str);
        let set = || StateSet::new(&registry, all::BREAKER_STATE, name, &circuits);
        let states = (room == Room::Breaker).then(set);
        let mut wants = if of.durations { Wants::ALL } else { Wants::ALL.untimed() };
        wants.calls = of.calls;
        let instance = Self {
            registry,
            room,
            name,
            wants,
            outcomes: [const { Kept::new() }; OUTCOMES.len()],
            durations: [const { Kept::new() }; OUTCOMES.len()],
            slow: Kept::new(),
            answers: [const { Kept::new() }; 3],
            refusals: [const { Kept::new() }; Reason::ALL.len()],
            saturated: Kept::new(),
            states,
        };
        instance.begin_at_zero();
        instance
    }

    /// Registers what this kind of layer will surely tell, so that a first failure is seen as a step
    /// from zero and not as a series that was always at one.
    fn begin_at_zero(&self) {
        if self.wants.calls && counts_calls(self.room) {
            for outcome in OUTCOMES {
                self.outcome(outcome);
            }
        }
        for reason in reasons(self.room) {
            self.refusal(*reason);
        }
        match self.room {
            Room::Bulkhead | Room::Pool => {
                self.saturated().set(0.0);
                self.count(all::EXHAUSTIONS, &[self.name, self.room.as_str()], 0);
            }
            Room::Canary => {
                self.count(all::ROLLBACKS, &[self.name, "judged"], 0);
            }
            Room::Rollout => {
                for result in ["decided", "complete", "degraded", "dry_run"] {
                    self.count(all::ROLLBACKS, &[self.name, result], 0);
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn outcome(&self, outcome: Outcome) -> &Counter {
        self.outcomes[outcome as usize].get(|| {
            let labels = [self.name, self.room.as_str(), outcome.as_str()];
            self.registry.counter(all::CALLS, &labels)
        })
    }

    fn refusal(&self, reason: Reason) -> &Counter {
        self.refusals[reason as usize].get(|| {
            let labels = [self.name, self.room.as_str(), reason.as_str()];
            self.registry.counter(all::REFUSALS, &labels)
        })
    }

    fn saturated(&self) -> &Gauge {
        let labels = [self.name, self.room.as_str()];
        self.saturated.get(|| self.registry.gauge(all::SATURATED, &labels))
    }

    fn rollout(&self, audit: &Audit) {
        let step = &audit.step;
        self.count(all::ROLLOUT_STEPS, &[self.name, step.as_str()], 1);
        let result = match step {
            Step::RollbackDecided(_) if audit.dry_run => "dry_run",
            _ if audit.dry_run => return,
            Step::RollbackDecided(_) => "decided",
            Step::RolledBack { failed_hooks: 0 } => "complete",
            Step::RolledBack { .. } => "degraded",
            _ => return,
        };
        self.count(all::ROLLBACKS, &[self.name, result], 1);
    }

    /// Of something rare: registered anew each time.
    fn count(&self, metric: &Metric, labels: &[&'static str], times: u64) {
        self.registry.counter(metric, labels).increment(times);
    }
}

/// Does this room report calls?
const fn counts_calls(room: Room) -> bool {
    matches!(room, Room::Breaker | Room::Retry | Room::Hedge | Room::Canary | Room::Fallback)
}

/// Why this room refuses calls.
const fn reasons(room: Room) -> &'static [Reason] {
    match room {
        Room::Breaker => &[Reason::CircuitOpen, Reason::ForcedOpen, Reason::NotReady],
        Room::Bulkhead => &[Reason::BulkheadFull, Reason::WaitedTooLong, Reason::NotReady],
        Room::Timeout => &[Reason::TimedOut, Reason::DeadlinePassed],
        Room::Retry => &[Reason::BudgetEmpty, Reason::InDoubt, Reason::NotReady],
        Room::Hedge => &[Reason::BudgetEmpty, Reason::NotReady],
        Room::KillSwitch => &[Reason::Halted],
        _ => &[],
    }
}

impl Sink for Instance {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn event(&self, event: &Event) {
        let (name, layer) = (self.name, self.room.as_str());
        match &event.kind {
            Kind::Transition(step) => {
                if let Some(states) = &self.states {
                    states.enter(step.to.as_str(), step.generation);
                }
                let labels = [name, step.from.as_str(), step.to.as_str(), step.why.as_str()];
                self.count(all::TRANSITIONS, &labels, 1);
            }
            Kind::Reconfigured => self.count(all::RECONFIGURED, &[name, layer], 1),
            Kind::Burn(burn) => {
                let firing = self.registry.gauge(all::SLO_FIRING, &[name, burn.alert]);
                firing.set(if burn.fires { 1.0 } else { 0.0 });
            }
            Kind::Saturated(_) => self.saturated().set(1.0),
            Kind::Cleared(_) => self.saturated().set(0.0),
            Kind::Exhausted(_) => self.count(all::EXHAUSTIONS, &[name, layer], 1),
            Kind::Flipped(flip) => self.count(all::FLIPS, &[name, flip.to], 1),
            Kind::SourceUnreadable(_) => self.count(all::UNREADABLE, &[name], 1),
            Kind::Judged(judgement) => {
                if let Verdict::RollBack(_) = judgement.to {
                    self.count(all::ROLLBACKS, &[name, "judged"], 1);
                }
            }
            Kind::Rollout(audit) => self.rollout(audit),
            // Levels: the sampler's.
            Kind::StaleShare(_) | Kind::Weighted(_) | Kind::CheckPanicked(_) => {}
        }
    }

    fn refused(&self, rejected: &Rejected) {
        self.refusal(rejected.reason).increment(1);
    }

    #[inline]
    fn called(&self, call: &Call) {
        self.outcome(call.outcome).increment(1);
        if call.slow {
            let labels = [self.name, self.room.as_str()];
            self.slow.get(|| self.registry.counter(all::SLOW, &labels)).increment(1);
        }
        if let (true, Some(elapsed)) = (self.wants.times, call.elapsed) {
            let labels = [self.name, call.outcome.as_str()];
            self.durations[call.outcome as usize]
                .get(|| self.registry.histogram(all::DURATION, &labels))
                .record(elapsed.as_secs_f64());
        }
        if self.room == Room::Fallback {
            let (place, state) = match call.answered {
                Answered::Fresh => (0, "fresh"),
                Answered::Substitute => (1, "stale"),
                Answered::Nothing => (2, "none"),
                Answered::Left => return,
            };
            self.answers[place]
                .get(|| self.registry.counter(all::ANSWERS, &[self.name, state]))
                .increment(1);
        }
    }
}
