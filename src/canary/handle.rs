//! The operator's reach into a running comparison.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::layer::Trial;
use crate::error::Room;
use crate::event::Kind;
use crate::measure::{Level, Measure, Measurement};
use crate::ratio::Ratio;
use crate::steer::{Listener, Standing, Steer};
use crate::tick::Tick;
use crate::verdict::{Arm, Evidence, Totals, Verdict};

/// Reads a comparison, and sets the canary's share of the calls. Clones reach the same one.
///
/// ```
/// use seawall::canary::{Canary, CanaryConfig};
/// use seawall::ratio::Ratio;
///
/// let canary = Canary::new(CanaryConfig::new("payments"))?;
/// let handle = canary.handle();
/// assert!(handle.set_weight(Ratio::percent(5).unwrap()));
/// assert_eq!(handle.snapshot().weight, Ratio::percent(5).unwrap());
/// # Ok::<_, seawall::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CanaryHandle {
    trial: Arc<Trial>,
    changed: watch::Receiver<u64>,
}

/// A comparison at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What is to be thought of the canary.
    pub verdict: Verdict,
    /// The evidence for it, stream by stream.
    pub evidence: Evidence,
    /// The log evidence that the canary is worse, unrounded: what to add up over processes.
    pub log_evidence: f64,
    /// The canary's share of the calls; zero where something else routes.
    pub weight: Ratio,
    /// What was counted since the comparison began.
    pub totals: Totals,
    /// How often a call of the baseline is estimated to fail.
    pub baseline_rate: f64,
    /// How clumped the baseline's failures come: 1 if one by one, about `m` if by `m`. Evidence is
    /// divided by it.
    pub dispersion: f64,
    /// Calls that drew the canary and went to the baseline, because the canary wasn't ready.
    pub unready: u64,
    /// Panics caught in the check on answers.
    pub check_panics: u64,
}

impl CanaryHandle {
    pub(super) fn new(trial: Arc<Trial>) -> Self {
        let changed = trial.changed.subscribe();
        Self { trial, changed }
    }

    /// The comparison as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let view = self.trial.engine.view();
        let (check_panics, unready) = self.trial.counters();
        Snapshot {
            verdict: view.verdict,
            evidence: view.evidence,
            log_evidence: view.log_evidence,
            weight: view.weight,
            totals: view.totals,
            baseline_rate: view.baseline_rate,
            dispersion: view.dispersion,
            unready,
            check_panics,
        }
    }

    /// Gives the canary this share of the calls from the next one on; calls in flight end where they are.
    /// Promotion begins anew; what speaks against the canary stays.
    ///
    /// `false`, and nothing is changed, if the canary was rolled back or [withdrawn](Self::withdraw): then
    /// only a [new comparison](Self::restart) gives it calls.
    pub fn set_weight(&self, weight: Ratio) -> bool {
        let now = self.trial.clock.now();
        let (accepted, judgement) = self.trial.engine.set_weight(weight, now);
        self.trial.tell(judgement);
        if accepted {
            self.trial.sinks.event(now, Kind::Weighted(weight));
        }
        accepted
    }

    /// Begins a new comparison, of a new version: the canary has no calls, nothing speaks against it, and
    /// what is known of the baseline stays.
    pub fn restart(&self) {
        self.begin_anew(None);
    }

    fn begin_anew(&self, rollout: Option<&str>) {
        let now = self.trial.clock.now();
        let judgement = self.trial.engine.restart(rollout, now);
        self.trial.tell(judgement);
        self.trial.sinks.event(now, Kind::Weighted(Ratio::ZERO));
    }

    /// Takes all calls from the canary, from the next one on, until a [new comparison](Self::restart)
    /// begins: also from whoever sets a weight at the same moment.
    pub fn withdraw(&self) {
        let now = self.trial.clock.now();
        let (had_calls, judgement) = self.trial.engine.take_out(now);
        self.trial.tell(judgement);
        if had_calls {
            self.trial.sinks.event(now, Kind::Weighted(Ratio::ZERO));
        }
    }

    /// Judges, if a tick is due: for when nobody calls. Calls do it themselves.
    pub fn tick(&self) {
        self.trial.tell(self.trial.engine.tick(self.trial.clock.now()));
    }

    /// Waits until the verdict changes after those changes that this handle has seen, and gives the
    /// comparison then.
    ///
    /// Cancel-safe: a change that comes meanwhile is seen by the next call.
    pub async fn changed(&mut self) -> Snapshot {
        // The sender lives in `trial`, which this handle holds: it can't be gone.
        let _ = self.changed.changed().await;
        self.snapshot()
    }

    /// Panics caught in this canary's observers.
    pub fn observer_panics(&self) -> u64 {
        self.trial.sinks.panics()
    }
}

impl Tick for CanaryHandle {
    fn every(&self) -> Duration {
        self.trial.engine.tick_length()
    }

    fn tick(&self) {
        self.tick();
    }
}

impl Steer for CanaryHandle {
    fn standing(&self) -> Standing {
        let view = self.trial.engine.view();
        Standing {
            evidence: view.evidence,
            totals: view.totals,
            weight: view.weight,
            learned: view.learned,
            alone: view.alone,
            first_bad_at: view.first_bad,
            ..Standing::new(view.verdict)
        }
    }

    fn begin(&self, rollout: &str) {
        self.begin_anew(Some(rollout));
    }

    fn set_weight(&self, weight: Ratio) -> bool {
        self.set_weight(weight)
    }

    fn withdraw(&self) {
        self.withdraw();
    }

    fn tick(&self) {
        self.tick();
    }

    fn listen(&self, listener: Listener) {
        self.trial.listeners.lock().push(listener);
    }
}

impl Measure for CanaryHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let seen = self.snapshot();
        let name = self.trial.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Canary, name, level));
        show(Level::Verdict(seen.verdict));
        show(Level::Weight(seen.weight));
        show(Level::Evidence(seen.log_evidence));
        let arms = seen.totals.errors;
        for (arm, of) in [(Arm::Baseline, arms.baseline), (Arm::Canary, arms.canary)] {
            show(Level::Compared { arm, calls: of.calls, failed: of.bad });
        }
        show(Level::HookPanics(self.observer_panics() + seen.check_panics));
    }
}
