//! The operator's look at a fallback.

use std::sync::Arc;

use super::layer::Counts;
use crate::error::Room;
use crate::event::Sinks;
use crate::measure::{Level, Measure, Measurement};
use crate::sync::Ordering;

#[cfg(feature = "cache")]
use {
    super::cached::Core, super::cached_config::CachedSettings, crate::error::ConfigError,
    crate::event::Kind, crate::key::Key, crate::ratio::Ratio,
};

/// Tells how often a fallback answered. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct FallbackHandle {
    counts: Arc<Counts>,
    sinks: Arc<Sinks>,
}

/// What a fallback has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Refused or failed calls that it answered.
    pub answered: u64,
    /// Refused or failed calls for which it had no answer.
    pub passed_on: u64,
}

impl FallbackHandle {
    pub(super) fn new(counts: Arc<Counts>, sinks: Arc<Sinks>) -> Self {
        Self { counts, sinks }
    }

    /// What it has done so far. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        // Relaxed: counters nothing hangs on.
        Snapshot {
            answered: self.counts.answered.load(Ordering::Relaxed),
            passed_on: self.counts.passed_on.load(Ordering::Relaxed),
        }
    }

    /// Panics caught in this fallback's observers.
    pub fn observer_panics(&self) -> u64 {
        self.sinks.panics()
    }
}

/// Reads a cached fallback, and changes its limits while calls run. Clones reach the same one.
#[cfg(feature = "cache")]
pub struct CachedHandle<T> {
    core: Arc<Core<T>>,
    counts: Arc<Counts>,
}

/// A cached fallback at one moment.
#[cfg(feature = "cache")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedSnapshot {
    /// Recent answers to declared reads, fresh or stale: at most the window. Fresh ones are counted
    /// only while stale ones are among them.
    pub recent: u64,
    /// Those of them that were stale.
    pub recent_stale: u64,
    /// Is the share of stale answers above its alert threshold?
    pub alerting: bool,
    /// Stale answers so far.
    pub stale: u64,
    /// Declared reads so far that were refused or failed, and for which nothing fit was kept.
    pub missed: u64,
    /// Responses written to the store so far.
    pub written: u64,
    /// Responses so far that were too large to keep.
    pub too_large: u64,
    /// Responses kept now.
    pub entries: usize,
    /// Their bytes, with 160 for each besides; never above the capacity.
    pub bytes: u64,
}

#[cfg(feature = "cache")]
impl CachedSnapshot {
    /// The share of stale answers among the recent ones; `None` before the first stale one.
    pub const fn stale_share(&self) -> Option<Ratio> {
        Ratio::of(self.recent_stale, self.recent)
    }

    /// The fresh ones among the recent answers.
    pub const fn recent_fresh(&self) -> u64 {
        self.recent - self.recent_stale
    }
}

#[cfg(feature = "cache")]
impl<T> CachedHandle<T> {
    pub(super) fn new(core: Arc<Core<T>>, counts: Arc<Counts>) -> Self {
        Self { core, counts }
    }

    /// The cache as it is. Never writes; looks at each shard of the store in turn.
    ///
    /// Fresh answers have no total of their own: counting them would be a write for every healthy
    /// call. The share of stale ones is taken over the recent answers instead.
    pub fn snapshot(&self) -> CachedSnapshot {
        let core = &*self.core;
        let (recent, missed) = core.share.read();
        let (entries, bytes) = core.store.size();
        CachedSnapshot {
            recent: recent.total,
            recent_stale: recent.failures,
            alerting: core.share.is_alerting(),
            missed,
            // Relaxed: counters nothing hangs on.
            stale: self.counts.answered.load(Ordering::Relaxed),
            written: core.written.load(Ordering::Relaxed),
            too_large: core.too_large.load(Ordering::Relaxed),
            entries,
            bytes,
        }
    }

    /// Changes live settings; what is kept stays.
    ///
    /// ```
    /// use seawall::fallback::{CachedConfig, FallbackLayer};
    /// use seawall::key::Key;
    /// use seawall::stale::Answer;
    /// use std::time::Duration;
    ///
    /// let config = CachedConfig::new("quotes", |id: &u64| Some(Key::of(id)));
    /// let handle = FallbackLayer::cached(config).unwrap().cache();
    /// # let _: &seawall::fallback::CachedHandle<Answer<u64>> = &handle;
    /// handle.reconfigure(|set| set.max_stale(Duration::from_secs(3600))).unwrap();
    /// let error = handle.reconfigure(|set| set.max_stale(Duration::ZERO)).unwrap_err();
    /// assert_eq!(error.field(), "max_stale");
    /// ```
    ///
    /// `change` runs while other changes wait: it must not call `reconfigure` itself.
    ///
    /// # Errors
    /// [`ConfigError`] as at construction; then nothing is changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(CachedSettings) -> CachedSettings,
    ) -> Result<(), ConfigError> {
        {
            let mut settings = self.core.settings.lock();
            let changed = change(*settings);
            self.core.live.publish(changed.checked()?);
            self.core.clock.measure(changed.shortest());
            *settings = changed;
        }
        let at = self.core.clock.now();
        self.core.sinks.event(at, Kind::Reconfigured);
        Ok(())
    }

    /// Drops what is kept under `key`, for instance because it was just changed; was there any?
    pub fn remove(&self, key: Key) -> bool {
        self.core.forget(&key)
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.core.store.clear();
        self.core.recent.clear();
    }

    /// Panics caught in this fallback's observers.
    pub fn observer_panics(&self) -> u64 {
        self.core.sinks.panics()
    }
}

#[cfg(feature = "cache")]
impl<T> Clone for CachedHandle<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.core), Arc::clone(&self.counts))
    }
}

#[cfg(feature = "cache")]
impl<T> std::fmt::Debug for CachedHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl Measure for FallbackHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let panics = Level::HookPanics(self.observer_panics());
        show(Measurement::new(Room::Fallback, self.sinks.name(), panics));
    }
}

#[cfg(feature = "cache")]
impl<T> Measure for CachedHandle<T> {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let seen = self.snapshot();
        let name = self.core.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Fallback, name, level));
        show(Level::CacheBytes(seen.bytes));
        show(Level::CacheEntries(seen.entries as u64));
        show(Level::StaleShare(seen.stale_share().unwrap_or(Ratio::ZERO)));
        show(Level::HookPanics(self.observer_panics()));
    }
}
