//! Settings that change while calls run.
//!
//! A reader must never see half of a change, must not write, and must not wait. The words lie in
//! two copies; `version` says which is current. A writer fills the other copy, then publishes it by
//! adding one. A reader reads the current copy and looks at the version again: had a writer come
//! round twice and refilled the copy meanwhile, it reads anew. A reader repeats only when writers
//! have completed, so it is lock-free; writers take turns.
//!
//! # Orderings
//! The writer's stores into a copy are Release, after an Acquire look at the version that retired
//! that copy. The reader's loads are Acquire: if one of them sees a word of a later fill, the
//! version seen after it is the one that retired the copy, or a later one, and the reader repeats.

use parking_lot::Mutex;

use crate::sync::{AtomicU64, Ordering};

/// `N` words that are changed together and read without a write.
#[derive(Debug)]
pub(crate) struct Live<const N: usize> {
    version: AtomicU64,
    copies: [[AtomicU64; N]; 2],
    turn: Mutex<()>,
}

impl<const N: usize> Live<N> {
    pub(crate) fn new(words: [u64; N]) -> Self {
        let copy = || words.map(AtomicU64::new);
        Self { version: AtomicU64::new(0), copies: [copy(), copy()], turn: Mutex::new(()) }
    }

    /// The words at `wanted`, all of one change.
    #[inline]
    pub(crate) fn read<const W: usize>(&self, wanted: [usize; W]) -> [u64; W] {
        loop {
            // Acquire: pairs with the Release of `publish`, so the copy's words are there.
            let version = self.version.load(Ordering::Acquire);
            let copy = &self.copies[(version & 1) as usize];
            // Acquire: pairs with the Release stores of a later fill, see "Orderings".
            let words = wanted.map(|i| copy[i].load(Ordering::Acquire));
            // Relaxed: ordered after the loads above because they are Acquire.
            if self.version.load(Ordering::Relaxed) == version {
                return words;
            }
        }
    }

    /// Changes all words at once.
    pub(crate) fn publish(&self, words: [u64; N]) {
        let _turn = self.turn.lock();
        // Acquire: keeps the stores below behind the version that retired this copy.
        let next = self.version.load(Ordering::Acquire).wrapping_add(1);
        for (slot, word) in self.copies[(next & 1) as usize].iter().zip(words) {
            // Release: pairs with the Acquire loads of `read`.
            slot.store(word, Ordering::Release);
        }
        // Release: pairs with the Acquire load of `version` in `read`.
        self.version.store(next, Ordering::Release);
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_last_change() {
        let live = Live::new([1, 2, 3]);
        assert_eq!(live.read([0, 2]), [1, 3]);
        for i in 0..5 {
            live.publish([i, i + 1, i + 2]);
            assert_eq!(live.read([2, 0]), [i + 2, i]);
        }
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    #[test]
    fn no_reader_sees_half_of_a_change() {
        race(
            || Live::new([0, 0]),
            |live| {
                // Twice, so that the copy that a reader started on is filled again.
                live.publish([1, 1]);
                live.publish([2, 2]);
            },
            |live| live.read([0, 1]),
            |live, (), [a, b]| {
                assert_eq!(a, b);
                assert_eq!(live.read([0, 1]), [2, 2]);
            },
        );
    }
}
