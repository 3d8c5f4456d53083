//! Stage by stage: with a real comparison, and with verdicts set by hand.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seawall::audit::{RollbackCause, Step};
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::canary::{Canary, CanaryConfig};
use seawall::clock::{Clock, ManualClock};
use seawall::error::BoxError;
use seawall::ratio::Ratio;
use seawall::rng;
use seawall::rollout::{Obstacle, Phase, Rollout, RolloutConfig};
use seawall::verdict::{Arm, Cause, Stream, Verdict};
use tower::{Layer, Service, service_fn};

use super::common::{Log, WORSE, bench, percent};

const MS: Duration = Duration::from_millis(1);

type Answer = Result<(), BoxError>;

/// A real comparison, its rollout, and the clock of both.
struct Real {
    canary: Canary,
    rollout: Rollout,
    log: Log,
    hand: ManualClock,
}

fn real(
    compare: impl FnOnce(CanaryConfig) -> CanaryConfig,
    set: impl FnOnce(RolloutConfig) -> RolloutConfig,
) -> Real {
    let (clock, hand) = Clock::manual();
    let log = Log::default();
    let config = CanaryConfig::new("payments").clock(clock.clone()).errors_only(250 * MS);
    let canary = Canary::new(compare(config.no_warm_up())).unwrap();
    let config = RolloutConfig::new("payments").clock(clock).observe(log.observer());
    let rollout = Rollout::new(set(config), canary.handle()).unwrap();
    rng::seed_thread(7);
    Real { canary, rollout, log, hand }
}

impl Real {
    /// Calls, 1,000 a second, until `end` or for so many seconds; each version answers by its function.
    /// Gives how many calls the canary got.
    fn run(
        &self,
        seconds: u64,
        baseline: impl Fn() -> bool,
        canary: impl Fn() -> bool,
        end: impl Fn() -> bool,
    ) -> u64 {
        let answer = |fails: bool| -> Answer { if fails { Err("500".into()) } else { Ok(()) } };
        let served = Cell::new(0);
        let old = service_fn(|(): ()| ready(answer(baseline())));
        let new = service_fn(|(): ()| {
            served.set(served.get() + 1);
            ready(answer(canary()))
        });
        let mut split = self.canary.split(old, new);
        let cx = &mut Context::from_waker(Waker::noop());
        for ms in 0..seconds * 1_000 {
            assert!(split.poll_ready(cx).is_ready());
            let call = std::pin::pin!(split.call(()));
            assert!(matches!(call.poll(cx), Poll::Ready(_)));
            self.hand.advance(MS);
            if ms % 50 == 0 {
                self.rollout.tick();
                if end() {
                    break;
                }
            }
        }
        served.get()
    }

    fn phase(&self) -> Phase {
        self.rollout.snapshot().phase
    }
}

/// Fails so many of a thousand, at random.
fn failing(per_mille: u64) -> impl Fn() -> bool {
    let state = Cell::new(per_mille);
    move || {
        state.set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        (state.get() >> 33) % 1_000 < per_mille
    }
}

#[test]
fn a_good_version_goes_through_all_stages_each_by_its_evidence() {
    let run = real(|canary| canary, |rollout| rollout);
    run.rollout.start("deploy-1", "v2").unwrap();
    let promoted = || run.phase() == Phase::Promoted;
    run.run(900, failing(10), failing(10), promoted);
    assert!(promoted(), "{}", run.log.text());
    let told: Vec<String> = run
        .log
        .steps()
        .iter()
        .map(|step| match step {
            Step::StageEntered { weight, .. } => weight.to_string(),
            Step::PromoteDecided(promotion) => {
                let evidence = promotion.evidence;
                assert!(evidence.not_worse >= evidence.promotion_line && !promotion.forced);
                assert!(promotion.totals.errors.canary.calls > 300);
                format!("{} -> {}", promotion.from, promotion.to)
            }
            other => other.as_str().to_owned(),
        })
        .collect();
    let wanted = [
        "started",
        "1%",
        "1% -> 5%",
        "5%",
        "5% -> 25%",
        "25%",
        "25% -> 50%",
        "50%",
        "50% -> 100%",
        "100%",
        "promoted",
    ];
    assert_eq!(told, wanted);
    assert_eq!(run.canary.handle().snapshot().weight, Ratio::ONE);
    assert_eq!(run.rollout.snapshot().seq, 5, "four promotions, and the last word");
}

#[test]
fn a_bad_version_is_rolled_back_once_with_all_that_decided_it_and_few_were_served() {
    let run = real(|canary| canary, |rollout| rollout.stages([0.05, 1.0]));
    run.rollout.start("deploy-1", "v2").unwrap();
    let served = run.run(120, failing(10), || true, || run.phase() == Phase::RollingBack);
    assert_eq!(run.phase(), Phase::RollingBack);
    assert!(served < 120, "{served}");
    assert_eq!(run.run(10, failing(10), || true, || false), 0, "none after the decision");

    let steps = run.log.steps();
    let names = run.log.names();
    let wanted = ["started", "stage_entered", "suspected", "rollback_decided", "weight_zeroed"];
    assert_eq!(names, wanted, "{}", run.log.text());
    let Step::RollbackDecided(decision) = &steps[3] else { unreachable!() };
    assert!(matches!(decision.cause, RollbackCause::Judged(Cause::Worse(Stream::Errors))));
    let (evidence, line) = decision.evidence_over_line().unwrap();
    assert!(evidence >= line && (decision.alpha() - 0.001).abs() < 1e-6);
    assert_eq!((decision.stage, decision.weight), (Some(0), percent(5)));
    let canary = decision.totals.errors.canary;
    assert!(canary.bad == canary.calls && canary.calls > 0 && canary.calls <= served);
    assert!(decision.totals.errors.baseline.calls > 20_000);
    let first = decision.first_bad_at.unwrap();
    assert!(decision.decided_at.since(first) < Duration::from_secs(3));
}

#[test]
fn an_outage_behind_both_versions_holds_and_rolls_nobody_back() {
    let run = real(|canary| canary, |rollout| rollout.stages([0.25, 1.0]));
    run.rollout.start("deploy-1", "v2").unwrap();
    run.run(40, failing(10), failing(10), || false);
    run.run(30, || true, || true, || false);
    let held = run.rollout.snapshot();
    assert_eq!((held.phase, held.obstacle), (Phase::Stage, Some(Obstacle::CommonOutage)));
    run.run(15, failing(10), failing(10), || false);
    assert_eq!(run.log.names(), ["started", "stage_entered", "held", "cleared"]);
    assert_eq!(run.canary.handle().snapshot().weight, percent(25));
}

#[test]
fn a_canary_without_calls_for_a_minute_is_held_and_neither_promoted_nor_rolled_back() {
    let run = real(|canary| canary, |rollout| rollout.stages([0.5, 1.0]));
    run.rollout.start("deploy-1", "v2").unwrap();
    run.run(35, failing(10), failing(10), || false);
    assert_eq!(run.phase(), Phase::Stage);
    run.log.clear();
    for quarter in 0..4 * 3_600 {
        run.hand.advance(250 * MS);
        run.rollout.tick();
        let told = run.log.names();
        match quarter {
            0..240 => assert_eq!(told, [""; 0], "{quarter}"),
            244 => assert_eq!(told, ["no_data"]),
            _ => {}
        }
    }
    let held = run.rollout.snapshot();
    assert_eq!(held.obstacle, Some(Obstacle::NoData(Arm::Canary)));
    assert_eq!((held.phase, held.weight, held.seq), (Phase::Stage, percent(50), 0));
    assert_eq!(run.log.names(), ["no_data"], "an hour of silence passes for nothing");
}

#[test]
fn the_baseline_is_known_before_the_canary_gets_a_call() {
    let run = real(|canary| canary, |rollout| rollout);
    run.rollout.start("deploy-1", "v2").unwrap();
    assert_eq!(run.run(30, failing(10), failing(10), || false), 0);
    assert_eq!(run.phase(), Phase::Learning);
    run.run(2, failing(10), failing(10), || false);
    assert_eq!(run.phase(), Phase::Stage);
}

#[test]
fn a_canary_whose_breaker_stays_open_is_rolled_back_though_it_has_no_data() {
    let (clock, hand) = Clock::manual();
    let log = Log::default();
    let config = CanaryConfig::new("payments").clock(clock.clone()).learn(Duration::ZERO);
    let canary = Canary::new(config).unwrap();
    let config = RolloutConfig::new("payments").clock(clock.clone()).observe(log.observer());
    let rollout = Rollout::new(config.stages([0.5, 1.0]), canary.handle()).unwrap();
    let breaker = |arm| {
        let config = CircuitBreakerConfig::new("payments")
            .consecutive_failures(3)
            .cool_down(Duration::from_millis(500))
            .clock(clock.clone())
            .observe(rollout.circuit(arm));
        CircuitBreakerLayer::new(config).unwrap()
    };
    let (known, new) = (breaker(Arm::Baseline), breaker(Arm::Canary));
    let answer = |ok: bool| move |(): ()| ready(if ok { Ok(()) } else { Err(BoxError::from("x")) });
    let mut split =
        canary.split(known.layer(service_fn(answer(true))), new.layer(service_fn(answer(false))));
    rollout.start("deploy-1", "v2").unwrap();
    let cx = &mut Context::from_waker(Waker::noop());
    let mut failed = 0;
    for _ in 0..4_000 {
        assert!(split.poll_ready(cx).is_ready());
        let call = std::pin::pin!(split.call(()));
        failed += u32::from(matches!(call.poll(cx), Poll::Ready(Err(_))));
        hand.advance(MS);
        rollout.tick();
    }
    let decided = log.steps().into_iter().find_map(|step| match step {
        Step::RollbackDecided(decision) => Some(decision),
        _ => None,
    });
    let decision = decided.unwrap_or_else(|| panic!("{}", log.text()));
    assert_eq!(decision.cause, RollbackCause::Judged(Cause::BreakerOpen));
    assert!(
        failed < 1_000,
        "half of the calls, before it opens and a probe now and then: {failed}"
    );
}

/// The dependency of both versions is ill for ten seconds, from the first call of the canary on: calls take
/// so long, and fail or not. What is told in half a minute.
fn ill_behind_both(takes: Duration, fails: bool) -> Log {
    let (clock, hand) = Clock::manual();
    let log = Log::default();
    let config = CanaryConfig::new("payments").clock(clock.clone()).learn(Duration::ZERO);
    let canary = Canary::new(config).unwrap();
    let config = RolloutConfig::new("payments").clock(clock.clone()).observe(log.observer());
    let rollout = Rollout::new(config.stages([0.3, 1.0]), canary.handle()).unwrap();
    let ill = Rc::new(Cell::new(false));
    let version = |arm| {
        let config = CircuitBreakerConfig::new("payments")
            .time_window(Duration::from_secs(40))
            .slow_calls(500 * MS, 0.5)
            .cool_down(500 * MS)
            .cool_down_factor(1.0)
            .clock(clock.clone())
            .observe(rollout.circuit(arm));
        let (ill, clock) = (Rc::clone(&ill), clock.clone());
        let answer = move |(): ()| {
            let (is_ill, clock, began) = (ill.get(), clock.clone(), clock.now());
            let lasts = if is_ill { takes } else { 100 * MS };
            poll_fn(move |_| match clock.now().since(began) >= lasts {
                true if is_ill && fails => Poll::Ready(Err(BoxError::from("down"))),
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            })
        };
        CircuitBreakerLayer::new(config).unwrap().layer(service_fn(answer))
    };
    let mut split = canary.split(version(Arm::Baseline), version(Arm::Canary));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut running: Vec<Pin<Box<dyn Future<Output = Answer>>>> = Vec::new();
    for ms in (0..50_000).step_by(5) {
        if ms == 20_000 {
            rollout.start("deploy-1", "v2").unwrap();
        }
        ill.set((20_000..30_000).contains(&ms));
        assert!(split.poll_ready(cx).is_ready());
        running.push(Box::pin(split.call(())));
        running.retain_mut(|call| call.as_mut().poll(cx).is_pending());
        hand.advance(5 * MS);
        rollout.tick();
    }
    log
}

#[test]
fn a_young_circuit_that_opens_first_when_both_versions_are_ill_is_held_and_rolls_nobody_back() {
    for (takes, fails) in [(800 * MS, false), (100 * MS, true)] {
        let log = ill_behind_both(takes, fails);
        assert_eq!(log.count("rollback_decided"), 0, "{}", log.text());
        assert!(log.count("held") > 0, "{}", log.text());
        assert_eq!(log.names().last(), Some(&"cleared"), "once it is over: {}", log.text());
    }
}

#[test]
fn suspicion_freezes_promotion_and_what_clears_is_told() {
    let bench = bench(|config| config).started();
    bench.prove();
    bench.versions.judge(Verdict::Suspect(WORSE));
    bench.pass(600);
    assert_eq!(bench.versions.weight(), percent(1));
    bench.versions.judge(Verdict::Healthy);
    assert_eq!(bench.log.names(), ["started", "stage_entered", "suspected", "cleared"]);
    bench.versions.judge(Verdict::Promotable);
    assert_eq!(bench.versions.weight(), percent(5), "it has dwelt for long enough");
}

#[test]
fn a_stage_that_proves_nothing_is_inconclusive_once_and_stays() {
    let bench = bench(|config| config).started();
    bench.pass(2 * 3_600);
    assert_eq!(bench.log.names(), ["started", "stage_entered", "inconclusive"]);
    assert_eq!(bench.versions.weight(), percent(1));
}

#[test]
fn where_it_is_wanted_a_stage_is_promoted_in_the_end_but_not_past_an_outage() {
    let bench = bench(|config| config.promote_in_the_end(true)).started();
    bench.pass(31 * 60);
    assert_eq!(bench.versions.weight(), percent(5));
    bench.versions.judge(Verdict::Held);
    bench.pass(2 * 3_600);
    assert_eq!(bench.versions.weight(), percent(5));
}

#[test]
fn a_dry_run_decides_and_tells_and_touches_nothing() {
    let called = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&called);
    let bench = bench(|config| {
        config.dry_run(true).on_rollback("never", move |_| {
            *counted.lock().unwrap() += 1;
            Ok::<_, BoxError>(())
        })
    });
    bench.versions.stand(|standing| standing.weight = percent(3));
    let bench = bench.started();
    bench.prove();
    bench.pass(61);
    assert_eq!(bench.rollout.snapshot().stage, Some(1));
    bench.versions.judge(Verdict::RollBack(WORSE));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let _ = tokio::time::timeout(Duration::from_secs(60), bench.rollout.drive()).await;
    });
    assert_eq!(bench.rollout.snapshot().phase, Phase::RolledBack);
    let told = ["started", "stage_entered", "promote_decided", "stage_entered"];
    assert_eq!(bench.log.names()[..4], told);
    assert_eq!(bench.log.names()[4..], ["rollback_decided", "rolled_back"]);
    assert_eq!((bench.versions.weight(), bench.versions.begun().len()), (percent(3), 0));
    assert_eq!(*called.lock().unwrap(), 0);
}

#[test]
fn settings_that_can_not_be_are_refused_by_name() {
    let field = |config: RolloutConfig| {
        Rollout::new(config, super::common::Versions::new()).err().map(|e| e.field().to_owned())
    };
    let config = || RolloutConfig::new("x");
    let second = Duration::from_secs(1);
    for stages in [vec![], vec![0.0], vec![0.5, 0.5], vec![0.5, 0.1], vec![1.1], vec![f64::NAN]] {
        assert_eq!(field(config().stages(stages)).as_deref(), Some("stages"));
    }
    let many: Vec<f64> = (1..=33).map(|i| f64::from(i) / 100.0).collect();
    assert_eq!(field(config().stages(many)).as_deref(), Some("stages"));
    assert_eq!(field(config().dwell(Duration::ZERO)).as_deref(), Some("dwell"));
    assert_eq!(field(config().max_dwell(second)).as_deref(), Some("max_dwell"));
    assert_eq!(field(config().cool_down(Duration::MAX)).as_deref(), Some("cool_down"));
    assert_eq!(field(config().hook_budget(Duration::ZERO)).as_deref(), Some("hook_budget"));
    let limit = config().hook_time_limit(Duration::from_secs(61));
    assert_eq!(field(limit).as_deref(), Some("hook_time_limit"));
    assert_eq!(field(config().hook_retries(u32::MAX)).as_deref(), Some("hook_retries"));
    let backoff = config().hook_backoff(second, second / 2);
    assert_eq!(field(backoff).as_deref(), Some("hook_backoff"));
    assert_eq!(field(config()), None);
}
