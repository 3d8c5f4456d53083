//! What a limiter sees, and what it must say.

use std::fmt;
use std::time::Duration;

use crate::error::ConfigError;

/// What the calls that ended in a short span of time showed.
///
/// Calls that were cancelled, or that the service failed, are not in it: they say nothing about how
/// long an answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// How long answers took, on average.
    pub latency: Duration,
    /// The most calls that were in flight.
    pub in_flight: u32,
    /// How many were answered.
    pub answered: u32,
    /// How many were given up: sent, and timed out.
    pub given_up: u32,
    /// How long the window was; zero if that isn't known.
    pub span: Duration,
}

impl Window {
    /// One answer after `latency`, with so many in flight.
    pub const fn new(latency: Duration, in_flight: u32) -> Self {
        Self { latency, in_flight, answered: 1, given_up: 0, span: Duration::ZERO }
    }

    /// With so many answers, and so many calls given up.
    #[must_use]
    pub const fn calls(mut self, answered: u32, given_up: u32) -> Self {
        (self.answered, self.given_up) = (answered, given_up);
        self
    }

    /// Of a window that was so long.
    #[must_use]
    pub const fn over(mut self, span: Duration) -> Self {
        self.span = span;
        self
    }

    /// Answers a second, if that is known.
    pub(super) fn rate(&self) -> Option<f64> {
        let span = self.span.as_secs_f64();
        (span > 0.0 && self.answered > 0).then(|| f64::from(self.answered) / span)
    }

    /// Were more than a tenth of the calls given up?
    pub const fn is_overload(&self) -> bool {
        self.given_up as u64 * 9 > self.answered as u64
    }
}

/// Says what the limit should be. Pure: no clock, no chance.
///
/// Bounds, idle times and nonsense are [`AdaptiveLimit`](super::AdaptiveLimit)'s business: `update` is
/// asked only about windows in which at least half of the limit was used (or calls were given up), and
/// whose latency isn't zero, unless nothing was answered at all.
pub trait Limiter: fmt::Debug + Send + 'static {
    /// The limit after `limit`, now that `window` was seen.
    fn update(&mut self, limit: f64, window: &Window) -> f64;

    /// How long an answer takes without a queue, as far as it knows. `None` if it doesn't care; then
    /// it is never measured anew.
    fn baseline(&self) -> Option<Duration> {
        None
    }

    /// An answer takes so long without a queue: that was measured.
    fn rebase(&mut self, _latency: Duration) {}

    /// Are its settings sound?
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that can't be.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

impl<L: Limiter + ?Sized> Limiter for Box<L> {
    fn update(&mut self, limit: f64, window: &Window) -> f64 {
        (**self).update(limit, window)
    }

    fn baseline(&self) -> Option<Duration> {
        (**self).baseline()
    }

    fn rebase(&mut self, latency: Duration) {
        (**self).rebase(latency);
    }

    fn check(&self) -> Result<(), ConfigError> {
        (**self).check()
    }
}
