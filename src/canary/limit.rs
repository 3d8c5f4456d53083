//! How soon a canary can be found out at all.

use super::evidence::divergence;

/// The calls, of both arms together, that *any* test needs on average to find a canary that fails
/// with probability `p_c` beside a baseline that fails with `p_b`, if it gets the share `w` of the
/// calls, and a canary like its baseline may be accused with probability `alpha` at most, ever.
///
/// `ln(1/alpha) / (w KL(p_c, q) + (1-w) KL(p_b, q))` with `q = w p_c + (1-w) p_b`: the test must hold
/// for any rate that both share, and `q` is the one that is hardest to tell apart (Wald). Infinite
/// where there is nothing to find.
///
/// ```
/// use seawall::canary;
///
/// // From 1 % to 6 % at a share of 5 %: 2,610 calls, 130 of them to the canary.
/// let calls = canary::limit(0.001, 0.01, 0.06, 0.05);
/// assert_eq!(calls.round(), 2610.0);
/// ```
pub fn limit(alpha: f64, p_b: f64, p_c: f64, w: f64) -> f64 {
    let q = w * p_c + (1.0 - w) * p_b;
    -alpha.ln() / (w * divergence(p_c, q) + (1.0 - w) * divergence(p_b, q))
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_one_that_was_published() {
        for (p_b, p_c, w, calls) in [
            (0.001, 0.002, 0.01, 1_809_229.0),
            (0.001, 0.051, 0.05, 1_211.0),
            (0.01, 1.0, 0.5, 10.0),
            (0.05, 0.10, 0.5, 1_506.0),
        ] {
            let found = limit(0.001, p_b, p_c, w);
            assert!((found - calls).abs() < 0.6, "{found} is not {calls}");
        }
        assert_eq!(limit(0.001, 0.01, 0.01, 0.05), f64::INFINITY);
    }
}
