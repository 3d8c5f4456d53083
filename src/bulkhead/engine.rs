//! Places in one word: how many there are, and how many are taken.
//!
//! Taking a place is one step on that word, so the calls in flight never pass the limit, not for a
//! moment, not while the limit changes. Giving one back is one subtraction. Shrinking never waits:
//! while more are taken than there are places, nothing is handed out, and what is given back is gone.

use crate::sync::{AtomicU64, Ordering};

/// The word: limit and places taken.
///
/// ```text
///  63     32 31          0
/// +---------+------------+
/// |  limit  | in flight  |
/// +---------+------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places(u64);

impl Places {
    const fn new(limit: u32) -> Self {
        Self((limit as u64) << 32)
    }

    pub(crate) const fn limit(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn in_flight(self) -> u32 {
        self.0 as u32
    }

    const fn is_full(self) -> bool {
        self.in_flight() >= self.limit()
    }

    /// With one more taken; `None` when full.
    const fn taken(self) -> Option<Self> {
        if self.is_full() { None } else { Some(Self(self.0 + 1)) }
    }

    const fn with_limit(self, limit: u32) -> Self {
        Self(Self::new(limit).0 | self.in_flight() as u64)
    }
}

/// Hands out places and takes them back.
#[derive(Debug)]
pub(crate) struct Engine(AtomicU64);

impl Engine {
    pub(crate) fn new(limit: u32) -> Self {
        Self(AtomicU64::new(Places::new(limit).0))
    }

    /// Takes a place; `false` when full. Each `true` is owed one [`release`](Self::release).
    #[inline]
    pub(crate) fn acquire(&self) -> bool {
        // Relaxed: a first guess, which the swap checks.
        let mut places = Places(self.0.load(Ordering::Relaxed));
        while let Some(taken) = places.taken() {
            // Acquire: pairs with the Release of `release`, so what the call before us did with
            // its place is behind us.
            match self.0.compare_exchange_weak(
                places.0,
                taken.0,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => places = Places(now),
            }
        }
        false
    }

    /// Gives a place back.
    #[inline]
    pub(crate) fn release(&self) {
        // Release: pairs with the Acquire of `acquire`.
        let before = Places(self.0.fetch_sub(1, Ordering::Release));
        debug_assert!(before.in_flight() > 0, "a place was given back twice");
    }

    /// Would a call be refused now?
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.places().is_full()
    }

    /// The word as it is.
    #[inline]
    pub(crate) fn places(&self) -> Places {
        // Relaxed: read for itself.
        Places(self.0.load(Ordering::Relaxed))
    }

    /// Changes the limit at once; gives the one before.
    pub(crate) fn set_limit(&self, limit: u32) -> u32 {
        let change = |word| Some(Places(word).with_limit(limit).0);
        // Relaxed: the limit guards nothing but itself.
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change) {
            Ok(before) | Err(before) => Places(before).limit(),
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_shrink_is_absorbed_as_places_come_back() {
        let engine = Engine::new(3);
        assert!(engine.acquire() && engine.acquire() && engine.acquire());
        assert_eq!(engine.set_limit(1), 3);
        assert!(engine.is_full());
        engine.release();
        assert!(!engine.acquire(), "two are still in flight, one more than the limit");
        engine.release();
        assert!(!engine.acquire(), "one is in flight, the limit is one");
        engine.release();
        assert!(engine.acquire());
        assert_eq!(engine.places().in_flight(), 1);
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;

    /// Two callers and a shrink: never more inside than the larger limit, all places come back.
    #[test]
    fn the_limit_holds_while_it_changes() {
        loom::model(|| {
            let engine = Arc::new(Engine::new(2));
            let inside = Arc::new(AtomicU32::new(0));
            let caller = |engine: Arc<Engine>, inside: Arc<AtomicU32>| {
                move || {
                    if engine.acquire() {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        engine.release();
                    }
                }
            };
            let a = thread::spawn(caller(Arc::clone(&engine), Arc::clone(&inside)));
            let b = thread::spawn(caller(Arc::clone(&engine), Arc::clone(&inside)));
            engine.set_limit(1);
            a.join().unwrap();
            b.join().unwrap();
            assert_eq!((engine.places().in_flight(), engine.places().limit()), (0, 1));
        });
    }

    /// With one place, two callers are never inside together.
    #[test]
    fn one_place_is_held_by_one_call() {
        loom::model(|| {
            let engine = Arc::new(Engine::new(1));
            let inside = Arc::new(AtomicU32::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (engine, inside) = (Arc::clone(&engine), Arc::clone(&inside));
                    thread::spawn(move || {
                        if engine.acquire() {
                            // Relaxed: the place itself must order the two.
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            inside.fetch_sub(1, Ordering::Relaxed);
                            engine.release();
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert!(engine.acquire());
        });
    }
}
