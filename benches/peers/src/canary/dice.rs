//! Chance, repeatable.

/// SplitMix64: small, and good enough for traffic.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// One sequence a pair of numbers.
    pub(super) fn new(of: u64, run: u64) -> Self {
        let mut dice = Self(of.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.0 = dice.next() ^ run;
        dice
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn is(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// Two chances in one throw, each to the 32nd bit.
    pub(super) fn both(&mut self, one: f64, other: impl FnOnce(bool) -> f64) -> (bool, bool) {
        let (drawn, scale) = (self.next(), (1_u64 << 32) as f64);
        let first = ((drawn >> 32) as f64) < one * scale;
        (first, ((drawn as u32) as f64) < other(first) * scale)
    }

    /// Of Gamma's distribution with a shape of 2: two exponential times, one after the other.
    pub(super) fn gamma(&mut self, mean: f64) -> f64 {
        -0.5 * mean * ((1.0 - self.unit()) * (1.0 - self.unit())).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_and_means_are_those_asked_for() {
        let mut dice = Dice::new(1, 2);
        let hits = (0..100_000).filter(|_| dice.is(0.05)).count();
        assert!((4_700..5_300).contains(&hits), "{hits}");
        let pair =
            (0..100_000).filter(|_| dice.both(0.5, |a| if a { 0.2 } else { 0.0 }) == (true, true));
        let hits = pair.count();
        assert!((9_600..10_400).contains(&hits), "{hits}");
        let mean = (0..100_000).map(|_| dice.gamma(0.5)).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert_ne!(Dice::new(1, 2).next(), Dice::new(2, 1).next());
    }
}
