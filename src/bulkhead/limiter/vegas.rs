//! Keeps a few calls queueing in the service, no more: as many as tell that it is busy.

use std::time::Duration;

use super::window::{Limiter, Window};

/// Estimates the queue inside the service from how much longer answers take than without one, and
/// keeps it short: between 3 and 6 times the logarithm of the limit.
///
/// If an answer takes `b` without a queue and `r` now, then of `limit` calls in flight `limit x (1 -
/// b/r)` are waiting, by Little's law. (Brakmo, O'Malley and Peterson, "TCP Vegas: New Techniques for
/// Congestion Detection and Avoidance", 1994; thresholds after `VegasLimit` of Netflix's
/// concurrency-limits.) A queue that is far too long is halved at once, not cut by one call at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vegas {
    /// Seconds without a queue.
    baseline: Option<f64>,
    /// Seconds, lately: a single window is luck as often as it is news.
    lately: f64,
}

impl Vegas {
    /// It has nothing to set.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Limiter for Vegas {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        let unit = limit.log10().max(1.0);
        if window.is_overload() {
            return (limit * 0.9).min(limit - unit);
        }
        let latency = window.latency.as_secs_f64();
        let Some(baseline) = self.baseline else {
            (self.baseline, self.lately) = (Some(latency), latency);
            return limit;
        };
        self.lately += (latency - self.lately) / 8.0;
        let baseline = baseline.min(self.lately);
        self.baseline = Some(baseline);
        let queue = (limit * (1.0 - baseline / latency)).ceil();
        // The estimate is no better than the baseline: of a high limit, some share is allowed for that.
        let (short, few, many) =
            (unit, (3.0 * unit).max(limit / 5.0), (6.0 * unit).max(limit / 3.0));
        if queue <= short {
            limit + 6.0 * unit
        } else if queue < few {
            limit + unit
        } else if queue > many {
            limit - unit.max((queue - many) / 2.0)
        } else {
            limit
        }
    }

    fn baseline(&self) -> Option<Duration> {
        self.baseline.map(Duration::from_secs_f64)
    }

    fn rebase(&mut self, latency: Duration) {
        let latency = latency.as_secs_f64();
        (self.baseline, self.lately) = (Some(latency), self.lately.max(latency));
    }
}
