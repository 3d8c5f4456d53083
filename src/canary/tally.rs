//! The counts of calls that ended: one addition a call, taken away whole by the tick.
//!
//! A word holds calls and bad calls together, so no reader sees a failure without its call, and a swap
//! with zero takes exactly what was added and leaves nothing behind: however ticks and calls
//! interleave, each call is taken once. Each thread adds to words on cache lines of its own.
//!
//! # Orderings
//! Relaxed throughout: a word carries all that belongs together, and read-modify-writes of one word are
//! in one order for everybody.

use crate::stripe::Striped;
use crate::sync::{AtomicU64, Ordering};
use crate::verdict::{Arm, Arms, Tally};

/// Calls and bad calls since the last tick.
///
/// ```text
///  63       32 31       0
/// +-----------+----------+
/// |   calls   |   bad    |
/// +-----------+----------+
/// ```
#[derive(Debug)]
struct Word(AtomicU64);

const CALL: u64 = 1 << 32;
/// From here on a word is taken at the next call, whatever the clock says: long before it is full.
const FULL: u64 = 1 << 30;

const fn unpack(word: u64) -> Tally {
    Tally::new(word >> 32, word & (CALL - 1))
}

/// What one thread adds to: errors and bad data of both arms, the canary's first.
#[derive(Debug)]
struct Stripe {
    errors: [Word; 2],
    bad_data: [Word; 2],
}

impl Stripe {
    fn new() -> Self {
        let words = || [Word(AtomicU64::new(0)), Word(AtomicU64::new(0))];
        Self { errors: words(), bad_data: words() }
    }
}

const fn index(arm: Arm) -> usize {
    match arm {
        Arm::Canary => 0,
        Arm::Baseline => 1,
    }
}

/// The counts, striped by thread.
#[derive(Debug)]
pub(super) struct Tallies(Striped<Stripe>);

impl Tallies {
    pub(super) fn new() -> Self {
        Self(Striped::new(Stripe::new))
    }

    /// Counts a call that ended; gives the calls that stood here before.
    #[inline]
    pub(super) fn add(&self, arm: Arm, failed: bool) -> u64 {
        let word = &self.0.mine().1.errors[index(arm)].0;
        // Relaxed: see "Orderings".
        word.fetch_add(CALL + u64::from(failed), Ordering::Relaxed) >> 32
    }

    /// Must it be emptied, lest it run over?
    #[inline]
    pub(super) const fn is_full(calls: u64) -> bool {
        calls >= FULL
    }

    /// Counts an answer that was checked.
    pub(super) fn add_checked(&self, arm: Arm, bad: bool) {
        let word = &self.0.mine().1.bad_data[index(arm)].0;
        // Relaxed: see "Orderings".
        word.fetch_add(CALL + u64::from(bad), Ordering::Relaxed);
    }

    /// Takes all that was counted: errors, and bad data.
    pub(super) fn take(&self) -> (Arms, Arms) {
        // Relaxed: see "Orderings".
        self.sum(|word| word.0.swap(0, Ordering::Relaxed))
    }

    /// What was counted and not taken yet. Never writes.
    pub(super) fn peek(&self) -> (Arms, Arms) {
        // Relaxed: see "Orderings".
        self.sum(|word| word.0.load(Ordering::Relaxed))
    }

    fn sum(&self, read: impl Fn(&Word) -> u64) -> (Arms, Arms) {
        let both = |words: &[Word; 2]| Arms {
            canary: unpack(read(&words[0])),
            baseline: unpack(read(&words[1])),
        };
        self.0.iter().fold(Default::default(), |(errors, bad_data): (Arms, Arms), stripe| {
            (errors.plus(both(&stripe.errors)), bad_data.plus(both(&stripe.bad_data)))
        })
    }
}
