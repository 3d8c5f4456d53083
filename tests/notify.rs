//! Alert channels: what people are told, how often, and what a channel that misbehaves does to others.

use std::future::{Future, pending, ready};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer};
use seawall::bulkhead::{Gauge, GaugeConfig};
use seawall::canary::{Canary, CanaryConfig};
use seawall::error::BoxError;
use seawall::event::{Gravity, Notice, Turn};
use seawall::incident::{Timeline, TimelineConfig};
use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
use seawall::notify::{Message, Notifier, NotifierConfig, State};
use seawall::rollout::{Command, Rollout, RolloutConfig, Webhook};
use seawall::slo::{Objective, Slo};
use tower::{Layer, ServiceExt, service_fn};

#[path = "rollout/loopback.rs"]
mod loopback;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What a channel was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Message>>>);

impl Told {
    fn channel(&self, config: NotifierConfig) -> NotifierConfig {
        let told = self.clone();
        config.on_message_async("told", move |message| {
            told.0.lock().unwrap().push(message);
            ready(Ok::<_, BoxError>(()))
        })
    }

    fn all(&self) -> Vec<Message> {
        self.0.lock().unwrap().clone()
    }

    fn states(&self) -> Vec<(String, State)> {
        self.all().iter().map(|one| (one.subject.to_string(), one.state)).collect()
    }
}

/// A notifier that is driven, in virtual time, and what it told.
fn driven() -> (Notifier, Told) {
    let told = Told::default();
    let notifier = Notifier::new(told.channel(NotifierConfig::new())).unwrap();
    tokio::spawn(notifier.drive());
    (notifier, told)
}

fn begins(subject: &str) -> Notice {
    Notice::new(subject, Turn::Begins, Gravity::Critical, "it began")
}

fn ends(subject: &str) -> Notice {
    Notice::new(subject, Turn::Ends, Gravity::Note, "it ended")
}

/// A circuit that opens at the first failure; and a call through it that fails.
fn circuit(notifier: &Notifier) -> (CircuitBreakerHandle, impl AsyncFn() + use<>) {
    let config = CircuitBreakerConfig::new("payments").consecutive_failures(1);
    let layer = CircuitBreakerLayer::new(config.observe(notifier.clone())).unwrap();
    let handle = layer.handle();
    let service = layer.layer(service_fn(|()| ready(Err::<(), BoxError>("503".into()))));
    let fail = async move || _ = service.clone().oneshot(()).await;
    (handle, fail)
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_is_told_with_its_severity_and_runbook_and_so_is_its_end() {
    let (notifier, told) = driven();
    let (handle, fail) = circuit(&notifier);
    fail().await;
    tokio::time::sleep(SECOND).await;
    let first = told.all().pop().unwrap();
    assert_eq!(&*first.subject, "breaker/payments/circuit");
    assert_eq!((first.state, first.severity), (State::Firing, "warning"));
    assert_eq!(first.runbook, "guide/runbook/circuit_open/index.html");
    assert_eq!(first.text, "payments: the circuit opened, 1 calls in a row failed");
    handle.reset();
    tokio::time::sleep(MINUTE).await;
    let last = told.all().pop().unwrap();
    assert_eq!((last.state, last.severity), (State::Cleared, "warning"));
    assert_eq!(last.text, "payments: the circuit closed");
    assert_eq!(told.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_flaps_a_thousand_times_is_two_messages_and_its_last_state_is_told() {
    let (notifier, told) = driven();
    let (handle, fail) = circuit(&notifier);
    for _ in 0..1_000 {
        fail().await;
        tokio::time::sleep(Duration::from_millis(29)).await;
        handle.reset();
        tokio::time::sleep(Duration::from_millis(29)).await;
    }
    tokio::time::sleep(30 * MINUTE).await;
    let all = told.all();
    let got: Vec<_> = all.iter().map(|one| (one.state, one.times)).collect();
    assert_eq!(got, [(State::Firing, 1), (State::Cleared, 999)]);
    assert_eq!(notifier.standing()[0].waiting, 0);
}

/// What each room tells when something is wrong with it.
#[tokio::test(start_paused = true)]
async fn burning_budgets_full_pools_flipped_switches_and_rollbacks_are_told() {
    let (notifier, told) = driven();
    let objective = Objective::availability("checkout", 0.999).observe(notifier.clone());
    let slo = Slo::new(objective).unwrap();
    let pool = Gauge::new(GaugeConfig::new("database").observe(notifier.clone()));
    for second in 0..700 {
        (0..100).for_each(|_| slo.record(second < 600));
        for _ in 0..10 {
            pool.read(if second >= 600 { 10 } else { 2 }, 10);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        slo.tick();
    }
    let switch = KillSwitch::new(KillSwitchConfig::new("payments").observe(notifier.clone()));
    switch.flip(Mode::Halt, "bob", "no calls\nuntil they are back");
    let canary = Canary::new(CanaryConfig::new("payments")).unwrap();
    let config = RolloutConfig::new("payments")
        .observe(notifier.clone())
        .hook_retries(0)
        .on_rollback_async("argo", |_| ready(Err::<(), BoxError>("403".into())));
    let rollout = Rollout::new(config, canary.handle()).unwrap();
    tokio::spawn(rollout.drive());
    rollout.start("deploy-1", "v2").unwrap();
    rollout.abort("alice", "wrong").unwrap();
    tokio::time::sleep(30 * MINUTE).await;
    let all = told.all();
    let got: std::collections::BTreeSet<_> =
        all.iter().map(|one| (&*one.subject, one.state.as_str(), one.severity)).collect();
    let want = [
        ("pool/database/saturation", "firing", "warning"),
        ("kill_switch/payments/kill_switch_flipped", "happened", "warning"),
        ("rollout/payments/canary", "cleared", "critical"),
        ("rollout/payments/rolled_back", "happened", "critical"),
        ("rollout/payments/rollback_hook", "happened", "critical"),
        ("slo/checkout/page_fast", "firing", "critical"),
    ];
    for row in want {
        let row = if row.0.starts_with("bulkhead") {
            ("pool/database/saturation", row.1, row.2)
        } else {
            row
        };
        assert!(got.contains(&row), "{row:?} is not in {got:#?}");
    }
    assert!(all.iter().all(|one| one.runbook.starts_with("guide/runbook/")), "{all:#?}");
    let flip = all.iter().find(|one| one.subject.starts_with("kill_switch")).unwrap();
    assert!(flip.text.ends_with("by bob: no calls until they are back"), "{}", flip.text);
    let rollback = all.iter().find(|one| &*one.subject == "rollout/payments/canary").unwrap();
    assert!(
        rollback.text.contains("rollback decided: alice: wrong; at 0%; then: "),
        "{}",
        rollback.text
    );
}

#[tokio::test(start_paused = true)]
async fn an_incident_is_one_alert_with_its_severity_and_its_end_and_not_one_a_symptom() {
    let (notifier, told) = driven();
    let teller = notifier.clone();
    let config = TimelineConfig::new().on_change(move |incident| teller.tell(&incident.notice()));
    let timeline = Timeline::new(config);
    let config = CircuitBreakerConfig::new("payments").consecutive_failures(3);
    let layer = CircuitBreakerLayer::new(config.observe(timeline.clone())).unwrap();
    let service = layer.layer(service_fn(|()| ready(Err::<(), BoxError>("503".into()))));
    for _ in 0..3 {
        let _ = service.clone().oneshot(()).await;
    }
    tokio::time::sleep(SECOND).await;
    layer.handle().reset();
    for _ in 0..120 {
        tokio::time::sleep(SECOND).await;
        timeline.tick();
    }
    let all = told.all();
    let got: Vec<_> = all.iter().map(|one| (one.state, one.severity, one.runbook)).collect();
    let page = "guide/runbook/circuit_open/index.html";
    assert_eq!(got, [(State::Firing, "P1", page), (State::Cleared, "P1", page)]);
    assert_eq!(
        all[0].text,
        "incident 1 goes on, mitigated: of 2 calls 2 failed and 0 got a substitute; first symptom: \
         payments the circuit opened, 3 calls in a row failed",
        "told from within the third call"
    );
    assert!(
        all[1].text.starts_with("incident 1 recovered after 1.0 s: of 3 calls"),
        "{}",
        all[1].text
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_panics_fails_or_never_answers_holds_up_no_other_and_is_told_in_the_end() {
    let (good, recovering) = (Told::default(), Told::default());
    let log = recovering.clone();
    let attempts = Arc::new(AtomicU32::new(0));
    let config = NotifierConfig::new().on_message_async("bad", move |message| {
        let (log, attempt) = (log.clone(), attempts.fetch_add(1, Ordering::Relaxed));
        assert!(attempt != 0, "it panics before there is a future");
        async move {
            match attempt {
                1 => panic!("it panics"),
                2 => pending().await,
                3 => Err(BoxError::from("refused")),
                _ => {
                    log.0.lock().unwrap().push(message);
                    Ok(())
                }
            }
        }
    });
    let notifier = Notifier::new(good.channel(config).time_limit(SECOND)).unwrap();
    tokio::spawn(notifier.drive());
    notifier.tell(&begins("x"));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(good.states(), [("x".to_owned(), State::Firing)], "at once");
    tokio::time::sleep(SECOND * 5).await;
    let bad = &notifier.standing()[0];
    assert_eq!((bad.sent, bad.failed, bad.waiting), (0, 3, 1));
    notifier.tell(&ends("x"));
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(recovering.states(), [("x".to_owned(), State::Cleared)]);
    let standing = notifier.standing();
    assert_eq!((standing[0].sent, standing[0].failed, standing[0].waiting), (1, 4, 0));
    assert_eq!(standing[0].last_error.as_deref(), Some("refused"));
    assert_eq!(
        (standing[1].sent, standing[1].failed),
        (4, 0),
        "x, and the other channel, twice each"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_channel_that_does_not_work_the_others_are_told_and_that_it_works_again() {
    let chat = Told::default();
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let config = NotifierConfig::new().on_message_async("pager", move |_| {
        let works = switch.load(Ordering::Relaxed);
        ready(if works { Ok(()) } else { Err(BoxError::from("no route")) })
    });
    let notifier = Notifier::new(chat.channel(config)).unwrap();
    tokio::spawn(notifier.drive());
    notifier.tell(&begins("x"));
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(chat.all().len(), 1, "it may be a moment's trouble");
    tokio::time::sleep(10 * MINUTE).await;
    works.store(true, Ordering::Relaxed);
    tokio::time::sleep(10 * MINUTE).await;
    let all = chat.all();
    let got: Vec<_> = all.iter().map(|one| (&*one.subject, one.state, &*one.text)).collect();
    let of_pager = "notify/pager/unsent";
    let want = [
        ("x", State::Firing, "it began"),
        (of_pager, State::Firing, "the alert channel pager failed 3 times in a row: no route"),
        (of_pager, State::Cleared, "the alert channel pager works again"),
    ];
    assert_eq!(got, want);
    assert_eq!(all[1].severity, "critical");
    assert_eq!(notifier.standing()[0].waiting, 0, "it was told of x, and of nothing else");
    assert_eq!(notifier.standing()[0].sent, 1);
}

/// In real time, since threads and processes take it.
fn in_real_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// Drives until this holds.
async fn drive_until(notifier: &Notifier, done: impl Fn(&Notifier) -> bool) {
    let over = async {
        while !done(notifier) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let limited = tokio::time::timeout(SECOND * 30, over);
    tokio::select! {
        () = notifier.drive() => unreachable!("it never ends"),
        over = limited => over.expect("it comes to pass"),
    }
}

#[test]
fn a_channel_that_blocks_for_ever_takes_one_thread_and_is_told_how_it_stands_once_it_lets_go() {
    let (let_go, held) = mpsc::channel::<()>();
    let (held, calls) = (Mutex::new(held), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&calls);
    let other = Told::default();
    let config = NotifierConfig::new()
        .gap(Duration::from_millis(1), Duration::from_millis(1))
        .time_limit(Duration::from_millis(20))
        .on_message("blocks", move |message: &Message| {
            seen.lock().unwrap().push(message.state);
            held.lock().unwrap().recv()
        });
    let notifier = Notifier::new(other.channel(config)).unwrap();
    in_real_time(async {
        notifier.tell(&begins("x"));
        drive_until(&notifier, |notifier| notifier.standing()[0].hangs).await;
        notifier.tell(&ends("x"));
        let states = || other.states().iter().filter(|(subject, _)| subject == "x").count();
        drive_until(&notifier, |_| states() == 2).await;
        assert_eq!(calls.lock().unwrap().len(), 1, "no second thread beside one that hangs");
        let standing = &notifier.standing()[0];
        assert_eq!(standing.last_error.as_deref(), Some("no end after 20ms"));
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        drive_until(&notifier, |notifier| notifier.standing()[0].waiting == 0).await;
    });
    assert_eq!(calls.lock().unwrap().last(), Some(&State::Cleared));
    assert!(!notifier.standing()[0].hangs);
    let of_it = other.all().into_iter().find(|one| &*one.subject == "notify/blocks/unsent");
    assert_eq!(of_it.unwrap().text, "the alert channel blocks hangs: no end after 20ms");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_calls_back_into_the_notifier_does_not_deadlock() {
    let reach: Arc<OnceLock<Notifier>> = Arc::default();
    let told = Told::default();
    let (inner, log) = (Arc::clone(&reach), told.clone());
    let config = NotifierConfig::new().on_message_async("calls back", move |message| {
        let notifier = inner.get().unwrap();
        notifier.tell(&ends(&message.subject));
        assert_eq!(notifier.standing().len(), 1);
        log.0.lock().unwrap().push(message);
        ready(Ok::<_, BoxError>(()))
    });
    let notifier = Notifier::new(config).unwrap();
    reach.set(notifier.clone()).unwrap();
    tokio::spawn(notifier.drive());
    notifier.tell(&begins("x"));
    tokio::time::sleep(10 * MINUTE).await;
    let want = [State::Firing, State::Cleared].map(|state| ("x".to_owned(), state));
    assert_eq!(told.states(), want);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_drive_was_sending_is_sent_by_the_next_with_the_same_key() {
    let told = Told::default();
    let log = told.clone();
    let config = NotifierConfig::new().on_message_async("slow", move |message| {
        log.0.lock().unwrap().push(message);
        async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, BoxError>(())
        }
    });
    let notifier = Notifier::new(config).unwrap();
    notifier.tell(&begins("x"));
    let _ = tokio::time::timeout(SECOND / 2, notifier.drive()).await;
    assert_eq!(notifier.standing()[0].waiting, 1);
    let _ = tokio::time::timeout(MINUTE, notifier.drive()).await;
    let all = told.all();
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0].key, all[0].attempt + 1), (&all[1].key, all[1].attempt));
    assert_eq!(notifier.standing()[0].waiting, 0);
    let other = Notifier::new(told.channel(NotifierConfig::new())).unwrap();
    other.tell(&begins("x"));
    let _ = tokio::time::timeout(MINUTE, other.drive()).await;
    assert_ne!(told.all()[2].key, all[0].key, "keys are told apart, of other processes, too");
}

#[test]
fn a_thousand_threads_that_tell_wait_for_no_channel() {
    let told = Told::default();
    let config =
        NotifierConfig::new().on_message_async("never", |_| pending::<Result<(), BoxError>>());
    let notifier = Notifier::new(told.channel(config)).unwrap();
    in_real_time(async {
        let driven = tokio::time::timeout(SECOND / 5, notifier.drive());
        let telling = std::thread::spawn({
            let notifier = notifier.clone();
            move || {
                for _ in 0..100 {
                    std::thread::scope(|scope| {
                        for n in 0..10 {
                            let notifier = &notifier;
                            scope.spawn(move || {
                                notifier.tell(&begins(&n.to_string()));
                                notifier.tell(&ends(&n.to_string()));
                            });
                        }
                    });
                }
            }
        });
        let _ = driven.await;
        telling.join().unwrap();
    });
    assert!(told.all().len() <= 10, "the burst");
}

#[cfg(unix)]
#[test]
fn a_command_finds_the_message_in_its_environment() {
    let file = std::env::temp_dir().join(format!("seawall-notify-{}", std::process::id()));
    let script = r#"printf '%s|' "$SEAWALL_SUBJECT" "$SEAWALL_STATE" "$SEAWALL_SEVERITY" \
        "$SEAWALL_TEXT" "$SEAWALL_RUNBOOK" "$SEAWALL_TIMES" "$SEAWALL_ATTEMPT" >"$1""#;
    let command = Command::new("sh").args(["-c", script, "sh"]).arg(&file);
    let notifier = Notifier::new(NotifierConfig::new().channel(command)).unwrap();
    let odd = "$(touch /nowhere); `x` \0 && * ?";
    let mut notice = Notice::new("disk/a b", Turn::Begins, Gravity::Critical, odd);
    notice.runbook = "https://wiki.example.com/disk";
    notifier.tell(&notice);
    in_real_time(drive_until(&notifier, |notifier| notifier.standing()[0].sent == 1));
    let said = std::fs::read_to_string(&file).unwrap();
    let _ = std::fs::remove_file(&file);
    let odd = odd.replace('\0', " ");
    assert_eq!(said, format!("disk/a b|firing|critical|{odd}|https://wiki.example.com/disk|1|1|"));
}

#[test]
fn a_webhook_gets_the_message_as_json_and_its_key_as_a_header() {
    let (url, serving) = loopback::server(vec!["503 Busy", "200 Fine"]);
    let webhook = Webhook::new(url).unwrap().signed_by("CARGO_PKG_NAME").unwrap().named("pager");
    let notifier = Notifier::new(NotifierConfig::new().channel(webhook)).unwrap();
    assert_eq!(notifier.standing()[0].channel, "pager");
    notifier.tell(&Notice::new("a\"b", Turn::Once, Gravity::Critical, "it is \"bad\" \\ worse"));
    in_real_time(drive_until(&notifier, |notifier| notifier.standing()[0].sent == 1));
    let asked = serving.join().unwrap();
    let mut keys = Vec::new();
    for (asked, attempt) in asked.iter().zip(1..) {
        let (head, body) = asked.split_at(asked.find('{').unwrap());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["subject"], "a\"b");
        assert_eq!(body["text"], "it is \"bad\" \\ worse");
        assert_eq!(body["severity"], "critical");
        assert_eq!((&body["state"], &body["attempt"]), (&"happened".into(), &attempt.into()));
        let key = body["key"].as_str().unwrap();
        assert!(head.contains(&format!("idempotency-key: {key}")), "{head}");
        assert!(head.contains("seawall-signature: sha256="), "{head}");
        keys.push(key.to_owned());
    }
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn settings_out_of_range_are_errors() {
    let some = || Told::default().channel(NotifierConfig::new());
    let zero = Duration::ZERO;
    let rows = [
        ("channels", NotifierConfig::new()),
        ("gap", some().gap(zero, SECOND)),
        ("gap", some().gap(MINUTE, SECOND)),
        ("gap", some().gap(SECOND, Duration::MAX)),
        ("rate", some().rate(0, SECOND)),
        ("rate", some().rate(1_001, SECOND)),
        ("rate", some().rate(1, Duration::MAX)),
        ("time_limit", some().time_limit(zero)),
        ("time_limit", some().time_limit(Duration::MAX)),
    ];
    for (field, config) in rows {
        let what = format!("{config:?}");
        assert_eq!(Notifier::new(config).unwrap_err().field(), field, "{what}");
    }
    assert!(Notifier::new(some().rate(1, zero)).is_ok(), "no rate at all");
}
