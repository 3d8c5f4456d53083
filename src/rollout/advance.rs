//! How a rollout goes on: stage by stage, by evidence or at an operator's word.

use super::core::{Core, Look};
use super::record::Saved;
use super::refused::Refused;
use super::rules::{Next, Obstacle, Rules};
use super::state::{Phase, State};
use crate::audit::{Promotion, RollbackCause, Step};
use crate::ratio::Ratio;
use crate::steer::Standing;

impl Core {
    /// Looks whether there is something to be done: a stage to be entered or left.
    pub(super) fn advance(&self) {
        // Whoever has it looks already; a lock would catch a listener that comes back here.
        let Some(mut look) = self.look.try_lock() else { return };
        let state = self.word.load();
        if !matches!(state.phase, Phase::Learning | Phase::Stage) {
            return;
        }
        let (now, standing) = (self.clock.now(), self.steer.standing());
        look.follow(state, now);
        let obstacle = self.obstacle(&standing);
        if !standing.verdict.is_roll_back() {
            self.tell_obstacle(&mut look, state, obstacle);
        }
        let dwelt = now.since(look.since);
        match self.rules.next(state, dwelt, &standing, obstacle) {
            Next::Wait => {}
            Next::Inconclusive => {
                if !std::mem::replace(&mut look.inconclusive, true) {
                    self.tell(state.seq, Step::Inconclusive(dwelt));
                }
            }
            Next::Enter => {
                let same = |found: &State| found.epoch == state.epoch;
                let entered = self.word.decide(|found| found.entered().filter(same));
                if let Ok((_, to)) = entered {
                    look.follow(to, now);
                    self.enter(to);
                }
            }
            Next::Promote => {
                if let Some(to) = self.promote_from(state, &standing, false) {
                    look.follow(to, now);
                }
            }
            Next::RollBack(cause) => {
                let _ = self.roll_back(RollbackCause::Judged(cause));
            }
        }
    }

    fn tell_obstacle(&self, look: &mut Look, state: State, obstacle: Option<Obstacle>) {
        let obstacle = obstacle.filter(|_| state.phase == Phase::Stage);
        if look.obstacle == obstacle {
            return;
        }
        look.obstacle = obstacle;
        self.tell(
            state.seq,
            match obstacle {
                Some(Obstacle::Suspect(cause)) => Step::Suspected(cause),
                Some(Obstacle::CommonOutage) => Step::Held,
                Some(Obstacle::NoData(arm)) => Step::NoData(arm),
                None => Step::Cleared,
            },
        );
    }

    /// Promotes, if it is still in the state it was found in: to the next stage, or for good.
    fn promote_from(&self, state: State, standing: &Standing, forced: bool) -> Option<State> {
        let stages = self.rules.stages();
        let moved = self.word.decide(|found| {
            let same = (found.epoch, found.stage) == (state.epoch, state.stage);
            found.next(stages).or_else(|| found.promoted(stages)).filter(|_| same)
        });
        let (from, to) = moved.ok()?;
        if to.phase == Phase::Promoted {
            self.tell(to.seq, Step::Promoted);
            self.save(to.seq, Saved::Promoted);
            return Some(to);
        }
        let mut promotion = Promotion::new(self.rules.weight(from), self.rules.weight(to));
        promotion.evidence = standing.evidence;
        promotion.totals = standing.totals;
        promotion.forced = forced;
        self.tell(to.seq, Step::PromoteDecided(Box::new(promotion)));
        self.enter(to);
        Some(to)
    }

    /// Gives the canary the calls of the stage that was entered.
    fn enter(&self, to: State) {
        if let Some(weight) = self.give(to) {
            let stage = to.stage;
            self.tell(to.seq, Step::StageEntered { stage: u32::from(stage), weight });
            self.save(to.seq, Saved::Running { stage });
        }
    }

    /// Sets the weight of the state that it is in: again, if that changed meanwhile, since two that set it
    /// at once may do so in the wrong order. `None` if it was taken out.
    fn give(&self, mut state: State) -> Option<Ratio> {
        loop {
            let weight = self.rules.weight(state);
            if !self.dry_run && !self.steer.set_weight(weight) {
                return None;
            }
            let now = self.word.load();
            if now.epoch != state.epoch || now.phase != Phase::Stage {
                return None;
            }
            if now.stage == state.stage {
                return Some(weight);
            }
            state = now;
        }
    }

    /// Promotes at an operator's word: by the evidence, or, if forced, whatever it is.
    pub(super) fn promote(&self, forced: bool) -> Result<(), Refused> {
        let (state, standing) = (self.word.load(), self.steer.standing());
        match state.phase {
            Phase::Stage => {}
            Phase::Idle | Phase::Starting | Phase::Learning => return Err(Refused::NotRunning),
            _ => return Err(Refused::AlreadyDecided),
        }
        if state.held {
            return Err(Refused::OnHold);
        }
        if Rules::is_guarded(&standing) {
            return Err(Refused::Guarded);
        }
        let clear = self.obstacle(&standing).is_none();
        let proven = clear && self.has_dwelt(state) && Rules::is_proven(&standing);
        if !(forced || proven) {
            return Err(Refused::NotProven);
        }
        self.promote_from(state, &standing, forced).map(drop).ok_or(Refused::AlreadyDecided)
    }

    fn has_dwelt(&self, state: State) -> bool {
        let now = self.clock.now();
        self.look.try_lock().is_some_and(|mut look| {
            look.follow(state, now);
            now.since(look.since) >= self.rules.dwell
        })
    }

    /// Holds it, or lets it go on.
    pub(super) fn hold(&self, held: bool) -> Result<(), Refused> {
        match self.word.decide(|state| state.holding(held)) {
            Ok(_) => Ok(()),
            Err(state) if state.phase.is_open() => Ok(()),
            Err(state) if state.phase == Phase::Idle => Err(Refused::NotRunning),
            Err(_) => Err(Refused::AlreadyDecided),
        }
    }
}
