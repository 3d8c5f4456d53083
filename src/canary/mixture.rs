//! Several bets at once, some of them not yet begun: evidence that finds a late change and is never
//! too much.
//!
//! Each alternative's evidence is a product of factors that are at most 1 on average while nothing is
//! wrong, so it is a bet that doesn't pay, and the chance that it *ever* grows `1/alpha`-fold is at most
//! `alpha`, however often one looks (Ville). The mean of such bets is one too. A product that began long
//! ago has lost much while all was well, and would have to win it back first. So half the stake is kept
//! aside and put in little by little: each block, a share that together makes the other half. Whenever
//! the change comes, a bet began just before it; and all stakes together are still no more than one.

/// The blocks in which half of what was kept aside is put in.
const TAU: f64 = 1000.0;

/// The mean of `J` bets, each with its restarts; logarithms, so that nothing overflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mixture<const J: usize> {
    logs: [f64; J],
    blocks: u64,
}

impl<const J: usize> Mixture<J> {
    pub(crate) fn new() -> Self {
        Self { logs: [-std::f64::consts::LN_2; J], blocks: 0 }
    }

    /// Multiplies in one block's log factors, after the block's new stakes.
    pub(crate) fn multiply(&mut self, factors: [f64; J]) {
        let t = self.blocks as f64;
        let stake = (0.5 * TAU / ((t + TAU) * (t + TAU + 1.0))).ln();
        for (log, factor) in self.logs.iter_mut().zip(factors) {
            *log = factor + add_logs(*log, stake);
        }
        self.blocks = self.blocks.saturating_add(1);
    }

    /// The log of the mean.
    pub(crate) fn log(&self) -> f64 {
        let most = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.logs.iter().map(|log| (log - most).exp()).sum();
        most + (sum / J as f64).ln()
    }

    /// Each bet no higher than in `other`: what only lowers evidence keeps its guarantee.
    pub(crate) fn lower_to(&mut self, other: &Self) {
        for (log, other) in self.logs.iter_mut().zip(other.logs) {
            *log = log.min(other);
        }
    }

    #[cfg(test)]
    pub(crate) fn logs(&self) -> [f64; J] {
        self.logs
    }

    /// How many blocks were multiplied in.
    #[cfg(test)]
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }
}

/// `ln(exp(a) + exp(b))`
pub(crate) fn add_logs(a: f64, b: f64) -> f64 {
    let (most, least) = if a > b { (a, b) } else { (b, a) };
    most + (least - most).exp().ln_1p()
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_stakes_together_are_one() {
        let mut mixture = Mixture::<1>::new();
        for _ in 0..1_000_000 {
            mixture.multiply([0.0]);
        }
        let staked = mixture.log().exp();
        assert!((0.999..=1.0).contains(&staked), "{staked}");
    }

    #[test]
    fn evidence_may_grow_for_ever_and_still_comes_back() {
        let mut mixture = Mixture::<2>::new();
        for _ in 0..10_000 {
            mixture.multiply([3.4, -3.4]);
        }
        assert!(mixture.log().is_finite() && mixture.log() > 30_000.0);
        for _ in 0..10_100 {
            mixture.multiply([-3.4, -3.4]);
        }
        assert!(mixture.log() < 0.0);
    }
}
