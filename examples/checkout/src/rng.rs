//! Random numbers by seed, so that both modes meet the same callers.

use std::f64::consts::TAU;

/// SplitMix64: small, quick, and good enough for a load.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From 0 up to, but without, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, but without, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.unit() * end as f64) as u64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// The gap between two arrivals of a Poisson process.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Half of all draws lie below `median`; `sigma` is the spread of their logarithm.
    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        median * (sigma * radius * (TAU * self.unit()).cos()).exp()
    }
}

/// Ranks drawn by Zipf's law: rank *n* comes up in proportion to 1/(n + 1).
#[derive(Clone, Debug)]
pub(crate) struct Zipf(Box<[f64]>);

impl Zipf {
    pub(crate) fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=ranks)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let total = self.0.last().copied().unwrap_or_default();
        let point = rng.unit() * total;
        self.0.partition_point(|&upto| upto <= point).min(self.0.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_gaps_have_their_mean() {
        let mut rng = Rng::new(1);
        let mean = (0..100_000).map(|_| rng.exponential(5.0)).sum::<f64>() / 100_000.0;
        assert!((4.9..5.1).contains(&mean), "{mean}");
    }

    #[test]
    fn half_of_lognormal_draws_lie_below_the_median() {
        let mut rng = Rng::new(2);
        let below = (0..100_000).filter(|_| rng.lognormal(20.0, 0.4) < 20.0).count();
        assert!((49_000..51_000).contains(&below), "{below}");
    }

    #[test]
    fn the_first_rank_comes_twice_as_often_as_the_second() {
        let (zipf, mut rng) = (Zipf::new(2_000), Rng::new(3));
        let mut seen = [0_u32; 2_000];
        for _ in 0..200_000 {
            seen[zipf.draw(&mut rng)] += 1;
        }
        let ratio = f64::from(seen[0]) / f64::from(seen[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(seen[1_900..].iter().any(|&count| count > 0), "the tail is drawn too");
    }
}
