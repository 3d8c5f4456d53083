//! What the callers ask for: mostly reads of known things, some of new ones, and charges.

use crate::answer::Kind;
use crate::clock::SECOND;
use crate::rng::{Rng, Zipf};

const KEYS: usize = 2_000;
const PRINCIPALS: u64 = 50;
const READS: f64 = 0.85;
/// Of the reads, those of a key that nobody has asked for before.
const NEW: f64 = 0.05;

/// One call, as a caller means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) principal: String,
    /// What a charge asks for; 0 in a read.
    pub(crate) cents: u64,
}

/// An endless stream of calls, the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    rng: Rng,
    zipf: Zipf,
    /// Numbers new keys and charges.
    made: u64,
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), zipf: Zipf::new(KEYS), made: 0 }
    }

    /// Microseconds to the next call, where `rps` come a second at random moments.
    pub(crate) fn gap(&mut self, rps: u32) -> u64 {
        self.rng.exponential(SECOND as f64 / f64::from(rps)) as u64
    }

    pub(crate) fn next(&mut self) -> Ask {
        if !self.rng.chance(READS) {
            self.made += 1;
            return Ask {
                kind: Kind::Charge,
                key: format!("charge-{}", self.made),
                principal: merchant(self.rng.below(PRINCIPALS)),
                cents: 100 + self.rng.below(20_000),
            };
        }
        if self.rng.chance(NEW) {
            self.made += 1;
            let new = self.made;
            return Ask { key: format!("new-{new}"), ..known(self.rng.below(KEYS as u64)) };
        }
        known(self.zipf.draw(&mut self.rng) as u64)
    }
}

/// Every known thing once.
pub(crate) fn all_known() -> impl Iterator<Item = Ask> {
    (0..KEYS as u64).map(known)
}

/// A thing has one owner and is of one kind, as a quote or a payment is.
fn known(key: u64) -> Ask {
    Ask {
        kind: Kind::READS[(key % 3) as usize],
        key: format!("key-{key}"),
        // Not in step with the kinds, so that every principal has some of each.
        principal: merchant(key / 3 % PRINCIPALS),
        cents: 0,
    }
}

fn merchant(number: u64) -> String {
    format!("merchant-{number:02}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_mix_is_as_declared() {
        let mut traffic = Traffic::new(1);
        let asks: Vec<_> = (0..100_000).map(|_| traffic.next()).collect();
        let reads = asks.iter().filter(|ask| ask.kind.is_read()).count();
        let new = asks.iter().filter(|ask| ask.key.starts_with("new-")).count();
        assert!((84_500..85_500).contains(&reads), "{reads}");
        assert!((4_000..4_500).contains(&new), "{new}");
        let principals: HashSet<_> = asks.iter().map(|ask| &ask.principal).collect();
        assert_eq!(principals.len(), PRINCIPALS as usize);
    }

    #[test]
    fn new_keys_and_charges_never_come_twice() {
        let mut traffic = Traffic::new(1);
        let mut seen = HashSet::new();
        for ask in (0..50_000).map(|_| traffic.next()) {
            if !ask.key.starts_with("key-") {
                assert!(seen.insert(ask.key));
            }
        }
    }

    #[test]
    fn a_known_key_is_always_the_same_thing_of_the_same_owner() {
        let known: HashSet<_> =
            all_known().map(|ask| (ask.key, ask.principal, ask.kind.path())).collect();
        assert_eq!(known.len(), KEYS);
        let mut traffic = Traffic::new(1);
        for ask in (0..10_000).map(|_| traffic.next()).filter(|ask| ask.key.starts_with("key-")) {
            assert!(known.contains(&(ask.key, ask.principal, ask.kind.path())));
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_callers() {
        let (mut one, mut other) = (Traffic::new(9), Traffic::new(9));
        for _ in 0..1_000 {
            assert_eq!((one.gap(1_000), one.next()), (other.gap(1_000), other.next()));
        }
    }
}
