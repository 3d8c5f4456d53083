//! The kill switch: positions, sources, events, and its places in the preset.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::drive::Drive;
use seawall::error::{BoxError, Carry, Reason};
use seawall::event::{Event, Kind};
use seawall::fallback::CachedConfig;
use seawall::key::Key;
use seawall::kill_switch::{
    Environment, File, KillSwitch, KillSwitchConfig, KillSwitchLayer, Mode,
};
use seawall::stack;
use seawall::stale::Answer;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_test::mock::{self, Mock};

fn logged() -> (KillSwitch, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&log);
    let config = KillSwitchConfig::new("payments").observe(move |event: &Event| {
        told.lock().unwrap().push(match &event.kind {
            Kind::Flipped(flip) => {
                format!("{} -> {} by {}: {}", flip.from, flip.to, flip.actor, flip.reason)
            }
            Kind::SourceUnreadable(why) => format!("unreadable: {why}"),
            other => format!("{other:?}"),
        });
    });
    (KillSwitch::new(config), log)
}

/// A file of this test's own, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("seawall-{}-{name}", std::process::id()));
        Self(path)
    }

    fn holds(&self, text: &str) {
        // As a ConfigMap is replaced: written beside it, then renamed over it.
        let beside = self.0.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &self.0).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn every_flip_is_one_event_with_actor_and_reason() {
    let (switch, log) = logged();
    assert!(switch.flip(Mode::Halt, "on-call", "balances look wrong"));
    assert!(!switch.flip(Mode::Halt, "on-call", "again"));
    assert!(switch.flip(Mode::Run, "on-call", "fixed"));
    assert_eq!(
        *log.lock().unwrap(),
        ["run -> halt by on-call: balances look wrong", "halt -> run by on-call: fixed"]
    );
}

#[test]
fn a_file_that_is_missing_half_written_or_nonsense_changes_nothing_and_says_so_once() {
    let (switch, log) = logged();
    let scratch = Scratch::new("nonsense");
    let file = File::new(&scratch.0);

    assert_eq!(switch.consult(&file), Mode::Run, "missing from the start");
    scratch.holds("halt\n");
    assert_eq!(switch.consult(&file), Mode::Halt);
    for text in ["hal", "hal", "", "halt halt", "\u{0}\u{1}", &"halt".repeat(100_000)] {
        scratch.holds(text);
        assert_eq!(switch.consult(&file), Mode::Halt, "{:?}", text.get(..9));
    }
    fs::remove_file(&scratch.0).unwrap();
    assert_eq!(switch.consult(&file), Mode::Halt);
    assert_eq!(switch.consult(&file), Mode::Halt);
    scratch.holds("RUN");
    assert_eq!(switch.consult(&file), Mode::Run);

    let log = log.lock().unwrap();
    let unreadable = log.iter().filter(|line| line.starts_with("unreadable")).count();
    let flips = log.iter().filter(|line| line.contains("->")).count();
    assert_eq!((unreadable, flips), (7, 2), "each trouble once: {log:#?}");
}

#[test]
fn a_variable_that_is_not_set_says_nothing() {
    let (switch, log) = logged();
    assert_eq!(switch.consult(&Environment::new("SEAWALL_TEST_SURELY_NOT_SET")), Mode::Run);
    // A variable that every test run has, and that names no mode.
    assert_eq!(switch.consult(&Environment::new("CARGO_PKG_NAME")), Mode::Run);
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 1);
    assert!(log[0].contains("CARGO_PKG_NAME") && log[0].contains("\"seawall\""), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flipped_file_halts_within_one_interval() {
    let (switch, _) = logged();
    let scratch = Scratch::new("interval");
    scratch.holds("run");
    let every = Duration::from_secs(2);
    let file = switch.follow(File::new(&scratch.0), every).unwrap();
    let following = tokio::spawn(Drive::new().tick(file).run());
    tokio::time::sleep(Duration::from_secs(1)).await;
    scratch.holds("halt");
    assert_eq!(switch.mode(), Mode::Run);
    tokio::time::sleep(Duration::from_millis(1_001)).await;
    assert_eq!(switch.mode(), Mode::Halt);
    following.abort();
}

#[test]
fn an_interval_of_zero_is_a_config_error() {
    let (switch, _) = logged();
    let error = switch.follow(|| None, Duration::ZERO).err().unwrap();
    assert_eq!(error.field(), "interval");
}

#[test]
fn a_halted_dependency_that_is_never_ready_is_refused_at_once() {
    let (switch, _) = logged();
    let (mut service, mut handle) =
        mock::spawn_with(|inner: Mock<(), ()>| KillSwitchLayer::new(&switch).layer(inner));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    switch.flip(Mode::Halt, "test", "dead");
    assert_ready_ok!(service.poll_ready());
    let error: BoxError = assert_ready_err!(task::spawn(service.call(())).poll());
    assert_eq!(error.rejected().unwrap().reason, Reason::Halted);
}

#[tokio::test(start_paused = true)]
async fn in_the_preset_a_halt_is_answered_from_the_cache_and_reaches_nobody() {
    let (switch, _) = logged();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let client = service_fn(move |id: u64| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, io::Error>(Answer::fresh(id)) }
    });
    let stack = stack::payment("payments")
        .kill_switch(&switch)
        .cached(CachedConfig::new("payments", |id: &u64| Some(Key::of(id))))
        .build()
        .unwrap();
    let payments = stack.service(client);

    assert!(!payments.clone().oneshot(7).await.unwrap().is_stale());
    switch.flip(Mode::Halt, "test", "halted");
    assert!(payments.clone().oneshot(7).await.unwrap().is_stale());
    let refused = payments.clone().oneshot(8).await.unwrap_err();
    assert_eq!(refused.rejected().unwrap().reason, Reason::Halted);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(stack.handles().breaker.snapshot().counts.total, 1, "a halt is no failure");
}

#[tokio::test(start_paused = true)]
async fn in_the_preset_a_bypass_goes_straight_to_the_client() {
    let (switch, _) = logged();
    let client = service_fn(|id: u64| async move { Ok::<_, io::Error>(id) });
    let stack = stack::payment("payments").kill_switch(&switch).build().unwrap();
    let payments = stack.service(client);
    stack.handles().breaker.force_open();
    assert!(payments.clone().oneshot(7).await.is_err());
    stack.handles().switch.flip(Mode::Bypass, "test", "seawall is wrong");
    assert_eq!(payments.clone().oneshot(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_flip_and_an_automatic_transition_do_not_disturb_each_other() {
    let (switch, _) = logged();
    let client = service_fn(|_: u64| async { Err::<u64, _>(io::Error::other("503")) });
    let stack = stack::payment("payments").kill_switch(&switch).build().unwrap();
    let payments = stack.service(client);
    while !stack.handles().breaker.snapshot().state.is_open() {
        let _ = payments.clone().oneshot(1).await;
    }
    let open = stack.handles().breaker.snapshot();
    switch.flip(Mode::Halt, "test", "halted while open");
    for _ in 0..100 {
        let refused = payments.clone().oneshot(1).await.unwrap_err();
        assert_eq!(refused.rejected().unwrap().reason, Reason::Halted);
    }
    assert_eq!(stack.handles().breaker.snapshot().generation, open.generation);
    switch.flip(Mode::Run, "test", "on again");
    let refused = payments.clone().oneshot(1).await.unwrap_err();
    assert_eq!(refused.rejected().unwrap().reason, Reason::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn one_flipped_file_halts_every_stack_within_one_interval_and_fallbacks_still_answer() {
    let (switch, log) = logged();
    let scratch = Scratch::new("every-stack");
    scratch.holds("run");
    let calls = Arc::new(AtomicU32::new(0));
    let client = || {
        let counted = Arc::clone(&calls);
        service_fn(move |id: u64| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, io::Error>(Answer::fresh(id)) }
        })
    };
    let stack = |name| {
        stack::payment(name)
            .kill_switch(&switch)
            .cached(CachedConfig::new(name, |id: &u64| Some(Key::of(id))))
            .build()
            .unwrap()
    };
    let (payments, refunds) = (stack("payments"), stack("refunds"));
    let every = Duration::from_secs(2);
    let file = switch.follow(File::new(&scratch.0), every).unwrap();
    let driving = tokio::spawn(payments.drive().tick(file).run());
    let services = [payments.service(client()), refunds.service(client())];
    for service in &services {
        assert!(!service.clone().oneshot(7).await.unwrap().is_stale());
    }
    scratch.holds("halt\n");
    tokio::time::sleep(every + Duration::from_millis(1)).await;
    let sent = calls.load(Ordering::SeqCst);
    for service in &services {
        assert!(service.clone().oneshot(7).await.unwrap().is_stale(), "known: still answered");
        let refused = service.clone().oneshot(8).await.unwrap_err();
        assert_eq!(refused.rejected().unwrap().reason, Reason::Halted);
    }
    assert_eq!(calls.load(Ordering::SeqCst), sent, "nobody is called");
    fs::remove_file(&scratch.0).unwrap();
    tokio::time::sleep(every + Duration::from_millis(1)).await;
    assert_eq!(switch.mode(), Mode::Halt, "a file that is gone keeps the last word");
    scratch.holds("run\n");
    tokio::time::sleep(every + Duration::from_millis(1)).await;
    for service in &services {
        assert!(!service.clone().oneshot(8).await.unwrap().is_stale());
    }
    driving.abort();
    let log = log.lock().unwrap();
    let flips: Vec<&String> = log.iter().filter(|line| line.contains("->")).collect();
    assert_eq!(flips.len(), 2, "{log:?}");
    assert!(flips[0].starts_with("run -> halt by the file "), "{flips:?}");
}
