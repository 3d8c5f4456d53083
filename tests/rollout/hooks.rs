//! Hooks: in order, retried, with one key, beside all calls.

use std::future::{Future, pending};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use seawall::audit::Step;
use seawall::error::BoxError;
use seawall::ratio::Ratio;
use seawall::rollout::{Command, HookContext, Phase, Rollout, RolloutConfig};
use seawall::verdict::Verdict;
use tokio::time::Instant;

use super::common::{Log, Versions, WORSE};

const SECOND: Duration = Duration::from_secs(1);

/// A rollout at its first stage, on tokio's clock.
pub(crate) fn started(
    set: impl FnOnce(RolloutConfig) -> RolloutConfig,
) -> (Rollout, Versions, Log) {
    let (versions, log) = (Versions::new(), Log::default());
    let config = RolloutConfig::new("payments").observe(log.observer());
    let rollout = Rollout::new(set(config), versions.clone()).unwrap();
    rollout.start("deploy-1", "v2").unwrap();
    rollout.tick();
    assert_ne!(versions.weight(), Ratio::ZERO);
    (rollout, versions, log)
}

/// Drives until the rollback is over.
pub(crate) async fn drive_to_the_end(rollout: &Rollout) {
    let over = async {
        while !matches!(
            rollout.snapshot().phase,
            Phase::RolledBack | Phase::RolledBackDegraded | Phase::Promoted
        ) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = rollout.drive() => unreachable!("it never ends"),
        () = over => {}
    }
}

/// What a hook was called with, attempt by attempt.
type Calls = Arc<Mutex<Vec<(String, u32, String)>>>;

fn note(calls: &Calls, name: &str, context: &HookContext) {
    calls.lock().unwrap().push((name.into(), context.attempt, context.key.to_string()));
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_with_one_key_and_none_stops_the_next() {
    let calls = Calls::default();
    let of = |name: &'static str| {
        let calls = Arc::clone(&calls);
        move |context: &HookContext| note(&calls, name, context)
    };
    let (a, b, c, d) = (of("A"), of("B"), of("C"), of("D"));
    let weight_at_a = Arc::new(Mutex::new(None));
    let versions_of_a: Arc<Mutex<Option<Versions>>> = Arc::default();
    let (seen, reach) = (Arc::clone(&weight_at_a), Arc::clone(&versions_of_a));
    let (rollout, versions, log) = started(|config| {
        config
            .on_rollback_async("A", move |context| {
                a(&context);
                *seen.lock().unwrap() = reach.lock().unwrap().as_ref().map(Versions::weight);
                async { Ok::<_, BoxError>(()) }
            })
            .on_rollback_async("B", move |context| {
                b(&context);
                async move {
                    if context.attempt > 0 {
                        panic!("B always does")
                    } else {
                        Ok::<_, BoxError>(())
                    }
                }
            })
            .on_rollback_async("C", move |context| {
                c(&context);
                pending::<Result<(), BoxError>>()
            })
            .on_rollback_async("D", move |context| {
                d(&context);
                let failed = context.attempt <= 2;
                async move { if failed { Err(BoxError::from("not yet")) } else { Ok(()) } }
            })
    });
    *versions_of_a.lock().unwrap() = Some(versions.clone());

    // Two operators and the detector at once.
    thread::scope(|scope| {
        for who in ["alice", "bob"] {
            let rollout = &rollout;
            scope.spawn(move || _ = rollout.abort(who, "at once"));
        }
        versions.judge(Verdict::RollBack(WORSE));
    });
    assert_eq!(versions.weight(), Ratio::ZERO, "before any hook");
    drive_to_the_end(&rollout).await;

    assert_eq!(rollout.snapshot().phase, Phase::RolledBackDegraded);
    assert_eq!(log.count("rollback_decided"), 1);
    assert_eq!(*weight_at_a.lock().unwrap(), Some(Ratio::ZERO));
    let calls = calls.lock().unwrap();
    let order: String = calls.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(order, "ABBBBCCCCDDD");
    assert!(calls.iter().all(|(_, _, key)| key == "deploy-1:1"), "{calls:?}");
    let attempts: Vec<u32> = calls.iter().map(|(_, attempt, _)| *attempt).collect();
    assert_eq!(attempts, [1, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3]);

    let steps = log.steps();
    let failed = |name: &str| -> Vec<(String, bool)> {
        let step = |step: &Step| match step {
            Step::HookFailed(hook) | Step::HookPanicked(hook) if &*hook.hook == name => {
                Some((hook.error.as_ref().unwrap().to_string(), hook.gave_up))
            }
            _ => None,
        };
        steps.iter().filter_map(step).collect()
    };
    assert_eq!(failed("A"), []);
    assert_eq!(failed("B")[3], ("it panicked: B always does".into(), true));
    let timed_out = |gave_up| ("no end after 5s".to_owned(), gave_up);
    assert_eq!(failed("C"), [false, false, false, true].map(timed_out));
    assert_eq!(failed("D"), [("not yet".to_owned(), false), ("not yet".to_owned(), false)]);
    assert_eq!(log.count("hook_panicked"), 4);
    assert_eq!(log.count("hook_succeeded"), 2);
    assert_eq!(steps.last(), Some(&Step::RolledBack { failed_hooks: 2 }));
    assert!(steps.last().unwrap().is_alarming());
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_for_a_hook() {
    use seawall::canary::{Canary, CanaryConfig};
    use tower::{Service, ServiceExt, service_fn};
    let config = CanaryConfig::new("payments").learn(Duration::ZERO).no_warm_up();
    let canary = Canary::new(config.errors_only(Duration::from_millis(250))).unwrap();
    let called = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&called);
    let config = RolloutConfig::new("payments").stages([0.5, 1.0]);
    let config = config.on_rollback_async("hangs", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        pending::<Result<(), BoxError>>()
    });
    let rollout = Rollout::new(config, canary.handle()).unwrap();
    let driving = tokio::spawn(rollout.drive());
    rollout.start("deploy-1", "v2").unwrap();
    let old = service_fn(|_: ()| async { Ok::<_, BoxError>(()) });
    let new = service_fn(|_: ()| async { Err::<(), BoxError>("500".into()) });
    let mut client = canary.split(old, new);
    let (mut slowest, mut while_hanging) = (Duration::ZERO, 0);
    for _ in 0..20_000 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let began = Instant::now();
        let _ = client.ready().await.unwrap().call(()).await;
        slowest = slowest.max(began.elapsed());
        while_hanging += u32::from(rollout.snapshot().phase == Phase::RollingBack);
    }
    assert!(slowest < Duration::from_millis(1), "{slowest:?}");
    assert!(while_hanging > 5_000, "{while_hanging} calls while the hook hung");
    assert_eq!(called.load(Ordering::SeqCst), 4);
    assert_eq!(rollout.snapshot().phase, Phase::RolledBackDegraded);
    driving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_blocks_for_ever_is_abandoned_on_its_own_thread() {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let running = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&running);
    let (rollout, _, log) = started(|config| {
        config.hook_retries(1).on_rollback("blocks", move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = gate.lock().unwrap().recv();
            Ok::<_, BoxError>(())
        })
    });
    rollout.abort("alice", "bad").unwrap();
    let began = Instant::now();
    drive_to_the_end(&rollout).await;
    assert!(began.elapsed() >= 10 * SECOND && began.elapsed() < 12 * SECOND, "{began:?}");
    assert_eq!(rollout.snapshot().phase, Phase::RolledBackDegraded);
    assert_eq!(log.count("hook_failed"), 2);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_apart_by_a_growing_wait_and_end_with_the_budget() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let (rollout, _, log) = started(|config| {
        config.hook_retries(100).hook_budget(20 * SECOND).on_rollback_async("fails", move |_| {
            noted.lock().unwrap().push(Instant::now());
            async { Err::<(), BoxError>("no".into()) }
        })
    });
    rollout.abort("alice", "bad").unwrap();
    let began = Instant::now();
    drive_to_the_end(&rollout).await;
    assert!(began.elapsed() <= 20 * SECOND, "{:?}", began.elapsed());
    let times = times.lock().unwrap();
    let waits: Vec<u64> =
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() as u64).collect();
    for (wait, longest) in waits.iter().zip([200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]) {
        assert!((longest / 2..=longest + 2).contains(wait), "{waits:?}");
    }
    assert!(waits.len() >= 6, "{waits:?}");
    assert_eq!(log.count("hook_failed"), times.len());
}

#[tokio::test(start_paused = true)]
async fn all_at_once_where_that_is_wanted() {
    let slow = |_: HookContext| async {
        tokio::time::sleep(4 * SECOND).await;
        Ok::<_, BoxError>(())
    };
    let (rollout, _, _) = started(|config| {
        let config = config.parallel_hooks(true);
        config.on_rollback_async("one", slow).on_rollback_async("two", slow)
    });
    rollout.abort("alice", "bad").unwrap();
    let began = Instant::now();
    drive_to_the_end(&rollout).await;
    assert_eq!(rollout.snapshot().phase, Phase::RolledBack);
    assert!(began.elapsed() < 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_drive_was_at_is_done_again_with_the_same_key_by_the_next() {
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    let (rollout, _, _) = started(|config| {
        config.on_rollback_async("slow", move |context| {
            note(&noted, "slow", &context);
            async {
                tokio::time::sleep(3 * SECOND).await;
                Ok::<_, BoxError>(())
            }
        })
    });
    rollout.abort("alice", "bad").unwrap();
    let _ = tokio::time::timeout(SECOND, rollout.drive()).await;
    assert_eq!(rollout.snapshot().phase, Phase::RollingBack);
    // Two at once: one works, the other waits.
    let other = tokio::spawn(rollout.drive());
    drive_to_the_end(&rollout).await;
    other.abort();
    let key = "deploy-1:1".to_owned();
    let once = ("slow".to_owned(), 1, key);
    assert_eq!(*calls.lock().unwrap(), [once.clone(), once]);
}

/// A file of this test's own, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("seawall-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// In real time, since a process takes it.
pub(crate) fn in_real_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

#[cfg(unix)]
#[test]
fn a_command_gets_its_arguments_as_they_are_and_the_rest_by_its_environment() {
    let scratch = Scratch::new("command $(id); 'x' \"y\"");
    let script = r#"printf '%s|' "$0" "$SEAWALL_ROLLOUT" "$SEAWALL_VERSION" "$SEAWALL_KEY" \
        "$SEAWALL_CAUSE" "$SEAWALL_ATTEMPT" "$2" >"$1""#;
    let odd = "$(touch /nowhere); `x` && * ? \\ \n";
    let command = Command::new("sh").args(["-c", script, "sh"]).arg(&scratch.0).arg(odd);
    let (rollout, versions, log) = started(|config| config.hook(command.named("told")));
    versions.judge(Verdict::RollBack(WORSE));
    in_real_time(drive_to_the_end(&rollout));
    assert_eq!(rollout.snapshot().phase, Phase::RolledBack, "{}", log.text());
    let told = std::fs::read_to_string(&scratch.0).unwrap();
    assert_eq!(told, format!("sh|deploy-1|v2|deploy-1:1|errors|1|{odd}|"));
}

#[cfg(unix)]
#[test]
fn a_command_that_fails_hangs_or_is_not_there_is_a_hook_that_fails_and_says_why() {
    let failing = Command::new("sh").args(["-c", "echo no such rollout >&2; exit 3"]);
    // What it leaves behind holds its standard error open.
    let leaving = Command::new("sh").args(["-c", "sleep 1 & echo gone >&2; exit 4"]);
    let hanging = Command::new("sleep").arg("600");
    let missing = Command::new("seawall-surely-not-there");
    let (rollout, _, log) = started(|config| {
        let config = config.hook_retries(0).hook_time_limit(SECOND);
        config.hook(failing).hook(leaving).hook(hanging).hook(missing)
    });
    rollout.abort("alice", "bad").unwrap();
    in_real_time(drive_to_the_end(&rollout));
    let errors: Vec<String> = log
        .steps()
        .iter()
        .filter_map(|step| match step {
            Step::HookFailed(hook) => Some(hook.error.as_ref()?.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(errors[0], "exit status: 3: no such rollout");
    assert_eq!(errors[1], "exit status: 4: gone");
    assert_eq!(errors[2], "no end after 1s");
    assert!(errors[3].contains("No such file"), "{errors:?}");
    assert_eq!(log.steps().last(), Some(&Step::RolledBack { failed_hooks: 4 }));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_on_every_step_does_not_keep_a_hook_from_running() {
    let ran = Arc::new(AtomicBool::new(false));
    let did = Arc::clone(&ran);
    let (rollout, _, _) = started(|config| {
        config.observe(|_: &seawall::event::Event| panic!("always")).on_rollback_async(
            "runs",
            move |_| {
                did.store(true, Ordering::SeqCst);
                async { Ok::<_, BoxError>(()) }
            },
        )
    });
    rollout.abort("alice", "bad").unwrap();
    drive_to_the_end(&rollout).await;
    assert!(ran.load(Ordering::SeqCst));
    assert!(rollout.observer_panics() > 5);
}
