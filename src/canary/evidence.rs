//! How much a block speaks for a worse canary: the factor by which the evidence is multiplied.
//!
//! In a block the canary failed in `k_c` of `n_c` calls, the baseline in `k_b` of `n_b`. Take any guess
//! made beforehand: the baseline fails with probability `b`, the canary with `theta`. Were both the
//! same they would fail with the mixture `q`, weighted by how many calls each had; the factor is how
//! much likelier the block is under the guess than under that mixture.
//!
//! If both arms fail with the same probability, *whatever it is in this block*, the factor is at most 1
//! on average: with `A` and `B` the average factors of one canary and one baseline call,
//! `A^n_c B^n_b <= (f A + (1-f) B)^n = 1`, by the inequality of the means. So a product of such factors
//! is a bet that doesn't pay while the arms are alike, even if an adversary moves what both do from
//! block to block (Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests
//! that allow for optional stopping").

use crate::verdict::Arms;

/// How many alternatives are bet on.
pub(crate) const ALTERNATIVES: usize = 6;

/// The canary's failure probabilities that are bet on, if the baseline's is `b`: twice and five times
/// the odds, and a twentieth, a quarter, three fifths and nearly all of what is left.
pub(crate) fn alternatives(b: f64) -> [f64; ALTERNATIVES] {
    let odds = b / (1.0 - b);
    let times = |x: f64| x * odds / (1.0 + x * odds);
    let left = |g: f64| b + g * (1.0 - b);
    [times(2.0), times(5.0), left(0.05), left(0.25), left(0.60), left(0.97)]
}

/// The log factor of `block` for the guess (`theta`, `b`) against the pair (`q_c`, `q_b`).
///
/// All four lie strictly between 0 and 1.
fn log_factor(block: &Arms, (theta, b): (f64, f64), (q_c, q_b): (f64, f64)) -> f64 {
    let (k_c, k_b) = (block.canary.bad as f64, block.baseline.bad as f64);
    let (good_c, good_b) = (
        (block.canary.calls - block.canary.bad) as f64,
        (block.baseline.calls - block.baseline.bad) as f64,
    );
    k_c * (theta / q_c).ln()
        + good_c * ((1.0 - theta) / (1.0 - q_c)).ln()
        + k_b * (b / q_b).ln()
        + good_b * ((1.0 - b) / (1.0 - q_b)).ln()
}

/// The canary's share of the calls of `block`.
fn share(block: &Arms) -> f64 {
    let (n_c, n_b) = (block.canary.calls as f64, block.baseline.calls as f64);
    n_c / (n_c + n_b)
}

/// Against "both fail alike".
pub(crate) fn against_alike(block: &Arms, theta: f64, b: f64) -> f64 {
    let f = share(block);
    let q = f * theta + (1.0 - f) * b;
    log_factor(block, (theta, b), (q, q))
}

/// Against "the canary fails with exactly `limit`", whatever the baseline does.
pub(crate) fn against_limit(block: &Arms, theta: f64, limit: f64) -> f64 {
    let alone = Arms { canary: block.canary, ..Arms::default() };
    log_factor(&alone, (theta, 0.5), (limit, 0.5))
}

/// A line `p_c = rho p_b + delta` in the plane of failure probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Margin {
    pub(crate) rho: f64,
    pub(crate) delta: f64,
}

impl Margin {
    /// The canary's probability on the line.
    pub(crate) fn at(self, p_b: f64) -> f64 {
        self.rho * p_b + self.delta
    }

    /// The point of the line that the guess (`theta`, `b`) is hardest to tell from, where the canary
    /// has the share `f` of the calls: the projection of the guess onto the line, in Kullback and
    /// Leibler's sense.
    pub(crate) fn nearest(self, f: f64, theta: f64, b: f64) -> (f64, f64) {
        // The derivative of the divergence along the line rises: find its zero. Newton's steps, kept
        // between the ends that the signs have shown.
        let (mut low, mut high) = (0.0_f64, ((1.0 - self.delta) / self.rho).min(1.0));
        let mut q_b = b.min(0.5 * high);
        for _ in 0..64 {
            let q_c = self.at(q_b);
            // `(1-t)/(1-q) - t/q` is `(q-t) / (q(1-q))`, and its derivative the rest over the square.
            let (over_c, over_b) = (1.0 / (q_c * (1.0 - q_c)), 1.0 / (q_b * (1.0 - q_b)));
            let (steep_c, steep_b) = ((q_c - theta) * over_c, (q_b - b) * over_b);
            let slope = f * self.rho * steep_c + (1.0 - f) * steep_b;
            let bend = f * self.rho * self.rho * over_c * (1.0 - steep_c * (1.0 - 2.0 * q_c))
                + (1.0 - f) * over_b * (1.0 - steep_b * (1.0 - 2.0 * q_b));
            if slope < 0.0 {
                low = q_b
            } else {
                high = q_b
            }
            let newton = q_b - slope / bend;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let step = (next - q_b).abs();
            q_b = next;
            // The steps' squares shrink with them: the next would change nothing.
            if step <= 1e-8 * q_b {
                break;
            }
        }
        (self.at(q_b), q_b)
    }

    /// The log factor of `block` for the guess (`theta`, `b`) against everything on the far side of
    /// the line. The guess must not be there itself.
    pub(crate) fn against(self, block: &Arms, theta: f64, b: f64) -> f64 {
        log_factor(block, (theta, b), self.nearest(share(block), theta, b))
    }
}

/// The divergence of Kullback and Leibler between two coins, in nats.
pub(crate) fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_alternative_weighs_a_block_as_the_formula_says() {
        let failing = Arms::new(5, 5, 95, 1);
        let healthy = Arms::new(5, 0, 95, 1);
        let raw = |block| alternatives(0.01).map(|theta| against_alike(block, theta, 0.01));
        let close = |found: [f64; 6], wanted: [f64; 6]| {
            for (f, w) in found.into_iter().zip(wanted) {
                assert!((f - w).abs() < 1e-5, "{f} is not {w}");
            }
        };
        close(raw(&failing), [3.175450, 6.986371, 7.825401, 12.592424, 15.095514, 16.999668]);
        close(raw(&healthy), [-0.048576, -0.179812, -0.229798, -0.998470, -2.944758, -14.369062]);
    }

    /// The sum over all that can happen in a small block.
    #[test]
    fn a_factor_is_at_most_one_on_average_while_the_arms_are_alike() {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        let (n_c, n_b) = (3, 7);
        for p in [0.001, 0.02, 0.3, 0.5, 0.97] {
            for b in [0.00001, 0.01, 0.5, 0.95] {
                for theta in alternatives(b) {
                    let mut mean = 0.0;
                    for (k_c, k_b) in (0..=n_c).flat_map(|c| (0..=n_b).map(move |b| (c, b))) {
                        let k = k_c + k_b;
                        let chance = choose(n_c, k_c)
                            * choose(n_b, k_b)
                            * f64::powi(p, k as i32)
                            * f64::powi(1.0 - p, (n_c + n_b - k) as i32);
                        let block = Arms::new(n_c, k_c, n_b, k_b);
                        mean += chance * against_alike(&block, theta, b).exp();
                    }
                    assert!(mean <= 1.0 + 1e-9, "p {p}, b {b}, theta {theta}: {mean}");
                }
            }
        }
    }

    #[test]
    fn the_projection_onto_the_margin_is_the_nearest_point() {
        let margin = Margin { rho: 1.5, delta: 0.005 };
        for (f, q_c, q_b, nats) in
            [(0.05, 0.019441, 0.009627, 1.487e-4), (0.5, 0.014981, 0.006654, 8.425e-4)]
        {
            let (c, b) = margin.nearest(f, 0.01, 0.01);
            assert!((c - q_c).abs() < 1e-6 && (b - q_b).abs() < 1e-6, "{c} {b}");
            let each = f * divergence(0.01, c) + (1.0 - f) * divergence(0.01, b);
            assert!((each - nats).abs() < 1e-7, "{each}");
        }
    }

    #[test]
    fn against_a_margin_the_factor_is_at_most_one_on_average_beyond_it() {
        let margin = Margin { rho: 1.5, delta: 0.005 };
        let (n_c, n_b, theta, b) = (2, 3, 0.02, 0.02);
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        for p_b in [0.0, 0.01, 0.1, 0.4] {
            for p_c in [margin.at(p_b), margin.at(p_b) + 0.1, 0.9] {
                let mut mean = 0.0;
                for (k_c, k_b) in (0..=n_c).flat_map(|c| (0..=n_b).map(move |b| (c, b))) {
                    let coin = |n, k, p: f64| {
                        choose(n, k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
                    };
                    let block = Arms::new(n_c, k_c, n_b, k_b);
                    mean += coin(n_c, k_c, p_c)
                        * coin(n_b, k_b, p_b)
                        * margin.against(&block, theta, b).exp();
                }
                assert!(mean <= 1.0 + 1e-9, "{p_c} {p_b}: {mean}");
            }
        }
    }
}
