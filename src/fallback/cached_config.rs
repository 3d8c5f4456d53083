//! What can be set on a cached fallback.

use std::time::Duration;

use super::keep::{ByKey, SizeOf};
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};
use crate::key::Key;
use crate::outcome::ByResult;
use crate::ratio::Ratio;

/// The longest that anything is kept, in days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The settings of a cached fallback: see [`FallbackLayer::cached`](super::FallbackLayer::cached).
///
/// ```
/// use seawall::fallback::CachedConfig;
/// use seawall::key::Key;
/// use std::time::Duration;
///
/// enum Request {
///     Quote { customer: u64, product: u64 },
///     Charge { customer: u64, cents: u64 },
/// }
///
/// // A charge is no read: it has no key, and is never answered from the cache.
/// let config = CachedConfig::new("payments", |request: &Request| match request {
///     Request::Quote { customer, product } => Some(Key::of(&(customer, product))),
///     Request::Charge { .. } => None,
/// })
/// .max_stale(Duration::from_secs(600));
/// ```
#[derive(Clone, Debug)]
pub struct CachedConfig<K, C = ByResult> {
    pub(super) name: &'static str,
    pub(super) rules: K,
    pub(super) classify: C,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
    pub(super) settings: CachedSettings,
    pub(super) capacity: u64,
    pub(super) max_entry: Option<usize>,
    pub(super) shards: usize,
    pub(super) share_window: u32,
}

impl<F> CachedConfig<ByKey<F>> {
    /// A cached fallback called `name`, for the requests to which `key` gives a key.
    ///
    /// A key declares the operation a *read*: its answer may be repeated, to whoever sends a
    /// request with the same key, also when nobody knows whether the service got the request. So
    /// whose request it is belongs into the key wherever the answer depends on it.
    pub fn new<Req>(name: &'static str, key: F) -> Self
    where
        F: Fn(&Req) -> Option<Key>,
    {
        Self::with_rules(name, ByKey::new(key))
    }
}

impl<F> CachedConfig<ByKey<F, SizeOf>> {
    /// The bytes that a response takes up, all that it owns included. Default: the size of its
    /// type, which doesn't see what lies on the heap.
    #[must_use]
    pub fn weigh<Res, W>(self, weigh: W) -> CachedConfig<ByKey<F, W>>
    where
        W: Fn(&Res) -> usize,
    {
        self.map_rules(|rules| rules.weigh(weigh))
    }
}

impl<K> CachedConfig<K> {
    /// A cached fallback called `name`, by rules of your own (see [`Keep`](super::Keep)).
    pub fn with_rules(name: &'static str, rules: K) -> Self {
        Self {
            name,
            rules,
            classify: ByResult,
            clock: Clock::default(),
            observers: Observers::default(),
            settings: CachedSettings::default(),
            capacity: 64 << 20,
            max_entry: None,
            shards: 32,
            share_window: 1000,
        }
    }
}

impl<K, C> CachedConfig<K, C> {
    /// How old an answer may be. Default 20 minutes; 1 ms to 30 days. Live.
    ///
    /// It should outlast an outage, for after it there are no answers left: 12 minutes, say, and the
    /// five before it in which a key was last asked for.
    #[must_use]
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.settings = self.settings.max_stale(max_stale);
        self
    }

    /// How old a kept response must be before a good call replaces it. Default 1 s; 0 to
    /// `max_stale`. Live.
    ///
    /// Zero replaces it with every good call. The longer it is, the less a healthy service writes,
    /// and the older (by that much at most) the first stale answers are.
    #[must_use]
    pub fn refresh_age(mut self, refresh_age: Duration) -> Self {
        self.settings = self.settings.refresh_age(refresh_age);
        self
    }

    /// The share of stale answers at which [`Kind::StaleShare`](crate::event::Kind::StaleShare) is
    /// told. Default 0.1; above 0 and at most 1. Live.
    #[must_use]
    pub fn stale_alert(mut self, share: f64) -> Self {
        self.settings = self.settings.stale_alert(share);
        self
    }

    /// Over about how many recent answers that share is taken. Default 1,000; 10 ..= 1,000,000.
    ///
    /// When so many are counted, both they and the stale ones among them are halved. The share is
    /// judged from a tenth of that many on.
    #[must_use]
    pub fn share_window(mut self, answers: u32) -> Self {
        self.share_window = answers;
        self
    }

    /// How many bytes may be kept in all. Default 64 MiB; 64 KiB to 1 TiB.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// How many bytes one response may have; larger ones aren't kept, and are counted. Default
    /// 1 MiB, or what a shard takes if that is less; 1 to 97 % of `capacity / shards`, less the 160
    /// bytes that an entry costs besides.
    #[must_use]
    pub fn max_entry(mut self, bytes: usize) -> Self {
        self.max_entry = Some(bytes);
        self
    }

    /// Into how many parts, each with a lock and its share of the capacity, the store is split.
    /// Default 32; a power of two from 1 to 1,024.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Which results are failures, to be answered from the cache, and which are good, to be kept:
    /// see [`FallbackConfig::classify`](super::FallbackConfig::classify). Default [`ByResult`].
    #[must_use]
    pub fn classify<D>(self, classify: D) -> CachedConfig<K, D> {
        CachedConfig {
            name: self.name,
            rules: self.rules,
            classify,
            clock: self.clock,
            observers: self.observers,
            settings: self.settings,
            capacity: self.capacity,
            max_entry: self.max_entry,
            shards: self.shards,
            share_window: self.share_window,
        }
    }

    /// The clock that ages are taken with. Default [`Clock::default`].
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

    /// With the clock and the observers of a whole stack.
    pub(crate) fn share(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    /// The same settings, with other rules.
    #[must_use]
    pub fn map_rules<L>(self, change: impl FnOnce(K) -> L) -> CachedConfig<L, C> {
        CachedConfig {
            name: self.name,
            rules: change(self.rules),
            classify: self.classify,
            clock: self.clock,
            observers: self.observers,
            settings: self.settings,
            capacity: self.capacity,
            max_entry: self.max_entry,
            shards: self.shards,
            share_window: self.share_window,
        }
    }

    pub(super) fn checked_share_window(&self) -> Result<u32, ConfigError> {
        check("share_window", self.share_window, "from 10 to 1000000", |n| {
            (10..=1_000_000).contains(n)
        })
    }
}

/// The settings of a cached fallback that can be changed while calls run: see
/// [`CachedHandle::reconfigure`](super::CachedHandle::reconfigure).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedSettings {
    max_stale: Duration,
    refresh_age: Duration,
    stale_alert: f64,
}

impl Default for CachedSettings {
    fn default() -> Self {
        Self {
            max_stale: Duration::from_secs(1_200),
            refresh_age: Duration::from_secs(1),
            stale_alert: 0.1,
        }
    }
}

impl CachedSettings {
    /// As [`CachedConfig::max_stale`].
    #[must_use]
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.max_stale = max_stale;
        self
    }

    /// As [`CachedConfig::refresh_age`].
    #[must_use]
    pub fn refresh_age(mut self, refresh_age: Duration) -> Self {
        self.refresh_age = refresh_age;
        self
    }

    /// As [`CachedConfig::stale_alert`].
    #[must_use]
    pub fn stale_alert(mut self, share: f64) -> Self {
        self.stale_alert = share;
        self
    }

    /// Checked, as the live words: `max_stale`, `refresh_age` (both in ns), `stale_alert` (in ppm).
    /// The shortest span that is measured.
    pub(super) fn shortest(&self) -> Duration {
        self.max_stale.min(self.refresh_age)
    }

    pub(super) fn checked(&self) -> Result<[u64; 3], ConfigError> {
        let max_stale = check("max_stale", self.max_stale, "from 1ms to 30 days", |age| {
            (Duration::from_millis(1)..=LONGEST).contains(age)
        })?;
        let refresh_age =
            check("refresh_age", self.refresh_age, "at most max_stale", |&age| age <= max_stale)?;
        let alert =
            Ratio::new(self.stale_alert).filter(|share| *share > Ratio::ZERO).ok_or_else(|| {
                ConfigError::new("stale_alert", self.stale_alert, "above 0 and at most 1")
            })?;
        Ok([nanos(max_stale), nanos(refresh_age), alert.ppm().into()])
    }
}
