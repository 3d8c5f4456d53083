//! One more while it goes well, a tenth less when it doesn't.

use std::time::Duration;

use super::window::{Limiter, Window};
use crate::error::{ConfigError, check};

/// Additive increase, multiplicative decrease: one more with each window that went well, and a share
/// less with each that didn't: more than a tenth of its calls were given up, or they took longer than
/// [`slow_after`](Self::slow_after).
///
/// Shares fairly between clients that know nothing of each other (Chiu and Jain, "Analysis of the
/// Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989). It must be
/// told what slow is: when the service as a whole becomes slower than that, it goes down to the lowest
/// limit and stays there. (After `AIMDLimit` of Netflix's concurrency-limits.)
#[derive(Clone, Copy, Debug)]
pub struct Aimd {
    backoff: f64,
    slow_after: Option<Duration>,
}

impl Default for Aimd {
    fn default() -> Self {
        Self { backoff: 0.9, slow_after: None }
    }
}

impl Aimd {
    /// With the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is left of the limit after a window that didn't go well. Default 0.9; from 0.5, below 1.
    #[must_use]
    pub fn backoff(mut self, backoff: f64) -> Self {
        self.backoff = backoff;
        self
    }

    /// From what average latency on a window didn't go well. Default none; above 0.
    #[must_use]
    pub fn slow_after(mut self, latency: Duration) -> Self {
        self.slow_after = Some(latency);
        self
    }
}

impl Limiter for Aimd {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        let slow = self.slow_after.is_some_and(|slow| window.latency >= slow);
        if slow || window.is_overload() { limit * self.backoff } else { limit + 1.0 }
    }

    fn check(&self) -> Result<(), ConfigError> {
        check("backoff", self.backoff, "from 0.5, below 1", |b| (0.5..1.0).contains(b))?;
        check("slow_after", self.slow_after, "above 0", |slow| *slow != Some(Duration::ZERO))?;
        Ok(())
    }
}
