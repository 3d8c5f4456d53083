//! One stream of outcomes, compared block by block: the restarted two-arm test.

use super::baseline::Baseline;
use super::evidence::{ALTERNATIVES, Margin, against_alike, alternatives};
use super::mixture::Mixture;
use crate::verdict::{Arms, Tally};

/// A block that one arm left empty for so long (in ns) is dropped.
pub(crate) const MOST_WAIT: u64 = 60_000_000_000;

/// What a stream goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamRules {
    /// No block speaks more than this, in nats: half of what makes suspect. So no single burst can.
    pub(crate) clip: f64,
    /// How much worse than the baseline a canary may be; `None`: not at all.
    pub(crate) tolerated: Option<Margin>,
}

/// A block that was weighed, and what was known of the baseline before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighed {
    pub(crate) block: Arms,
    pub(crate) b: f64,
    pub(crate) phi: f64,
}

/// The evidence of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    evidence: Mixture<ALTERNATIVES>,
    baseline: Baseline,
    pending: Arms,
    /// When the pending block began, in ns.
    opened: u64,
    /// The canary's bad calls that were weighed.
    bad: u64,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            evidence: Mixture::new(),
            baseline: Baseline::default(),
            pending: Arms::default(),
            opened: 0,
            bad: 0,
        }
    }

    /// The log evidence that the canary is worse.
    pub(crate) fn log(&self) -> f64 {
        self.evidence.log()
    }

    /// The canary's bad calls that were weighed.
    pub(crate) fn bad(&self) -> u64 {
        self.bad
    }

    pub(crate) fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// How many blocks were weighed.
    #[cfg(test)]
    pub(crate) fn blocks(&self) -> u64 {
        self.evidence.blocks()
    }

    /// Forgets the evidence, but not the baseline.
    pub(crate) fn restart(&mut self, now: u64) {
        *self = Self { baseline: self.baseline, opened: now, ..Self::new() };
    }

    /// Learns from the baseline alone.
    pub(crate) fn learn(&mut self, baseline: Tally, now: u64) {
        self.opened = now;
        self.baseline.learn(baseline);
    }

    /// Adds what both arms did up to `now`, and weighs the block if it is `length` long and both have
    /// calls in it.
    pub(crate) fn add(
        &mut self,
        seen: Arms,
        now: u64,
        length: u64,
        rules: &StreamRules,
    ) -> Option<Weighed> {
        self.pending = self.pending.plus(seen);
        let age = now.saturating_sub(self.opened);
        if age < length { None } else { self.close_at(now, age >= MOST_WAIT, rules) }
    }

    /// Ends the block whatever its length, and drops it if it can't be weighed: how the arms share the
    /// calls is about to change.
    pub(crate) fn close(&mut self, now: u64, rules: &StreamRules) -> Option<Weighed> {
        self.close_at(now, true, rules)
    }

    fn close_at(&mut self, now: u64, drop: bool, rules: &StreamRules) -> Option<Weighed> {
        let block = self.pending;
        let complete = block.canary.calls > 0 && block.baseline.calls > 0;
        if !complete && !drop {
            return None;
        }
        (self.pending, self.opened) = (Arms::default(), now);
        let weighed = complete.then(|| self.weigh(block, rules));
        self.baseline.learn(block.baseline);
        weighed
    }

    fn weigh(&mut self, block: Arms, rules: &StreamRules) -> Weighed {
        let (b, phi) = (self.baseline.rate(), self.baseline.phi());
        self.evidence.multiply(alternatives(b).map(|theta| {
            let factor = match rules.tolerated {
                None => against_alike(&block, theta, b),
                Some(margin) if theta > margin.at(b) => margin.against(&block, theta, b),
                // A guess that is tolerated itself is no bet.
                Some(_) => 0.0,
            };
            (factor / phi).min(rules.clip)
        }));
        self.bad = self.bad.saturating_add(block.canary.bad);
        Weighed { block, b, phi }
    }

    #[cfg(test)]
    pub(crate) fn logs(&self) -> [f64; ALTERNATIVES] {
        self.evidence.logs()
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const TICK: u64 = 250_000_000;
    const RULES: StreamRules = StreamRules { clip: 3.453878, tolerated: None };

    /// A stream, its blocks one tick long.
    struct Run {
        stream: Stream,
        now: u64,
    }

    impl Run {
        fn new() -> Self {
            Self { stream: Stream::new(), now: 0 }
        }

        fn add(&mut self, n_c: u64, k_c: u64, n_b: u64, k_b: u64) -> f64 {
            self.now += TICK;
            self.stream.add(Arms::new(n_c, k_c, n_b, k_b), self.now, TICK, &RULES);
            self.stream.log()
        }

        fn learn(&mut self, n: u64, k: u64) {
            self.now += TICK;
            self.stream.learn(Tally::new(n, k), self.now);
        }
    }

    #[track_caller]
    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-5, "{found} is not {wanted}");
    }

    #[test]
    fn a_canary_that_always_fails_is_over_the_line_at_the_third_block() {
        let mut run = Run::new();
        close(run.add(5, 5, 95, 1), 2.720381);
        let logs = run.stream.logs();
        close(logs[0], 2.483301);
        logs[1..].iter().for_each(|log| close(*log, 2.761729));
        for log in [6.141822, 9.570401, 13.004691] {
            close(run.add(5, 5, 95, 1), log);
        }
    }

    #[test]
    fn a_healthy_block_lowers_the_evidence() {
        close(Run::new().add(5, 0, 95, 1), -1.384042);
    }

    #[test]
    fn an_outage_of_both_arms_is_no_evidence_and_a_bad_canary_after_it_is() {
        let mut run = Run::new();
        let last = (0..60).map(|_| run.add(5, 0, 95, 1)).last().unwrap();
        assert!((last + 5.0040).abs() < 1e-4, "{last}");
        let most = (0..20).map(|_| run.add(5, 5, 95, 95)).fold(f64::MIN, f64::max);
        assert!((most + 6.4742).abs() < 1e-4, "{most}");
        (0..20).for_each(|_| _ = run.add(5, 0, 95, 1));
        let over = (1..).find(|_| run.add(5, 5, 95, 1) >= 1000_f64.ln()).unwrap();
        assert_eq!(over, 5, "suspect at the fifth, rolled back at the sixth");
    }

    #[test]
    fn at_a_share_of_one_percent_four_failing_calls_are_enough() {
        let mut run = Run::new();
        for log in [2.0873, 5.3413, 8.7131, 12.1195] {
            let found = run.add(1, 1, 99, 1);
            assert!((found - log).abs() < 1e-4, "{found} is not {log}");
        }
    }

    #[test]
    fn beside_a_baseline_that_never_failed_two_failures_are_not_enough_and_four_are() {
        let learned = || {
            let mut run = Run::new();
            (0..240).for_each(|_| run.learn(50, 0));
            run
        };
        let mut run = learned();
        for log in [2.4071, 5.8165, 9.2649, 12.7180] {
            let found = run.add(1, 1, 49, 0);
            assert!((found - log).abs() < 1e-4, "{found} is not {log}");
        }
        let mut run = learned();
        run.add(1, 1, 49, 0);
        let most = run.add(1, 1, 49, 0);
        assert!((most - 5.8165).abs() < 1e-4, "{most}");
        let mut last = most;
        for _ in 0..50 {
            let next = run.add(1, 0, 49, 0);
            assert!(next < last);
            last = next;
        }
        assert!((last - 4.5379).abs() < 1e-4, "{last}");
    }

    #[test]
    fn one_burst_however_bad_is_not_enough() {
        let mut run = Run::new();
        (0..240).for_each(|_| run.learn(950, 9));
        let burst = run.add(50, 50, 950, 9);
        assert!((burst - 2.7617).abs() < 1e-4, "{burst}");
        let after = run.add(50, 0, 950, 9);
        assert!((after - 0.9263).abs() < 1e-4, "{after}");
    }

    #[test]
    fn twice_the_failures_are_found_and_a_quarter_more_never_adds_up() {
        let mut run = Run::new();
        let over = (1..).find(|_| run.add(50, 2, 950, 19) >= 1000_f64.ln()).unwrap();
        assert_eq!(over, 26, "rolled back at the 27th");
        let mut run = Run::new();
        let logs: Vec<f64> = (0..5000).map(|_| run.add(40, 1, 950, 19)).collect();
        assert!(logs.iter().all(|log| *log < 0.0));
        assert!((logs[4999] + 10.507).abs() < 1e-3, "{}", logs[4999]);
    }

    #[test]
    fn a_block_waits_for_both_arms_and_keeps_what_the_one_did() {
        let mut run = Run::new();
        (0..10).for_each(|_| _ = run.add(0, 0, 20, 0));
        assert_eq!(run.stream.blocks(), 0);
        let log = run.add(1, 1, 20, 0);
        assert_eq!(run.stream.blocks(), 1);
        close(log, 2.179232);
    }

    #[test]
    fn a_block_that_waited_a_minute_is_dropped_and_its_baseline_learned() {
        let mut run = Run::new();
        let before = run.stream.log();
        (0..240).for_each(|_| _ = run.add(0, 0, 20, 2));
        assert_eq!((run.stream.blocks(), run.stream.log()), (0, before));
        assert!((run.stream.baseline().rate() - 0.1).abs() < 0.002);
        assert_eq!(run.stream.pending, Arms::default());
    }

    #[test]
    fn canary_calls_without_a_baseline_are_no_evidence() {
        let mut run = Run::new();
        let before = run.stream.log();
        (0..1000).for_each(|_| _ = run.add(20, 20, 0, 0));
        assert_eq!((run.stream.blocks(), run.stream.log()), (0, before));
    }

    #[test]
    fn what_is_tolerated_is_no_evidence() {
        let rules = StreamRules { tolerated: Some(Margin { rho: 2.0, delta: 0.01 }), ..RULES };
        let mut streams = [Stream::new(), Stream::new()];
        for i in 1..=400 {
            let now = i * TICK;
            streams[0].add(Arms::new(50, 2, 950, 19), now, TICK, &rules);
            streams[1].add(Arms::new(50, 10, 950, 19), now, TICK, &rules);
        }
        assert!(streams[0].log() < 0.0, "4 % beside 2 % is within the margin");
        assert!(streams[1].log() > 1000_f64.ln(), "20 % is not");
    }
}
