//! Two series of points, one a minute, compared by ranks.

use super::Judge;
use crate::canary::tick::{Outcomes, SECOND, Tick};

/// Ticks in a point.
const STEP: u64 = 60 * SECOND;
/// Points between two judgements.
const EVERY: usize = 10;
/// The interval is to hold the true difference with 98 %.
const Z: f64 = 2.326_348;
/// An increase is one if it is surely more than this share of its estimate.
const TOLERANCE: f64 = 0.25;

#[derive(Debug, Default)]
pub(super) struct Kayenta {
    ticks: u64,
    pending: [(u64, u64); 2],
    points: [Vec<f64>; 2],
}

impl Judge for Kayenta {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        for (pending, Outcomes { calls, bad, .. }) in
            self.pending.iter_mut().zip([tick.canary, tick.baseline])
        {
            *pending = (pending.0 + calls, pending.1 + bad);
        }
        self.ticks += 1;
        if self.ticks % STEP != 0 {
            return false;
        }
        for (points, (calls, bad)) in self.points.iter_mut().zip(std::mem::take(&mut self.pending))
        {
            // A minute without calls has no rate.
            if calls > 0 {
                points.push(bad as f64 / calls as f64);
            }
        }
        let [canary, baseline] = &self.points;
        canary.len().min(baseline.len()) >= EVERY
            && self.ticks % (STEP * EVERY as u64) == 0
            && is_high(canary, baseline)
    }
}

/// Is the canary's series classified as "High"?
fn is_high(canary: &[f64], baseline: &[f64]) -> bool {
    let mut differences: Vec<f64> =
        canary.iter().flat_map(|c| baseline.iter().map(move |b| c - b)).collect();
    differences.sort_by(f64::total_cmp);
    let (m, n) = (canary.len() as f64, baseline.len() as f64);
    let estimate = differences[differences.len() / 2];
    // The end of the interval for the shift, by the normal approximation of the rank sum.
    let end = 0.5 * m * n - Z * (m * n * (m + n + 1.0) / 12.0).sqrt();
    let lower = differences[(end.floor().max(1.0) as usize) - 1];
    lower > TOLERANCE * estimate.abs()
}
