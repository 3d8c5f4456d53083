//! How long to wait before the next attempt: longer each time, and never in step with others.
//!
//! Both ways are those of Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog,
//! 2015), with one difference: the cap bounds the *range* that a wait is drawn from. There, decorrelated
//! waits are cut off at the cap after they are drawn, so that in a long outage most of them are exactly
//! the cap, and clients are in step again.
//!
//! ```text
//!   full           wait = random(0, min(cap, base * 2^n))            n = 0, 1, 2, ...
//!   decorrelated   wait = random(base, min(cap, 3 * last wait))      the first last wait is base
//! ```
//!
//! What the service asked for (`Retry-After`) comes first, up to a cap, and the drawn wait after it: never
//! earlier than it said (or than the cap), and not all clients at the moment that it named.

use std::time::Duration;

use crate::clock::nanos;
use crate::rng;

/// How waits are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// Anything from nothing to twice the last range. It spreads calls best.
    #[default]
    Full,
    /// Anything from the base to three times the last wait. No wait is shorter than the base.
    Decorrelated,
}

/// All in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) jitter: Jitter,
    pub(crate) base: u64,
    pub(crate) cap: u64,
    /// No advice of the service is followed for longer.
    pub(crate) advice_cap: u64,
}

impl Backoff {
    /// The wait before retry `n` (from 0), by the random `bits`; `last` is the last draw, 0 before the
    /// first.
    pub(crate) fn draw(&self, n: u32, last: u64, bits: u64) -> u64 {
        match self.jitter {
            Jitter::Full => {
                let doublings = 1_u64.checked_shl(n).unwrap_or(u64::MAX);
                let doubled = self.base.saturating_mul(doublings);
                between(0, doubled.min(self.cap), bits)
            }
            Jitter::Decorrelated => {
                let last = last.max(self.base);
                between(self.base, last.saturating_mul(3).min(self.cap), bits)
            }
        }
    }

    /// `drawn`, after what the service asked for, as far as that is followed.
    pub(crate) fn after_advice(&self, drawn: u64, advice: Option<Duration>) -> u64 {
        let asked = advice.map_or(0, |advice| nanos(advice).min(self.advice_cap));
        asked.saturating_add(drawn)
    }
}

/// From `low` to `high`, both included; `low` if that is the higher one.
fn between(low: u64, high: u64, bits: u64) -> u64 {
    let span = high.saturating_sub(low);
    match span.checked_add(1) {
        Some(values) => low + rng::below(bits, values),
        None => bits,
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const FULL: Backoff =
        Backoff { jitter: Jitter::Full, base: 50 * MS, cap: 1_000 * MS, advice_cap: 10_000 * MS };
    const DECORRELATED: Backoff = Backoff { jitter: Jitter::Decorrelated, ..FULL };

    #[test]
    fn full_jitter_doubles_its_range_up_to_the_cap_and_fills_it() {
        for (n, range) in [50, 100, 200, 400, 800, 1_000, 1_000].into_iter().enumerate() {
            let waits: Vec<_> =
                (0..2_000).map(|i| FULL.draw(n as u32, 0, rng::mix(i)) / MS).collect();
            assert!(waits.iter().all(|&wait| wait <= range), "retry {n}");
            for tenth in 0..10 {
                let (from, to) = (range * tenth / 10, range * (tenth + 1) / 10);
                let share = waits.iter().filter(|&&wait| (from..to).contains(&wait)).count();
                assert!((120..=280).contains(&share), "retry {n}, {from} to {to} ms: {share}");
            }
        }
        assert_eq!(FULL.draw(0, 0, 0), 0);
        assert_eq!(FULL.draw(u32::MAX, 0, u64::MAX), 1_000 * MS);
    }

    #[test]
    fn decorrelated_waits_spread_below_the_cap_and_do_not_pile_up_at_it() {
        let mut last = 0;
        let mut at_cap = 0;
        for i in 0..10_000 {
            let wait = DECORRELATED.draw(i, last, rng::mix(i.into()));
            assert!((50 * MS..=1_000 * MS).contains(&wait));
            assert!(wait <= last.max(50 * MS) * 3);
            at_cap += u32::from(wait == 1_000 * MS);
            last = wait;
        }
        assert!(at_cap < 10, "{at_cap} of 10,000 are exactly the cap");
    }

    #[test]
    fn no_base_is_no_wait() {
        for backoff in [FULL, DECORRELATED] {
            let none = Backoff { base: 0, ..backoff };
            assert_eq!(none.draw(5, 0, u64::MAX), 0);
        }
    }

    #[test]
    fn advice_is_a_floor_under_the_drawn_wait_and_is_capped() {
        let after = |secs| FULL.after_advice(7, Some(Duration::from_secs(secs)));
        assert_eq!((after(0), after(2), after(10)), (7, 2_000 * MS + 7, 10_000 * MS + 7));
        assert_eq!(after(u64::MAX), 10_000 * MS + 7, "a hostile value");
        assert_eq!(FULL.after_advice(7, None), 7);
    }

    /// As the article writes it, in numbers that don't overflow.
    fn naive_range(backoff: Backoff, n: u32, last: u64) -> (u128, u128) {
        let (base, cap) = (u128::from(backoff.base), u128::from(backoff.cap));
        match backoff.jitter {
            Jitter::Full => (0, cap.min(base << n.min(64))),
            Jitter::Decorrelated => (base, cap.min(u128::from(last).max(base) * 3)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn every_wait_is_in_the_range_of_the_article(
            decorrelated in any::<bool>(),
            base in prop_oneof![0_u64..1_000, any::<u64>()],
            more in prop_oneof![0_u64..1_000, any::<u64>()],
            n in prop_oneof![0_u32..70, any::<u32>()],
            last in any::<u64>(),
            bits in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
        ) {
            let jitter = if decorrelated { Jitter::Decorrelated } else { Jitter::Full };
            let backoff = Backoff { jitter, base, cap: base.saturating_add(more), advice_cap: 0 };
            let (low, high) = naive_range(backoff, n, last);
            let wait = backoff.draw(n, last, bits);
            prop_assert!((low..=high).contains(&wait.into()), "{wait} in {low}..={high}");
            prop_assert!(wait <= backoff.cap);
            // Both ends can be drawn.
            let ends = (backoff.draw(n, last, 0), backoff.draw(n, last, u64::MAX));
            prop_assert_eq!((u128::from(ends.0), u128::from(ends.1)), (low, high));
        }
    }
}
