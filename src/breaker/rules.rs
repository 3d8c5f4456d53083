//! When a circuit opens, and what the probes decide: pure functions of counts.

use super::run::Lengths;
use crate::event::{Counts, Why};
use crate::ratio::Ratio;
use crate::window::Entry;

/// The trip rules; any may fire, `None` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) failure_ratio: Option<Ratio>,
    pub(crate) slow_ratio: Option<Ratio>,
    pub(crate) consecutive: Option<u16>,
    pub(crate) consecutive_slow: Option<u16>,
    pub(crate) failures: Option<u32>,
    pub(crate) min_calls: u32,
}

impl Rules {
    /// The rule that the window's `counts` and the runs of bad calls meet, if any.
    pub(crate) fn fired(&self, counts: Counts, run: Lengths) -> Option<Why> {
        let enough = counts.total >= u64::from(self.min_calls);
        if let Some(limit) = self.consecutive.filter(|&limit| run.failed >= limit) {
            return Some(Why::ConsecutiveFailures(limit));
        }
        if let Some(limit) = self.consecutive_slow.filter(|&limit| run.slow >= limit) {
            return Some(Why::ConsecutiveSlow(limit));
        }
        if let Some(limit) = self.failures.filter(|&limit| counts.failures >= u64::from(limit)) {
            return Some(Why::Failures(limit));
        }
        if let Some(ratio) = self.failure_ratio {
            if enough && ratio.is_met_by(counts.failures, counts.total) {
                return Some(Why::FailureRatio(ratio));
            }
        }
        let ratio = self.slow_ratio?;
        (enough && ratio.is_met_by(counts.slow, counts.total)).then_some(Why::SlowRatio(ratio))
    }

    /// What `probes` decide of which `counts` are known, the `last` of them just now: `Some(true)` to
    /// close, `Some(false)` to open again, `None` while the rest could still change it.
    ///
    /// The ratios are those of the trip rules; without a failure ratio, one failure opens again.
    /// A failing probe never closes the circuit: where it leaves the failures below their ratio, so did
    /// the probes before, but a slow ratio had still to be decided, or the rules were eased meanwhile.
    /// The next success closes it then; if no probe is left, it opens again.
    pub(crate) fn probed(&self, counts: Counts, last: Entry, probes: u64) -> Option<bool> {
        let rest = probes.saturating_sub(counts.total);
        let failed = |n: u64| match self.failure_ratio {
            Some(ratio) => ratio.is_met_by(n, probes),
            None => n > 0,
        };
        let slow = |n: u64| self.slow_ratio.is_some_and(|ratio| ratio.is_met_by(n, probes));
        if failed(counts.failures) || slow(counts.slow) {
            Some(false)
        } else if last.failed {
            (rest == 0).then_some(false)
        } else if failed(counts.failures + rest) || slow(counts.slow + rest) {
            None
        } else {
            Some(true)
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const NONE: Lengths = Lengths { failed: 0, slow: 0 };
    const OFF: Rules = Rules {
        failure_ratio: None,
        slow_ratio: None,
        consecutive: None,
        consecutive_slow: None,
        failures: None,
        min_calls: 1,
    };

    fn counts(total: u64, failures: u64, slow: u64) -> Counts {
        Counts { total, failures, slow }
    }

    #[test]
    fn a_threshold_that_is_met_trips_and_one_that_is_missed_does_not() {
        let rules = Rules { failure_ratio: Ratio::percent(50), min_calls: 5, ..OFF };
        assert_eq!(rules.fired(counts(4, 4, 0), NONE), None, "below min-calls");
        assert_eq!(rules.fired(counts(8, 3, 0), NONE), None);
        assert!(rules.fired(counts(8, 4, 0), NONE).is_some());
        assert_eq!(rules.fired(counts(200, 99, 0), NONE), None, "49.5 % is not 50 %");
    }

    #[test]
    fn slow_and_failed_never_add_up() {
        let half = Ratio::percent(50);
        let rules = Rules { failure_ratio: half, slow_ratio: half, ..OFF };
        assert_eq!(rules.fired(counts(8, 2, 2), NONE), None);
        assert_eq!(rules.fired(counts(5, 2, 3), NONE), Some(Why::SlowRatio(half.unwrap())));
    }

    const OK: Entry = Entry { failed: false, slow: false };
    const FAILED: Entry = Entry { failed: true, slow: false };

    #[test]
    fn probes_decide_as_soon_as_the_rest_cannot_change_it() {
        let rules = Rules { failure_ratio: Ratio::percent(50), ..OFF };
        assert_eq!(rules.probed(counts(2, 0, 0), OK, 4), None);
        assert_eq!(rules.probed(counts(3, 0, 0), OK, 4), Some(true));
        assert_eq!(rules.probed(counts(2, 2, 0), FAILED, 4), Some(false));
        assert_eq!(rules.probed(counts(3, 1, 0), OK, 4), None);
        assert_eq!(rules.probed(counts(4, 1, 0), OK, 4), Some(true));
        assert_eq!(rules.probed(counts(4, 2, 0), FAILED, 4), Some(false));
        let rules = Rules { slow_ratio: Ratio::percent(50), ..rules };
        assert_eq!(rules.probed(counts(3, 0, 1), OK, 4), None);
        assert_eq!(rules.probed(counts(4, 0, 1), OK, 4), Some(true));
        assert_eq!(rules.probed(counts(3, 0, 2), OK, 4), Some(false));
    }

    /// Whatever the rules and whatever was decided before, and a round always comes to an end.
    #[test]
    fn a_failing_probe_never_closes_and_the_last_one_decides() {
        for percent in [1, 10, 33, 50, 67, 99, 100] {
            for slow_percent in [0, 1, 50, 100] {
                let slow_ratio = Ratio::percent(slow_percent).filter(|_| slow_percent > 0);
                let failure_ratio = Ratio::percent(percent);
                let rules = Rules { failure_ratio, slow_ratio, ..OFF };
                for probes in 1..=16 {
                    for (total, bad) in (1..=probes).flat_map(|n| (1..=n).map(move |b| (n, b))) {
                        for slow in 0..=total {
                            let after = rules.probed(counts(total, bad, slow), FAILED, probes);
                            assert_ne!(after, Some(true), "{percent} % of {probes}: {bad}");
                            assert!(total < probes || after.is_some());
                            let after = rules.probed(counts(total, bad, slow), OK, probes);
                            assert!(total < probes || after.is_some());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn without_a_ratio_one_failing_probe_opens_again() {
        assert_eq!(OFF.probed(counts(1, 1, 0), FAILED, 3), Some(false));
        assert_eq!(OFF.probed(counts(2, 0, 0), OK, 3), None);
        assert_eq!(OFF.probed(counts(3, 0, 0), OK, 3), Some(true));
    }

    #[test]
    fn runs_of_failures_and_of_slow_calls_are_rules_of_their_own() {
        let rules = Rules { consecutive: Some(3), consecutive_slow: Some(4), ..OFF };
        let run = |failed, slow| rules.fired(counts(9, 3, 3), Lengths { failed, slow });
        assert_eq!(run(2, 3), None);
        assert_eq!(run(3, 0), Some(Why::ConsecutiveFailures(3)));
        assert_eq!(run(0, 4), Some(Why::ConsecutiveSlow(4)));
    }
}
