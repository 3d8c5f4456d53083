//! What is promised of the drills themselves.

use std::time::Duration;

use super::contenders::{CONTENDERS, Contender, SEAWALL};
use super::record::Row;
use super::run::run;
use super::scenarios::{Plan, SCENARIOS};
use super::{SECOND, world_time};

fn contender(name: &str) -> &'static Contender {
    CONTENDERS.iter().find(|one| one.name == name).expect("takes part")
}

/// A scenario, cut down so that it can be run as a test: well for 20 s, ill for 20, watched for 20.
fn short(name: &str) -> Plan {
    let mut plan = SCENARIOS.iter().find(|one| one.name == name).expect("is there").plan(1);
    let (begin, ill, after) = (20 * SECOND, 20 * SECOND, 20 * SECOND);
    (plan.trigger, plan.over, plan.end) = (begin, begin + ill, begin + ill + after);
    for episode in &mut plan.script.0 {
        (episode.from, episode.to) = (plan.trigger, plan.over);
    }
    let rates: Vec<f64> = plan.rates.iter().map(|(.., rate)| *rate).collect();
    plan.rates = vec![
        (0, plan.trigger, rates[0]),
        (plan.trigger, plan.over, rates[1]),
        (plan.over, plan.end, rates[2]),
    ];
    plan
}

fn row(scenario: &str, name: &str) -> Row {
    run(&short(scenario), contender(name))
}

#[test]
fn std_and_tokio_and_seawall_live_in_one_time() {
    let seen = world_time::in_virtual_time(1, async {
        let clock = seawall::clock::Clock::system();
        let (std, tokio, own) = (std_now(), tokio::time::Instant::now(), clock.now());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        [std.elapsed(), tokio.elapsed(), clock.now().since(own)]
    });
    assert_eq!(seen, [Duration::from_secs(3_600); 3]);
}

#[allow(clippy::disallowed_methods)] // it is what is tested
fn std_now() -> std::time::Instant {
    std::time::Instant::now()
}

#[test]
fn threads_without_a_drill_have_the_worlds_time_and_chance() {
    let before = std_now();
    world_time::in_virtual_time(1, async {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    });
    assert!(before.elapsed() < Duration::from_secs(600));
    assert!(world_time::now().is_none());
}

#[test]
fn chance_repeats_by_seed_whoever_asks_the_system_for_it() {
    use std::hash::{BuildHasher, RandomState};
    let draw =
        |seed| world_time::in_virtual_time(seed, async { RandomState::new().hash_one("any") });
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// In real time a breaker would stay open for the whole of a run: that it closes, and after its own wait,
/// shows that it lives in the drill's.
#[test]
fn each_contenders_breaker_recovers_after_its_own_wait() {
    for (name, shortest, longest) in [
        ("tower-resilience", 0.0, 10.6),
        ("tower-resilience+map", 0.0, 10.6),
        ("tower-resilience+map 1s", 0.0, 1.6),
        (SEAWALL, 0.0, 3.0),
        ("oracle", 0.0, 1.6),
    ] {
        let row = row("outage", name);
        let recovered = row.recover_s.unwrap_or_else(|| panic!("{name} never recovered"));
        assert!((shortest..=longest).contains(&recovered), "{name}: {recovered}");
        // It was open most of the time: 20 s of calls are 5,000.
        assert!(row.sick_calls < 1_200, "{name}: {}", row.sick_calls);
        // And it tried again meanwhile, as often as its wait lets it.
        let seconds = row.timeline[21..39].iter();
        let probed =
            seconds.filter(|second| second.kept_off < second.fresh + second.stale + second.failed);
        let probed = probed.count();
        assert!(probed >= 1, "{name} never probed");
        assert!(probed <= 19, "{name}");
    }
}

#[test]
fn a_row_is_a_function_of_its_seed() {
    let plan = short("outage");
    for one in &CONTENDERS {
        let (first, second) = (run(&plan, one), run(&plan, one));
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "{}", one.name);
    }
}

#[test]
fn nobody_can_answer_what_the_oracle_cannot() {
    for scenario in ["outage", "hang", "surge-2x"] {
        let answered = |row: &Row| row.fresh + row.stale;
        let best = answered(&row(scenario, "oracle"));
        for one in &CONTENDERS {
            let seen = row(scenario, one.name);
            // Callers who came just before the end may be answered after it, by luck.
            let slack = seen.offered / 50;
            assert!(answered(&seen) <= best + slack, "{scenario}: {} beat the oracle", one.name);
        }
    }
}

#[test]
fn everything_offered_is_accounted_for_and_nothing_is_wrong_before() {
    for one in &CONTENDERS {
        let row = row("latency", one.name);
        assert_eq!(row.offered, row.fresh + row.stale + row.failed, "{}", one.name);
        assert_eq!((row.wrong, row.not_fresh_before), (0, 0), "{}", one.name);
        assert!(row.p50_ms <= row.p99_ms && row.p99_ms <= row.p999_ms);
    }
}

#[test]
fn a_charge_made_twice_is_seen() {
    // A stack that repeats charges without a key: what the drills are there to find.
    use super::contenders::{Client, Site};
    fn reckless(site: &Site, _: usize) -> Box<dyn Client> {
        struct Twice(super::downstream::Downstream);
        impl Client for Twice {
            fn call(&self, request: super::downstream::Request) -> super::contenders::Reply {
                use tower::ServiceExt;
                let (first, second) = (self.0.clone(), self.0.clone());
                Box::pin(async move {
                    match first.oneshot(request).await {
                        Ok(answer) => Some(answer),
                        Err(_) => second.oneshot(request).await.ok(),
                    }
                })
            }
        }
        Box::new(Twice(site.downstream.clone()))
    }
    let reckless = Contender { name: "reckless", about: "", make: reckless };
    assert!(run(&short("grey"), &reckless).wrong > 0);
    assert_eq!(run(&short("grey-keys"), &reckless).wrong, 0, "known by their keys");
}
