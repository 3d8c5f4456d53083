//! Rules that hold the canary against a fixed bound.

use super::Judge;
use crate::canary::tick::{Outcomes, SECOND, Tick};

/// Counts the canary's calls, and gives them when a look is due.
#[derive(Debug, Default)]
struct Looks {
    ticks: u64,
    calls: u64,
    bad: u64,
}

impl Looks {
    /// The success rate since the last look, if a look is due and there were calls.
    fn add(&mut self, canary: &Outcomes, every: u64) -> Option<f64> {
        self.ticks += 1;
        self.calls += canary.calls;
        self.bad += canary.bad;
        if self.ticks < every {
            return None;
        }
        let seen = std::mem::take(self);
        (seen.calls > 0).then(|| 1.0 - seen.bad as f64 / seen.calls as f64)
    }
}

/// Failed checks add up over the whole analysis; the fifth rolls back.
#[derive(Debug, Default)]
pub(super) struct Flagger {
    looks: Looks,
    failed: u32,
}

impl Judge for Flagger {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        let rate = self.looks.add(&tick.canary, 60 * SECOND);
        self.failed += u32::from(rate.is_some_and(|rate| rate < 0.99));
        self.failed >= 5
    }
}

/// More than three failed measurements abort.
#[derive(Debug, Default)]
pub(super) struct Argo {
    looks: Looks,
    failed: u32,
}

impl Judge for Argo {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        let rate = self.looks.add(&tick.canary, 300 * SECOND);
        self.failed += u32::from(rate.is_some_and(|rate| rate < 0.95));
        self.failed > 3
    }
}

/// The canary is one host, ejected after five failures in a row.
#[derive(Debug, Default)]
pub(super) struct Envoy {
    in_a_row: u32,
}

impl Judge for Envoy {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        for failed in tick.canary.each() {
            self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
            if self.in_a_row >= 5 {
                return true;
            }
        }
        false
    }
}
