//! What both arms did in one tick, call by call.

use seawall::verdict::{Arms, Tally};

/// Calls a tick: 200 a second.
pub(super) const CALLS: u64 = 50;
/// Ticks in a second.
pub(super) const SECOND: u64 = 4;

/// The outcomes of one arm, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) calls: u64,
    pub(super) bad: u64,
    /// One bit a call, set if it failed; those past the 128th, which are rare, keep no place.
    order: u128,
}

impl Outcomes {
    pub(super) fn add(&mut self, failed: bool) {
        self.order |= u128::from(failed).checked_shl(self.calls as u32).unwrap_or(0);
        self.calls += 1;
        self.bad += u64::from(failed);
    }

    /// Each call in order: did it fail?
    pub(super) fn each(&self) -> impl Iterator<Item = bool> {
        (0..self.calls.min(128)).map(|i| self.order >> i & 1 == 1)
    }

    fn tally(&self) -> Tally {
        Tally::new(self.calls, self.bad)
    }
}

/// Both arms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tick {
    pub(super) canary: Outcomes,
    pub(super) baseline: Outcomes,
}

impl Tick {
    pub(super) fn add(&mut self, canary: bool, failed: bool) {
        if canary { self.canary.add(failed) } else { self.baseline.add(failed) }
    }

    pub(super) fn arms(&self) -> Arms {
        Arms { canary: self.canary.tally(), baseline: self.baseline.tally() }
    }
}
