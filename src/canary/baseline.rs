//! What is known of the baseline: how often it is bad, and in how large clumps.
//!
//! Both come from blocks that are past, so what they decide about a block was settled before it.
//!
//! Failures of one version don't come one by one: a host dies and drops the twenty calls that it held.
//! Twenty such calls are one piece of news, not twenty. How clumped they are shows in the baseline by
//! itself: neighbouring blocks then differ by more than chance lets them. `phi` is that excess, and
//! evidence is divided by it.

use crate::verdict::Tally;

/// In so many calls the weight of what was seen halves.
const CALLS_HALVED: f64 = 20_000.0;
/// In so many pairs of blocks the weight of a dispersion halves.
const PAIRS_HALVED: f64 = 200.0;
/// So much is known before anything was seen: a rate of 1 %, seen in 50 calls; and no dispersion, seen
/// in 5 pairs.
const PRIOR_BAD: f64 = 0.5;
const PRIOR_CALLS: f64 = 50.0;
const PRIOR_PAIRS: f64 = 5.0;
/// One pair of blocks says no more than this.
const MOST_A_PAIR: f64 = 40.0;

/// The running estimates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Baseline {
    calls: f64,
    bad: f64,
    last: Tally,
    pairs: f64,
    excess: f64,
}

impl Baseline {
    /// The probability that a call is bad.
    pub(crate) fn rate(&self) -> f64 {
        ((self.bad + PRIOR_BAD) / (self.calls + PRIOR_CALLS)).clamp(1e-5, 0.95)
    }

    /// How clumped bad calls are: 1 if they come one by one, about `m` if they come by `m`.
    pub(crate) fn phi(&self) -> f64 {
        ((self.excess + PRIOR_PAIRS) / (self.pairs + PRIOR_PAIRS)).max(1.0)
    }

    /// One more block of the baseline's calls.
    pub(crate) fn learn(&mut self, block: Tally) {
        if block.calls == 0 {
            return;
        }
        let calls = block.calls as f64;
        let kept = 0.5_f64.powf(calls / CALLS_HALVED);
        self.calls = self.calls * kept + calls;
        self.bad = self.bad * kept + block.bad as f64;
        if let Some(squared) = difference(self.last, block) {
            let kept = 0.5_f64.powf(1.0 / PAIRS_HALVED);
            self.pairs = self.pairs * kept + 1.0;
            self.excess = self.excess * kept + squared.min(MOST_A_PAIR);
        }
        self.last = block;
    }
}

/// The squared difference of two blocks' rates, in units of its variance if all calls were
/// independent; `None` where that tells nothing.
fn difference(a: Tally, b: Tally) -> Option<f64> {
    let pooled = a.plus(b).rate()?;
    let (a_rate, b_rate) = (a.rate()?, b.rate()?);
    let variance = pooled * (1.0 - pooled) * (1.0 / a.calls as f64 + 1.0 / b.calls as f64);
    (variance > 0.0).then(|| (a_rate - b_rate).powi(2) / variance)
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn clumped_failures_show_as_dispersion_and_even_ones_do_not() {
        let (mut clumped, mut even) = (Baseline::default(), Baseline::default());
        for i in 0..100 {
            clumped.learn(Tally::new(100, 10 * (i % 2)));
            even.learn(Tally::new(100, 1));
        }
        assert!((clumped.phi() - 9.9908).abs() < 1e-4, "{}", clumped.phi());
        assert_eq!(even.phi(), 1.0);
    }

    #[test]
    fn a_baseline_without_failures_has_a_rate_that_is_small_and_not_zero() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.rate(), 0.01);
        for _ in 0..240 {
            baseline.learn(Tally::new(50, 0));
        }
        assert!((baseline.rate() - 0.000051).abs() < 1e-6, "{}", baseline.rate());
        for _ in 0..10_000 {
            baseline.learn(Tally::new(50, 50));
        }
        assert_eq!(baseline.rate(), 0.95);
    }
}
