//! How a rollout begins: for the first time, after another, or after a restart of the process.

use std::sync::Arc;

use super::circuits::Circuits;
use super::core::{Core, Job, Rollback};
use super::record::{Record, Saved};
use super::refused::Refused;
use super::state::{Phase, State, Word};
use crate::audit::Step;

impl Core {
    /// Goes on from what a store kept: before anybody else can reach it.
    pub(super) fn recover(&mut self, record: Record) {
        let now = self.clock.now();
        let identity = self.identity.get_mut();
        let (rollout, version) = (Arc::clone(&record.rollout), Arc::clone(&record.version));
        (identity.rollout, identity.version) = (Arc::clone(&rollout), Arc::clone(&version));
        let at = |phase| State { phase, seq: record.seq, ..State::IDLE };
        let state = match &record.saved {
            // Not by itself: nobody has said yet that this version is there.
            Saved::Running { .. } => State::IDLE,
            Saved::Promoted => at(Phase::Promoted),
            Saved::RolledBack { failed_hooks: 0 } => at(Phase::RolledBack),
            Saved::RolledBack { .. } => at(Phase::RolledBackDegraded),
            Saved::Decided(_) => at(Phase::RollingBack),
        };
        if matches!(state.phase, Phase::RollingBack) || state.phase.is_rolled_back() {
            // Its cool-down begins anew: by what clock it began nobody knows any more.
            identity.rolled_back.push_back((Arc::clone(&version), now));
            self.steer.withdraw();
        }
        self.word = Word::new(state);
        if let Saved::Decided(decision) = &record.saved {
            let decision = Arc::clone(decision);
            let rollback = Rollback { rollout, version, state, decision, recovered: true };
            self.jobs.get_mut().push_back(Job::RollBack(rollback));
        }
        identity.found = Some(record);
    }

    /// Begins a rollout, where none is under way.
    pub(super) fn start(&self, id: &str, version: &str, forced: bool) -> Result<(), Refused> {
        let now = self.clock.now();
        let (before, starting, resumed) = {
            let mut identity = self.identity.lock();
            let state = self.word.load();
            match state.phase {
                Phase::RollingBack => return Err(Refused::RollingBack),
                phase if phase.is_open() => return Err(Refused::Running),
                Phase::Idle => {}
                _ if &*identity.rollout == id => return Err(Refused::AlreadyDecided),
                _ => {}
            }
            let cooling = identity.rolled_back.iter().rev().find(|(out, _)| &**out == version);
            if let (Some((_, since)), false) = (cooling, forced) {
                let left = self.cool_down.saturating_sub(now.since(*since));
                if !left.is_zero() {
                    return Err(Refused::CoolingDown(left));
                }
            }
            let (before, starting) =
                self.word.decide(State::starting).map_err(|_| Refused::Running)?;
            (identity.rollout, identity.version) = (id.into(), version.into());
            let resumed = identity.found.take().filter(|found| &*found.rollout == id);
            (before, starting, resumed)
        };
        *self.circuits.lock() = Circuits::new();
        if !self.dry_run {
            self.steer.begin(id);
        }
        let last = self.rules.stages() - 1;
        let stage = resumed.as_ref().and_then(|found| match found.saved {
            Saved::Running { stage } => Some((stage.min(last), found.seq)),
            _ => None,
        });
        let learning = self.word.decide(|state| {
            let learning = state.learning().filter(|_| state.epoch == starting.epoch)?;
            Some(stage.map_or(learning, |(stage, seq)| learning.resumed(stage, seq)))
        });
        let Ok((_, state)) = learning else {
            // Aborted meanwhile, and perhaps before the new comparison began.
            self.withdraw();
            return Err(Refused::AlreadyDecided);
        };
        if before.phase != Phase::Idle {
            self.tell(0, Step::Rearmed { forced });
        }
        self.tell(state.seq, Step::Started { version: version.into() });
        if stage.is_some() {
            self.tell(state.seq, Step::Resumed { stage: u32::from(state.stage) });
        }
        self.save(state.seq, Saved::Running { stage: state.stage });
        Ok(())
    }
}
