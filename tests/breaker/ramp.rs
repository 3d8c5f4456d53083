//! The ramp: from the probes to all calls, step by step.

use seawall::breaker::CircuitBreakerConfig;
use seawall::event::{Circuit, Why};
use seawall::ratio::Ratio;

use crate::rig::{Made, Rig, SEC, failure, rig};

fn ramping(c: CircuitBreakerConfig) -> CircuitBreakerConfig {
    c.count_window(50).min_calls(5).cool_down(SEC).probes(1).ramp([0.1, 0.3, 0.6]).ramp_step(SEC)
}

/// On the first step.
fn on_the_ramp(set: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig) -> Rig {
    let mut rig = rig(|c| set(ramping(c)));
    seawall::rng::seed_thread(42);
    rig.open_and_wait();
    rig.ok();
    assert_eq!(rig.state(), Circuit::Ramping);
    rig.log.take();
    rig
}

/// How many of so many calls are let through; each succeeds.
fn passed(rig: &mut Rig, calls: usize) -> usize {
    (0..calls).filter(|_| rig.make(Ok(0)).passed()).count()
}

/// Makes calls that fail, if let through, until something happens.
fn fail_until_it_changes(rig: &mut Rig) {
    let before = rig.handle.snapshot().generation;
    for _ in 0..10_000 {
        if rig.handle.snapshot().generation != before {
            return;
        }
        let _ = rig.make(failure());
    }
    panic!("nothing changed: {:?}", rig.handle.snapshot());
}

#[test]
fn each_step_lets_its_share_through_and_refuses_the_rest_with_the_time_left() {
    let mut rig = on_the_ramp(|c| c);
    for (share, calls) in [(0.1, 10_000), (0.3, 10_000), (0.6, 10_000)] {
        let passed = passed(&mut rig, calls) as f64 / calls as f64;
        // Five standard deviations.
        let bound = 5.0 * (share * (1.0 - share) / calls as f64).sqrt();
        assert!((passed - share).abs() < bound, "{passed} of {share}");
        let refused = std::iter::repeat_with(|| rig.make(Ok(0))).find_map(|made| match made {
            Made::Refused(refused) => Some(refused),
            Made::Passed => None,
        });
        assert_eq!(refused.unwrap().retry_after, Some(SEC));
        rig.wait(SEC);
        rig.handle.tick();
    }
    assert_eq!(rig.state(), Circuit::Closed);
    assert_eq!(passed(&mut rig, 1_000), 1_000);
}

#[test]
fn steps_go_forward_when_they_held_and_tell_their_shares() {
    let mut rig = on_the_ramp(|c| c);
    for _ in 0..3 {
        rig.wait(SEC);
        passed(&mut rig, 50);
    }
    let told = rig.log.take();
    let percent = |n| Ratio::percent(n).unwrap();
    let steps: Vec<_> = told.iter().map(|step| (step.to, step.share, step.wait)).collect();
    let want = [
        (Circuit::Ramping, percent(30), Some(SEC)),
        (Circuit::Ramping, percent(60), Some(SEC)),
        (Circuit::Closed, percent(100), None),
    ];
    assert_eq!(steps, want);
    assert!(told.iter().all(|step| step.why == Why::RampHeld));
}

#[test]
fn the_first_step_is_told_by_the_probes() {
    let mut rig = rig(ramping);
    rig.open_and_wait();
    rig.ok();
    let last = *rig.log.take().last().unwrap();
    assert_eq!((last.from, last.to, last.why), (Circuit::HalfOpen, Circuit::Ramping, Why::Probes));
    assert_eq!((last.share, last.wait), (Ratio::percent(10).unwrap(), Some(SEC)));
    assert_eq!(rig.counts().total, 0, "what opened it is cleared");
}

#[test]
fn a_step_ends_at_exactly_its_end_with_the_next_caller_or_tick() {
    for by_tick in [false, true] {
        let mut rig = on_the_ramp(|c| c);
        rig.wait(SEC - std::time::Duration::from_nanos(1));
        rig.handle.tick();
        passed(&mut rig, 3);
        assert_eq!(rig.log.len(), 0);
        rig.wait(std::time::Duration::from_nanos(1));
        if by_tick {
            rig.handle.tick();
        } else {
            passed(&mut rig, 1);
        }
        assert_eq!(rig.log.len(), 1);
    }
}

#[test]
fn a_step_without_calls_holds() {
    let rig = on_the_ramp(|c| c);
    for _ in 0..3 {
        rig.wait(SEC);
        rig.handle.tick();
    }
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn failures_on_a_later_step_bring_back_the_one_before_and_count_anew() {
    let mut rig = on_the_ramp(|c| c);
    rig.wait(SEC);
    passed(&mut rig, 1);
    fail_until_it_changes(&mut rig);
    let told = rig.log.take();
    assert_eq!(told.last().unwrap().share, Ratio::percent(10).unwrap());
    assert!(matches!(told.last().unwrap().why, Why::FailureRatio(_)));
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Ramping, 0));
}

#[test]
fn failures_on_the_first_step_open_it_with_a_longer_cool_down() {
    let mut rig = on_the_ramp(|c| c);
    fail_until_it_changes(&mut rig);
    assert_eq!((rig.state(), rig.handle.snapshot().retry_after), (Circuit::Open, Some(2 * SEC)));
}

#[test]
fn one_failing_call_of_one_is_enough_at_the_end_of_a_step() {
    // A share of little traffic: min-calls may never be reached on a step.
    let mut rig = on_the_ramp(|c| c.min_calls(50));
    while !rig.make(failure()).passed() {}
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn slow_calls_on_the_ramp_step_it_back_too() {
    let mut rig = on_the_ramp(|c| c.slow_calls(SEC / 2, 0.5).ramp_step(10 * SEC));
    let mut hanging = Vec::new();
    while hanging.len() < 5 {
        let call = rig.start_work(crate::rig::does(std::future::pending()));
        if call.result.is_none() {
            hanging.push(call);
        }
    }
    rig.wait(SEC / 2);
    rig.handle.tick();
    assert_eq!(rig.state(), Circuit::Open);
    assert!(matches!(rig.log.take()[0].why, Why::SlowRatio(_)));
}

#[test]
fn calls_of_earlier_steps_count_when_the_ramp_went_on_and_not_when_it_stepped_back() {
    let mut rig = on_the_ramp(|c| c);
    let start = |rig: &mut Rig| loop {
        let (answer, waits) = futures::channel::oneshot::channel();
        let call = rig.start_work(crate::rig::does(async { waits.await.unwrap() }));
        if call.result.is_none() {
            return (call, answer);
        }
    };
    let mut first = start(&mut rig);
    let mut second = start(&mut rig);
    rig.wait(SEC);
    rig.handle.tick();
    first.1.send(failure()).unwrap();
    first.0.poll().unwrap().unwrap_err();
    assert_eq!((rig.counts().failures, rig.handle.snapshot().stale), (1, 0));
    fail_until_it_changes(&mut rig);
    second.1.send(failure()).unwrap();
    second.0.poll().unwrap().unwrap_err();
    assert_eq!((rig.counts().failures, rig.handle.snapshot().stale), (0, 1));
}

#[test]
fn closing_is_no_stampede() {
    // A service that stands 40 calls a second under a demand of 100, through the whole recovery.
    let mut rig = on_the_ramp(|c| c.count_window(100).min_calls(10).ramp([0.1, 0.2, 0.4]));
    let mut most = 0;
    for _ in 0..60 {
        let mut this_second = 0;
        for _ in 0..100 {
            let answer = if this_second < 45 { Ok(0) } else { failure() };
            if rig.make(answer).passed() {
                this_second += 1;
            }
        }
        if rig.state() == Circuit::Ramping {
            most = most.max(this_second);
        }
        rig.wait(SEC);
    }
    assert!((20..=60).contains(&most), "{most} calls in a second while it was ramping");
}

#[test]
fn a_ramp_that_is_shortened_live_steps_back_to_a_step_that_there_is() {
    let mut rig = on_the_ramp(|c| c);
    rig.wait(SEC);
    rig.handle.tick();
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(rig.log.take().last().unwrap().share, Ratio::percent(60).unwrap());
    rig.handle.reconfigure(|c| c.ramp([0.2])).unwrap();
    fail_until_it_changes(&mut rig);
    assert_eq!(rig.log.take().last().unwrap().share, Ratio::percent(20).unwrap());
    assert_eq!(rig.state(), Circuit::Ramping);
    fail_until_it_changes(&mut rig);
    assert_eq!(rig.state(), Circuit::Open);
}

#[test]
fn a_ramp_that_is_taken_away_live_opens_when_it_fails_and_closes_when_it_holds() {
    let mut fails = on_the_ramp(|c| c);
    fails.wait(SEC);
    fails.handle.tick();
    fails.handle.reconfigure(|c| c.ramp([])).unwrap();
    assert_eq!(passed(&mut fails, 20), 20, "no share is set any more");
    fail_until_it_changes(&mut fails);
    assert_eq!(fails.state(), Circuit::Open);

    let holds = on_the_ramp(|c| c);
    holds.handle.reconfigure(|c| c.ramp([])).unwrap();
    holds.wait(SEC);
    holds.handle.tick();
    assert_eq!(holds.state(), Circuit::Closed);
}

#[test]
fn a_ramp_set_while_it_is_half_open_begins_with_the_verdict() {
    let mut rig = rig(|c| c.count_window(4).probes(2));
    rig.open_and_wait();
    rig.ok();
    rig.handle.reconfigure(|c| c.ramp([0.5])).unwrap();
    rig.ok();
    assert_eq!(rig.state(), Circuit::Ramping);
}
