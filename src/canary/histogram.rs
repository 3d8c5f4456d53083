//! Latencies in fixed memory, to a sixteenth.
//!
//! Buckets are a sixteenth of an octave's start wide: 16 to an octave, from 16 us to 17 s. So a
//! quantile is known to 6 %, whatever the scale, and counting is two shifts and one addition.

use crate::sync::{AtomicU32, Ordering};

const SUB_BITS: u32 = 4;
/// Shorter than 2^14 ns (16 us) is the first bucket; 2^34 ns (17 s) and longer the last.
const LEAST_BITS: u32 = 14;
const MOST_BITS: u32 = 34;
const BUCKETS: usize = ((MOST_BITS - LEAST_BITS) << SUB_BITS) as usize + 2;
/// In so many calls the weight of what was seen halves.
const CALLS_HALVED: f64 = 20_000.0;

/// The bucket of a latency in ns.
#[inline]
fn bucket(ns: u64) -> usize {
    let bits = 63 - (ns | 1).leading_zeros();
    if bits < LEAST_BITS {
        return 0;
    }
    if bits >= MOST_BITS {
        return BUCKETS - 1;
    }
    let sub = (ns >> (bits - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    (((bits - LEAST_BITS) << SUB_BITS) as u64 + sub) as usize + 1
}

/// Where a bucket ends, in ns.
fn end(bucket: usize) -> u64 {
    let bits = LEAST_BITS + (bucket as u32 >> SUB_BITS);
    let sub = bucket as u64 & ((1 << SUB_BITS) - 1);
    (1 << bits) + (sub << (bits - SUB_BITS))
}

/// What calls add to.
#[derive(Debug)]
pub(super) struct Counts([AtomicU32; BUCKETS]);

impl Counts {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }

    #[inline]
    pub(super) fn add(&self, ns: u64) {
        // Relaxed: a counter, taken by a swap.
        self.0[bucket(ns)].fetch_add(1, Ordering::Relaxed);
    }
}

/// The latencies of one arm: what was seen, older calls counting less.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    weights: Box<[f64]>,
    sum: f64,
    /// Calls that still run, by their age.
    running: Box<[u64]>,
    still: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            weights: vec![0.0; BUCKETS].into(),
            sum: 0.0,
            running: vec![0; BUCKETS].into(),
            still: 0,
        }
    }

    /// Takes what calls have added to `all`.
    pub(super) fn take<'a>(&mut self, all: impl Iterator<Item = &'a Counts>) {
        let mut taken = [0_u32; BUCKETS];
        let mut calls = 0_u64;
        for counts in all {
            for (sum, count) in taken.iter_mut().zip(&counts.0) {
                // Relaxed, both: see `add`. Most are empty: looked at before they are written.
                if count.load(Ordering::Relaxed) > 0 {
                    let count = count.swap(0, Ordering::Relaxed);
                    *sum = sum.saturating_add(count);
                    calls += u64::from(count);
                }
            }
        }
        if calls == 0 {
            return;
        }
        let kept = 0.5_f64.powf(calls as f64 / CALLS_HALVED);
        self.sum = self.sum * kept + calls as f64;
        for (weight, count) in self.weights.iter_mut().zip(taken) {
            *weight = *weight * kept + f64::from(count);
        }
    }

    /// How many calls it knows, the older counting less.
    pub(super) fn calls(&self) -> f64 {
        self.sum
    }

    /// Forgets which calls run; they are told anew.
    pub(super) fn none_running(&mut self) {
        self.running.fill(0);
        self.still = 0;
    }

    /// So many calls have run for `age` ns.
    pub(super) fn still_running(&mut self, age: u64, calls: u64) {
        self.running[bucket(age)] += calls;
        self.still += calls;
    }

    /// The latency, in ns, that the share `q` of the calls doesn't pass, those that still run counting
    /// as long as they have lasted; `None` without any.
    pub(super) fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.sum + self.still as f64;
        if total <= 0.0 {
            return None;
        }
        let mut left = q * total;
        for (at, (weight, still)) in self.weights.iter().zip(&self.running).enumerate() {
            left -= weight + *still as f64;
            if left <= 0.0 {
                return Some(end(at));
            }
        }
        Some(end(BUCKETS - 1))
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_latency_lies_at_most_a_sixteenth_below_the_end_of_its_bucket() {
        let mut ns = 1 << LEAST_BITS;
        while ns < 1 << MOST_BITS {
            let end = end(bucket(ns));
            assert!(ns < end && end as f64 <= ns as f64 * 1.0626, "{ns} {end}");
            ns += ns / 7;
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(end(0), 1 << LEAST_BITS);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_calls_and_calls_that_run_count_at_their_age() {
        let counts = Counts::new();
        for ms in 1..=100 {
            counts.add(ms * 1_000_000);
        }
        let mut seen = Histogram::new();
        assert_eq!(seen.quantile(0.5), None);
        seen.take([&counts].into_iter());
        for (q, ms) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0)] {
            let found = seen.quantile(q).unwrap() as f64 / 1e6;
            assert!((ms..ms * 1.07).contains(&found), "{found} is not {ms}");
        }
        seen.still_running(3_000_000_000, 10);
        assert!(seen.quantile(0.99).unwrap() >= 3_000_000_000);
        assert!(seen.quantile(0.5).unwrap() < 60_000_000);
        seen.none_running();
        assert!(seen.quantile(0.99).unwrap() < 120_000_000);
        seen.take([&counts].into_iter());
        assert_eq!(seen.calls(), 100.0, "taken once");
    }
}
