//! What a detector goes by: the settings, checked, as numbers.

use super::evidence::Margin;

/// Checked settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// ln(1/alpha).
    pub(crate) line: f64,
    /// ln(1/beta).
    pub(crate) promotion_line: f64,
    pub(crate) tick: u64,
    /// The blocks of errors and bad data are this long; `None`: as long as the arms' latencies differ.
    pub(crate) block: Option<u64>,
    pub(crate) learn: u64,
    /// Until so long, or so many canary calls, after the first of them.
    pub(crate) warm_up: Option<(u64, u64)>,
    pub(crate) guard: Option<f64>,
    pub(crate) margin: Margin,
    pub(crate) tolerated: Option<Margin>,
    pub(crate) dwell: u64,
    pub(crate) no_data_after: u64,
    /// What the stream weighs in the evidence; together 1.
    pub(crate) weights: Weights,
}

/// What each kind of stream weighs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    pub(crate) errors: f64,
    /// Each of so many.
    pub(crate) slow: f64,
    pub(crate) thresholds: usize,
    pub(crate) bad_data: f64,
}

impl Weights {
    /// Errors, slow and bad data weigh as 6 : 3 : 1, and what isn't looked at weighs nothing.
    pub(crate) fn new(thresholds: usize, bad_data: bool) -> Self {
        let slow = if thresholds > 0 { 3.0 } else { 0.0 };
        let bad_data = if bad_data { 1.0 } else { 0.0 };
        let sum = 6.0 + slow + bad_data;
        Self {
            errors: 6.0 / sum,
            slow: slow / sum / thresholds.max(1) as f64,
            thresholds,
            bad_data: bad_data / sum,
        }
    }
}
