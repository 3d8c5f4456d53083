//! The absolute guard: no version may fail this often, whatever the baseline does.
//!
//! It is the only judge where there is no baseline to compare with, and it bets, as the streams do,
//! that the canary fails with more than `limit`. Where a baseline is there and fails as well, the canary
//! is not to blame: the evidence of that time is taken back.

use super::evidence::against_limit;
use super::mixture::Mixture;
use crate::verdict::{Arms, Tally};

const BETS: usize = 3;

/// The evidence that the canary fails too often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    evidence: Mixture<BETS>,
    /// The evidence as it was when it last spoke for nothing.
    before: Mixture<BETS>,
    /// The baseline since then.
    meanwhile: Tally,
    pending: Arms,
    opened: u64,
    bad: u64,
}

impl Guard {
    pub(crate) fn new() -> Self {
        Self {
            evidence: Mixture::new(),
            before: Mixture::new(),
            meanwhile: Tally::default(),
            pending: Arms::default(),
            opened: 0,
            bad: 0,
        }
    }

    pub(crate) fn log(&self) -> f64 {
        self.evidence.log()
    }

    pub(crate) fn bad(&self) -> u64 {
        self.bad
    }

    pub(crate) fn restart(&mut self, now: u64) {
        *self = Self { opened: now, ..Self::new() };
    }

    /// Adds what both arms did up to `now`; weighs the block if it is `length` long and the canary has
    /// calls in it. `phi` is how clumped failures come, `held` whether the baseline fails too much to
    /// blame anyone.
    pub(crate) fn add(&mut self, seen: Arms, now: u64, length: u64, rules: &GuardRules) {
        self.pending = self.pending.plus(seen);
        if now.saturating_sub(self.opened) < length || self.pending.canary.calls == 0 {
            return;
        }
        let block = std::mem::take(&mut self.pending);
        self.opened = now;
        self.bad = self.bad.saturating_add(block.canary.bad);
        self.evidence.multiply([0.1, 0.5, 0.9].map(|g| {
            let theta = rules.limit + g * (1.0 - rules.limit);
            (against_limit(&block, theta, rules.limit) / rules.phi).min(rules.clip)
        }));
        self.meanwhile = self.meanwhile.plus(block.baseline);
        let outage = |rate: f64| rate >= 0.5 * rules.limit;
        if rules.held || self.meanwhile.rate().is_some_and(outage) {
            self.evidence.lower_to(&self.before);
        }
        if self.evidence.log() < 0.0 {
            (self.before, self.meanwhile) = (self.evidence, Tally::default());
        }
    }
}

/// What the guard goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardRules {
    /// No canary may fail more often.
    pub(crate) limit: f64,
    /// As for a stream.
    pub(crate) clip: f64,
    /// How clumped failures come.
    pub(crate) phi: f64,
    /// Does the baseline fail, too?
    pub(crate) held: bool,
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const TICK: u64 = 250_000_000;
    const RULES: GuardRules = GuardRules { limit: 0.5, clip: 3.453878, phi: 1.0, held: false };

    fn run(rules: GuardRules, blocks: impl IntoIterator<Item = Arms>) -> Vec<f64> {
        let mut guard = Guard::new();
        (1..)
            .zip(blocks)
            .map(|(i, block)| {
                guard.add(block, i * TICK, TICK, &rules);
                guard.log()
            })
            .collect()
    }

    fn over(logs: &[f64]) -> Option<usize> {
        logs.iter().position(|log| *log >= 1000_f64.ln()).map(|at| at + 1)
    }

    #[test]
    fn without_a_baseline_a_canary_that_always_fails_is_over_the_line_at_the_third_block() {
        let logs = run(RULES, [Arms::new(100, 100, 0, 0); 3]);
        for (found, log) in logs.iter().zip([2.762, 6.216, 9.670]) {
            assert!((found - log).abs() < 1e-3, "{found} is not {log}");
        }
        assert_eq!(over(&run(RULES, [Arms::new(100, 60, 0, 0); 10])), Some(6));
    }

    #[test]
    fn exactly_the_limit_is_never_too_much() {
        let logs = run(RULES, [Arms::new(100, 50, 0, 0); 3000]);
        let most = logs.iter().copied().fold(f64::MIN, f64::max);
        assert!((most + 2.293).abs() < 1e-3, "{most}");
    }

    #[test]
    fn single_calls_add_up_to_the_line_as_fast_as_the_limit_is_low() {
        let calls = [Arms::new(1, 1, 0, 0); 20];
        assert_eq!(over(&run(RULES, calls)), Some(14));
        assert_eq!(over(&run(GuardRules { limit: 0.05, ..RULES }, calls)), Some(3));
    }

    #[test]
    fn an_outage_of_both_arms_leaves_nothing_that_could_blame_the_canary_afterwards() {
        let outage = [Arms::new(5, 5, 95, 95); 400];
        let after = [Arms::new(1, 0, 95, 1); 400];
        let blocks = outage.into_iter().chain(after);
        assert_eq!(over(&run(RULES, blocks)), None);
    }

    #[test]
    fn a_baseline_that_is_well_protects_nobody() {
        assert_eq!(over(&run(RULES, [Arms::new(5, 5, 95, 1); 10])), Some(3));
    }
}
