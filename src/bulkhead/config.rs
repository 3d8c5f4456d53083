//! What can be set.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::limiter::{AdaptiveLimit, Limiter};
use super::places::{Shape, Shares};
use super::queue::Order;
use crate::clock::Clock;
use crate::criticality::Criticality;
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};
use crate::ratio::Ratio;

/// The longest wait: nobody listens for so long.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// The settings of a [`BulkheadLayer`](super::BulkheadLayer).
///
/// ```
/// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
///
/// let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(64)).unwrap();
/// let error = BulkheadLayer::new(BulkheadConfig::new("payments").limit(0)).unwrap_err();
/// assert_eq!(error.to_string(), "limit is 0, but must be from 1 to 2147483647");
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadConfig {
    pub(super) name: &'static str,
    pub(super) limit: usize,
    shares: [f64; 3],
    queue: Option<usize>,
    pub(super) max_wait: Duration,
    newest_first_after: Option<Duration>,
    adaptive: Option<MakeLimiter>,
    limits: RangeInclusive<u32>,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

/// Makes the limiter of a layer.
#[derive(Clone)]
struct MakeLimiter(Arc<dyn Fn() -> Box<dyn Limiter> + Send + Sync>);

impl fmt::Debug for MakeLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)().fmt(f)
    }
}

/// Checked settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) shape: Shape,
    pub(super) limit: u32,
    pub(super) shares: Shares,
    pub(super) order: Order,
}

impl BulkheadConfig {
    /// A bulkhead called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            limit: 100,
            shares: [0.0; 3],
            queue: None,
            max_wait: Duration::from_secs(1),
            newest_first_after: None,
            adaptive: None,
            limits: 1..=1_000,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// How many calls may be in flight at once; with [`adaptive`](Self::adaptive), at first. Default 100;
    /// 1 ..= 2,147,483,647, or 32,767 where classes have shares. Live.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The share of the limit that calls of `class` have for themselves, if they come. Default 0: they
    /// take what the others leave; 0 ..= 1, all together at most 1. Live, but for the first: whether
    /// there are classes is fixed at build.
    ///
    /// What a class doesn't use is lent, but for some room to come back: `1 + √n` places, if it has `n`
    /// calls in flight, and one if it has none. Which class a request is of is told by
    /// [`BulkheadLayer::rank`](super::BulkheadLayer::rank).
    #[must_use]
    pub fn share(mut self, class: Criticality, share: f64) -> Self {
        self.shares[class as usize] = share;
        self
    }

    /// Was a class given anything of its own?
    pub(crate) fn has_shares(&self) -> bool {
        self.shares != [0.0; 3]
    }

    /// How many calls of each class may wait for a place. Default none: a call that finds no place is
    /// refused at once; 1 ..= 1,000,000. Live, but for whether there is a queue.
    ///
    /// A bulkhead with a queue is made by [`BulkheadLayer::queued`](super::BulkheadLayer::queued).
    #[must_use]
    pub fn queue(mut self, length: usize) -> Self {
        self.queue = Some(length);
        self
    }

    /// How long a call may wait for a place. Default 1 s; 0 ..= 1 hour. With 0 nothing waits, and neither
    /// a timer nor a runtime is needed. Live, for calls that come from then on.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Serves who came last first, once the queue hasn't been empty for so long. Default never: first
    /// come, first served; 0 ..= 1 hour. Live.
    ///
    /// While overloaded for long, first come first served makes everybody wait as long as anybody will
    /// bear, and serves those who have just left. 100 ms suits callers who wait for a second or two.
    #[must_use]
    pub fn newest_first_after(mut self, overload: Duration) -> Self {
        self.newest_first_after = Some(overload);
        self
    }

    /// Lets `limiter` move the limit, by how long answers take. Default none: the limit is as it is set.
    /// Fixed at build. Costs two looks at the clock a call.
    #[must_use]
    pub fn adaptive(mut self, limiter: impl Limiter + Clone + Sync) -> Self {
        self.adaptive = Some(MakeLimiter(Arc::new(move || Box::new(limiter.clone()))));
        self
    }

    /// Between which limits an adaptive one moves. Default 1 ..= 1,000; from 1 on, and the
    /// [`limit`](Self::limit) within. Fixed at build.
    #[must_use]
    pub fn limits(mut self, limits: RangeInclusive<u32>) -> Self {
        self.limits = limits;
        self
    }

    /// The clock that stamps events and times calls. Default [`Clock::default`]. Waiting is timed by
    /// tokio's timer.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the layer is built.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }

    /// The same settings under another name.
    pub(crate) fn rename(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// With the clock and the observers of a whole stack.
    pub(crate) fn share_with(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    fn has_classes(&self) -> bool {
        self.shares != [0.0; 3]
    }

    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive.is_some()
    }

    /// The settings, if they can be; `queued` says whether calls may wait.
    pub(super) fn settings(&self, queued: bool) -> Result<Settings, ConfigError> {
        let shape = if self.has_classes() { Shape::Three } else { Shape::One };
        let range = match shape {
            Shape::One => "from 1 to 2147483647",
            Shape::Three => "from 1 to 32767, where classes have shares",
        };
        let fits = |limit: u64| limit >= 1 && limit <= shape.max_limit().into();
        check("limit", self.limit, range, |limit| fits(*limit as u64))?;
        if self.is_adaptive() {
            check("limits", &self.limits, range, |limits| fits((*limits.end()).into()))?;
        }
        let ranges = "from 0 to 1, all together at most 1";
        let mut ppm = [0; 3];
        for (ppm, share) in ppm.iter_mut().zip(self.shares) {
            // A share above zero is one, however small.
            let ratio =
                Ratio::new(share).ok_or_else(|| ConfigError::new("share", share, ranges))?;
            *ppm = if share > 0.0 { ratio.ppm().max(1) } else { 0 };
        }
        check("share", self.shares, ranges, |_| ppm.iter().sum::<u32>() <= 1_000_000)?;
        Ok(Settings {
            shape,
            limit: self.limit as u32,
            shares: if shape == Shape::One { Shares::NONE } else { Shares::new(ppm) },
            order: self.order(queued)?,
        })
    }

    fn order(&self, queued: bool) -> Result<Order, ConfigError> {
        match (self.queue, queued) {
            (Some(_), false) => {
                check(
                    "queue",
                    self.queue,
                    "left out, or given to `BulkheadLayer::queued`",
                    |_| false,
                )?;
            }
            (None, true) => {
                check("queue", self.queue, "from 1 to 1000000", |_| false)?;
            }
            _ => {}
        }
        let length = self.queue.unwrap_or(0);
        check("queue", length, "from 1 to 1000000", |l| !queued || (1..=1_000_000).contains(l))?;
        let hour = "at most 1 hour";
        check("max_wait", self.max_wait, hour, |wait| *wait <= MAX_WAIT)?;
        check("newest_first_after", self.newest_first_after, hour, |after| {
            after.is_none_or(|after| after <= MAX_WAIT)
        })?;
        Ok(Order { length: length as u32, newest_first_after: self.newest_first_after })
    }

    /// The limit that moves by itself, if there is one.
    pub(super) fn adaptive_limit(
        &self,
        initial: u32,
    ) -> Result<Option<AdaptiveLimit>, ConfigError> {
        let make =
            |make: &MakeLimiter| AdaptiveLimit::new((make.0)(), initial, self.limits.clone());
        self.adaptive.as_ref().map(make).transpose()
    }

    /// The settings for a bulkhead that has those of `before`.
    pub(super) fn settings_over(
        &self,
        before: &Self,
        queued: bool,
    ) -> Result<Settings, ConfigError> {
        check("share", self.shares, "as at build: with classes, or without", |_| {
            self.has_classes() == before.has_classes()
        })?;
        check("adaptive", &self.adaptive, "as it was at build", |_| {
            match (&self.adaptive, &before.adaptive) {
                (None, None) => true,
                (Some(one), Some(other)) => Arc::ptr_eq(&one.0, &other.0),
                _ => false,
            }
        })?;
        check("limits", &self.limits, "as they were at build", |limits| **limits == before.limits)?;
        if self.is_adaptive() {
            let limit = self.limit;
            check("limit", limit, "within `limits`", |limit| {
                u32::try_from(*limit).is_ok_and(|limit| self.limits.contains(&limit))
            })?;
        }
        self.settings(queued)
    }
}
