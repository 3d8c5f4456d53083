//! The operator's reach into a rollout, and the future that drives it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::config::RolloutConfig;
use super::core::{Core, Parts};
use super::future::{self, Shared};
use super::refused::Refused;
use super::rules::Obstacle;
use super::state::Phase;
use crate::audit::{RollbackCause, Step};
use crate::error::{ConfigError, Room};
use crate::event::{Event, Kind, Observe};
use crate::measure::{Level, Measure, Measurement};
use crate::ratio::Ratio;
use crate::steer::{Listener, Standing, Steer};
use crate::verdict::Arm;

/// Rolls out one version after the other. Clones are the same rollout.
///
/// ```
/// use seawall::canary::{Canary, CanaryConfig};
/// use seawall::rollout::{Phase, Rollout, RolloutConfig};
///
/// let canary = Canary::new(CanaryConfig::new("payments"))?;
/// let rollout = Rollout::new(RolloutConfig::new("payments"), canary.handle())?;
/// rollout.start("deploy-117", "v2.4.1").unwrap();
/// assert_eq!(rollout.snapshot().phase, Phase::Learning);
///
/// rollout.abort("alice", "balances look wrong").unwrap();
/// assert_eq!(rollout.snapshot().phase, Phase::RollingBack, "its hooks wait to be driven");
/// # Ok::<_, seawall::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rollout(Arc<Shared>);

/// A rollout at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id; empty before the first.
    pub rollout: Arc<str>,
    /// The version on trial.
    pub version: Arc<str>,
    /// What it is doing.
    pub phase: Phase,
    /// At which stage, from 0 on; `None` before and after the stages.
    pub stage: Option<u32>,
    /// The share of the calls that belongs to it.
    pub weight: Ratio,
    /// How long it has been so.
    pub dwelt: Duration,
    /// Does an operator hold it?
    pub on_hold: bool,
    /// What stands against a promotion.
    pub obstacle: Option<Obstacle>,
    /// How the two versions stand.
    pub standing: Standing,
    /// How many decisions were made.
    pub seq: u64,
    /// What is decided and not carried out: hooks to be called, records to be saved.
    pub waiting: usize,
}

impl Rollout {
    /// A rollout that steers `versions`: a [`CanaryHandle`](crate::canary::CanaryHandle), or whatever else
    /// shares calls and compares.
    ///
    /// With a [store](RolloutConfig::store) it reads here where the last one stood: this blocks, so make it
    /// when the process starts.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: RolloutConfig, versions: impl Steer) -> Result<Self, ConfigError> {
        let rules = config.rules()?;
        let notify = Arc::new(Notify::new());
        let waker = Arc::clone(&notify);
        let mut core = Core::new(Parts {
            rules,
            cool_down: config.cool_down,
            dry_run: config.dry_run,
            steer: Arc::new(versions),
            sinks: config.observers.attach(Room::Rollout, config.name),
            clock: config.clock,
            wake: Box::new(move || waker.notify_one()),
        });
        let store = config.store.filter(|_| !config.dry_run);
        match store.as_ref().map(|store| store.load()) {
            Some(Ok(Some(record))) => core.recover(record),
            Some(Err(error)) => core.tell(0, Step::StoreFailed(error.to_string().into())),
            Some(Ok(None)) | None => {}
        }
        let shared = Arc::new(Shared {
            core,
            hooks: config.hooks,
            patience: config.patience,
            store,
            notify,
            turn: tokio::sync::Mutex::new(()),
        });
        // The comparison must not keep alive what steers it.
        let listening = Arc::downgrade(&shared);
        shared.core.steer().listen(Listener::new(move |judgement| {
            if let Some(shared) = listening.upgrade() {
                shared.core.judged(judgement);
            }
        }));
        Ok(Self(shared))
    }

    /// Begins the rollout `id` of `version`: the canary gets its first calls once the baseline is known.
    ///
    /// After a restart of the process, the same `id` goes on at the stage that the store has, with evidence
    /// of its own: what was found before is forgotten, and alpha begins anew.
    ///
    /// # Errors
    /// [`Refused`] while another is under way or being rolled back, for an id that is decided already,
    /// and for a version that was rolled back within the [cool-down](RolloutConfig::cool_down).
    pub fn start(&self, id: &str, version: &str) -> Result<(), Refused> {
        self.0.core.start(id, version, false)
    }

    /// [Starts](Self::start) a version that still cools down.
    ///
    /// # Errors
    /// As `start`, but for the cool-down.
    pub fn force_start(
        &self,
        id: &str,
        version: &str,
        who: &str,
        reason: &str,
    ) -> Result<(), Refused> {
        self.0.core.order("force_start", who, reason);
        self.0.core.start(id, version, true)
    }

    /// Rolls back, at `who`'s word. On return the canary gets no calls any more; hooks are called after it.
    /// It wins over any promotion, until that is final.
    ///
    /// # Errors
    /// [`Refused::AlreadyDecided`] if it was rolled back, or promoted, before;
    /// [`Refused::NotRunning`] if there is none.
    pub fn abort(&self, who: &str, reason: &str) -> Result<(), Refused> {
        self.0.core.order("abort", who, reason);
        self.0.core.roll_back(RollbackCause::Manual { who: who.into(), reason: reason.into() })
    }

    /// Promotes to the next stage, or for good after the last: if the evidence is there, and the stage has
    /// lasted its time. For rollouts that are [promoted by hand](RolloutConfig::promote_by_hand).
    ///
    /// # Errors
    /// [`Refused`], with what stands against it.
    pub fn promote(&self, who: &str, reason: &str) -> Result<(), Refused> {
        self.0.core.order("promote", who, reason);
        self.0.core.promote(false)
    }

    /// Promotes whatever the evidence is, and however short the stage was; but not against the absolute
    /// guard, or a hold.
    ///
    /// # Errors
    /// [`Refused`], with what stands against it.
    pub fn force_promote(&self, who: &str, reason: &str) -> Result<(), Refused> {
        self.0.core.order("force_promote", who, reason);
        self.0.core.promote(true)
    }

    /// Nothing is promoted until it is [resumed](Self::resume). The comparison goes on, and rolls back as
    /// ever.
    ///
    /// # Errors
    /// [`Refused`] if no rollout is under way.
    pub fn hold(&self, who: &str, reason: &str) -> Result<(), Refused> {
        self.0.core.order("hold", who, reason);
        self.0.core.hold(true)
    }

    /// Ends a [hold](Self::hold).
    ///
    /// # Errors
    /// [`Refused`] if no rollout is under way.
    pub fn resume(&self, who: &str, reason: &str) -> Result<(), Refused> {
        self.0.core.order("resume", who, reason);
        self.0.core.hold(false)
    }

    /// The rollout as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let core = &self.0.core;
        let state = core.state();
        let (rollout, version) = core.identity();
        let (obstacle, dwelt) = core.view();
        Snapshot {
            rollout,
            version,
            phase: state.phase,
            stage: (state.phase == Phase::Stage).then_some(u32::from(state.stage)),
            weight: core.rules().weight(state),
            dwelt,
            on_hold: state.held,
            obstacle,
            standing: core.standing(),
            seq: u64::from(state.seq),
            waiting: core.jobs(),
        }
    }

    /// Does what time brings: judges when nobody calls, enters and leaves stages, saves, and calls hooks.
    ///
    /// Spawn it. Without it a rollback still takes the calls from the canary, but no hook is called and no
    /// stage is left. Dropping it is safe at any point: what it was at is done again, with the same key, by
    /// the next one. Of two, one works and the other waits.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        future::drive(Arc::clone(&self.0))
    }

    /// Looks, if it is time to, at what can be seen without waiting: for who drives the clock by hand.
    pub fn tick(&self) {
        self.0.core.tick();
    }

    /// Hears a breaker of one version, and rolls back when the canary's stays open: for two whole waits, each
    /// with probes that failed, while the baseline's is closed and its calls since then are well. Attach
    /// it to both versions' breakers.
    ///
    /// A baseline isn't well if a quarter of its calls failed, or three in four were slower than its own
    /// median. With fewer than ten calls it isn't asked, and nothing is decided. While the canary's
    /// breaker isn't closed, nothing is promoted.
    ///
    /// ```
    /// use seawall::breaker::CircuitBreakerConfig;
    /// use seawall::verdict::Arm;
    /// # use seawall::canary::{Canary, CanaryConfig};
    /// # use seawall::rollout::{Rollout, RolloutConfig};
    /// # let canary = Canary::new(CanaryConfig::new("payments"))?;
    /// # let rollout = Rollout::new(RolloutConfig::new("payments"), canary.handle())?;
    /// let known = CircuitBreakerConfig::new("payments").observe(rollout.circuit(Arm::Baseline));
    /// let new = CircuitBreakerConfig::new("payments-canary").observe(rollout.circuit(Arm::Canary));
    /// # Ok::<_, seawall::ConfigError>(())
    /// ```
    pub fn circuit(&self, arm: Arm) -> impl Observe + use<> {
        let shared = Arc::downgrade(&self.0);
        move |event: &Event| {
            if let (Kind::Transition(step), Some(shared)) = (&event.kind, shared.upgrade()) {
                if step.enforced {
                    shared.core.circuit_moved(arm, step.to);
                }
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.0.core.name()
    }

    /// Panics caught in this rollout's observers.
    pub fn observer_panics(&self) -> u64 {
        self.0.core.observer_panics()
    }
}

impl Measure for Rollout {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let panics = Level::HookPanics(self.observer_panics());
        show(Measurement::new(Room::Rollout, self.name(), panics));
    }
}
