//! What survives the end of the process, at whatever point it comes.

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::audit::{RollbackCause, Step};
use seawall::error::BoxError;
use seawall::ratio::Ratio;
use seawall::rollout::{
    DecisionStore, FileStore, HookContext, Phase, Record, Refused, Rollout, RolloutConfig, Saved,
};
use seawall::verdict::{Cause, Stream, Verdict};

use super::common::{Log, Versions, WORSE, percent};

/// Where the child process keeps its files; it is a child if this is set.
const CHILD: &str = "SEAWALL_TEST_ROLLOUT_CHILD";

/// A folder of this test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("seawall-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> FileStore {
        store(&self.0)
    }

    /// What the hook did, over all processes.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn store(folder: &Path) -> FileStore {
    FileStore::new(folder.join("rollout"))
}

/// A rollout whose hook notes its key in the folder.
fn rollout(folder: &Path, dies: bool) -> (Rollout, Versions, Log) {
    let (versions, log) = (Versions::new(), Log::default());
    let calls = folder.join("calls");
    let hook = move |context: &HookContext| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&calls)?;
        writeln!(file, "{} {} {}", context.key, context.decision.cause, context.recovered)?;
        file.sync_all()?;
        if dies {
            process::abort();
        }
        Ok::<_, io::Error>(())
    };
    let config = RolloutConfig::new("payments").store(store(folder)).observe(log.observer());
    let rollout = Rollout::new(config.on_rollback("notes", hook), versions.clone()).unwrap();
    (rollout, versions, log)
}

fn in_real_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// Drives until nothing is left to be carried out.
fn drive(rollout: &Rollout) {
    in_real_time(async {
        let idle = async {
            while rollout.snapshot().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = rollout.drive() => unreachable!("it never ends"),
            () = idle => {}
        }
    });
}

/// The child: rolls back, and dies in the midst of its hook. In the test run itself it does nothing.
#[test]
fn the_process_that_dies_in_its_hook() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (rollout, versions, _) = rollout(Path::new(&folder), true);
    rollout.start("deploy-1", "v2").unwrap();
    rollout.tick();
    versions.judge(Verdict::RollBack(WORSE));
    drive(&rollout);
    unreachable!("the hook ends the process");
}

#[test]
fn killed_between_intent_and_acknowledgement_the_hook_runs_again_with_the_same_key() {
    let folder = Folder::new("killed");
    let child = process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::the_process_that_dies_in_its_hook", "--nocapture"])
        .env(CHILD, &folder.0)
        .stdout(process::Stdio::null())
        .stderr(process::Stdio::null())
        .status()
        .unwrap();
    assert!(!child.success(), "it was to die: {child}");
    assert_eq!(folder.calls(), ["deploy-1:1 errors false"]);

    let (rollout, versions, log) = rollout(&folder.0, false);
    let found = rollout.snapshot();
    assert_eq!((found.phase, &*found.version), (Phase::RollingBack, "v2"));
    assert_eq!(versions.weight(), Ratio::ZERO);
    assert!(!versions.clone_set(percent(5)), "nobody gives it calls");
    assert_eq!(rollout.start("deploy-2", "v3"), Err(Refused::RollingBack));
    drive(&rollout);
    assert_eq!(folder.calls(), ["deploy-1:1 errors false", "deploy-1:1 errors true"]);
    assert_eq!(rollout.snapshot().phase, Phase::RolledBack);
    let wanted = ["recovered", "hook_attempted", "hook_succeeded", "rolled_back"];
    assert_eq!(log.names(), wanted);

    let (rollout, versions, log) = self::rollout(&folder.0, false);
    assert_eq!(rollout.snapshot().phase, Phase::RolledBack, "acknowledged");
    drive(&rollout);
    assert_eq!(folder.calls().len(), 2, "and never again");
    assert_eq!((versions.weight(), log.names().len()), (Ratio::ZERO, 0));
    assert_eq!(rollout.start("deploy-1", "v2"), Err(Refused::AlreadyDecided));
    assert!(matches!(rollout.start("deploy-2", "v2"), Err(Refused::CoolingDown(_))));
    rollout.start("deploy-2", "v3").unwrap();
}

impl Versions {
    fn clone_set(&self, weight: Ratio) -> bool {
        seawall::steer::Steer::set_weight(self, weight)
    }
}

#[test]
fn without_a_store_it_begins_idle_and_without_calls() {
    let versions = Versions::new();
    let rollout = Rollout::new(RolloutConfig::new("payments"), versions.clone()).unwrap();
    assert_eq!(rollout.snapshot().phase, Phase::Idle);
    assert_eq!(versions.weight(), Ratio::ZERO);
    assert_eq!(rollout.snapshot().waiting, 0);
}

#[test]
fn a_stage_is_gone_on_with_only_when_the_same_rollout_is_started_again() {
    let folder = Folder::new("stage");
    let (first, versions, _) = rollout(&folder.0, false);
    first.start("deploy-1", "v2").unwrap();
    first.tick();
    first.force_promote("bob", "go").unwrap();
    first.force_promote("bob", "go").unwrap();
    drive(&first);
    assert_eq!(versions.weight(), percent(25));
    drop(first);

    let (again, versions, log) = rollout(&folder.0, false);
    assert_eq!((again.snapshot().phase, versions.weight()), (Phase::Idle, Ratio::ZERO));
    again.start("deploy-1", "v2").unwrap();
    assert_eq!(versions.weight(), Ratio::ZERO, "the baseline is learned first");
    again.tick();
    assert_eq!(versions.weight(), percent(25));
    let resumed = again.snapshot();
    assert_eq!((resumed.stage, resumed.seq), (Some(2), 2));
    assert_eq!(log.names(), ["started", "resumed", "stage_entered"]);
    again.abort("alice", "bad").unwrap();
    drive(&again);
    assert_eq!(folder.calls(), ["deploy-1:3 alice: bad false"], "keys go on");

    // Another rollout begins from the start.
    let folder = Folder::new("other");
    let running = Record::new("deploy-1".into(), "v2".into(), 7, Saved::Running { stage: 3 });
    folder.store().save(&running).unwrap();
    let (other, versions, _) = rollout(&folder.0, false);
    other.start("deploy-2", "v3").unwrap();
    other.tick();
    assert_eq!((versions.weight(), other.snapshot().seq), (percent(1), 0));
}

#[test]
fn the_file_holds_the_last_record_and_never_a_half() {
    let folder = Folder::new("file");
    let store = folder.store();
    assert!(store.load().unwrap().is_none());
    let record = |seq| Record::new("r".into(), "v".into(), seq, Saved::Promoted);
    for seq in 0..20 {
        store.save(&record(seq)).unwrap();
        assert_eq!(store.load().unwrap(), Some(record(seq)));
    }
    // What a crash in the midst of a save leaves: the half beside, the old one in its place.
    fs::write(folder.0.join("rollout.new"), "seawall roll").unwrap();
    assert_eq!(store.load().unwrap(), Some(record(19)));
    store.save(&record(20)).unwrap();
    assert_eq!(store.load().unwrap(), Some(record(20)));
    let names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["rollout"]);
}

#[test]
fn a_record_that_can_not_be_read_is_told_and_the_canary_has_no_calls() {
    let folder = Folder::new("garbled");
    fs::write(folder.0.join("rollout"), "garbled\n").unwrap();
    let (rollout, versions, log) = rollout(&folder.0, false);
    assert_eq!((rollout.snapshot().phase, versions.weight()), (Phase::Idle, Ratio::ZERO));
    assert_eq!(log.names(), ["store_failed"]);
    assert!(log.text().contains("not a rollout's record"), "{}", log.text());
    rollout.start("deploy-1", "v2").unwrap();
    drive(&rollout);
    assert!(matches!(folder.store().load().unwrap().unwrap().saved, Saved::Running { stage: 0 }));
}

/// Keeps records in memory, and fails if told to.
#[derive(Clone, Default)]
struct Memory {
    saved: Arc<Mutex<Vec<Record>>>,
    fails: Arc<AtomicU32>,
}

impl DecisionStore for Memory {
    fn load(&self) -> io::Result<Option<Record>> {
        Ok(self.saved.lock().unwrap().last().cloned())
    }

    fn save(&self, record: &Record) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) > 0 {
            return Err(io::Error::other("disk full"));
        }
        self.saved.lock().unwrap().push(record.clone());
        Ok(())
    }
}

#[test]
fn a_store_that_fails_is_told_and_keeps_no_hook_from_running() {
    let store = Memory::default();
    let ran = Arc::new(AtomicU32::new(0));
    let did = Arc::clone(&ran);
    let log = Log::default();
    let config = RolloutConfig::new("payments").store(store.clone()).observe(log.observer());
    let config = config.on_rollback("runs", move |_| {
        did.fetch_add(1, Ordering::SeqCst);
        Ok::<_, BoxError>(())
    });
    let rollout = Rollout::new(config, Versions::new()).unwrap();
    store.fails.store(1, Ordering::SeqCst);
    rollout.start("deploy-1", "v2").unwrap();
    rollout.abort("alice", "bad").unwrap();
    drive(&rollout);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(rollout.snapshot().phase, Phase::RolledBack);
    let failed = |step: &Step| matches!(step, Step::StoreFailed(why) if why.contains("disk full"));
    assert_eq!(log.steps().iter().filter(|step| failed(step)).count(), 3, "{}", log.text());
}

#[test]
fn the_intent_is_saved_before_the_first_hook_and_the_acknowledgement_after_the_last() {
    let store = Memory::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (looks, found) = (store.clone(), Arc::clone(&seen));
    let config = RolloutConfig::new("payments").store(store.clone());
    let config = config.on_rollback("looks", move |_| {
        found.lock().unwrap().extend(looks.load()?);
        Ok::<_, io::Error>(())
    });
    let versions = Versions::new();
    let rollout = Rollout::new(config, versions.clone()).unwrap();
    rollout.start("deploy-1", "v2").unwrap();
    rollout.tick();
    versions.judge(Verdict::RollBack(WORSE));
    drive(&rollout);
    let seen = seen.lock().unwrap();
    let Saved::Decided(decision) = &seen[0].saved else { panic!("{seen:?}") };
    let worse = Cause::Worse(Stream::Errors);
    assert_eq!(decision.cause, RollbackCause::Judged(worse));
    let last = store.saved.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.saved, Saved::RolledBack { failed_hooks: 0 });
    assert_eq!((last.seq, &*last.rollout), (1, "deploy-1"));
}
