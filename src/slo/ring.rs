//! Good and bad calls of a window, in buckets, with a running sum.

use std::time::Duration;

use crate::clock::nanos;

/// Calls, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) total: u64,
    pub(crate) bad: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.bad = self.bad.saturating_add(other.bad);
    }

    fn take(&mut self, other: Self) {
        self.total = self.total.saturating_sub(other.total);
        self.bad = self.bad.saturating_sub(other.bad);
    }
}

/// A window of `n` buckets of one width each: fixed memory, O(1) an addition, at most O(n) after a gap.
#[derive(Debug)]
pub(crate) struct Ring {
    buckets: Box<[Tally]>,
    width: u64,
    sum: Tally,
    /// The number of the newest bucket, counted from the start.
    newest: u64,
}

impl Ring {
    pub(crate) fn new(n: usize, width: Duration) -> Self {
        let buckets = vec![Tally::default(); n].into_boxed_slice();
        Self { buckets, width: nanos(width).max(1), sum: Tally::default(), newest: 0 }
    }

    /// How many there are.
    #[cfg(all(test, not(seawall_loom)))]
    pub(crate) fn buckets(&self) -> u64 {
        self.buckets.len() as u64
    }

    /// The whole window, in ns.
    pub(crate) fn span(&self) -> u64 {
        self.width.saturating_mul(self.buckets.len() as u64)
    }

    /// Adds what came since the last addition, `age` ns after the start.
    pub(crate) fn add(&mut self, age: u64, tally: Tally) {
        let n = self.buckets.len() as u64;
        let bucket = (age / self.width).max(self.newest);
        for passed in (self.newest + 1..=bucket).take(self.buckets.len()) {
            let slot = &mut self.buckets[(passed % n) as usize];
            self.sum.take(std::mem::take(slot));
        }
        self.newest = bucket;
        self.buckets[(bucket % n) as usize].add(tally);
        self.sum.add(tally);
    }

    pub(crate) fn sum(&self) -> Tally {
        self.sum
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_equals_a_naive_list(
            steps in prop::collection::vec((0_u64..40, 0_u64..9, 0_u64..9), 1..100),
        ) {
            let mut ring = Ring::new(12, Duration::from_nanos(5));
            let mut naive: Vec<(u64, Tally)> = Vec::new();
            let mut age = 0;
            for (step, good, bad) in steps {
                age += step;
                let tally = Tally { total: good + bad, bad };
                ring.add(age, tally);
                naive.push((age / 5, tally));
                let inside = naive.iter().filter(|(bucket, _)| age / 5 - bucket < 12);
                let want = inside.fold(Tally::default(), |mut sum, (_, tally)| {
                    sum.add(*tally);
                    sum
                });
                prop_assert_eq!(ring.sum(), want);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_adds_to_the_newest() {
        let mut ring = Ring::new(3, Duration::from_nanos(10));
        ring.add(25, Tally { total: 1, bad: 0 });
        ring.add(3, Tally { total: 1, bad: 1 });
        assert_eq!(ring.sum(), Tally { total: 2, bad: 1 });
    }
}
