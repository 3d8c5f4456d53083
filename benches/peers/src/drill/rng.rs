//! Chance, from a seed: a generator, and the distributions that a drill draws from.

/// Splitmix64: small, and good enough for a queue.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

/// The mix of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one thing among many, such as one attempt of one call: the same for all contenders.
    pub(super) fn of(seed: u64, thing: u64) -> Self {
        Self(mix(seed ^ mix(thing.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Above 0, at most 1.
    pub(super) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() <= share
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// `sigma` is the spread of the logarithm.
    pub(super) fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

/// Zipf's law: the key of rank r is asked for 1/r as often as the first.
#[derive(Debug)]
pub(super) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(super) fn new(keys: usize) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=keys).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self { cumulated: cumulated.collect() }
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> u64 {
        let all = self.cumulated.last().copied().unwrap_or(0.0);
        let at = rng.unit() * all;
        self.cumulated.partition_point(|&sum| sum < at) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_have_the_means_they_are_given() {
        let mean = |mut draw: Box<dyn FnMut() -> f64>| {
            (0..200_000).map(|_| draw()).sum::<f64>() / 200_000.0
        };
        let (mut one, mut other) = (Rng::new(1), Rng::new(2));
        for mean in [
            mean(Box::new(move || one.exponential(0.12))),
            mean(Box::new(move || other.lognormal(0.12, 0.5))),
        ] {
            assert!((0.119..0.121).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn the_second_key_is_asked_for_half_as_often() {
        let (zipf, mut rng) = (Zipf::new(1_000), Rng::new(3));
        let mut seen = [0_u32; 1_000];
        (0..200_000).for_each(|_| seen[zipf.draw(&mut rng) as usize] += 1);
        let ratio = f64::from(seen[1]) / f64::from(seen[0]);
        assert!((0.48..0.52).contains(&ratio), "{ratio}");
        assert!(seen[999] > 0);
    }
}
