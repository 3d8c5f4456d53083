//! Tests of two proportions that were made to be looked at once, looked at every tick.

use std::sync::OnceLock;

use super::{ALPHA, Judge};
use crate::canary::tick::Tick;

/// With fewer canary calls nobody asks.
const LEAST: u64 = 30;
/// The normal quantile of [`ALPHA`], from one side.
const Z: f64 = 3.090_232;

/// All calls so far.
#[derive(Debug, Default)]
struct Counts {
    n_c: u64,
    k_c: u64,
    n_b: u64,
    k_b: u64,
}

impl Counts {
    fn add(&mut self, tick: &Tick) {
        self.n_c += tick.canary.calls;
        self.k_c += tick.canary.bad;
        self.n_b += tick.baseline.calls;
        self.k_b += tick.baseline.bad;
    }

    /// How many standard errors the canary fails more; `None` if it doesn't.
    fn z(&self) -> Option<f64> {
        let [n_c, k_c, n_b, k_b] = [self.n_c, self.k_c, self.n_b, self.k_b].map(|n| n as f64);
        if n_c < LEAST as f64 || n_b == 0.0 || k_c * n_b <= k_b * n_c {
            return None;
        }
        let pooled = (k_c + k_b) / (n_c + n_b);
        let variance = pooled * (1.0 - pooled) * (1.0 / n_c + 1.0 / n_b);
        Some((k_c / n_c - k_b / n_b) / variance.sqrt())
    }
}

#[derive(Debug, Default)]
pub(super) struct ZTest(Counts);

impl Judge for ZTest {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        self.0.add(tick);
        self.0.z().is_some_and(|z| z > Z)
    }
}

#[derive(Debug, Default)]
pub(super) struct Fisher(Counts);

impl Judge for Fisher {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        self.0.add(tick);
        // Far from the line there is nothing to work out.
        self.0.z().is_some_and(|z| z > 1.0) && tail(&self.0) < ALPHA
    }
}

/// The chance that so many or more of all failures fall on the canary.
fn tail(counts: &Counts) -> f64 {
    let Counts { n_c, k_c, n_b, k_b } = *counts;
    let all = k_c + k_b;
    let choose = |n: u64, k: u64| log_factorial(n) - log_factorial(k) - log_factorial(n - k);
    let mut term = (choose(n_c, k_c) + choose(n_b, all - k_c) - choose(n_c + n_b, all)).exp();
    let mut sum = 0.0;
    for k in k_c..=all.min(n_c) {
        sum += term;
        if term < 1e-9 * sum {
            break;
        }
        let left = (n_b + k + 1).saturating_sub(all) as f64;
        term *= (n_c - k) as f64 * (all - k) as f64 / ((k + 1) as f64 * left.max(1.0));
    }
    sum
}

/// ln n!
fn log_factorial(n: u64) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let logs = (1..4_096).scan(0.0, |sum, n| {
            *sum += f64::from(n).ln();
            Some(*sum)
        });
        std::iter::once(0.0).chain(logs).collect()
    });
    // Stirling's series, exact to 1e-12 from there on.
    table.get(n as usize).copied().unwrap_or_else(|| {
        let n = n as f64;
        n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n)
            - 1.0 / (360.0 * n.powi(3))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_fishers() {
        // The lady tasting tea: 3 or more of 4 right, 17 in 70.
        let tea = Counts { n_c: 4, k_c: 3, n_b: 4, k_b: 1 };
        assert!((tail(&tea) - 17.0 / 70.0).abs() < 1e-12, "{}", tail(&tea));
        let all = Counts { n_c: 4, k_c: 4, n_b: 4, k_b: 0 };
        assert!((tail(&all) - 1.0 / 70.0).abs() < 1e-12);
        let whole = Counts { n_c: 9_000, k_c: 0, n_b: 9_000, k_b: 90 };
        assert!((tail(&whole) - 1.0).abs() < 1e-6, "{}", tail(&whole));
    }
}
