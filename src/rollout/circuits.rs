//! The breaker's word: a canary whose breaker stays open can't be compared, since it gets no calls.
//!
//! Such a canary looks like one without data, and would be held for ever. So its circuit decides by
//! itself: opened, and opened again without having closed in between, while the baseline's was closed all
//! the time.

use crate::event::Circuit;
use crate::verdict::Arm;

/// So many openings in a row speak against the canary.
const ENOUGH: u32 = 2;

/// Both circuits, as far as they were told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circuits {
    canary_openings: u32,
    baseline_closed: bool,
}

impl Circuits {
    /// Both closed, as far as is known.
    pub(crate) const fn new() -> Self {
        Self { canary_openings: 0, baseline_closed: true }
    }

    /// A circuit came to a state by itself; `true` if that is the canary's end.
    pub(crate) fn moved(&mut self, arm: Arm, to: Circuit) -> bool {
        match (arm, to) {
            (Arm::Baseline, to) => {
                self.baseline_closed = to == Circuit::Closed;
                if !self.baseline_closed {
                    self.canary_openings = 0;
                }
            }
            (Arm::Canary, Circuit::Open) if self.baseline_closed => self.canary_openings += 1,
            (Arm::Canary, Circuit::Open | Circuit::HalfOpen | Circuit::Ramping) => {}
            (Arm::Canary, _) => self.canary_openings = 0,
        }
        self.canary_openings >= ENOUGH
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use Arm::{Baseline, Canary};
    use Circuit::{Closed, ForcedOpen, HalfOpen, Open, Ramping};

    fn ends(moves: &[(Arm, Circuit)]) -> bool {
        let mut circuits = Circuits::new();
        moves.iter().any(|(arm, to)| circuits.moved(*arm, *to))
    }

    #[test]
    fn two_openings_in_a_row_beside_a_closed_baseline_are_the_end() {
        assert!(ends(&[(Canary, Open), (Canary, HalfOpen), (Canary, Open)]));
        assert!(ends(&[(Canary, Open), (Canary, HalfOpen), (Canary, Ramping), (Canary, Open)]));
        assert!(!ends(&[(Canary, Open)]));
    }

    #[test]
    fn a_canary_that_closed_in_between_begins_anew() {
        assert!(!ends(&[(Canary, Open), (Canary, HalfOpen), (Canary, Closed), (Canary, Open)]));
        assert!(!ends(&[(Canary, Open), (Canary, ForcedOpen), (Canary, Open)]));
    }

    #[test]
    fn where_the_baseline_opens_too_it_is_not_the_canary() {
        assert!(!ends(&[(Canary, Open), (Baseline, Open), (Canary, HalfOpen), (Canary, Open)]));
        let outage = [(Baseline, Open), (Canary, Open), (Canary, HalfOpen), (Canary, Open)];
        assert!(!ends(&outage));
        let mut over = outage.to_vec();
        over.extend([(Baseline, Closed), (Canary, HalfOpen), (Canary, Open)]);
        assert!(!ends(&over), "the first opening since");
        over.extend([(Canary, HalfOpen), (Canary, Open)]);
        assert!(ends(&over));
    }
}
