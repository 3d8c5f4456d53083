//! What a detector is told of one interval.

use std::time::Duration;

use crate::verdict::Arms;

/// The most latency thresholds there are: three quantiles of the baseline, and one of the user's.
pub(crate) const THRESHOLDS: usize = 4;

/// How calls are shared between the arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All go to the baseline: it is learned.
    Baseline,
    /// Both get some.
    Both,
    /// All go to the canary: the absolute guard alone judges it.
    Canary,
}

/// What both arms did since the last interval.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Interval {
    /// Calls that ended, and those that failed.
    pub errors: Arms,
    /// Answers that were checked, and those found wrong.
    pub bad_data: Arms,
    /// Calls that passed or exceeded each latency threshold, and those that exceeded it.
    pub slow: [Arms; THRESHOLDS],
    /// How much longer one arm's slow calls take than the other's: the difference of their 99 %
    /// quantiles.
    pub lag: Duration,
    /// How calls were shared.
    pub share: Share,
}

impl Default for Interval {
    fn default() -> Self {
        Self {
            errors: Arms::default(),
            bad_data: Arms::default(),
            slow: [Arms::default(); THRESHOLDS],
            lag: Duration::ZERO,
            share: Share::Both,
        }
    }
}

impl Interval {
    /// Nothing but outcomes, both arms having some.
    pub fn of_errors(errors: Arms) -> Self {
        Self { errors, ..Self::default() }
    }

    /// With the calls shared so.
    #[must_use]
    pub const fn share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// With this difference of the arms' 99 % quantiles of latency.
    #[must_use]
    pub const fn lag(mut self, lag: Duration) -> Self {
        self.lag = lag;
        self
    }

    /// With answers that were checked.
    #[must_use]
    pub const fn bad_data(mut self, bad_data: Arms) -> Self {
        self.bad_data = bad_data;
        self
    }
}
