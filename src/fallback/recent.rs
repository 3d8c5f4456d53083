//! Which keys were refreshed a moment ago: a healthy call reads one word and is done.
//!
//! A table of words, one chosen by the key's hash; a word holds a tag of the key and when that key
//! was last refreshed. A call whose key is there and recent needs no look into the store and writes
//! nothing. One that is due *claims* the refresh by swapping in the new time: of many calls that end
//! together, one wins and writes the store. The claim is itself the record of when it happened, so
//! there is no "refreshing" flag that a lost call could leave up: a claim whose write never comes
//! (a panic in the user's `Clone`) only puts the next one off by one refresh age.
//!
//! Keys that share a word take turns in it; the one that isn't there must look into the store.
//! Two keys with the same word *and* tag (one pair in 2^40 and more) would put off each other's
//! refresh; neither would ever be given the other's response.

use std::time::Duration;

use crate::clock::{Moment, nanos};
use crate::sync::{AtomicU64, Ordering};

/// One word.
///
/// ```text
///  63    32 31      0
/// +--------+---------+
/// |  tag   |  time   |    time in units of 2^20 ns (1.05 ms), round after 52 days
/// +--------+---------+    tag never 0, so an empty word is nobody's
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64);

const UNIT: u32 = 20;

impl Stamp {
    const fn new(hash: u64, at: Moment) -> Self {
        let tag = (hash >> 32) | 1;
        Self(tag << 32 | (at.as_nanos() >> UNIT) & 0xFFFF_FFFF)
    }

    const fn is_of(self, hash: u64) -> bool {
        self.0 >> 32 == (hash >> 32) | 1
    }

    /// Units from this stamp to `at`; negative if `at` is before it.
    const fn units_to(self, at: Moment) -> i32 {
        ((at.as_nanos() >> UNIT) as u32).wrapping_sub(self.0 as u32) as i32
    }
}

/// What a word says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Refreshed less than the refresh age ago.
    Recent,
    /// Refreshed longer ago.
    Due(Claim),
    /// Nothing that decides: another key's word, or one from after the call began.
    Unknown(Claim),
}

/// The right to try for a refresh: the word as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    hash: u64,
    seen: u64,
}

/// The table.
#[derive(Debug)]
pub(super) struct Recent {
    words: Box<[AtomicU64]>,
}

impl Recent {
    /// For about `entries` keys: 8 bytes each, from 512 bytes to 512 KiB.
    pub(super) fn new(entries: u64) -> Self {
        let words = entries.clamp(64, 1 << 16).next_power_of_two();
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    #[inline]
    fn word(&self, hash: u64) -> &AtomicU64 {
        &self.words[hash as usize & (self.words.len() - 1)]
    }

    /// Is a refresh of the key due for a call that began at `began`?
    #[inline]
    pub(super) fn look(&self, hash: u64, began: Moment, refresh_age: Duration) -> Look {
        // Relaxed: the word is read for itself; the claim below checks it.
        let seen = self.word(hash).load(Ordering::Relaxed);
        let claim = Claim { hash, seen };
        let units = Stamp(seen).units_to(began);
        if !Stamp(seen).is_of(hash) || units < 0 {
            Look::Unknown(claim)
        } else if u64::from(units.unsigned_abs()) >= nanos(refresh_age) >> UNIT {
            Look::Due(claim)
        } else {
            Look::Recent
        }
    }

    /// Claims the refresh: `true` for one of all that saw the same word.
    pub(super) fn claim(&self, claim: Claim, began: Moment) -> bool {
        let stamp = Stamp::new(claim.hash, began).0;
        // Relaxed: the word decides who writes; the store orders what is written.
        self.word(claim.hash)
            .compare_exchange(claim.seen, stamp, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Forgets the key, so that its next call refreshes it.
    pub(super) fn forget(&self, hash: u64) {
        // Relaxed: as above.
        self.word(hash).store(0, Ordering::Relaxed);
    }

    /// Forgets all keys.
    pub(super) fn clear(&self) {
        for word in &self.words {
            word.store(0, Ordering::Relaxed); // Relaxed: as above.
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const START: Moment = Moment::from_nanos(1 << 61);

    #[test]
    fn a_key_is_recent_until_its_refresh_age_and_then_due_once() {
        let recent = Recent::new(64);
        let Look::Unknown(first) = recent.look(7, START, SECOND) else {
            panic!("nothing is known of a new key");
        };
        assert!(recent.claim(first, START));
        assert!(!recent.claim(first, START), "the second of a stampede");
        let later = |span| START.plus(span);
        assert_eq!(recent.look(7, later(SECOND / 2), SECOND), Look::Recent);
        let Look::Due(due) = recent.look(7, later(SECOND), SECOND) else {
            panic!("due at exactly the refresh age");
        };
        assert!(recent.claim(due, later(SECOND)));
        assert_eq!(recent.look(7, later(SECOND), SECOND), Look::Recent);
    }

    #[test]
    fn a_call_that_began_before_the_last_refresh_does_not_claim() {
        let recent = Recent::new(64);
        let Look::Unknown(claim) = recent.look(7, START.plus(SECOND), SECOND) else {
            panic!();
        };
        recent.claim(claim, START.plus(SECOND));
        assert!(matches!(recent.look(7, START, SECOND), Look::Unknown(_)));
    }

    #[test]
    fn keys_that_share_a_word_know_it_from_each_other() {
        let recent = Recent::new(64);
        let (a, b) = (3 << 33 | 5, 4 << 33 | 5);
        let Look::Unknown(claim) = recent.look(a, START, SECOND) else {
            panic!();
        };
        recent.claim(claim, START);
        assert_eq!(recent.look(a, START, SECOND), Look::Recent);
        assert!(matches!(recent.look(b, START, SECOND), Look::Unknown(_)));
    }

    #[test]
    fn a_refresh_age_of_zero_is_always_due() {
        let recent = Recent::new(64);
        let Look::Unknown(claim) = recent.look(7, START, Duration::ZERO) else {
            panic!();
        };
        recent.claim(claim, START);
        let look = recent.look(7, START, Duration::ZERO);
        assert!(matches!(look, Look::Due(_)));
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two calls of one key that end together: exactly one refreshes it.
    #[test]
    fn one_refresh_per_key_at_a_time() {
        loom::model(|| {
            let recent = Arc::new(Recent { words: Box::new([AtomicU64::new(0)]) });
            let at = Moment::from_nanos(1 << 40);
            let call = |recent: Arc<Recent>| {
                move || match recent.look(7, at, Duration::from_secs(1)) {
                    Look::Recent => false,
                    Look::Due(claim) | Look::Unknown(claim) => recent.claim(claim, at),
                }
            };
            let other = thread::spawn(call(Arc::clone(&recent)));
            let mine = call(recent)();
            assert!(mine ^ other.join().unwrap());
        });
    }
}
