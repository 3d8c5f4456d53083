//! How a rollout is rolled back, and by whom.

use std::sync::Arc;

use super::core::{Core, Job, REMEMBERED, Rollback};
use super::refused::Refused;
use super::state::{Phase, State};
use crate::audit::{Decision, RollbackCause, Step};
use crate::event::Circuit;
use crate::verdict::{Arm, Cause, Judgement, Verdict};

impl Core {
    /// Decides to roll back; one of many that want to does it.
    pub(super) fn roll_back(&self, cause: RollbackCause) -> Result<(), Refused> {
        let standing = self.steer.standing();
        let (from, to) = self.word.decide(State::rolling_back).map_err(|state| {
            if state.phase == Phase::Idle { Refused::NotRunning } else { Refused::AlreadyDecided }
        })?;
        // First of all, and it can't fail: the next call goes to the baseline.
        self.withdraw();
        let now = self.clock.now();
        let (rollout, version) = {
            let mut identity = self.identity.lock();
            let version = Arc::clone(&identity.version);
            identity.rolled_back.push_back((Arc::clone(&version), now));
            if identity.rolled_back.len() > REMEMBERED {
                identity.rolled_back.pop_front();
            }
            (Arc::clone(&identity.rollout), version)
        };
        let staged = from.phase == Phase::Stage;
        let decision = Decision {
            evidence: standing.evidence,
            totals: standing.totals,
            stage: staged.then_some(u32::from(from.stage)),
            weight: self.rules.weight(from),
            first_bad_at: standing.first_bad_at,
            ..Decision::new(cause, now)
        };
        self.tell(to.seq, Step::RollbackDecided(Box::new(decision.clone())));
        if !self.dry_run {
            self.tell(to.seq, Step::WeightZeroed);
        }
        let decision = Arc::new(decision);
        let rollback = Rollback { rollout, version, state: to, decision, recovered: false };
        self.push(Job::RollBack(rollback));
        Ok(())
    }

    /// The hooks of a rollback are through.
    pub(super) fn rolled_back(&self, rollback: &Rollback, failed_hooks: u32) {
        let same = |state: &State| state.epoch == rollback.state.epoch;
        let over = |state: State| state.rolled_back(failed_hooks == 0).filter(same);
        if self.word.decide(over).is_ok() {
            self.tell(rollback.state.seq, Step::RolledBack { failed_hooks });
        }
    }

    /// Somebody judged: called on the thread that did.
    pub(super) fn judged(&self, judgement: &Judgement) {
        match judgement.to {
            Verdict::RollBack(cause) => {
                // A judgement may come late, of a comparison that is over.
                let open = self.word.load().phase.is_open();
                if open && self.steer.standing().verdict.is_roll_back() {
                    let _ = self.roll_back(RollbackCause::Judged(cause));
                }
            }
            _ => self.advance(),
        }
    }

    /// A breaker of one of the versions came to a state by itself.
    pub(super) fn circuit_moved(&self, arm: Arm, to: Circuit) {
        // Before the lock: a standing may take another.
        let standing = self.steer.standing();
        let ends = self.circuits.lock().moved(arm, to, &standing);
        if ends && self.word.load().phase == Phase::Stage {
            let _ = self.roll_back(RollbackCause::Judged(Cause::BreakerOpen));
        } else {
            self.advance();
        }
    }
}
