//! Who judges: this library's detector, and the rules that others use, each written from its published
//! definition.
//!
//! All see the same calls. Where a rule takes a chance of error, it gets the same one in a thousand; where it
//! takes the usual rate of failures as known, it is told the true one.

mod fixed;
mod kayenta;
mod known;
mod seawall;
mod twoarm;

use super::tick::Tick;

pub(super) use seawall::Seawall;

/// The chance of a false alarm that every rule that has one is set to.
pub(super) const ALPHA: f64 = 0.001;

/// A rule that may roll a canary back.
pub(super) trait Judge {
    /// Sees the baseline before the canary gets calls.
    fn learn(&mut self, _tick: &Tick) {}

    /// The canary gets another share of the calls from here on.
    fn new_stage(&mut self) {}

    /// Sees one tick; does it roll the canary back?
    fn rolls_back(&mut self, tick: &Tick) -> bool;
}

/// A rule and its name.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Whose definition it is.
    pub(super) source: &'static str,
    /// Makes one, told how often calls usually fail.
    pub(super) make: fn(usual: f64) -> Box<dyn Judge>,
}

/// All of them, this library first.
pub(super) const JUDGES: [Known; 9] = [
    Known {
        name: "seawall",
        source: "restarted two-arm e-process, alpha 0.001 for ever",
        make: |_| Box::new(Seawall::new()),
    },
    Known {
        name: "Flagger",
        source: "success rate of the canary under 99 % in 5 checks, one a minute (request-success-rate, \
                 interval 1m, threshold 5: Flagger's tutorials; pkg/controller/scheduler.go)",
        make: |_| Box::new(fixed::Flagger::default()),
    },
    Known {
        name: "Argo",
        source: "success rate of the canary under 95 % in more than 3 measurements, one in 5 minutes \
                 (Argo Rollouts, Analysis & Progressive Delivery: interval 5m, failureLimit 3)",
        make: |_| Box::new(fixed::Argo::default()),
    },
    Known {
        name: "Kayenta",
        source: "Mann-Whitney on one point a minute, 98 %, tolerance 0.25, judged every 10 minutes \
                 (NetflixACAJudge, MannWhitneyClassifier)",
        make: |_| Box::new(kayenta::Kayenta::default()),
    },
    Known {
        name: "Envoy",
        source: "5 failures in a row (outlier_detection.consecutive_5xx)",
        make: |_| Box::new(fixed::Envoy::default()),
    },
    Known {
        name: "CUSUM",
        source: "Page, Continuous Inspection Schemes, 1954: known p, for 2p, h = ln 1000",
        make: |usual| Box::new(known::Cusum::new(usual)),
    },
    Known {
        name: "SPRT",
        source: "Wald, Sequential Tests of Statistical Hypotheses, 1945: known p against 2p, upper \
                 boundary ln 1000 alone, so that it never stops",
        make: |usual| Box::new(known::Sprt::new(usual)),
    },
    Known {
        name: "z-test",
        source: "two proportions, pooled, one-sided 0.001, from 30 canary calls on, looked at every tick",
        make: |_| Box::new(twoarm::ZTest::default()),
    },
    Known {
        name: "Fisher",
        source: "Fisher's exact test, one-sided 0.001, from 30 canary calls on, looked at every tick",
        make: |_| Box::new(twoarm::Fisher::default()),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(calls: u64, bad: u64, baseline_bad: u64) -> Tick {
        let mut tick = Tick::default();
        (0..calls).for_each(|i| tick.add(true, i < bad));
        (0..100).for_each(|i| tick.add(false, i < baseline_bad));
        tick
    }

    #[test]
    fn a_canary_that_always_fails_is_found_by_all_and_a_good_one_by_none() {
        for judge in &JUDGES {
            let mut made = (judge.make)(0.01);
            (0..240).for_each(|_| made.learn(&tick(0, 0, 1)));
            let found = (0..6_000).find(|_| made.rolls_back(&tick(5, 5, 1)));
            assert!(found.is_some(), "{}", judge.name);
            let mut made = (judge.make)(0.01);
            (0..240).for_each(|_| made.learn(&tick(0, 0, 1)));
            let good = |i: u64| tick(5, u64::from(i % 40 == 0), 1);
            assert!(!(0..6_000).any(|i| made.rolls_back(&good(i))), "{}", judge.name);
        }
    }
}
