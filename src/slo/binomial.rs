//! How likely so many bad calls are by chance.

/// P(X >= k) for X of `n` trials that each succeed with probability `p`.
///
/// Summed from the smaller end in logarithms, so that nothing under- or overflows; exact to about 1e-12
/// for the sizes that alerts ask about (`n p < 10`).
pub(crate) fn tail(n: u64, p: f64, k: u64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    // ln P(X = 0), then each from the one before.
    let ln_odds = (p / (1.0 - p)).ln();
    let mut ln_term = n as f64 * (-p).ln_1p();
    let mut below = 0.0;
    for i in 0..k {
        below += ln_term.exp();
        ln_term += ((n - i) as f64 / (i + 1) as f64).ln() + ln_odds;
    }
    // Where next to nothing is left, the difference would be rounding: sum the tail itself.
    if 1.0 - below > 1e-6 {
        return 1.0 - below;
    }
    let mut above = 0.0;
    for i in k..=n {
        let term = ln_term.exp();
        above += term;
        if term < above * 1e-17 {
            break;
        }
        ln_term += ((n - i) as f64 / (i + 1) as f64).ln() + ln_odds;
    }
    above
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_what_can_be_worked_out_by_hand() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.max(1e-9);
        assert!(close(tail(10, 0.0144, 1), 1.0 - (1.0_f64 - 0.0144).powi(10)));
        assert!((tail(10, 0.0144, 1) - 0.135).abs() < 5e-4);
        assert!((tail(10, 0.0144, 2) - 0.0086).abs() < 5e-5);
        assert!(close(tail(3, 0.5, 2), 0.5));
        assert!(close(tail(4, 0.25, 4), 0.25_f64.powi(4)));
        assert!(close(tail(100, 0.01, 100), 0.01_f64.powi(100)) || tail(100, 0.01, 100) < 1e-190);
    }

    #[test]
    fn the_ends_are_certain() {
        assert_eq!(tail(10, 0.3, 0), 1.0);
        assert_eq!(tail(10, 0.3, 11), 0.0);
        assert_eq!(tail(10, 0.0, 1), 0.0);
        assert_eq!(tail(10, 1.44, 3), 1.0);
    }
}
