//! How long a circuit stays open: exponential, jittered, capped; shorter where many calls come.

use std::time::Duration;

use crate::clock::nanos;
use crate::ratio::Ratio;
use crate::rng;

/// The waits before the first, second, ... try to recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoolDown {
    /// The first wait, in ns.
    pub(crate) base: u64,
    /// What each next wait is multiplied with, in millionths.
    pub(crate) factor_ppm: u64,
    /// No wait is longer, in ns.
    pub(crate) cap: u64,
    /// Nor longer than it takes so many calls to come: calls x the window's span in ns, so that divided
    /// by the calls of a full window it is a time.
    pub(crate) call_spans: u64,
    /// Up to this share is taken off each wait, at random, so that a fleet doesn't probe in step.
    pub(crate) jitter: Ratio,
}

impl CoolDown {
    /// The wait after `attempt` failed tries, where the window had so many `calls` when the circuit opened,
    /// with the jitter that `bits` say, and not shorter than the service's `advice`, as far as the cap lets.
    pub(crate) fn wait(&self, attempt: u32, calls: u64, bits: u64, advice: Duration) -> Duration {
        let longest = (self.call_spans / calls.max(1)).max(self.base).min(self.cap);
        let wait = Self { cap: longest, ..*self }.jittered(attempt, bits);
        Duration::from_nanos(wait.max(nanos(advice).min(self.cap)))
    }

    fn jittered(&self, attempt: u32, bits: u64) -> u64 {
        let mut wait = self.base.min(self.cap);
        for _ in 0..attempt {
            if wait == self.cap || self.factor_ppm <= 1_000_000 {
                break;
            }
            let longer = u128::from(wait) * u128::from(self.factor_ppm) / 1_000_000;
            wait = u64::try_from(longer).unwrap_or(u64::MAX).min(self.cap);
        }
        let most = u128::from(wait) * u128::from(self.jitter.ppm()) / 1_000_000;
        wait - rng::below(bits, most as u64)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const PLAIN: CoolDown = CoolDown {
        base: 1_000,
        factor_ppm: 2_000_000,
        cap: 30_000,
        call_spans: u64::MAX,
        jitter: Ratio::ZERO,
    };

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<_> = (0..7).map(|attempt| PLAIN.jittered(attempt, 7)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(PLAIN.jittered(u32::MAX, 0), 30_000);
    }

    #[test]
    fn jitter_shortens_by_at_most_its_share() {
        let jittered = CoolDown { jitter: Ratio::percent(20).unwrap(), ..PLAIN };
        let waits: Vec<_> = (0..1000).map(|i| jittered.jittered(0, rng::mix(i))).collect();
        assert!(waits.iter().all(|wait| (800..=1_000).contains(wait)));
        assert!(waits.iter().any(|&wait| wait < 850) && waits.iter().any(|&wait| wait > 950));
    }

    #[test]
    fn absurd_waits_saturate() {
        let absurd = CoolDown { base: u64::MAX, cap: u64::MAX, factor_ppm: u64::MAX, ..PLAIN };
        assert_eq!(absurd.jittered(5, 0), u64::MAX);
        let growing = CoolDown { base: u64::MAX - 1, ..absurd };
        assert_eq!(growing.jittered(5, 0), u64::MAX);
    }

    #[test]
    fn the_services_advice_is_a_floor_and_the_cap_its_ceiling() {
        let wait = |ns| PLAIN.wait(0, 100, 7, Duration::from_nanos(ns)).as_nanos();
        assert_eq!((wait(10), wait(5_000), wait(u64::MAX)), (1_000, 5_000, 30_000));
    }

    #[test]
    fn where_many_calls_come_the_longest_wait_is_shorter_and_never_below_the_first() {
        // 50 calls, of a window of 10,000 ns.
        let busy = CoolDown { call_spans: 50 * 10_000, ..PLAIN };
        let longest = |calls| busy.wait(9, calls, 7, Duration::ZERO).as_nanos();
        assert_eq!((longest(0), longest(10), longest(16)), (30_000, 30_000, 30_000));
        assert_eq!((longest(50), longest(100)), (10_000, 5_000));
        assert_eq!((longest(501), longest(u64::MAX)), (1_000, 1_000));
        let early = |attempt| busy.wait(attempt, 100, 7, Duration::ZERO).as_nanos();
        assert_eq!((early(0), early(1), early(2), early(3)), (1_000, 2_000, 4_000, 5_000));
        let advised = busy.wait(9, 100, 7, Duration::from_nanos(20_000)).as_nanos();
        assert_eq!(advised, 20_000, "what the service asks for is capped by the cap alone");
    }
}
