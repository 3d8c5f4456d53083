//! What a layer's handle can be asked for at any moment: levels, and counts that it keeps anyway.
//!
//! Events tell what changed; calls in flight or what is left of a budget have no moment at which they
//! change, and are looked at instead. Every handle that has something to show is a [`Measure`], so that
//! whoever looks needn't know the rooms.

use std::sync::Arc;

use crate::error::Room;
use crate::ratio::Ratio;
use crate::verdict::{Arm, Verdict};

/// Can be looked at from time to time. Looking never writes.
///
/// ```
/// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
/// use seawall::measure::{Level, Measure};
///
/// let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(7)).unwrap();
/// let mut limit = None;
/// layer.handle().measure(&mut |seen| {
///     if let Level::Limit(most) = seen.level {
///         limit = Some((seen.name, most));
///     }
/// });
/// assert_eq!(limit, Some(("payments", 7)));
/// ```
pub trait Measure {
    /// Shows each level once.
    fn measure(&self, show: &mut dyn FnMut(Measurement));
}

impl<M: Measure + ?Sized> Measure for &M {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        (**self).measure(show);
    }
}

impl<M: Measure + ?Sized> Measure for Arc<M> {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        (**self).measure(show);
    }
}

/// Nothing to show: a part that was left out.
impl Measure for () {
    fn measure(&self, _: &mut dyn FnMut(Measurement)) {}
}

/// One level of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// The kind of layer.
    pub room: Room,
    /// The instance's name.
    pub name: &'static str,
    /// What, and how much.
    pub level: Level,
}

impl Measurement {
    /// A level of the `room` called `name`.
    pub const fn new(room: Room, name: &'static str, level: Level) -> Self {
        Self { room, name, level }
    }
}

/// What is looked at. Those in the past tense are totals since the layer was built.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Level {
    /// The share of failures in a breaker's window.
    FailureRatio(Ratio),
    /// The share of slow calls in a breaker's window.
    SlowRatio(Ratio),
    /// Calls in flight, or things of a pool in use.
    InFlight(u32),
    /// How many there may be.
    Limit(u32),
    /// Calls that wait for a place.
    Waiting(u32),
    /// The share in use.
    Utilization(Ratio),
    /// What is left of a budget for repetitions, as a share of the most it holds.
    Budget(Ratio),
    /// Attempts after the first.
    Retried(u64),
    /// Second calls of a hedge.
    Hedged(u64),
    /// Bytes in a cache.
    CacheBytes(u64),
    /// Responses in a cache.
    CacheEntries(u64),
    /// The share of stale answers among the recent ones.
    StaleShare(Ratio),
    /// How fast an objective's budget burns.
    Burn {
        /// Over which window: `5m`, `1h`, ...
        window: &'static str,
        /// 1 uses the budget up in its period.
        rate: f64,
    },
    /// What is left of an objective's budget: 1 is all of it, negative is overspent.
    BudgetLeft(f64),
    /// The share of good calls that an objective asks for.
    Target(f64),
    /// Calls recorded against an objective.
    Recorded {
        /// All of them.
        total: u64,
        /// Those that were bad.
        bad: u64,
    },
    /// What is to be thought of a canary.
    Verdict(Verdict),
    /// The canary's share of the calls.
    Weight(Ratio),
    /// The evidence that the canary is worse, in nats.
    Evidence(f64),
    /// Calls of one arm that counted in a comparison, and those that failed.
    Compared {
        /// Which.
        arm: Arm,
        /// All of them.
        calls: u64,
        /// Those that failed.
        failed: u64,
    },
    /// The position of a kill switch: `run`, `bypass`, `halt`.
    Position(&'static str),
    /// Panics caught in observers, checks and hooks.
    HookPanics(u64),
}
