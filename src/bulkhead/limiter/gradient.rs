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
    /// Long-term seconds.
    long: Option<f64>,
}

/// How much of each step is taken.
const SMOOTHING: f64 = 0.2;
/// How much of a window goes into the long-term latency.
const MEMORY: f64 = 2.0 / 601.0;

impl Default for Gradient {
    fn default() -> Self {
        Self { tolerance: 1.5, long: None }
    }
}

impl Gradient {
    /// With the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many times the long-term latency is no reason to go down. Default 1.5; 1 to 10.
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
        let mut long = self.long.unwrap_or(short);
        long += (short - long) * MEMORY;
        if long > 2.0 * short {
            // The service became faster: what was long ago is no guide.
            long *= 0.95;
        }
        self.long = Some(long);
        let gradient = (self.tolerance * long / short).clamp(0.5, 1.0);
        let aim = limit * gradient + limit.sqrt().max(4.0);
        limit + (aim - limit) * SMOOTHING
    }

    fn baseline(&self) -> Option<Duration> {
        self.long.map(Duration::from_secs_f64)
    }

    fn rebase(&mut self, latency: Duration) {
        self.long = Some(latency.as_secs_f64());
    }

    fn check(&self) -> Result<(), ConfigError> {
        let range = "from 1 to 10";
        check("tolerance", self.tolerance, range, |t| (1.0..=10.0).contains(t)).map(|_| ())
    }
}
