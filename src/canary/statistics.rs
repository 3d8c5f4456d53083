//! What the detector promises of chance, over many seeded runs; and its verdicts step by step.
//!
//! The runs are as many as the promise says in release builds, and where `SEAWALL_FULL` is set; a debug
//! build makes a tenth of them and allows as large a share of wrong ones, and one more.

use std::time::Duration;

use super::config::CanaryConfig;
use super::detector::Detector;
use super::evidence::{against_alike, alternatives};
use super::interval::{Interval, Share};
use super::mixture::Mixture;
use crate::clock::Moment;
use crate::rng::mix;
use crate::verdict::{Arm, Arms, Cause, Stream, Tally, Verdict};

const START: Moment = Moment::from_nanos(1 << 61);
const TICK: Duration = Duration::from_millis(250);

/// Of so many runs, may so many go wrong?
fn sized(runs: u64, wrong: usize) -> (u64, usize) {
    let full = !cfg!(debug_assertions) || std::env::var_os("SEAWALL_FULL").is_some();
    if full { (runs, wrong) } else { (runs / 10, wrong / 10 + 1) }
}

/// One stream, in blocks of a tick.
fn config() -> CanaryConfig {
    CanaryConfig::new("x").learn(Duration::ZERO).no_warm_up().errors_only(TICK)
}

/// A detector and its time.
struct Run {
    detector: Detector,
    ticks: u32,
    chance: u64,
}

impl Run {
    fn new(config: &CanaryConfig) -> Self {
        Self::seeded(config, 0)
    }

    fn seeded(config: &CanaryConfig, seed: u64) -> Self {
        Self { detector: Detector::new(config).unwrap(), ticks: 0, chance: mix(seed) }
    }

    fn tick(&mut self, interval: &Interval) -> Verdict {
        self.ticks += 1;
        let now = START.plus(TICK * self.ticks);
        self.detector.tick(now, interval);
        self.detector.verdict()
    }

    fn add(&mut self, n_c: u64, k_c: u64, n_b: u64, k_b: u64) -> Verdict {
        self.tick(&Interval::of_errors(Arms::new(n_c, k_c, n_b, k_b)))
    }

    fn is(&mut self, chance: f64) -> bool {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        ((mix(self.chance) >> 11) as f64) < chance * (1_u64 << 53) as f64
    }

    fn failed(&mut self, calls: u64, p: f64) -> Tally {
        Tally::new(calls, (0..calls).filter(|_| self.is(p)).count() as u64)
    }

    /// `calls` calls, shared at random.
    fn draw(&mut self, calls: u64, w: f64, p_c: f64, p_b: f64) -> Arms {
        let canary = (0..calls).filter(|_| self.is(w)).count() as u64;
        let (canary, baseline) = (self.failed(canary, p_c), self.failed(calls - canary, p_b));
        Arms { canary, baseline }
    }

    fn learn(&mut self, ticks: usize, calls: u64, p_b: f64) {
        for _ in 0..ticks {
            let arms = self.draw(calls, 0.0, 0.0, p_b);
            self.tick(&Interval::of_errors(arms).share(Share::Baseline));
        }
    }
}

const SUSPECT: Verdict = Verdict::Suspect(Cause::Worse(Stream::Errors));
const ROLL_BACK: Verdict = Verdict::RollBack(Cause::Worse(Stream::Errors));

#[test]
fn a_canary_that_always_fails_is_suspect_at_the_third_block_and_rolled_back_at_the_fourth() {
    let mut run = Run::new(&config().no_absolute_guard());
    let verdicts: Vec<Verdict> = (0..6).map(|_| run.add(5, 5, 95, 1)).collect();
    assert_eq!(
        verdicts,
        [Verdict::Healthy, Verdict::Healthy, SUSPECT, ROLL_BACK, ROLL_BACK, ROLL_BACK]
    );
    assert_eq!(run.detector.totals().errors.canary, Tally::new(30, 30));
}

#[test]
fn a_healthy_block_changes_nothing() {
    let mut run = Run::new(&config());
    assert_eq!(run.add(5, 0, 95, 1), Verdict::Healthy);
    assert!((run.detector.log_evidence() + 1.384042).abs() < 1e-5);
}

#[test]
fn an_outage_of_both_arms_is_held_and_never_suspected() {
    let mut run = Run::new(&config());
    (0..60).for_each(|_| _ = run.add(5, 0, 95, 1));
    let outage: Vec<Verdict> = (0..20).map(|_| run.add(5, 5, 95, 95)).collect();
    assert!(outage.iter().all(|v| matches!(v, Verdict::Healthy | Verdict::Held)), "{outage:?}");
    assert_eq!(outage[19], Verdict::Held);
    (0..20).for_each(|_| _ = run.add(5, 0, 95, 1));
    let bad = (1..).find(|_| run.add(5, 5, 95, 1).is_roll_back());
    assert_eq!(bad, Some(6));
}

#[test]
fn at_a_share_of_one_percent_four_canary_calls_are_served_before_the_roll_back() {
    let mut run = Run::new(&config());
    let last = (1..).find(|_| run.add(1, 1, 99, 1).is_roll_back());
    assert_eq!(last, Some(4));
}

#[test]
fn beside_a_baseline_that_never_failed_it_takes_four_failing_calls_and_two_are_forgiven() {
    let learned = || {
        let mut run = Run::new(&config());
        run.learn(240, 50, 0.0);
        run
    };
    let mut run = learned();
    assert_eq!((1..).find(|_| run.add(1, 1, 49, 0).is_roll_back()), Some(4));
    let mut run = learned();
    let mut verdicts = vec![run.add(1, 1, 49, 0), run.add(1, 1, 49, 0)];
    verdicts.extend((0..50).map(|_| run.add(1, 0, 49, 0)));
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Healthy));
}

#[test]
fn one_burst_is_forgiven() {
    let mut run = Run::new(&config().no_absolute_guard());
    run.learn(240, 950, 0.01);
    let verdicts = [run.add(50, 50, 950, 9), run.add(50, 0, 950, 9), run.add(50, 0, 950, 9)];
    assert_eq!(verdicts, [Verdict::Healthy; 3]);
}

#[test]
fn twice_the_failures_are_rolled_back_and_a_quarter_more_never() {
    let mut run = Run::new(&config());
    assert_eq!((1..).find(|_| run.add(50, 2, 950, 19).is_roll_back()), Some(27));
    let mut run = Run::new(&config());
    for _ in 0..5_000 {
        let verdict = run.add(40, 1, 950, 19);
        assert!(!matches!(verdict, Verdict::Suspect(_) | Verdict::RollBack(_)));
    }
    assert!((run.detector.log_evidence() + 10.507).abs() < 1e-3);
}

#[test]
fn no_calls_of_an_arm_for_a_minute_are_no_data_and_calls_are_data_again() {
    for (arm, alone) in
        [(Arm::Canary, Arms::new(0, 0, 20, 0)), (Arm::Baseline, Arms::new(20, 0, 0, 0))]
    {
        let mut run = Run::new(&config());
        for _ in 0..240 {
            assert_eq!(run.tick(&Interval::of_errors(alone)), Verdict::Healthy, "{arm}");
        }
        for _ in 0..400 {
            assert_eq!(run.tick(&Interval::of_errors(alone)), Verdict::NoData(arm));
        }
        assert_eq!(run.add(5, 0, 95, 0), Verdict::Healthy);
    }
}

#[test]
fn a_baseline_that_only_fails_and_a_tiny_one_roll_nobody_back() {
    let mut run = Run::new(&config());
    for i in 0..2_000 {
        let verdict = run.add(5, 5, i % 2, i % 2);
        assert!(!verdict.is_roll_back(), "{verdict} at {i}");
    }
    let mut run = Run::new(&config());
    for i in 0..2_000 {
        // One call of the baseline in ten seconds, and a canary that is well.
        let verdict = run.add(5, u64::from(i % 100 == 0), u64::from(i % 40 == 0), 0);
        assert!(!verdict.is_roll_back(), "{verdict} at {i}");
    }
}

#[test]
fn a_canary_that_is_better_than_a_failing_baseline_is_not_rolled_back() {
    let mut run = Run::new(&config());
    for _ in 0..1_000 {
        assert!(!run.add(50, 1, 950, 900).is_roll_back());
    }
}

#[test]
fn without_a_baseline_the_absolute_guard_rolls_back_and_with_a_failing_one_it_holds() {
    let mut run = Run::new(&config());
    let alone = Interval::of_errors(Arms::new(100, 100, 0, 0)).share(Share::Canary);
    let verdicts: Vec<Verdict> = (0..4).map(|_| run.tick(&alone)).collect();
    assert_eq!(verdicts[2], Verdict::Suspect(Cause::AbsoluteGuard));
    assert_eq!(verdicts[3], Verdict::RollBack(Cause::AbsoluteGuard));

    let mut run = Run::new(&config());
    let half = Interval::of_errors(Arms::new(100, 50, 0, 0)).share(Share::Canary);
    for _ in 0..3_000 {
        assert_eq!(run.tick(&half), Verdict::Healthy);
    }

    let mut run = Run::new(&config());
    let outage: Vec<Verdict> = (0..400).map(|_| run.add(100, 60, 900, 540)).collect();
    assert!(outage.iter().all(|verdict| *verdict == Verdict::Held));
}

#[test]
fn while_learning_and_warming_up_nothing_is_compared_and_the_guard_is_on() {
    let config = CanaryConfig::new("x").errors_only(TICK);
    let mut run = Run::new(&config);
    for _ in 0..120 {
        assert_eq!(run.add(0, 0, 95, 1), Verdict::Learning);
    }
    // Warm-up: ten seconds or a hundred calls.
    for _ in 0..20 {
        assert_eq!(run.add(5, 4, 95, 1), Verdict::WarmingUp);
    }
    let last = (1..).find(|_| run.add(5, 4, 95, 1).is_roll_back());
    assert_eq!(last, Some(4), "as from a cold start");

    let mut run = Run::new(&config);
    let dead = (1..200).find(|_| run.add(50, 50, 950, 9).is_roll_back());
    assert!(dead.is_some_and(|tick| tick <= 10), "{dead:?}");
}

#[test]
fn wrong_answers_alone_roll_back() {
    let config = config();
    let mut detector = Detector::new(&config).unwrap();
    detector.expect_checks();
    let mut run = Run { detector, ticks: 0, chance: 0 };
    let corrupt = Interval::of_errors(Arms::new(5, 0, 95, 1)).bad_data(Arms::new(5, 5, 95, 0));
    let verdict = (0..20).map(|_| run.tick(&corrupt)).find(|verdict| verdict.is_roll_back());
    assert_eq!(verdict, Some(Verdict::RollBack(Cause::Worse(Stream::BadData))));
    assert!(run.ticks <= 6, "{}", run.ticks);
}

#[test]
fn a_restart_forgets_the_verdict_and_keeps_the_baseline() {
    let mut run = Run::new(&config());
    run.learn(240, 100, 0.05);
    (0..10).for_each(|_| _ = run.add(5, 5, 95, 5));
    assert!(run.detector.verdict().is_roll_back());
    let (rate, _) = run.detector.baseline();
    run.detector.restart(START.plus(TICK * run.ticks));
    assert_eq!(run.detector.verdict(), Verdict::Idle);
    assert_eq!(run.detector.baseline().0, rate);
    assert_eq!(run.add(5, 0, 95, 5), Verdict::Healthy);
}

#[test]
fn a_detector_and_its_verdict_survive_every_absurd_interval() {
    let most = u64::MAX;
    for arms in [
        Arms::new(most, most, most, most),
        Arms::new(most, 0, 1, 1),
        Arms::new(1, 1, most, 0),
        Arms::new(most, most, 0, 0),
        Arms::default(),
    ] {
        let mut run = Run::new(&config());
        for _ in 0..50 {
            run.add(5, 0, 95, 1);
            run.tick(&Interval::of_errors(arms).lag(Duration::MAX));
            run.detector.tick(Moment::from_nanos(0), &Interval::of_errors(arms));
            assert!(!run.detector.log_evidence().is_nan(), "{arms:?}");
        }
    }
}

#[test]
fn false_roll_backs_are_as_rare_as_promised_at_even_rates_and_through_an_outage() {
    let (runs, allowed) = sized(2_000, 8);
    for outage in [false, true] {
        let wrong = (0..runs).filter(|seed| {
            let mut run = Run::seeded(&config(), *seed);
            (0..2_000).any(|tick| {
                let p = if outage && (1_000..1_100).contains(&tick) { 1.0 } else { 0.01 };
                let arms = run.draw(50, 0.05, p, p);
                run.tick(&Interval::of_errors(arms)).is_roll_back()
            })
        });
        let wrong = wrong.count();
        println!("outage {outage}: {wrong} of {runs}");
        assert!(wrong <= allowed, "outage {outage}: {wrong} of {runs}");
    }
}

#[test]
fn a_bad_canary_is_found_within_the_calls_that_were_promised() {
    let (runs, missed) = sized(400, 0);
    for (p_c, median, p95, most) in
        [(1.0, 250, 350, 5_000), (0.06, 4_200, u64::MAX, 45_000), (0.02, 60_000, u64::MAX, 450_000)]
    {
        let mut calls: Vec<u64> = (0..runs)
            .map(|seed| {
                let mut run = Run::seeded(&config(), seed);
                run.learn(240, 50, 0.01);
                (1..=most / 50)
                    .find(|_| {
                        let arms = run.draw(50, 0.05, p_c, 0.01);
                        run.tick(&Interval::of_errors(arms)).is_roll_back()
                    })
                    .map_or(u64::MAX, |ticks| ticks * 50)
            })
            .collect();
        calls.sort_unstable();
        let at = |q: u64| calls[(runs * q / 100) as usize];
        println!("1 % to {p_c}: {} ({})", at(50), at(95));
        assert!(at(50) <= median && at(95) <= p95, "{p_c}: {} ({})", at(50), at(95));
        assert!(calls.iter().filter(|c| **c == u64::MAX).count() <= missed);
    }
}

/// Arm by arm, a host drops five calls at once.
fn clumps(run: &mut Run, calls: u64, left: &mut u64) -> Tally {
    let mut bad = 0;
    for _ in 0..calls {
        if *left == 0 && run.is(0.01 / 5.0) {
            *left = 5;
        }
        if *left > 0 {
            (*left, bad) = (*left - 1, bad + 1);
        }
    }
    Tally::new(calls, bad)
}

#[test]
fn clumped_failures_of_single_hosts_roll_nobody_back() {
    let (runs, allowed) = sized(500, 4);
    let (mut wrong, mut wrong_without) = (0, 0);
    for seed in 0..runs {
        let mut run = Run::seeded(&config().learn(Duration::from_secs(30)), seed);
        let (mut left_c, mut left_b) = (0, 0);
        // The same test without dispersion, on the same calls.
        let (mut plain, mut over) = (Mixture::new(), false);
        let (mut n, mut k) = (0.0, 0.0);
        for tick in 0..520 {
            let learning = tick < 120;
            let canary = if learning { 0 } else { (0..250).filter(|_| run.is(0.5)).count() as u64 };
            let block = Arms {
                canary: clumps(&mut run, canary, &mut left_c),
                baseline: clumps(&mut run, 250 - canary, &mut left_b),
            };
            run.tick(&Interval::of_errors(block));
            if !learning {
                let b = (k + 0.5) / (n + 50.0);
                plain.multiply(
                    alternatives(b).map(|theta| against_alike(&block, theta, b).min(3.45)),
                );
                over |= plain.log() >= 1000_f64.ln();
            }
            (n, k) = (n + block.baseline.calls as f64, k + block.baseline.bad as f64);
        }
        wrong += usize::from(run.detector.verdict().is_roll_back());
        wrong_without += usize::from(over);
    }
    println!("clumps: {wrong} of {runs}, without dispersion {wrong_without}");
    assert!(wrong <= allowed, "{wrong} of {runs}");
    assert!(wrong_without as u64 * 3 > runs, "{wrong_without} of {runs}: nothing to protect from");
}

#[test]
fn an_outage_that_shows_in_one_arm_first_rolls_nobody_back() {
    let (runs, allowed) = sized(500, 4);
    let wrong = |config: CanaryConfig| {
        let run = |seed: &u64| {
            let mut run = Run::seeded(&config, *seed);
            // Calls of the baseline take 1 s: four ticks.
            let failing = |tick: i64| (160..240).contains(&tick);
            let mut rolled_back = false;
            run.learn(120, 250, 0.001);
            for tick in 0..400_i64 {
                let p = |tick| if failing(tick) { 0.5 } else { 0.001 };
                let arms = run.draw(250, 0.5, p(tick), p(tick - 4));
                let lag = Duration::from_millis(990);
                rolled_back |= run.tick(&Interval::of_errors(arms).lag(lag)).is_roll_back();
            }
            rolled_back
        };
        (0..runs).filter(run).count()
    };
    let measured = wrong(CanaryConfig::new("x").learn(Duration::ZERO).no_warm_up());
    let fixed = wrong(config());
    println!("lag: {measured} of {runs}, in blocks of a tick {fixed}");
    assert!(measured <= allowed, "{measured} of {runs}");
    assert!(fixed as u64 * 10 > runs * 3, "{fixed} of {runs}: nothing to protect from");
}

#[test]
fn a_canary_as_good_as_its_baseline_is_promotable_after_a_thousand_calls_and_a_minute() {
    let mut calls: Vec<u64> = (0..200)
        .map(|seed| {
            let mut run = Run::seeded(&config().dwell(Duration::ZERO), seed);
            run.learn(240, 50, 0.01);
            let mut canary = 0;
            loop {
                let arms = run.draw(50, 0.05, 0.01, 0.01);
                canary += arms.canary.calls;
                if run.tick(&Interval::of_errors(arms)) == Verdict::Promotable {
                    return canary;
                }
            }
        })
        .collect();
    calls.sort_unstable();
    let median = calls[calls.len() / 2];
    println!("promotable after {median}");
    assert!((700..=1_000).contains(&median), "{median}");

    let mut run = Run::new(&config());
    let first = (1..).find(|_| run.add(250, 2, 4_750, 47) == Verdict::Promotable);
    assert_eq!(first, Some(240), "evidence was there long before: the minute wasn't");
}

#[test]
fn a_canary_beyond_the_margin_is_rarely_promotable() {
    let (runs, _) = sized(1_000, 0);
    let wrong = (0..runs).filter(|seed| {
        let mut run = Run::seeded(&config().dwell(Duration::ZERO).alpha(1e-9), *seed);
        run.learn(240, 50, 0.01);
        (0..2_000).any(|_| {
            // Just where 1.5 times and half a point more is.
            let arms = run.draw(50, 0.25, 0.02, 0.01);
            run.tick(&Interval::of_errors(arms)) == Verdict::Promotable
        })
    });
    let wrong = wrong.count();
    println!("promoted beyond the margin: {wrong} of {runs}");
    assert!(wrong as u64 * 100 <= runs * 7, "{wrong} of {runs}");
}
