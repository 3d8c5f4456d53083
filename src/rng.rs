//! Randomness for jitter and sampling: small, seedable, and never for secrets.
//!
//! SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
//! 2014): one addition and one mix a number. Jitter is a pure function of a seed and a counter, so
//! engines need no generator state; sampling uses a generator of each thread.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The mix of SplitMix64: every bit of `x` stirs every bit of the result.
pub(crate) const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A number below `bound`, from the random `bits`; zero for a bound of zero.
pub(crate) const fn below(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

/// A seed that differs from process to process and call to call.
pub(crate) fn entropy() -> u64 {
    RandomState::new().hash_one(GOLDEN)
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(entropy());
}

/// The next number of this thread's generator.
pub(crate) fn next() -> u64 {
    STATE.with(|state| {
        let drawn = state.get();
        state.set(drawn.wrapping_add(GOLDEN));
        mix(drawn)
    })
}

/// Seeds this thread's generator, which decides sampling (a ramp's admissions, a canary's share).
///
/// For tests and simulations that must repeat exactly; without it each thread starts somewhere
/// else.
///
/// ```
/// seawall::rng::seed_thread(42);
/// ```
pub fn seed_thread(seed: u64) {
    STATE.with(|state| state.set(seed));
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_fill_it_evenly() {
        let mut seen = [0_u32; 10];
        for i in 0..100_000 {
            seen[below(mix(i), 10) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (9_700..10_300).contains(n)), "{seen:?}");
        assert_eq!(below(u64::MAX, 0), 0);
    }

    #[test]
    fn a_seeded_thread_repeats_itself() {
        seed_thread(7);
        let first = [next(), next(), next()];
        seed_thread(7);
        assert_eq!(first, [next(), next(), next()]);
    }
}
