//! Incidents, as a timeline tells them: what opens one, its times, its severity, and what is exported.

use std::fs;
use std::future::ready;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer};
use seawall::bulkhead::{Gauge, GaugeConfig};
use seawall::canary::{Canary, CanaryConfig};
use seawall::clock::{Clock, ManualClock};
use seawall::error::{BoxError, Room};
use seawall::event::Gravity;
use seawall::fallback::CachedConfig;
use seawall::incident::{Incident, Severity, Timeline, TimelineConfig};
use seawall::key::Key;
use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
use seawall::ratio::Ratio;
use seawall::rollout::{Rollout, RolloutConfig};
use seawall::slo::{Objective, Slo, StaleAs};
use seawall::stack;
use seawall::stale::Answer;
use tower::{Layer, ServiceExt, service_fn};

/// 2026-11-25T09:00:00Z.
const NINE: Duration = Duration::from_secs(1_795_597_200);

fn wall() -> SystemTime {
    UNIX_EPOCH + NINE
}

fn timeline(clock: &Clock) -> Timeline {
    Timeline::new(TimelineConfig::new().clock(clock.clone()).wall(wall()))
}

/// A circuit that opens at the fifth failure in a row, under a timeline; and a call through it that fails
/// or doesn't.
struct Rig {
    timeline: Timeline,
    handle: CircuitBreakerHandle,
    hand: ManualClock,
    call: Box<dyn Fn(bool)>,
}

impl Rig {
    fn new() -> Self {
        let (clock, hand) = Clock::manual();
        let timeline = timeline(&clock);
        let config = CircuitBreakerConfig::new("payments")
            .consecutive_failures(5)
            .failure_ratio(1.0)
            .cool_down(Duration::from_secs(5))
            .max_cool_down(Duration::from_secs(5))
            .jitter(0.0)
            .probes(1)
            .clock(clock)
            .observe(timeline.clone());
        let layer = CircuitBreakerLayer::new(config).unwrap();
        let service = layer.layer(service_fn(|fails: bool| {
            ready(if fails { Err::<(), BoxError>("503".into()) } else { Ok(()) })
        }));
        let call = Box::new(move |fails| {
            let _ = tokio_test::block_on(service.clone().oneshot(fails));
        });
        Self { timeline, handle: layer.handle(), hand, call }
    }

    /// A second with so many calls, of which the first `failing` fail.
    fn second(&self, calls: u32, failing: u32) {
        for n in 0..calls {
            (self.call)(n < failing);
        }
        self.hand.advance(Duration::from_secs(1));
        self.timeline.tick();
    }

    fn last(&self) -> Incident {
        self.timeline.incidents().pop().expect("an incident")
    }
}

#[test]
fn the_first_symptom_opens_one_and_its_times_run_from_the_first_failing_call() {
    let rig = Rig::new();
    for _ in 0..60 {
        rig.second(100, 0);
    }
    assert_eq!(rig.timeline.incidents(), []);
    for _ in 0..4 {
        (rig.call)(true);
        rig.hand.advance(Duration::from_millis(100));
    }
    assert_eq!(rig.timeline.incidents(), [], "failures alone are no symptom");
    (rig.call)(true);
    let incident = rig.last();
    assert_eq!(incident.number, 1);
    assert_eq!(incident.time_to_detect(), Duration::from_millis(400));
    assert_eq!(incident.time_to_mitigate(), Some(Duration::from_millis(400)), "the circuit did it");
    assert_eq!(incident.time_to_recover(), None);
    assert!(!incident.over);

    rig.hand.advance(Duration::from_secs(5));
    (rig.call)(false);
    assert_eq!(rig.last().time_to_recover(), Some(Duration::from_millis(5_400)));
    assert!(!rig.last().over, "recovered, but not calm yet");
    for _ in 0..60 {
        rig.second(100, 0);
    }
    assert!(rig.last().over);
    assert_eq!(rig.timeline.incidents().len(), 1);
}

#[test]
fn trouble_that_returns_before_it_is_calm_is_the_same_incident() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.second(100, 0);
        rig.second(100, 100);
        rig.hand.advance(Duration::from_secs(5));
        (rig.call)(false);
        assert!(rig.last().recovered_at.is_some());
        for _ in 0..20 {
            rig.second(100, 0);
        }
    }
    assert_eq!(rig.timeline.incidents().len(), 1);
    for _ in 0..60 {
        rig.second(100, 0);
    }
    rig.second(100, 100);
    let numbers: Vec<u64> = rig.timeline.incidents().iter().map(|one| one.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn severity_is_that_of_the_worst_minute() {
    // Calls and failures of one second in sixty of 100 healthy calls; refusals count as failed.
    for (failing, severity) in [(6, Severity::P3), (600, Severity::P2), (12_000, Severity::P1)] {
        let rig = Rig::new();
        for _ in 0..59 {
            rig.second(100, 0);
        }
        rig.second(failing, failing);
        let incident = rig.last();
        assert_eq!(incident.severity, severity, "{failing}: {}", incident.worst_minute);
        assert_eq!(incident.impact.failed, u64::from(failing), "refusals are failed, too");
    }
    let (clock, hand) = Clock::manual();
    let timeline = timeline(&clock);
    let pool = Gauge::new(GaugeConfig::new("database").clock(clock).observe(timeline.clone()));
    for _ in 0..=100 {
        pool.read(10, 10);
        hand.advance(Duration::from_millis(100));
    }
    assert_eq!(timeline.incidents()[0].severity, Severity::P4, "no caller was seen to be failed");
}

#[test]
fn what_is_told_joins_it_and_so_does_what_was_told_shortly_before() {
    let rig = Rig::new();
    rig.handle.reconfigure(|config| config.consecutive_failures(6)).unwrap();
    rig.hand.advance(Duration::from_secs(601));
    rig.handle.reconfigure(|config| config.consecutive_failures(5)).unwrap();
    rig.hand.advance(Duration::from_secs(30));
    rig.second(10, 10);
    rig.handle.force_open();
    assert!(rig.timeline.note("alice", "asked the bank"));
    let told: Vec<_> = rig.last().entries().map(|entry| entry.event).collect();
    assert_eq!(told, ["reconfigured", "circuit_opened", "circuit_forced_open", "note"]);
    let incident = rig.last();
    let opened = incident.entries().nth(1).unwrap();
    assert_eq!((opened.layer, opened.gravity), (Some(Room::Breaker), Gravity::Warning));
    assert_eq!(opened.runbook, "guide/runbook/circuit_open/index.html");
}

#[test]
fn a_note_without_an_incident_has_no_place() {
    let (clock, _hand) = Clock::manual();
    assert!(!timeline(&clock).note("alice", "all is well"));
}

/// A circuit and an objective under one timeline; a second of calls to both, that go well or don't.
struct Burning {
    timeline: Timeline,
    circuit: CircuitBreakerHandle,
    second: Box<dyn Fn(bool)>,
}

impl Burning {
    fn new(config: TimelineConfig) -> Self {
        let (clock, hand) = Clock::manual();
        let timeline = Timeline::new(config.clock(clock.clone()).wall(wall()));
        let objective = Objective::availability("checkout", 0.999);
        let slo = Slo::new(objective.clock(clock.clone()).observe(timeline.clone())).unwrap();
        let config = CircuitBreakerConfig::new("payments").clock(clock).observe(timeline.clone());
        let layer = CircuitBreakerLayer::new(config.consecutive_failures(5)).unwrap();
        let service = layer.layer(service_fn(|fails: bool| {
            ready(if fails { Err("503") } else { Ok(()) }.map_err(BoxError::from))
        }));
        let ticked = timeline.clone();
        let second = Box::new(move |good: bool| {
            for _ in 0..100 {
                slo.record(good);
            }
            let _ = tokio_test::block_on(service.clone().oneshot(!good));
            hand.advance(Duration::from_secs(1));
            slo.tick();
            ticked.tick();
        });
        Self { timeline, circuit: layer.handle(), second }
    }

    fn seconds(&self, n: u32, good: bool) {
        (0..n).for_each(|_| (self.second)(good));
    }
}

#[test]
fn a_burn_alert_that_ends_late_belongs_to_its_incident_and_does_not_keep_it_open() {
    let rig = Burning::new(TimelineConfig::new());
    rig.seconds(600, true);
    rig.seconds(70, false);
    let burning = rig.timeline.incidents().pop().unwrap();
    assert!(burning.entries().any(|entry| entry.event == "budget_burns"));
    assert_eq!(burning.recovered_at, None);
    rig.circuit.reset();
    rig.seconds(61, true);
    let over = rig.timeline.incidents().pop().unwrap();
    assert!(over.over, "though its burn alert still fires");
    let entries = over.entries().count();
    rig.seconds(600, true);
    let after = rig.timeline.incidents();
    assert_eq!(after.len(), 1, "the end of an alert opens nothing");
    assert!(after[0].entries().count() > entries, "it is told where it belongs");
    assert_eq!(after[0].time_to_recover(), over.time_to_recover());
}

#[test]
fn a_burn_alert_that_ends_before_it_is_calm_does_not_make_the_recovery_later() {
    let rig = Burning::new(TimelineConfig::new().calm(Duration::from_secs(3_600)));
    rig.seconds(600, true);
    rig.seconds(70, false);
    rig.circuit.reset();
    let recovered = rig.timeline.incidents()[0].recovered_at;
    assert!(recovered.is_some());
    rig.seconds(600, true);
    let incident = rig.timeline.incidents().pop().unwrap();
    assert!(incident.entries().any(|entry| entry.event == "budget_burn_ended") && !incident.over);
    assert_eq!(incident.recovered_at, recovered);
}

#[test]
fn a_rollback_that_was_only_rehearsed_is_no_incident() {
    for dry_run in [true, false] {
        let (clock, _hand) = Clock::manual();
        let timeline = timeline(&clock);
        let config = CanaryConfig::new("payments-v2").clock(clock.clone()).only_watch(dry_run);
        let config_of = RolloutConfig::new("payments").dry_run(dry_run).clock(clock);
        let canary = Canary::new(config).unwrap();
        let rollout = Rollout::new(config_of.observe(timeline.clone()), canary.handle()).unwrap();
        rollout.start("deploy-1", "v2").unwrap();
        rollout.abort("alice", "wrong").unwrap();
        let incidents = timeline.incidents();
        assert_eq!(incidents.len(), usize::from(!dry_run), "{incidents:#?}");
        assert!(incidents.iter().all(|incident| incident.recovered_at.is_some()));
    }
}

#[test]
fn the_timeline_is_bounded_and_keeps_the_beginning_and_the_newest() {
    let rig = Rig::new();
    rig.second(10, 10);
    for n in 0..1_000 {
        rig.timeline.note("robot", &n.to_string());
    }
    rig.timeline.note("robot", &"é".repeat(1 << 20));
    let incident = rig.last();
    let longest = incident.entries().map(|entry| entry.text.chars().count()).max();
    assert_eq!(longest, Some(2_003), "two thousand characters, and that there were more");
    let texts: Vec<_> = incident.entries().map(|entry| entry.text.to_string()).collect();
    assert_eq!((texts.len(), incident.left_out()), (256, 746));
    assert!(texts[0].starts_with("the circuit opened"), "{}", texts[0]);
    assert_eq!(
        (texts[127].as_str(), texts[128].as_str(), texts[254].as_str()),
        ("126", "873", "999")
    );

    // And so is the number of incidents.
    for _ in 0..20 {
        rig.handle.reset();
        for _ in 0..62 {
            rig.second(1, 0);
        }
        rig.second(10, 10);
    }
    let numbers: Vec<_> = rig.timeline.incidents().iter().map(|one| one.number).collect();
    assert_eq!(
        numbers,
        (5..=21).collect::<Vec<_>>(),
        "sixteen that are over, and the one that goes on"
    );
}

#[test]
fn changes_are_told_outside_the_lock_and_a_panic_there_is_counted() {
    let (clock, hand) = Clock::manual();
    let told = Arc::new(Mutex::new(Vec::new()));
    let reach = Arc::new(Mutex::new(None::<Timeline>));
    let (log, inner) = (Arc::clone(&told), Arc::clone(&reach));
    let config = TimelineConfig::new().clock(clock.clone()).on_change(move |incident| {
        let timeline = inner.lock().unwrap().clone().unwrap();
        assert!(timeline.incidents().len() == 1, "it can be read from here");
        let recovered = incident.recovered_at.is_some();
        log.lock().unwrap().push((incident.severity, recovered, incident.over));
        assert!(!incident.over, "on purpose");
    });
    let timeline = Timeline::new(config);
    *reach.lock().unwrap() = Some(timeline.clone());
    let config = CircuitBreakerConfig::new("x").clock(clock).observe(timeline.clone());
    let layer = CircuitBreakerLayer::new(config.consecutive_failures(2)).unwrap();
    let service = layer.layer(service_fn(|()| ready(Err::<(), BoxError>("503".into()))));
    for _ in 0..2 {
        let _ = tokio_test::block_on(service.clone().oneshot(()));
    }
    layer.handle().reset();
    hand.advance(Duration::from_secs(60));
    timeline.tick();
    let want =
        [(Severity::P1, false, false), (Severity::P1, true, false), (Severity::P1, true, true)];
    assert_eq!(*told.lock().unwrap(), want, "once each");
    assert_eq!(timeline.hook_panics(), 1);
    assert_eq!(layer.handle().observer_panics(), 0);
}

#[test]
fn calls_that_were_dropped_are_nobodys_failure_and_threads_lose_no_call() {
    let (clock, _hand) = Clock::manual();
    let timeline = timeline(&clock);
    let config = CircuitBreakerConfig::new("x").clock(clock).observe(timeline.clone());
    let layer = CircuitBreakerLayer::new(config.failure_ratio(1.0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let service = layer.layer(service_fn(|n: u32| async move {
                    match n % 3 {
                        0 => std::future::pending().await,
                        1 => Err(BoxError::from("503")),
                        _ => Ok(()),
                    }
                }));
                for n in 0..3_000 {
                    let mut call = tokio_test::task::spawn(service.clone().oneshot(n));
                    let _ = call.poll();
                }
            });
        }
    });
    layer.handle().reconfigure(|config| config.consecutive_failures(1)).unwrap();
    let service = layer.layer(service_fn(|()| ready(Err::<(), BoxError>("503".into()))));
    let _ = tokio_test::block_on(service.oneshot(()));
    let incident = timeline.incidents().pop().expect("the circuit opened");
    assert_eq!((incident.impact.calls, incident.impact.failed), (8_001, 4_001));
}

/// The incident of the golden files: the payment service is down for fifteen seconds.
fn outage() -> Incident {
    let (clock, hand) = Clock::manual();
    let timeline = timeline(&clock);
    let switch = KillSwitch::new(
        KillSwitchConfig::new("payments").clock(clock.clone()).observe(timeline.clone()),
    );
    let stack = stack::payment("payments")
        .cached(CachedConfig::new("payments", |id: &u32| Some(Key::of(id))))
        .kill_switch(&switch)
        .breaker(|config| config.consecutive_failures(5).jitter(0.0).ramp([]))
        .observe(timeline.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    let objective = Objective::availability("checkout", 0.999);
    let slo = Slo::new(objective.clock(clock).observe(timeline.clone())).unwrap();
    let by = StaleAs::new(seawall::outcome::Outcome::Failure, seawall::outcome::ByResult);
    let observed = seawall::slo::SloLayer::new(&slo).classify(by);
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let service = observed.layer(stack.service(service_fn(move |id: u32| {
        let down = is_down.load(Ordering::Relaxed);
        ready(if down { Err(BoxError::from("503")) } else { Ok(Answer::fresh(id)) })
    })));
    let asked = AtomicU64::new(0);
    // Ten calls a second. In the outage two in ten ask for what nobody asked for before.
    let second = || {
        for n in 0..10 {
            let new = down.load(Ordering::Relaxed) && n % 5 == 4;
            let id = if new { 1_000 + asked.fetch_add(1, Ordering::Relaxed) as u32 } else { n };
            let _ = tokio_test::block_on(service.clone().oneshot(id));
            hand.advance(Duration::from_millis(100));
        }
        slo.tick();
        stack.handles().bulkhead.tick();
        timeline.tick();
    };
    (0..45).for_each(|_| second());
    stack.handles().bulkhead.reconfigure(|config| config.limit(50)).unwrap();
    (0..15).for_each(|_| second());
    down.store(true, Ordering::Relaxed);
    (0..8).for_each(|_| second());
    timeline.note("alice", "the payment service's pods restart | rolling back \"41\"");
    switch.flip(Mode::Halt, "bob", "no calls until they are back");
    (0..7).for_each(|_| second());
    down.store(false, Ordering::Relaxed);
    switch.flip(Mode::Run, "bob", "they are back");
    (0..400).for_each(|_| second());
    let incidents = timeline.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    incidents.into_iter().next().unwrap()
}

/// Holds `text` against a file of this folder; with `BLESS` set, writes it.
#[track_caller]
fn golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incident").join(file);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let want = fs::read_to_string(&path).unwrap();
    assert_eq!(text, want, "{file}: run with BLESS=1 to accept what changed");
}

#[test]
fn a_post_mortem_has_every_section_filled() {
    let text = outage().post_mortem();
    golden("post_mortem.md", &text);
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let names: Vec<&str> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    let want = [
        "Summary",
        "Impact",
        "Timeline",
        "Detection",
        "Response",
        "Five whys",
        "Contributing factors",
        "Action items",
    ];
    assert_eq!(names, want);
    for section in sections {
        let lines = section.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
        assert!(lines > 0, "empty: {section}");
    }
}

#[test]
fn each_line_of_the_export_is_json_and_says_what_the_incident_says() {
    let incident = outage();
    let text = incident.json_lines();
    golden("incident.jsonl", &text);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 1 + incident.entries().count());
    assert_eq!(lines[0]["type"], "incident");
    assert_eq!(lines[0]["severity"], incident.severity.as_str());
    assert_eq!(lines[0]["calls"], incident.impact.calls);
    assert_eq!(lines[0]["time_to_detect"], incident.time_to_detect().as_secs_f64());
    let note = lines.iter().find(|line| line["event"] == "note").unwrap();
    assert_eq!(note["text"], "the payment service's pods restart | rolling back \"41\"");
    assert!(lines[1..].iter().all(|line| line["type"] == "entry" && line["incident"] == 1));
}

#[test]
fn what_somebody_typed_makes_no_heading_and_no_cell_of_its_own() {
    let rig = Rig::new();
    rig.second(10, 10);
    rig.timeline.note("eve\n## Blame", "one | two\r\n\n## Empty\n");
    let incident = rig.last();
    let text = incident.post_mortem();
    for section in text.split("\n## ").skip(1) {
        assert!(!section.starts_with("Empty") && !section.starts_with("Blame"), "{text}");
        let lines = section.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
        assert!(lines > 0, "empty: {section}");
    }
    let row = text.lines().find(|line| line.contains("one \\|")).expect("a row of the timeline");
    assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
    assert_eq!(incident.to_string().lines().count(), 3 + 3, "one line a row: {incident}");
}

#[test]
fn probes_that_fail_again_and_again_are_one_entry_and_leave_room_for_the_rest() {
    let rig = Rig::new();
    rig.second(10, 10);
    for _ in 0..1_000 {
        rig.hand.advance(Duration::from_secs(5));
        (rig.call)(true);
    }
    rig.timeline.note("alice", "asked the bank");
    let told: Vec<_> = rig
        .last()
        .entries()
        .map(|entry| (entry.event, entry.times, entry.at <= entry.until))
        .collect();
    let want = [
        ("circuit_opened", 1, true),
        ("circuit_half_opened", 1, true),
        ("circuit_opened", 1_000, true),
        ("note", 1, true),
    ];
    assert_eq!(told, want);
    assert_eq!(rig.last().left_out(), 0);
    let last = rig.last().to_string();
    assert!(last.contains("1 of 1 probes failed (1000 times, until 1 h 23 min)"), "{last}");
}

#[test]
fn an_incident_that_goes_on_and_knows_little_has_no_empty_section_either() {
    let (clock, hand) = Clock::manual();
    let timeline = timeline(&clock);
    let pool = Gauge::new(GaugeConfig::new("database").clock(clock).observe(timeline.clone()));
    for _ in 0..=100 {
        pool.read(10, 10);
        hand.advance(Duration::from_millis(100));
    }
    let text = timeline.incidents()[0].post_mortem();
    for section in text.split("\n## ").skip(1) {
        let lines = section.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
        assert!(lines > 0, "empty: {section}");
    }
    assert!(text.contains("It had not recovered"), "{text}");
    assert_eq!(timeline.incidents()[0].worst_minute, Ratio::ZERO);
}
