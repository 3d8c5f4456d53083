//! What a rollout does next: a pure function of where it stands and of what is thought of the canary.

use std::time::Duration;

use super::state::{Phase, State};
use crate::ratio::Ratio;
use crate::steer::Standing;
use crate::verdict::{Arm, Cause, Verdict};

/// The settings, checked.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) stages: Box<[Ratio]>,
    pub(crate) dwell: Duration,
    pub(crate) max_dwell: Duration,
    /// Promote what lasted its longest time and has nothing against it.
    pub(crate) promote_in_the_end: bool,
    /// Only an operator promotes.
    pub(crate) by_hand: bool,
}

/// What stands against a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The evidence is across the line, and not confirmed yet.
    Suspect(Cause),
    /// The baseline fails, too.
    CommonOutage,
    /// One version has no calls.
    NoData(Arm),
}

impl Obstacle {
    pub(crate) const fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Suspect(cause) => Some(Self::Suspect(cause)),
            Verdict::Held => Some(Self::CommonOutage),
            Verdict::NoData(arm) => Some(Self::NoData(arm)),
            _ => None,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Wait,
    /// Nothing, and it should have been something by now.
    Inconclusive,
    /// The canary gets its first calls.
    Enter,
    /// It gets those of the next stage, or all stages are through.
    Promote,
    /// It is out.
    RollBack(Cause),
}

impl Rules {
    pub(crate) fn stages(&self) -> u8 {
        // There are at most 32.
        self.stages.len() as u8
    }

    /// The share of the calls that belongs to a state.
    pub(crate) fn weight(&self, state: State) -> Ratio {
        let has = matches!(state.phase, Phase::Stage | Phase::Promoted);
        self.share(state.stage).filter(|_| has).unwrap_or(Ratio::ZERO)
    }

    /// The share of the calls of this stage; `None` if there is none.
    pub(crate) fn share(&self, stage: u8) -> Option<Ratio> {
        self.stages.get(usize::from(stage)).copied()
    }

    /// Is it shown that the canary may have more calls?
    pub(crate) fn is_proven(standing: &Standing) -> bool {
        let evidence = &standing.evidence;
        match standing.verdict {
            // The verdict is of the last tick, the evidence of now: it begins anew with each stage.
            Verdict::Promotable => evidence.not_worse >= evidence.promotion_line,
            Verdict::Healthy => standing.alone,
            _ => false,
        }
    }

    /// Does the absolute guard speak against the canary?
    pub(crate) fn is_guarded(standing: &Standing) -> bool {
        let over = standing.evidence.guard >= standing.evidence.line;
        let line = f64::from(standing.evidence.line) > 0.0;
        (over && line) || matches!(standing.verdict, Verdict::RollBack(_))
    }

    /// What is to be done, after so long in this state, and with this against it.
    pub(crate) fn next(
        &self,
        state: State,
        dwelt: Duration,
        standing: &Standing,
        obstacle: Option<Obstacle>,
    ) -> Next {
        if let Verdict::RollBack(cause) = standing.verdict {
            return if state.phase.is_open() { Next::RollBack(cause) } else { Next::Wait };
        }
        let too_long = dwelt >= self.max_dwell;
        match state.phase {
            Phase::Learning if state.held => Next::Wait,
            Phase::Learning if standing.learned => Next::Enter,
            Phase::Learning if too_long => Next::Inconclusive,
            Phase::Stage if state.held || obstacle.is_some() => Next::Wait,
            Phase::Stage if !self.by_hand && dwelt >= self.dwell && Self::is_proven(standing) => {
                Next::Promote
            }
            Phase::Stage if too_long && self.ends_well(standing) => Next::Promote,
            Phase::Stage if too_long => Next::Inconclusive,
            _ => Next::Wait,
        }
    }

    fn ends_well(&self, standing: &Standing) -> bool {
        let well = matches!(standing.verdict, Verdict::Healthy | Verdict::Promotable);
        well && self.promote_in_the_end && !self.by_hand
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::verdict::{Evidence, Nats, Stream};

    const MINUTE: Duration = Duration::from_secs(60);

    fn rules() -> Rules {
        Rules {
            stages: [5, 50, 100].map(|share| Ratio::percent(share).unwrap()).into(),
            dwell: MINUTE,
            max_dwell: MINUTE * 30,
            promote_in_the_end: false,
            by_hand: false,
        }
    }

    fn stage(stage: u8) -> State {
        State { phase: Phase::Stage, stage, ..State::IDLE }
    }

    fn standing(verdict: Verdict) -> Standing {
        let evidence = Evidence {
            line: Nats::new(7.0),
            promotion_line: Nats::new(3.0),
            not_worse: Nats::new(if verdict == Verdict::Promotable { 3.0 } else { 1.0 }),
            ..Evidence::default()
        };
        Standing { evidence, ..Standing::new(verdict) }
    }

    /// With nothing but the verdict against it.
    fn by_verdict(rules: &Rules, state: State, dwelt: Duration, standing: &Standing) -> Next {
        rules.next(state, dwelt, standing, Obstacle::of(standing.verdict))
    }

    #[test]
    fn a_stage_is_promoted_by_evidence_and_after_its_dwell_alone() {
        let rules = rules();
        let next = |verdict, dwelt| by_verdict(&rules, stage(0), dwelt, &standing(verdict));
        let just_before = MINUTE - Duration::from_nanos(1);
        assert_eq!(next(Verdict::Promotable, MINUTE), Next::Promote);
        assert_eq!(next(Verdict::Promotable, just_before), Next::Wait);
        for verdict in [Verdict::Healthy, Verdict::WarmingUp, Verdict::Idle, Verdict::Learning] {
            assert_eq!(next(verdict, MINUTE), Next::Wait, "{verdict}");
        }
        let mut stale = standing(Verdict::Promotable);
        stale.evidence.not_worse = Nats::new(0.0);
        assert_eq!(by_verdict(&rules, stage(1), MINUTE, &stale), Next::Wait, "of the stage before");
    }

    #[test]
    fn whatever_stands_against_it_freezes_promotion_and_only_a_verdict_rolls_back() {
        let rules = rules();
        let cause = Cause::Worse(Stream::Errors);
        for verdict in [Verdict::Suspect(cause), Verdict::Held, Verdict::NoData(Arm::Canary)] {
            for dwelt in [MINUTE, MINUTE * 1_000] {
                assert_eq!(by_verdict(&rules, stage(0), dwelt, &standing(verdict)), Next::Wait);
            }
        }
        let over = standing(Verdict::RollBack(cause));
        let held = State { held: true, ..stage(0) };
        for state in [stage(0), held, State { phase: Phase::Learning, ..State::IDLE }] {
            assert_eq!(by_verdict(&rules, state, MINUTE, &over), Next::RollBack(cause));
        }
        for phase in [Phase::Promoted, Phase::RolledBack, Phase::RollingBack, Phase::Idle] {
            assert_eq!(by_verdict(&rules, State { phase, ..stage(0) }, MINUTE, &over), Next::Wait);
        }
    }

    #[test]
    fn with_all_the_calls_it_is_the_dwell_that_proves() {
        let alone = Standing { alone: true, ..standing(Verdict::Healthy) };
        assert_eq!(by_verdict(&rules(), stage(2), MINUTE, &alone), Next::Promote);
        let suspect = Standing { verdict: Verdict::Suspect(Cause::AbsoluteGuard), ..alone };
        assert_eq!(by_verdict(&rules(), stage(2), MINUTE, &suspect), Next::Wait);
    }

    #[test]
    fn what_lasts_too_long_is_inconclusive_or_promoted_where_that_is_wanted() {
        let healthy = standing(Verdict::Healthy);
        let next = |rules: &Rules, standing: &Standing| -> Next {
            by_verdict(rules, stage(0), rules.max_dwell, standing)
        };
        assert_eq!(next(&rules(), &healthy), Next::Inconclusive);
        let bold = Rules { promote_in_the_end: true, ..rules() };
        assert_eq!(next(&bold, &healthy), Next::Promote);
        assert_eq!(next(&bold, &standing(Verdict::NoData(Arm::Baseline))), Next::Wait);
        let by_hand = Rules { by_hand: true, ..bold };
        assert_eq!(next(&by_hand, &healthy), Next::Inconclusive);
        assert_eq!(next(&by_hand, &standing(Verdict::Promotable)), Next::Inconclusive);
    }

    #[test]
    fn the_first_stage_waits_until_the_baseline_is_known() {
        let learning = State { phase: Phase::Learning, ..State::IDLE };
        let unknown = Standing { learned: false, ..standing(Verdict::Learning) };
        assert_eq!(by_verdict(&rules(), learning, MINUTE, &unknown), Next::Wait);
        assert_eq!(by_verdict(&rules(), learning, MINUTE * 30, &unknown), Next::Inconclusive);
        assert_eq!(by_verdict(&rules(), learning, MINUTE, &standing(Verdict::Idle)), Next::Enter);
        let held = State { held: true, ..learning };
        assert_eq!(by_verdict(&rules(), held, MINUTE, &standing(Verdict::Idle)), Next::Wait);
    }
}
