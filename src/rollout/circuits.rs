//! The breaker's word: a canary whose breaker stays open can't be compared, since it gets no calls.
//!
//! Such a canary looks like one without data, and would be held for ever. So its circuit decides by
//! itself: opened, and found sick again after two whole waits, without having closed in between.
//!
//! But a young window fills faster than an old one: where both versions get slow together, the canary's
//! circuit opens while the baseline's still remembers better times. So the baseline is asked, too: how its
//! calls went since the canary's circuit opened. Where it is as ill, nobody is to blame, and it begins anew.

use super::rules::Obstacle;
use crate::event::Circuit;
use crate::steer::Standing;
use crate::verdict::{Arm, Cause, Tally, Totals};

/// Two whole waits lie between so many openings.
const ENOUGH: u32 = 3;
/// With fewer calls the baseline isn't asked.
const LEAST_ASKED: u64 = 10;
/// A baseline that fails so often is ill.
const FAILS: f64 = 0.25;
/// Half of its calls are slower than its own median when it is well; ill, it has so many of them.
const SLOW: f64 = 0.75;

/// Both circuits, as far as they were told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circuits {
    canary: Circuit,
    baseline: Circuit,
    openings: u32,
    /// What was counted when the first of them came.
    since: Totals,
}

impl Circuits {
    /// Both closed, as far as is known.
    pub(crate) fn new() -> Self {
        let closed = Circuit::Closed;
        Self { canary: closed, baseline: closed, openings: 0, since: Totals::default() }
    }

    /// A circuit came to a state; `true` if that is the canary's end.
    pub(crate) fn moved(&mut self, arm: Arm, to: Circuit, standing: &Standing) -> bool {
        match (arm, to) {
            (Arm::Baseline, _) => self.baseline = to,
            (Arm::Canary, _) => self.canary = to,
        }
        match (arm, to) {
            (Arm::Baseline, Circuit::Closed) => {}
            (Arm::Baseline, _) => self.openings = 0,
            (Arm::Canary, Circuit::Open) if self.baseline == Circuit::Closed => {
                return self.opened(standing);
            }
            (Arm::Canary, Circuit::Open | Circuit::HalfOpen | Circuit::Ramping) => {}
            (Arm::Canary, _) => self.openings = 0,
        }
        false
    }

    fn opened(&mut self, standing: &Standing) -> bool {
        let is_ill = self.openings > 0 && self.is_baseline_ill(standing);
        if self.openings == 0 || is_ill {
            (self.openings, self.since) = (0, standing.totals);
        }
        self.openings += 1;
        // With all calls the canary's there is no baseline to be asked.
        let asked = standing.alone || self.errors(standing).calls >= LEAST_ASKED;
        self.openings >= ENOUGH && asked
    }

    fn errors(&self, standing: &Standing) -> Tally {
        standing.totals.errors.baseline.since(self.since.errors.baseline)
    }

    fn is_baseline_ill(&self, standing: &Standing) -> bool {
        let slow = standing.totals.slow.baseline.since(self.since.slow.baseline);
        let is_over = |seen: Tally, share: f64| {
            seen.calls >= LEAST_ASKED && seen.rate().is_some_and(|rate| rate >= share)
        };
        is_over(self.errors(standing), FAILS) || is_over(slow, SLOW)
    }

    /// What stands against a promotion while the canary's circuit isn't closed.
    pub(crate) fn obstacle(&self, standing: &Standing) -> Option<Obstacle> {
        match self.canary {
            Circuit::Closed | Circuit::ForcedClosed | Circuit::Disabled => None,
            _ if self.baseline != Circuit::Closed => Some(Obstacle::CommonOutage),
            _ if self.openings > 0 && self.is_baseline_ill(standing) => {
                Some(Obstacle::CommonOutage)
            }
            _ => Some(Obstacle::Suspect(Cause::BreakerOpen)),
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::verdict::Verdict;
    use Arm::{Baseline, Canary};
    use Circuit::{Closed, ForcedOpen, HalfOpen, Open, Ramping};

    /// So many calls of the baseline between two moves, and of them failed and slow.
    #[derive(Clone, Copy)]
    struct Between(u64, u64, u64);

    const WELL: Between = Between(20, 0, 10);

    struct Told {
        circuits: Circuits,
        standing: Standing,
    }

    fn told() -> Told {
        Told { circuits: Circuits::new(), standing: Standing::new(Verdict::Healthy) }
    }

    impl Told {
        fn ends(&mut self, between: Between, moves: &[(Arm, Circuit)]) -> bool {
            let Between(calls, failed, slow) = between;
            moves.iter().any(|(arm, to)| {
                let ends = self.circuits.moved(*arm, *to, &self.standing);
                let totals = &mut self.standing.totals;
                let add = |to: &mut Tally, bad| *to = to.plus(Tally::new(calls, bad));
                add(&mut totals.errors.baseline, failed);
                add(&mut totals.slow.baseline, slow);
                ends
            })
        }
    }

    fn ends(moves: &[(Arm, Circuit)]) -> bool {
        told().ends(WELL, moves)
    }

    const AGAIN: [(Arm, Circuit); 2] = [(Canary, HalfOpen), (Canary, Open)];
    const TWICE: [(Arm, Circuit); 3] = [(Canary, Open), AGAIN[0], AGAIN[1]];
    const THRICE: [(Arm, Circuit); 5] = [TWICE[0], TWICE[1], TWICE[2], AGAIN[0], AGAIN[1]];

    #[test]
    fn sick_after_two_whole_waits_beside_a_baseline_that_is_well_is_the_end() {
        assert!(ends(&THRICE));
        let ramped = [(Canary, HalfOpen), (Canary, Ramping), (Canary, Open)];
        assert!(ends(&[TWICE.as_slice(), &ramped].concat()));
        assert!(!ends(&TWICE), "one wait");
    }

    #[test]
    fn a_canary_that_closed_in_between_begins_anew() {
        for between in [Closed, ForcedOpen] {
            let moves = [TWICE.as_slice(), &[(Canary, between)], &TWICE].concat();
            assert!(!ends(&moves), "{between:?}");
        }
    }

    #[test]
    fn where_the_baseline_opens_too_it_is_not_the_canary() {
        let mut told = told();
        assert!(!told.ends(WELL, &TWICE));
        assert!(!told.ends(WELL, &[(Baseline, Open), AGAIN[0], AGAIN[1], AGAIN[0], AGAIN[1]]));
        assert_eq!(told.circuits.obstacle(&told.standing), Some(Obstacle::CommonOutage));
        assert!(!told.ends(WELL, &[(Baseline, Closed), AGAIN[0], AGAIN[1], AGAIN[0], AGAIN[1]]));
        assert!(told.ends(WELL, &AGAIN), "the third opening since");
    }

    #[test]
    fn a_baseline_that_fails_or_slows_down_meanwhile_shields_the_canary_until_it_is_well() {
        for ill in [Between(20, 5, 10), Between(20, 0, 15)] {
            let mut told = told();
            assert!(!told.ends(ill, &THRICE));
            assert!(!told.ends(ill, &THRICE), "for however long");
            assert_eq!(told.circuits.obstacle(&told.standing), Some(Obstacle::CommonOutage));
            assert!(!told.ends(WELL, &AGAIN), "in part of the time");
            assert!(told.ends(WELL, &[AGAIN, AGAIN, AGAIN].concat()));
        }
        for well in [Between(20, 4, 10), Between(20, 0, 14)] {
            assert!(told().ends(well, &THRICE), "that is no illness");
        }
    }

    #[test]
    fn a_baseline_that_had_no_calls_is_not_asked_and_nothing_is_decided_before_it_has() {
        let mut told = told();
        assert!(!told.ends(Between(1, 0, 0), &THRICE));
        assert!(!told.ends(Between(1, 0, 0), &AGAIN));
        assert!(told.ends(WELL, &[AGAIN, AGAIN].concat()));
        let mut alone = self::told();
        alone.standing.alone = true;
        assert!(alone.ends(Between(0, 0, 0), &THRICE), "there is none");
    }

    #[test]
    fn nothing_is_promoted_behind_a_circuit_that_is_not_closed() {
        let mut told = told();
        let mut after = |to| {
            told.ends(WELL, &[(Canary, to)]);
            told.circuits.obstacle(&told.standing)
        };
        let open = Some(Obstacle::Suspect(Cause::BreakerOpen));
        assert_eq!([Open, HalfOpen, Ramping, ForcedOpen].map(&mut after), [open; 4]);
        assert_eq!([Closed, Circuit::ForcedClosed].map(after), [None; 2]);
    }
}
