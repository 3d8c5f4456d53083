//! A rollout: moves its state, steers the calls by it, and tells each step.
//!
//! Nothing here waits. What takes time, the store and the hooks, becomes a [`Job`], which whoever drives the
//! rollout carries out; so a decision that falls on a call's thread costs that call a swap, an atomic
//! store, and the telling of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::circuits::Circuits;
use super::record::{Record, Saved};
use super::rules::{Obstacle, Rules};
use super::state::{State, Word};
use crate::audit::{Audit, Decision, Order, Step};
use crate::clock::{Clock, Moment};
use crate::event::{Kind, Sinks};
use crate::steer::{Standing, Steer};

/// So many versions that were rolled back are remembered for their cool-down.
pub(super) const REMEMBERED: usize = 16;

/// What takes time.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// Save where the rollout stands.
    Save(Record),
    /// Save the intent, call the hooks, save the acknowledgement.
    RollBack(Rollback),
}

/// A rollback that was decided, and is to be carried out.
#[derive(Clone, Debug)]
pub(super) struct Rollback {
    pub(super) rollout: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) state: State,
    pub(super) decision: Arc<Decision>,
    /// The process was restarted since.
    pub(super) recovered: bool,
}

/// Which rollout it is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) rollout: Arc<str>,
    pub(super) version: Arc<str>,
    /// What the store said when the process started, of a rollout that was under way.
    pub(super) found: Option<Record>,
    /// What was rolled back, and when.
    pub(super) rolled_back: VecDeque<(Arc<str>, Moment)>,
}

/// What whoever looks at it remembers.
#[derive(Debug)]
pub(super) struct Look {
    /// The state, but for the hold, that was there last, and since when.
    pub(super) state: State,
    pub(super) since: Moment,
    /// What was told to stand against a promotion.
    pub(super) obstacle: Option<Obstacle>,
    pub(super) inconclusive: bool,
}

/// One rollout after the other.
pub(super) struct Core {
    pub(super) word: Word,
    pub(super) rules: Rules,
    pub(super) cool_down: Duration,
    pub(super) dry_run: bool,
    pub(super) steer: Arc<dyn Steer>,
    pub(super) clock: Clock,
    pub(super) sinks: Sinks,
    pub(super) identity: Mutex<Identity>,
    pub(super) look: Mutex<Look>,
    pub(super) circuits: Mutex<Circuits>,
    pub(super) jobs: Mutex<VecDeque<Job>>,
    /// Called when there is a job.
    pub(super) wake: Box<dyn Fn() + Send + Sync>,
}

/// What a core is made of.
pub(super) struct Parts {
    pub(super) rules: Rules,
    pub(super) cool_down: Duration,
    pub(super) dry_run: bool,
    pub(super) steer: Arc<dyn Steer>,
    pub(super) clock: Clock,
    pub(super) sinks: Sinks,
    pub(super) wake: Box<dyn Fn() + Send + Sync>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { rules, cool_down, dry_run, steer, clock, sinks, wake } = parts;
        let nobody: Arc<str> = Arc::from("");
        let (rollout, version) = (Arc::clone(&nobody), nobody);
        let (found, rolled_back) = (None, VecDeque::new());
        let since = clock.now();
        let look = Look { state: State::IDLE, since, obstacle: None, inconclusive: false };
        Self {
            word: Word::new(State::IDLE),
            rules,
            cool_down,
            dry_run,
            steer,
            clock,
            sinks,
            identity: Mutex::new(Identity { rollout, version, found, rolled_back }),
            look: Mutex::new(look),
            circuits: Mutex::new(Circuits::new()),
            jobs: Mutex::default(),
            wake,
        }
    }

    pub(super) fn state(&self) -> State {
        self.word.load()
    }

    pub(super) fn standing(&self) -> Standing {
        self.steer.standing()
    }

    pub(super) fn steer(&self) -> &dyn Steer {
        &*self.steer
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(super) fn name(&self) -> &'static str {
        self.sinks.name()
    }

    pub(super) fn observer_panics(&self) -> u64 {
        self.sinks.panics()
    }

    /// The rollout's id and version; empty before the first.
    pub(super) fn identity(&self) -> (Arc<str>, Arc<str>) {
        let identity = self.identity.lock();
        (Arc::clone(&identity.rollout), Arc::clone(&identity.version))
    }

    pub(super) fn tell(&self, seq: u32, step: Step) {
        let (rollout, _) = self.identity();
        let mut audit = Audit::new(rollout, u64::from(seq), self.clock.wall(), step);
        audit.dry_run = self.dry_run;
        self.sinks.event(self.clock.now(), Kind::Rollout(Box::new(audit)));
    }

    pub(super) fn push(&self, job: Job) {
        if !self.dry_run || matches!(job, Job::RollBack(_)) {
            self.jobs.lock().push_back(job);
            (self.wake)();
        }
    }

    pub(super) fn save(&self, seq: u32, saved: Saved) {
        let (rollout, version) = self.identity();
        self.push(Job::Save(Record::new(rollout, version, seq, saved)));
    }

    /// The job to do next; it stays until it is [done](Self::done).
    pub(super) fn job(&self) -> Option<Job> {
        self.jobs.lock().front().cloned()
    }

    pub(super) fn done(&self) {
        self.jobs.lock().pop_front();
    }

    pub(super) fn jobs(&self) -> usize {
        self.jobs.lock().len()
    }

    pub(super) fn withdraw(&self) {
        if !self.dry_run {
            self.steer.withdraw();
        }
    }

    pub(super) fn order(&self, action: &'static str, who: &str, reason: &str) {
        let order = Order { action, who: who.into(), reason: reason.into() };
        self.tell(self.word.load().seq, Step::Ordered(order));
    }

    /// Judges, if it is time to, and looks.
    pub(super) fn tick(&self) {
        self.steer.tick();
        self.advance();
    }

    /// What stands against a promotion: by the comparison, or by the breakers.
    pub(super) fn obstacle(&self, standing: &Standing) -> Option<Obstacle> {
        match Obstacle::of(standing.verdict) {
            // A canary behind an open circuit has no data for that reason.
            none @ (None | Some(Obstacle::NoData(_))) => {
                self.circuits.lock().obstacle(standing).or(none)
            }
            found => found,
        }
    }

    /// What stands against a promotion, and how long it has been in this state.
    pub(super) fn view(&self) -> (Option<Obstacle>, Duration) {
        let obstacle = self.obstacle(&self.steer.standing());
        let now = self.clock.now();
        let since = self.look.try_lock().map_or(now, |look| look.since);
        (obstacle, now.since(since))
    }
}

impl Look {
    /// Notes since when it is in this state.
    pub(super) fn follow(&mut self, state: State, now: Moment) {
        let key = |state: State| (state.epoch, state.phase, state.stage);
        if key(state) != key(self.state) {
            // What stands against a promotion stands against the next one, too.
            let obstacle = self.obstacle.filter(|_| state.epoch == self.state.epoch);
            *self = Self { state, since: now, obstacle, inconclusive: false };
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("state", &self.word.load())
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
