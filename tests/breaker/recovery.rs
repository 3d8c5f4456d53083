//! From open to closed: the cool-down, the probes, and what comes too late.

use std::time::Duration;

use seawall::breaker::CircuitBreakerConfig;
use seawall::error::{BoxError, Reason, Rejected, Room};
use seawall::event::{Circuit, Why};
use seawall::outcome::{Classify, Outcome};

use crate::rig::{MS, Rig, SEC, answers, does, failure, refusal, rig, rig_with};

fn quick(c: CircuitBreakerConfig) -> CircuitBreakerConfig {
    c.count_window(4).cool_down(5 * SEC).max_cool_down(60 * SEC)
}

/// Half-open with `probes` seats, none taken: the first probe was cancelled young.
fn half_open(probes: usize) -> Rig {
    let mut rig = rig(|c| quick(c).probes(probes));
    rig.open_and_wait();
    drop(rig.start());
    assert_eq!(rig.state(), Circuit::HalfOpen);
    rig
}

#[test]
fn open_refuses_at_once_with_the_time_left() {
    let mut rig = rig(quick);
    rig.open();
    assert_eq!(rig.refused().retry_after, Some(5 * SEC));
    rig.wait(2 * SEC);
    let refused = rig.refused();
    assert_eq!((refused.room, refused.reason), (Room::Breaker, Reason::CircuitOpen));
    assert_eq!((refused.name, refused.sent()), ("payments", false));
    assert_eq!(refused.retry_after, Some(3 * SEC));
}

#[test]
fn at_exactly_the_deadline_the_first_caller_is_a_probe() {
    let mut rig = rig(quick);
    rig.open();
    rig.wait(5 * SEC - Duration::from_nanos(1));
    assert_eq!(rig.refused().retry_after, Some(Duration::from_nanos(1)));
    rig.wait(Duration::from_nanos(1));
    assert_eq!(rig.state(), Circuit::Open, "nobody came yet");
    rig.ok();
    assert_eq!(rig.state(), Circuit::HalfOpen);
}

#[test]
fn nothing_closes_it_while_nobody_calls() {
    let mut rig = rig(quick);
    rig.open();
    for _ in 0..100 {
        rig.wait(SEC);
        rig.handle.tick();
    }
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn cool_downs_grow_up_to_their_cap_and_begin_anew_once_it_closed() {
    let mut rig = rig(|c| quick(c).probes(1));
    rig.open();
    let mut waits = Vec::new();
    for _ in 0..6 {
        let wait = rig.handle.snapshot().retry_after.unwrap();
        waits.push(wait.as_secs());
        rig.wait(wait);
        rig.fail();
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    rig.wait(60 * SEC);
    rig.ok();
    assert_eq!(rig.state(), Circuit::Closed);
    rig.open();
    assert_eq!(rig.refused().retry_after, Some(5 * SEC));
}

#[test]
fn the_factor_is_a_setting() {
    let mut rig = rig(|c| quick(c).probes(1).cool_down_factor(1.5));
    rig.open_and_wait();
    rig.fail();
    assert_eq!(rig.refused().retry_after, Some(Duration::from_millis(7_500)));
    let mut steady = self::rig(|c| quick(c).probes(1).cool_down_factor(1.0));
    steady.open_and_wait();
    steady.fail();
    assert_eq!(steady.refused().retry_after, Some(5 * SEC));
}

#[test]
fn jitter_takes_off_at_most_its_share_and_spreads_a_fleet() {
    let waits: Vec<Duration> = (0..200)
        .map(|seed| {
            let mut rig = rig(|c| quick(c).jitter(0.2).seed(seed));
            rig.open();
            rig.refused().retry_after.unwrap()
        })
        .collect();
    assert!(waits.iter().all(|wait| (4 * SEC..=5 * SEC).contains(wait)));
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*most - *least > 900 * MS, "{least:?} to {most:?}");
}

#[test]
fn the_same_seed_gives_the_same_waits() {
    let waits = || {
        let mut rig = rig(|c| quick(c).jitter(0.5).seed(7).probes(1));
        rig.open();
        (0..5)
            .map(|_| {
                let wait = rig.handle.snapshot().retry_after.unwrap();
                rig.wait(wait);
                rig.fail();
                wait
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(waits(), waits());
}

/// Reads `Retry-After` out of the error's text.
struct Advised;

impl Classify<u32, BoxError> for Advised {
    fn classify(&self, result: Result<&u32, &BoxError>) -> Outcome {
        if result.is_ok() { Outcome::Success } else { Outcome::Failure }
    }

    fn retry_after(&self, result: Result<&u32, &BoxError>) -> Option<Duration> {
        result.err()?.to_string().parse().ok().map(Duration::from_secs)
    }
}

fn busy_for(secs: u64) -> Result<u32, BoxError> {
    Err(secs.to_string().into())
}

#[test]
fn the_servers_advice_is_a_floor_under_the_cool_down_and_the_cap_its_ceiling() {
    for (advice, waits) in [(1, 5), (5, 5), (20, 20), (60, 60), (7_200, 60)] {
        let mut rig = rig_with(Advised, |c| quick(c).jitter(0.5).seed(3));
        for _ in 0..4 {
            rig.make(busy_for(advice));
        }
        let wait = rig.refused().retry_after.unwrap();
        if advice <= 1 {
            assert!((2 * SEC..=5 * SEC).contains(&wait), "{wait:?}");
        } else {
            assert!(wait >= Duration::from_secs(advice.min(60)), "undershot: {wait:?} of {advice}");
            assert!(wait <= Duration::from_secs(waits), "{wait:?} of {advice}");
        }
    }
}

#[test]
fn a_probes_advice_is_heeded_too() {
    let mut rig = rig_with(Advised, |c| quick(c).probes(1));
    rig.open_and_wait();
    rig.make(busy_for(30));
    assert_eq!(rig.refused().retry_after, Some(30 * SEC));
}

#[test]
fn advice_of_a_call_before_the_one_that_opened_it_is_not_undershot() {
    let mut rig = rig_with(Advised, |c| quick(c).probes(3));
    rig.make(busy_for(30));
    rig.wait(10 * SEC);
    rig.fail_times(3);
    assert_eq!(rig.refused().retry_after, Some(20 * SEC), "what is left of it");
    // Of a probe before the one that decided.
    rig.wait(20 * SEC);
    rig.make(busy_for(40));
    rig.fail();
    assert_eq!(rig.refused().retry_after, Some(40 * SEC));
    // And it is forgotten with the rest.
    rig.handle.reset();
    rig.open();
    assert_eq!(rig.refused().retry_after, Some(5 * SEC));
}

#[test]
fn only_so_many_probes_pass_and_the_rest_are_refused() {
    let mut rig = rig(|c| quick(c).probes(4));
    rig.open_and_wait();
    let probes = rig.start_all(4);
    for _ in 0..100 {
        assert!(rig.refused().retry_after.is_some());
    }
    assert_eq!(rig.handle.snapshot().probes.total, 0);
    drop(probes);
}

#[test]
fn any_number_of_probes_from_one_to_thirty_two_decides() {
    for probes in [1, 2, 3, 31, 32] {
        let mut rig = rig(|c| quick(c).probes(probes).failure_ratio(1.0));
        rig.open_and_wait();
        rig.ok();
        assert_eq!(rig.state(), Circuit::Closed, "all must fail: one success decides");
        let mut rig = self::rig(|c| quick(c).probes(probes).failure_ratio(0.01));
        rig.open_and_wait();
        for _ in 1..probes {
            rig.ok();
            assert_eq!(rig.state(), Circuit::HalfOpen, "{probes}");
        }
        rig.ok();
        assert_eq!(rig.state(), Circuit::Closed, "{probes}");
    }
}

#[test]
fn probes_decide_as_soon_as_the_rest_cannot_change_it() {
    for (script, state, decided) in [
        ("SSS", Circuit::Closed, 3),
        ("FF", Circuit::Open, 2),
        ("SFSS", Circuit::Closed, 4),
        ("SFSF", Circuit::Open, 4),
        ("SF", Circuit::HalfOpen, 2),
    ] {
        let mut rig = half_open(4);
        rig.log.take();
        rig.calls(script);
        assert_eq!(rig.state(), state, "{script}");
        if let Some(last) = rig.log.take().first() {
            assert_eq!((last.why, last.counts.total), (Why::Probes, decided), "{script}");
        }
    }
}

#[test]
fn slow_probes_open_it_again_though_they_succeed() {
    let mut rig = rig(|c| quick(c).slow_calls(SEC, 0.5).probes(4));
    rig.open_and_wait();
    rig.takes(SEC, Ok(0));
    rig.takes(SEC, Ok(0));
    assert_eq!(rig.state(), Circuit::Open);
    assert_eq!(rig.log.take().last().unwrap().counts.failures, 0);
}

#[test]
fn a_failing_probe_never_closes() {
    for ratio in [0.01, 0.3, 0.5, 0.7, 1.0] {
        for probes in 1..=6 {
            for pattern in 0..1_u32 << probes {
                let mut rig = rig(|c| quick(c).probes(probes).failure_ratio(ratio));
                rig.open_and_wait();
                for bit in 0..probes {
                    let failed = pattern >> bit & 1 == 1;
                    let _ = rig.make(if failed { failure() } else { Ok(0) });
                    if rig.state() != Circuit::HalfOpen {
                        let closed = rig.state() == Circuit::Closed;
                        assert!(!(failed && closed), "{ratio} of {probes}, {pattern:b}");
                        break;
                    }
                }
                assert_ne!(rig.state(), Circuit::HalfOpen, "{ratio} of {probes}, {pattern:b}");
            }
        }
    }
}

#[test]
fn a_failing_probe_never_closes_where_slow_ones_had_still_to_be_told() {
    let round = |script: &str| {
        let mut rig =
            rig(|c| quick(c).probes(script.len()).failure_ratio(1.0).slow_calls(SEC, 0.5));
        rig.open_and_wait();
        for (i, letter) in script.chars().enumerate() {
            assert!(i == 0 || rig.state() == Circuit::HalfOpen, "{i} of {script}");
            match letter {
                'L' => rig.takes(SEC, Ok(0)),
                letter => rig.calls(&letter.to_string()),
            }
        }
        rig.state()
    };
    assert_eq!(round("LSSF"), Circuit::Open, "none is left to close it");
    assert_eq!(round("LSF"), Circuit::Open);
    assert_eq!(round("LFF"), Circuit::Open);
    assert_eq!(round("SFS"), Circuit::Closed, "by a success");
    assert_eq!(round("LFS"), Circuit::Closed);
    assert_eq!(round("LSS"), Circuit::Closed);
}

#[test]
fn without_a_failure_ratio_one_failing_probe_opens_it_again() {
    let mut rig = rig(|c| quick(c).no_failure_ratio().consecutive_failures(4).probes(3));
    rig.open_and_wait();
    rig.calls("SS");
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn closing_clears_the_window() {
    let mut rig = half_open(1);
    rig.ok();
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 0));
    rig.calls("FFF");
    assert_eq!(rig.state(), Circuit::Closed, "the old failures are gone");
}

#[test]
fn a_cancelled_probe_gives_its_seat_to_the_next_caller_and_decides_nothing() {
    let mut rig = half_open(2);
    for _ in 0..100 {
        let probes = rig.start_all(2);
        rig.refused();
        drop(probes);
    }
    assert_eq!((rig.state(), rig.handle.snapshot().probes.total), (Circuit::HalfOpen, 0));
    rig.ok_times(2);
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn a_probe_never_polled_gives_its_seat_back() {
    use tower::Service;
    let mut rig = half_open(1);
    let future = rig.start_work(answers(failure()));
    assert_eq!(rig.state(), Circuit::Open);
    drop(future);
    rig.wait(10 * SEC);
    futures::executor::block_on(tower::ServiceExt::ready(&mut rig.service)).unwrap();
    drop(rig.service.call(answers(failure())));
    assert_eq!(rig.state(), Circuit::HalfOpen);
    rig.ok();
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn a_probe_dropped_when_it_was_old_is_a_slow_failure() {
    let mut rig = rig(|c| quick(c).probes(1).cancel_counts_after(2 * SEC));
    rig.open_and_wait();
    let probe = rig.start();
    rig.wait(2 * SEC);
    drop(probe);
    assert_eq!(rig.state(), Circuit::Open);
    assert_eq!(rig.log.take().last().unwrap().counts.slow, 1);
}

#[test]
fn an_ignored_probe_gives_its_seat_back() {
    let mut rig = half_open(2);
    rig.ok();
    for _ in 0..10 {
        let refused = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
        let _ = rig.start_work(answers(refusal(refused)));
        assert_eq!((rig.state(), rig.handle.snapshot().probes.total), (Circuit::HalfOpen, 1));
    }
    rig.ok();
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn a_probe_that_panics_is_a_failure() {
    let mut rig = half_open(1);
    rig.panics(does(async { panic!("probe") }));
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn a_hung_probe_is_one_slow_failure_when_its_lease_ends_and_its_answer_is_stale() {
    let mut rig = rig(|c| quick(c).probes(2).probe_lease(10 * SEC).failure_ratio(1.0));
    rig.open_and_wait();
    let hung = rig.start();
    rig.wait(10 * SEC - Duration::from_nanos(1));
    rig.handle.tick();
    assert_eq!(rig.handle.snapshot().probes.total, 0);
    rig.wait(Duration::from_nanos(1));
    rig.handle.tick();
    let probes = rig.handle.snapshot().probes;
    assert_eq!((probes.total, probes.failures, probes.slow), (1, 1, 1));
    hung.ok();
    assert_eq!((rig.state(), rig.handle.snapshot().stale), (Circuit::HalfOpen, 1));
    rig.ok();
    assert_eq!(rig.state(), Circuit::Closed, "the second seat decided");
}

#[test]
fn hung_probes_cannot_wedge_it_whoever_comes_next() {
    for by_tick in [false, true] {
        let mut rig = rig(|c| quick(c).probes(3).probe_lease(SEC));
        rig.open_and_wait();
        let hung = rig.start_all(3);
        rig.wait(SEC);
        if by_tick {
            rig.handle.tick();
        } else {
            rig.refused();
        }
        assert_eq!(rig.state(), Circuit::Open, "two of three leases decided");
        rig.wait(10 * SEC);
        rig.ok_times(2);
        assert_eq!(rig.state(), Circuit::Closed);
        hung.into_iter().for_each(|probe| probe.fail());
        let snapshot = rig.handle.snapshot();
        assert_eq!(
            (snapshot.state, snapshot.counts.total, snapshot.stale),
            (Circuit::Closed, 0, 3)
        );
    }
}

#[test]
fn at_most_so_many_probes_hold_a_lease_at_any_time() {
    // Each lease that ends is decided: a seat isn't handed on while its first probe runs.
    let mut rig = rig(|c| quick(c).probes(3).probe_lease(SEC).failure_ratio(1.0));
    rig.open_and_wait();
    let mut running = rig.start_all(3);
    for _ in 0..3 {
        rig.wait(SEC / 2);
        if let crate::rig::Made::Passed = rig.make(failure()) {
            panic!("a fourth probe");
        }
        if rig.state() == Circuit::Open {
            break;
        }
    }
    assert_eq!(rig.state(), Circuit::Open);
    running.clear();
}

#[test]
fn a_late_success_of_a_probe_neither_closes_nor_counts() {
    let mut rig = rig(|c| quick(c).probes(1).probe_lease(SEC));
    rig.open_and_wait();
    let late = rig.start();
    rig.wait(SEC);
    late.ok();
    assert_eq!(rig.state(), Circuit::Open, "the lease was over: a slow failure");
}

#[test]
fn answers_of_calls_from_before_it_opened_change_nothing_and_are_counted_as_stale() {
    let mut rig = rig(|c| quick(c).probes(4));
    let old = rig.start_all(6);
    rig.open();
    let mut old = old.into_iter();
    let left = rig.handle.snapshot().retry_after;
    old.next().unwrap().fail();
    old.next().unwrap().ok();
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.state, snapshot.retry_after), (Circuit::Open, left));
    assert_eq!((snapshot.stale, snapshot.counts.total), (2, 4));

    rig.wait(5 * SEC);
    let probe = rig.start();
    old.next().unwrap().ok();
    old.next().unwrap().fail();
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.state, snapshot.probes.total), (Circuit::HalfOpen, 0));

    probe.ok();
    rig.ok_times(2);
    assert_eq!(rig.state(), Circuit::Closed);
    old.next().unwrap().fail();
    old.next().unwrap().fail();
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.counts.total, snapshot.stale), (0, 6));
    assert_eq!(rig.log.len(), 3, "opened, half-opened, closed; and once each");
}

#[test]
fn a_half_open_circuit_left_alone_for_long_still_closes_when_its_probes_succeed() {
    for idle in [SEC, 80 * crate::rig::HOUR, 30 * 24 * crate::rig::HOUR, crate::rig::CENTURY] {
        let mut rig = half_open(3);
        rig.wait(idle);
        rig.ok_times(2);
        assert_eq!(rig.state(), Circuit::Closed, "after {idle:?}");
        // And leases still end.
        let mut rig = half_open(1);
        rig.wait(idle);
        let _hung = rig.start();
        rig.refused();
        rig.wait(10 * SEC + MS);
        rig.refused();
        assert_eq!(rig.state(), Circuit::Open, "after {idle:?}");
    }
}

#[test]
fn a_herd_at_recovery_sends_no_more_than_the_probes() {
    let mut rig = rig(|c| quick(c).probes(3));
    rig.open_and_wait();
    let mut sent = Vec::new();
    for _ in 0..10_000 {
        let call = rig.start_work(does(std::future::pending()));
        if call.result.is_none() {
            sent.push(call);
        }
    }
    assert_eq!(sent.len(), 3);
}
