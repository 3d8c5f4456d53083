//! What can be set.

use crate::clock::Clock;
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};

/// The settings of a [`BulkheadLayer`](super::BulkheadLayer).
///
/// ```
/// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
///
/// let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(64)).unwrap();
/// let error = BulkheadLayer::new(BulkheadConfig::new("payments").limit(0)).unwrap_err();
/// assert_eq!(error.to_string(), "limit is 0, but must be from 1 to 4294967295");
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadConfig {
    pub(super) name: &'static str,
    pub(super) limit: usize,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

impl BulkheadConfig {
    /// A bulkhead called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        let (clock, observers) = (Clock::default(), Observers::default());
        Self { name, limit: 100, clock, observers }
    }

    /// How many calls may be in flight at once. Default 100; 1 ..= 4,294,967,295. Live.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The clock that stamps events. Default [`Clock::default`].
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

    /// The limit, if it is one.
    pub(super) fn checked_limit(&self) -> Result<u32, ConfigError> {
        check("limit", self.limit, "from 1 to 4294967295", |&limit| {
            limit >= 1 && u32::try_from(limit).is_ok()
        })
        .map(|limit| limit as u32)
    }
}
