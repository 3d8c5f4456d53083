//! What an operator orders, and who wins.

use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use seawall::audit::{RollbackCause, Step};
use seawall::event::{Event, Kind};
use seawall::ratio::Ratio;
use seawall::rollout::{Phase, Refused, Rollout, RolloutConfig};
use seawall::verdict::{Cause, Verdict};

use super::common::{Log, Versions, WORSE, bench, percent};

#[test]
fn an_abort_in_the_midst_of_the_last_promotion_wins() {
    let versions = Versions::new();
    let log = Log::default();
    let reach: Arc<OnceLock<Rollout>> = Arc::default();
    let aborts = Arc::clone(&reach);
    let config = RolloutConfig::new("payments").stages([0.5, 1.0]).observe(log.observer());
    let config = config.observe(move |event: &Event| {
        let Kind::Rollout(audit) = &event.kind else { return };
        if matches!(&audit.step, Step::PromoteDecided(to) if to.to == Ratio::ONE) {
            // Decided, and not done yet.
            aborts.get().unwrap().abort("alice", "not this one").unwrap();
        }
    });
    let rollout = Rollout::new(config, versions.clone()).unwrap();
    assert!(reach.set(rollout.clone()).is_ok());
    rollout.start("deploy-1", "v2").unwrap();
    rollout.tick();
    rollout.force_promote("bob", "go").unwrap();
    assert_eq!(rollout.snapshot().phase, Phase::RollingBack);
    assert_eq!(versions.weight(), Ratio::ZERO);
    let entered = log.count("stage_entered");
    assert_eq!(entered, 1, "the promotion got nowhere: {}", log.text());
    assert_eq!(log.count("rollback_decided"), 1);
    assert_eq!(rollout.observer_panics(), 0);
}

#[test]
fn of_many_that_decide_at_once_one_does_and_the_others_are_told_so() {
    for round in 0..200 {
        let bench = bench(|config| config.stages([0.5, 1.0])).started();
        let start = Barrier::new(4);
        let results = thread::scope(|scope| {
            let order = |who: &'static str| {
                let (rollout, start) = (&bench.rollout, &start);
                scope.spawn(move || {
                    start.wait();
                    rollout.abort(who, "at once")
                })
            };
            let aborts = [order("alice"), order("bob")];
            let promoter = scope.spawn(|| {
                start.wait();
                let _ = bench.rollout.force_promote("carol", "go");
            });
            start.wait();
            bench.versions.judge(Verdict::RollBack(WORSE));
            promoter.join().unwrap();
            aborts.map(|abort| abort.join().unwrap())
        });
        let decided = bench.log.count("rollback_decided");
        assert_eq!(decided, 1, "round {round}: {}", bench.log.text());
        assert!(results.iter().filter(|result| result.is_ok()).count() <= 1);
        assert!(results.contains(&Err(Refused::AlreadyDecided)));
        assert_eq!(bench.versions.weight(), Ratio::ZERO);
        assert_eq!(bench.rollout.snapshot().phase, Phase::RollingBack);
    }
}

#[test]
fn a_promotion_that_is_final_is_not_aborted_and_says_so() {
    let bench = bench(|config| config.stages([0.5, 1.0])).started();
    bench.rollout.force_promote("bob", "go").unwrap();
    bench.rollout.force_promote("bob", "for good").unwrap();
    assert_eq!(bench.rollout.snapshot().phase, Phase::Promoted);
    assert_eq!(bench.rollout.abort("alice", "too late"), Err(Refused::AlreadyDecided));
    assert_eq!(bench.versions.weight(), Ratio::ONE);
    assert_eq!(bench.log.count("ordered"), 3, "each order is told, obeyed or not");
}

#[test]
fn an_abort_is_told_with_who_and_why() {
    let bench = bench(|config| config).started();
    bench.rollout.abort("alice", "balances look wrong").unwrap();
    let decided = bench.log.steps().into_iter().find_map(|step| match step {
        Step::RollbackDecided(decision) => Some(decision.cause),
        _ => None,
    });
    let cause = RollbackCause::Manual { who: "alice".into(), reason: "balances look wrong".into() };
    assert_eq!(decided, Some(cause));
    assert!(bench.log.text().contains("alice ordered: abort (balances look wrong)"));
}

#[test]
fn what_is_on_hold_is_not_promoted_but_rolled_back_as_ever() {
    let bench = bench(|config| config).started();
    bench.rollout.hold("alice", "lunch").unwrap();
    bench.rollout.hold("alice", "still").unwrap();
    bench.prove();
    bench.pass(3_600);
    assert_eq!(bench.versions.weight(), percent(1));
    assert_eq!(bench.rollout.force_promote("bob", "go"), Err(Refused::OnHold));
    bench.rollout.resume("alice", "back").unwrap();
    bench.pass(1);
    assert_eq!(bench.versions.weight(), percent(5));
    bench.rollout.hold("alice", "dinner").unwrap();
    bench.versions.judge(Verdict::RollBack(WORSE));
    assert_eq!(bench.rollout.snapshot().phase, Phase::RollingBack);
}

#[test]
fn by_hand_only_an_operator_promotes_and_only_what_is_proven() {
    let bench = bench(|config| config.promote_by_hand(true)).started();
    bench.prove();
    bench.pass(59);
    assert_eq!(bench.rollout.promote("bob", "soon"), Err(Refused::NotProven), "it must dwell");
    bench.pass(600);
    assert_eq!(bench.versions.weight(), percent(1));
    bench.rollout.promote("bob", "good").unwrap();
    assert_eq!(bench.versions.weight(), percent(5));
    bench.versions.stand(|standing| standing.verdict = Verdict::Healthy);
    bench.pass(600);
    assert_eq!(bench.rollout.promote("bob", "please"), Err(Refused::NotProven));
    bench.versions.judge(Verdict::RollBack(WORSE));
    assert_eq!(bench.rollout.snapshot().phase, Phase::RollingBack, "rollbacks stay automatic");
}

#[test]
fn force_skips_the_evidence_but_not_the_absolute_guard() {
    let bench = bench(|config| config).started();
    bench
        .versions
        .stand(|standing| standing.verdict = Verdict::NoData(seawall::verdict::Arm::Canary));
    bench.rollout.force_promote("bob", "I know").unwrap();
    assert_eq!(bench.versions.weight(), percent(5));
    bench.versions.stand(|standing| {
        standing.verdict = Verdict::Suspect(Cause::AbsoluteGuard);
        standing.evidence.line = seawall::verdict::Nats::new(6.9);
        standing.evidence.guard = seawall::verdict::Nats::new(6.9);
    });
    assert_eq!(bench.rollout.force_promote("bob", "I know"), Err(Refused::Guarded));
    assert_eq!(bench.versions.weight(), percent(5));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_rolled_back_cools_down_unless_somebody_insists() {
    let bench = bench(|config| config).started();
    assert_eq!(bench.rollout.start("deploy-2", "v3"), Err(Refused::Running));
    bench.rollout.abort("alice", "bad").unwrap();
    assert_eq!(bench.rollout.start("deploy-2", "v3"), Err(Refused::RollingBack));
    drive(&bench.rollout).await;
    assert_eq!(bench.rollout.snapshot().phase, Phase::RolledBack);
    assert_eq!(bench.rollout.start("deploy-1", "v2"), Err(Refused::AlreadyDecided));
    let minute = Duration::from_secs(60);
    assert_eq!(bench.rollout.start("deploy-2", "v2"), Err(Refused::CoolingDown(minute * 10)));
    bench.hand.advance(minute * 9);
    assert_eq!(bench.rollout.start("deploy-2", "v2"), Err(Refused::CoolingDown(minute)));
    bench.log.clear();
    bench.rollout.force_start("deploy-2", "v2", "bob", "it was the network").unwrap();
    assert_eq!(bench.log.names(), ["ordered", "rearmed", "started"]);
    bench.rollout.tick();
    assert_eq!(bench.versions.weight(), percent(1));
    bench.rollout.abort("alice", "bad").unwrap();
    drive(&bench.rollout).await;
    bench.rollout.start("deploy-3", "v3").unwrap();
    assert_eq!(bench.rollout.snapshot().seq, 0, "another rollout counts anew");
    assert_eq!(bench.versions.begun(), ["deploy-1", "deploy-2", "deploy-3"]);
}

async fn drive(rollout: &Rollout) {
    let _ = tokio::time::timeout(Duration::from_secs(1), rollout.drive()).await;
}

#[test]
fn without_a_rollout_there_is_nothing_to_order() {
    let bench = bench(|config| config);
    assert_eq!(bench.rollout.abort("alice", "x"), Err(Refused::NotRunning));
    assert_eq!(bench.rollout.promote("alice", "x"), Err(Refused::NotRunning));
    assert_eq!(bench.rollout.hold("alice", "x"), Err(Refused::NotRunning));
    bench.versions.judge(Verdict::RollBack(WORSE));
    assert_eq!(bench.rollout.snapshot().phase, Phase::Idle);
    assert_eq!(bench.log.count("rollback_decided"), 0);
}

#[test]
fn an_observer_that_gives_orders_back_does_not_deadlock() {
    let versions = Versions::new();
    let reach: Arc<OnceLock<Rollout>> = Arc::default();
    let calls = Arc::clone(&reach);
    let told = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&told);
    let config = RolloutConfig::new("payments").observe(move |event: &Event| {
        let Kind::Rollout(audit) = &event.kind else { return };
        let Some(rollout) = calls.get() else { return };
        *counted.lock().unwrap() += 1;
        if !matches!(audit.step, Step::Ordered(_)) {
            let _ = rollout.snapshot();
            rollout.tick();
            let _ = rollout.hold("observer", "wait");
            let _ = rollout.resume("observer", "go on");
            let _ = rollout.promote("observer", "go on");
        }
    });
    let rollout = Rollout::new(config, versions.clone()).unwrap();
    assert!(reach.set(rollout.clone()).is_ok());
    rollout.start("deploy-1", "v2").unwrap();
    rollout.tick();
    versions.judge(Verdict::Suspect(WORSE));
    versions.judge(Verdict::RollBack(WORSE));
    assert_eq!(rollout.snapshot().phase, Phase::RollingBack);
    assert!(*told.lock().unwrap() > 5);
    assert_eq!(rollout.observer_panics(), 0);
}
