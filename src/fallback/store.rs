//! Where the last good responses lie: bounded in bytes, whatever the keys.
//!
//! Underneath is a [`quick_cache`] (S3-FIFO, sharded): a scan of keys that are seen once doesn't
//! flush those that are seen often. Entries are shared pointers, and what leaves the store is dropped
//! after the shard's lock is: so the user's `Clone` and `Drop` never run under it, and may call back
//! here. An entry larger than a shard would be dropped in silence
//! there; [`Store::new`] makes sure that none is let in.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::clock::Moment;
use crate::error::{ConfigError, check};
use crate::key::Key;

/// What an entry costs besides its response, in bytes: its own fields, the pointer's counts, and
/// its places in the store's table and list.
pub(super) const OVERHEAD: u64 = 160;

/// Entries of about this size are what the store's bookkeeping is sized for.
const USUAL_ENTRY: u64 = 4096;

/// The part of a shard that one entry may fill, in hundredths; the store keeps the rest for
/// newcomers.
const HOT: u64 = 97;

/// One kept response.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    /// When the call that brought it began.
    pub(super) began: Moment,
    /// How old it was then.
    pub(super) age: Duration,
    /// How old it may become.
    pub(super) max_stale: Duration,
    pub(super) weight: u64,
}

/// The last good response per key.
pub(super) struct Store<T> {
    cache: Cache<Key, Arc<Entry<T>>, ByWeight, Digest, DropLater>,
    max_entry: u64,
}

impl<T> Store<T> {
    /// A store of `capacity` bytes in `shards` parts; `max_entry` is what one entry may weigh, or
    /// as much as a shard takes, up to 1 MiB.
    pub(super) fn new(
        capacity: u64,
        shards: usize,
        max_entry: Option<usize>,
    ) -> Result<Self, ConfigError> {
        let shards = check("shards", shards, "a power of two from 1 to 1024", |&n| {
            n.is_power_of_two() && n <= 1024
        })?;
        check("capacity", capacity, "from 65536 to 2^40 bytes", |n| {
            (1 << 16..=1 << 40).contains(n)
        })?;
        let room = (capacity / shards as u64 * HOT / 100).saturating_sub(OVERHEAD);
        let max_entry = match max_entry {
            Some(given) => check(
                "max_entry",
                given as u64,
                "from 1 to 97 % of capacity / shards, less 160 bytes",
                |&n| (1..=room).contains(&n),
            )?,
            None => room.min(1 << 20),
        };
        // At least 32 a shard, or the store would take fewer shards than it was told.
        let entries = (capacity / USUAL_ENTRY).clamp(32 * shards as u64, 1 << 20);
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(capacity)
            .estimated_items_capacity(entries as usize)
            .hot_allocation(HOT as f64 / 100.0)
            .build()
            .map_err(|e| ConfigError::new("capacity", e, "one the store takes"))?;
        let cache = Cache::with_options(options, ByWeight, Digest, DropLater);
        Ok(Self { cache, max_entry })
    }

    /// The response kept under `key`; says that it was of use.
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry<T>>> {
        self.cache.get(key)
    }

    /// The same, without saying so.
    pub(super) fn peek(&self, key: &Key) -> Option<Arc<Entry<T>>> {
        self.cache.peek(key)
    }

    /// Keeps `entry`; `false` if it is too large.
    pub(super) fn put(&self, key: Key, entry: Entry<T>) -> bool {
        let fits = entry.weight <= self.max_entry + OVERHEAD;
        if fits {
            self.cache.insert(key, Arc::new(entry));
        }
        fits
    }

    pub(super) fn remove(&self, key: &Key) -> bool {
        self.cache.remove(key).is_some()
    }

    pub(super) fn clear(&self) {
        // One by one, not `Cache::clear`, which drops all of a shard under its lock.
        self.cache.drain().for_each(drop);
    }

    /// Responses kept, and their bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.cache.len(), self.cache.weight())
    }
}

impl<T> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = self.size();
        write!(f, "Store({entries} entries, {bytes} bytes)")
    }
}

#[derive(Clone, Copy, Debug)]
struct ByWeight;

impl<T> Weighter<Key, Arc<Entry<T>>> for ByWeight {
    fn weight(&self, _: &Key, entry: &Arc<Entry<T>>) -> u64 {
        entry.weight
    }
}

/// Holds what an insertion pushed out until the shard's lock is released. (The store's own default
/// does so for two entries, and drops any further ones on the spot.)
#[derive(Clone, Copy, Debug)]
struct DropLater;

impl<T> Lifecycle<Key, Arc<Entry<T>>> for DropLater {
    type RequestState = Vec<Arc<Entry<T>>>;

    fn begin_request(&self) -> Self::RequestState {
        Vec::new()
    }

    fn on_evict(&self, out: &mut Self::RequestState, _: Key, entry: Arc<Entry<T>>) {
        out.push(entry);
    }
}

/// A [`Key`] is a keyed digest already: half of it is as good a hash as any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest;

impl Digest {
    /// The hash of `key`.
    #[inline]
    pub(super) fn of(key: &Key) -> u64 {
        Self.hash_one(key)
    }
}

impl BuildHasher for Digest {
    type Hasher = Half;

    #[inline]
    fn build_hasher(&self) -> Half {
        Half(0)
    }
}

#[derive(Debug)]
pub(super) struct Half(u64);

impl Hasher for Half {
    #[inline]
    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached by a `Key`; right for whatever else would be hashed.
        for byte in bytes {
            self.0 = crate::rng::mix(self.0 ^ u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// `key` hashed with the store's own hasher: see [`Digest`].
#[cfg(test)]
fn hash_of(key: impl std::hash::Hash) -> u64 {
    Digest.hash_one(key)
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    fn entry(weight: u64) -> Entry<()> {
        Entry {
            value: (),
            began: Moment::from_nanos(0),
            age: Duration::ZERO,
            max_stale: Duration::MAX,
            weight,
        }
    }

    #[test]
    fn the_largest_entry_that_is_let_in_is_really_kept() {
        for (capacity, shards) in [(1 << 16, 1), (1 << 16, 4), (1 << 20, 32), (64 << 20, 32)] {
            let store = Store::new(capacity, shards, None).unwrap();
            for i in 0..100_u32 {
                let key = Key::of(&i);
                assert!(store.put(key, entry(store.max_entry + OVERHEAD)));
                assert!(store.get(&key).is_some(), "{capacity} bytes, {shards} shards");
            }
            assert!(!store.put(Key::of(&0), entry(store.max_entry + OVERHEAD + 1)));
        }
    }

    #[test]
    fn a_million_keys_of_64_kib_stay_within_the_capacity() {
        let store = Store::new(8 << 20, 8, None).unwrap();
        for i in 0..1_000_000_u32 {
            assert!(store.put(Key::of(&i), entry((64 << 10) + OVERHEAD)));
            if i % 1000 == 0 {
                assert!(store.size().1 <= 8 << 20);
            }
        }
        let (entries, bytes) = store.size();
        assert!(bytes <= 8 << 20 && entries > 60, "{entries} of {bytes} bytes");
    }

    #[test]
    fn an_absurd_size_is_a_typed_error() {
        let field = |capacity, shards, max_entry| {
            Store::<()>::new(capacity, shards, max_entry).unwrap_err().field()
        };
        assert_eq!(field(0, 32, None), "capacity");
        assert_eq!(field(u64::MAX, 32, None), "capacity");
        assert_eq!(field(1 << 20, 0, None), "shards");
        assert_eq!(field(1 << 20, 3, None), "shards");
        assert_eq!(field(1 << 20, usize::MAX, None), "shards");
        assert_eq!(field(1 << 20, 32, Some(0)), "max_entry");
        assert_eq!(field(1 << 20, 32, Some(32 << 10)), "max_entry", "a whole shard");
        assert_eq!(field(1 << 20, 32, Some(usize::MAX)), "max_entry");
    }

    #[test]
    fn hashes_of_keys_spread() {
        let low: std::collections::HashSet<_> =
            (0..1000_u32).map(|i| hash_of(Key::of(&i)) >> 32).collect();
        assert!(low.len() > 990);
    }
}
