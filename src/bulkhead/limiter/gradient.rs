//! Follows the ratio of how long answers took lately to how long they take now.

use std::time::Duration;

use super::window::{Limiter, Window};
use crate::error::{ConfigError, check};

/// Multiplies the limit with the gradient, long-term latency by latency now, and adds room for a short
/// queue.
///
/// Latency may be [`tolerance`](Self::tolerance) times the long-term one before the limit goes down.
/// (After `Gradient2Limit` of Netflix's concurrency-limits. There the long-term average follows
/// whatever it sees, so that under a lasting overload the limit creeps up; here it is measured anew
/// without a queue, again and again.)
#[derive(Clone, Copy, Debug)]
pub struct Gradient {
    tolerance: f64,
    /// Seconds without a queue, as measured.
    baseline: Option<f64>,
    /// Long-term seconds.
    long: f64,
}

/// How much of each step is taken.
const SMOOTHING: f64 = 0.2;
/// How much of a window goes into the long-term latency.
const MEMORY: f64 = 2.0 / 601.0;
/// How far the long-term latency may rise above what was measured without a queue.
const DRIFT: f64 = 1.1;

impl Default for Gradient {
    fn default() -> Self {
        Self { tolerance: 1.25, baseline: None, long: 0.0 }
    }
}

impl Gradient {
    /// With the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many times the long-term latency is no reason to go down. Default 1.25; 1 to 10.
    #[must_use]
    pub fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = times;
        self
    }
}

impl Limiter for Gradient {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        if window.is_overload() {
            return limit * (1.0 - SMOOTHING / 2.0);
        }
        let short = window.latency.as_secs_f64();
        let Some(baseline) = self.baseline else {
            (self.baseline, self.long) = (Some(short), short);
            return limit;
        };
        self.long += (short - self.long) * MEMORY;
        if self.long > 2.0 * short {
            // The service became faster: what was long ago is no guide.
            self.long *= 0.95;
        }
        // A queue that stays must not become what is normal.
        self.long = self.long.min(baseline * DRIFT);
        self.baseline = Some(baseline.min(self.long));
        let gradient = (self.tolerance * self.long / short).clamp(0.5, 1.0);
        let aim = limit * gradient + limit.sqrt().max(4.0);
        limit + (aim - limit) * SMOOTHING
    }

    fn baseline(&self) -> Option<Duration> {
        self.baseline.map(Duration::from_secs_f64)
    }

    fn rebase(&mut self, latency: Duration) {
        let latency = latency.as_secs_f64();
        (self.baseline, self.long) = (Some(latency), latency);
    }

    fn check(&self) -> Result<(), ConfigError> {
        let range = "from 1 to 10";
        check("tolerance", self.tolerance, range, |t| (1.0..=10.0).contains(t)).map(|_| ())
    }
}
