//! The plan that keeps the last good response per key, and gives it out when a call goes wrong.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::cached_config::{CachedConfig, CachedSettings};
use super::keep::{Keep, Verdict};
use super::plan::{Failed, Plan};
use super::recent::{Look, Recent};
use super::share::Share;
use super::store::{Digest, Entry, OVERHEAD, Store};
use crate::clock::{Moment, Stopwatch};
use crate::error::ConfigError;
use crate::event::{Kind, Sinks};
use crate::key::Key;
use crate::live::Live;
use crate::ratio::Ratio;
use crate::stale::Staleness;
use crate::sync::{AtomicU64, Ordering};

/// Keeps good responses by its rules `K`, in the form `T`: the [`Plan`] of
/// [`FallbackLayer::cached`](super::FallbackLayer::cached).
#[derive(Debug)]
pub struct Cached<K, T> {
    rules: K,
    core: Arc<Core<T>>,
}

/// All but the rules: what the handle reaches.
#[derive(Debug)]
pub(super) struct Core<T> {
    pub(super) store: Store<T>,
    pub(super) recent: Recent,
    pub(super) share: Share,
    pub(super) sinks: Arc<Sinks>,
    pub(super) clock: Stopwatch,
    /// As last set; changed through the handle.
    pub(super) settings: Mutex<CachedSettings>,
    /// The same, as calls read it: see the indices below.
    pub(super) live: Live<3>,
    pub(super) written: AtomicU64,
    pub(super) too_large: AtomicU64,
}

const MAX_STALE: usize = 0;
const REFRESH_AGE: usize = 1;
const STALE_ALERT: usize = 2;

/// What a cached fallback takes from a request.
#[derive(Debug)]
pub struct Asking<A>(What<A>);

/// Small, as it travels with every call.
#[derive(Debug)]
enum What<A> {
    /// A declared read.
    Read {
        key: Key,
        asked: A,
        /// When the call was first seen pending, in nanoseconds; a call that never is takes no time.
        began: Option<NonZeroU64>,
    },
    /// No read; if it succeeds, the read of this key is out of date.
    Write(Key),
    /// No read, and nothing is out of date.
    Other,
}

impl<K, T> Cached<K, T> {
    /// The plan, and the classifier that was among its settings.
    pub(super) fn new<C>(
        config: CachedConfig<K, C>,
        sinks: Arc<Sinks>,
    ) -> Result<(Self, C), ConfigError> {
        let words = config.settings.checked()?;
        let share = Share::new(config.checked_share_window()?);
        let core = Core {
            store: Store::new(config.capacity, config.shards, config.max_entry)?,
            recent: Recent::new(config.capacity / 4096),
            share,
            sinks,
            clock: Stopwatch::new(config.clock, config.settings.shortest()),
            settings: Mutex::new(config.settings),
            live: Live::new(words),
            written: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
        };
        let plan = Self { rules: config.rules, core: Arc::new(core) };
        Ok((plan, config.classify))
    }

    pub(super) fn core(&self) -> &Arc<Core<T>> {
        &self.core
    }
}

impl<Req, Res, E, K, T> Plan<Req, Res, E> for Cached<K, T>
where
    K: Keep<Req, Res, Kept = T>,
{
    type Context = Asking<K::Asked>;

    #[inline]
    fn context(&self, request: &Req) -> Self::Context {
        Asking(match self.rules.key(request) {
            Some((key, asked)) => What::Read { key, asked, began: None },
            None => match self.rules.outdates(request) {
                Some(key) => What::Write(key),
                None => What::Other,
            },
        })
    }

    #[inline]
    fn pending(&self, context: &mut Self::Context) {
        if let What::Read { began, .. } = &mut context.0 {
            if began.is_none() {
                // A response is as old as its request, at most: so its age is never told too young.
                *began = NonZeroU64::new(self.core.clock.now().as_nanos());
            }
        }
    }

    #[inline]
    fn good(&self, context: &Self::Context, response: &Res) {
        let (key, asked, began) = match &context.0 {
            What::Read { key, asked, began } => (key, asked, *began),
            What::Write(outdated) => {
                self.core.forget(outdated);
                return;
            }
            What::Other => return,
        };
        let began = match began {
            Some(nanos) => Moment::from_nanos(nanos.get()),
            None => self.core.clock.now(),
        };
        if self.rules.revokes(response) {
            self.core.forget(key);
        } else if self.core.is_due(key, began) {
            self.core.refresh(*key, began, self.rules.keep(asked, response));
        }
        if let Some(alert) = self.core.share.fresh(|| self.core.stale_alert()) {
            self.core.tell(began, alert);
        }
    }

    fn answer(&self, context: &Self::Context, failed: &Failed<'_, Res, E>) -> Option<Res> {
        let What::Read { key, asked, .. } = &context.0 else {
            return None;
        };
        let now = self.core.clock.now();
        let Some((entry, age)) = self.core.find(key, now) else {
            self.core.share.missed();
            return None;
        };
        let cause = failed.cause;
        let answer = self.rules.give(asked, &entry.value, Staleness { age, cause });
        if let Some(alert) = self.core.share.stale(self.core.stale_alert()) {
            self.core.tell(now, alert);
        }
        Some(answer)
    }
}

impl<T> Core<T> {
    /// Is it this call that refreshes the key?
    #[inline]
    fn is_due(&self, key: &Key, began: Moment) -> bool {
        let [refresh_age] = self.live.read([REFRESH_AGE]);
        let refresh_age = Duration::from_nanos(refresh_age);
        match self.recent.look(Digest::of(key), began, refresh_age) {
            Look::Recent => false,
            Look::Due(claim) => self.recent.claim(claim, began),
            Look::Unknown(claim) => {
                self.is_older(key, began, refresh_age) && self.recent.claim(claim, began)
            }
        }
    }

    /// Is what the store has older than the refresh age, or is there nothing?
    #[cold]
    fn is_older(&self, key: &Key, began: Moment, refresh_age: Duration) -> bool {
        let Some(entry) = self.store.peek(key) else {
            return true;
        };
        if entry.began > began {
            // A slow call, overtaken by one that began later; or the clock has gone back, and the
            // entry is from a future that never came.
            return entry.began > self.clock.now();
        }
        began.since(entry.began) >= refresh_age
    }

    fn refresh(&self, key: Key, began: Moment, verdict: Verdict<T>) {
        let kept = match verdict {
            Verdict::Keep(kept) => kept,
            Verdict::Leave => return,
            Verdict::Forget => {
                self.forget(&key);
                return;
            }
        };
        let entry = Entry {
            value: kept.value,
            began,
            age: kept.age,
            max_stale: kept.max_stale,
            weight: (kept.bytes as u64).saturating_add(OVERHEAD),
        };
        let count = if self.store.put(key, entry) { &self.written } else { &self.too_large };
        // Relaxed: a counter nothing hangs on.
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops what is kept under `key`, so that the next good call keeps anew.
    pub(super) fn forget(&self, key: &Key) -> bool {
        // A look first: most keys aren't there, and a look doesn't keep other readers out.
        let removed = self.store.peek(key).is_some() && self.store.remove(key);
        if removed {
            // After the store: whoever refreshes in between may be put off, never forgotten.
            self.recent.forget(Digest::of(key));
        }
        removed
    }

    /// What is kept under `key`, if it is young enough, and its age.
    #[inline]
    fn find(&self, key: &Key, now: Moment) -> Option<(Arc<Entry<T>>, Duration)> {
        let entry = self.store.get(key)?;
        let [max_stale] = self.live.read([MAX_STALE]);
        let limit = Duration::from_nanos(max_stale).min(entry.max_stale);
        let age = entry.age.saturating_add(now.since(entry.began));
        // After the clock went back nobody knows how old it is.
        (entry.began <= now && age <= limit).then_some((entry, age))
    }

    fn stale_alert(&self) -> Option<Ratio> {
        let [ppm] = self.live.read([STALE_ALERT]);
        Ratio::from_ppm(ppm as u32)
    }

    #[cold]
    fn tell(&self, at: Moment, alert: bool) {
        self.sinks.event(at, Kind::StaleShare(alert));
    }
}
