//! Evidence *for* a canary: that it is not worse than the baseline by more than a margin.
//!
//! That nothing was found against a canary after a hundred calls says little. So promotion bets the
//! other way round: against everything on the wrong side of the margin, on canaries as good as the
//! baseline, half as bad, and a quarter worse. When that bet has won `1/beta`-fold, the chance that a
//! canary beyond the margin came so far is at most `beta`.

use super::evidence::Margin;
use super::stream::Weighed;

const BETS: [f64; 3] = [1.0, 0.5, 1.25];

/// The evidence that the canary is not worse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promotion {
    logs: [f64; BETS.len()],
}

impl Promotion {
    pub(crate) fn new() -> Self {
        Self { logs: [0.0; BETS.len()] }
    }

    /// The log of the mean of the bets.
    pub(crate) fn log(&self) -> f64 {
        let most = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.logs.iter().map(|log| (log - most).exp()).sum();
        most + (sum / BETS.len() as f64).ln()
    }

    /// One more block.
    pub(crate) fn add(&mut self, weighed: &Weighed, margin: Margin) {
        let Weighed { block, b, phi } = weighed;
        for (log, times) in self.logs.iter_mut().zip(BETS) {
            let theta = times * b;
            // With the margin's odd settings a guess may lie beyond it: then it is no bet.
            if theta < margin.at(*b) {
                *log += margin.against(block, theta, *b) / phi;
            }
        }
    }
}
