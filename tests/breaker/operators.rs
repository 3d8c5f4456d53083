//! The operator's reach: forced states, shadow, reset, live settings, waiting for a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use seawall::breaker::CircuitBreakerHandle;
use seawall::error::Reason;
use seawall::event::{Circuit, Counts, Why};
use tokio_test::task;

use crate::rig::{CENTURY, Made, SEC, does, failure, rig};

type Order = fn(&CircuitBreakerHandle);

const FORCED: [(Order, Circuit); 3] = [
    (CircuitBreakerHandle::force_open, Circuit::ForcedOpen),
    (CircuitBreakerHandle::force_close, Circuit::ForcedClosed),
    (CircuitBreakerHandle::disable, Circuit::Disabled),
];

#[test]
fn forced_open_refuses_all_for_ever_and_says_that_an_operator_did_it() {
    let mut rig = rig(|c| c);
    rig.handle.force_open();
    for _ in 0..10 {
        let refused = rig.refused();
        assert_eq!((refused.reason, refused.retry_after), (Reason::ForcedOpen, None));
        assert!(!refused.sent());
        rig.wait(CENTURY / 100);
        rig.handle.tick();
    }
}

#[test]
fn forced_closed_lets_all_pass_and_counts_them_and_no_rule_fires() {
    let mut rig = rig(|c| c.count_window(10).slow_calls(SEC, 0.1).consecutive_failures(1));
    rig.handle.force_close();
    rig.fail_times(100);
    let _hanging = rig.start_all(10);
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!((rig.state(), rig.counts().total), (Circuit::ForcedClosed, 10));
    // And the next order is carried out.
    rig.handle.reset();
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn disabled_lets_all_pass_and_records_nothing() {
    let mut rig = rig(|c| c.count_window(10).slow_calls(SEC, 0.1));
    rig.handle.disable();
    rig.fail_times(100);
    let hanging = rig.start_all(10);
    rig.wait(10 * SEC);
    rig.handle.tick();
    drop(hanging);
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.state, snapshot.counts), (Circuit::Disabled, Counts::default()));
    assert_eq!((snapshot.stale, snapshot.in_time), (0, 0));
}

#[test]
fn no_automatic_transition_overrides_an_order() {
    for (order, forced) in FORCED {
        // From closed with calls under way, open, half-open with probes out, ramping.
        for from in [Circuit::Closed, Circuit::Open, Circuit::HalfOpen, Circuit::Ramping] {
            let mut rig = rig(|c| c.count_window(4).probes(2).ramp([0.5]).slow_calls(SEC, 0.5));
            let mut calls = rig.start_all(10);
            if from != Circuit::Closed {
                rig.open();
            }
            if matches!(from, Circuit::HalfOpen | Circuit::Ramping) {
                rig.wait(SEC);
                calls.extend(rig.start_all(2));
            }
            if from == Circuit::Ramping {
                calls.pop().unwrap().ok();
                calls.pop().unwrap().ok();
            }
            assert_eq!(rig.state(), from);
            order(&rig.handle);
            let told = rig.log.len();
            for (i, call) in calls.into_iter().enumerate() {
                rig.wait(SEC / 3);
                if i % 2 == 0 {
                    call.fail()
                } else {
                    call.ok()
                }
                rig.handle.tick();
            }
            for _ in 0..20 {
                rig.make(failure());
                rig.wait(SEC);
                rig.handle.tick();
            }
            assert_eq!((rig.state(), rig.log.len()), (forced, told), "from {from}");
        }
    }
}

#[test]
fn an_order_follows_another_and_the_same_order_again_is_no_transition() {
    let rig = rig(|c| c);
    for (order, forced) in FORCED.into_iter().chain(FORCED) {
        order(&rig.handle);
        order(&rig.handle);
        assert_eq!(rig.state(), forced);
    }
    assert_eq!(rig.log.len(), 6);
    assert!(rig.log.take().iter().all(|step| step.why == Why::Operator));
}

#[test]
fn reset_really_clears_from_every_state() {
    let orders: [Order; 4] = [|_| (), FORCED[0].0, FORCED[1].0, FORCED[2].0];
    for order in orders {
        let mut rig = rig(|c| c.count_window(4).probes(1).consecutive_failures(4));
        // Two rounds lost: the next cool-down would be the third.
        rig.open_and_wait();
        rig.fail();
        rig.wait(2 * SEC);
        rig.fail();
        order(&rig.handle);
        rig.handle.reset();
        let snapshot = rig.handle.snapshot();
        assert_eq!((snapshot.state, snapshot.counts), (Circuit::Closed, Counts::default()));
        assert_eq!((snapshot.consecutive_failures, snapshot.retry_after), (0, None));
        rig.calls("FFF");
        assert_eq!(rig.state(), Circuit::Closed, "the run and the window began anew");
        rig.fail();
        assert_eq!(rig.refused().retry_after, Some(SEC), "and so did the cool-down");
    }
}

#[test]
fn calls_in_flight_over_a_reset_are_stale() {
    let mut rig = rig(|c| c.count_window(4).slow_calls(SEC, 0.5));
    let calls = rig.start_all(6);
    rig.handle.reset();
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(rig.handle.snapshot().in_time, 0);
    calls.into_iter().for_each(|call| call.fail());
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.state, snapshot.counts.total, snapshot.stale), (Circuit::Closed, 0, 6));
}

#[test]
fn an_order_in_a_half_open_circuit_leaves_no_probe_behind() {
    let mut rig = rig(|c| c.count_window(4).probes(2));
    rig.open_and_wait();
    let probes = rig.start_all(2);
    rig.handle.reset();
    rig.open_and_wait();
    probes.into_iter().for_each(|probe| probe.ok());
    assert_eq!(rig.handle.snapshot().probes.total, 0, "probes of another round");
    rig.ok_times(2);
    assert_eq!(rig.state(), Circuit::Closed);
}

#[test]
fn a_shadow_refuses_nothing_and_says_what_it_would_have_done() {
    let mut rig = rig(|c| c.count_window(4).probes(2).shadow(true));
    rig.open();
    for _ in 0..10 {
        rig.fail();
    }
    assert_eq!((rig.state(), rig.handle.snapshot().shadowed), (Circuit::Open, 10));
    assert_eq!(rig.counts().total, 4, "what a breaker would have refused isn't counted");
    rig.wait(SEC);
    let probes = rig.start_all(2);
    rig.ok_times(5);
    assert_eq!((rig.state(), rig.handle.snapshot().shadowed), (Circuit::HalfOpen, 15));
    probes.into_iter().for_each(|probe| probe.ok());
    assert_eq!(rig.state(), Circuit::Closed);
    let told = rig.log.take();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|step| !step.enforced));
}

#[test]
fn a_shadow_refuses_nothing_even_if_it_is_forced_open() {
    let mut rig = rig(|c| c.count_window(4).shadow(true));
    rig.handle.force_open();
    rig.ok();
    rig.handle.reconfigure(|c| c.shadow(false)).unwrap();
    assert_eq!(rig.refused().reason, Reason::ForcedOpen);
    assert_eq!(rig.handle.snapshot().shadowed, 1);
}

#[test]
fn changed_wakes_on_every_transition() {
    let mut rig = rig(|c| c.count_window(4).probes(1).ramp([0.5]).ramp_step(SEC));
    let mut watcher = rig.handle.clone();
    let mut next = move || {
        let changed = watcher.changed().now_or_never();
        changed.map(|snapshot| snapshot.state)
    };
    assert_eq!(next(), None);
    rig.open();
    assert_eq!(next(), Some(Circuit::Open));
    assert_eq!(next(), None);
    rig.wait(SEC);
    rig.ok();
    assert_eq!(
        next(),
        Some(Circuit::Ramping),
        "two at once are seen as one: the state is the last"
    );
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(next(), Some(Circuit::Closed), "within one generation too");
    rig.handle.reset();
    assert_eq!(next(), Some(Circuit::Closed));
    for (order, forced) in FORCED {
        order(&rig.handle);
        assert_eq!(next(), Some(forced));
    }
}

#[test]
fn changed_wakes_a_waiting_task_and_may_be_cancelled() {
    let rig = rig(|c| c);
    let mut watcher = rig.handle.clone();
    let mut cancelled = task::spawn(watcher.changed());
    assert!(cancelled.poll().is_pending());
    drop(cancelled);
    rig.handle.force_open();
    assert_eq!(watcher.changed().now_or_never().unwrap().state, Circuit::ForcedOpen);
    let mut waiting = task::spawn(watcher.changed());
    assert!(waiting.poll().is_pending());
    rig.handle.reset();
    assert!(waiting.is_woken());
    assert!(waiting.poll().is_ready());
}

#[test]
fn a_live_change_keeps_every_count() {
    let mut rig = rig(|c| c.count_window(20).min_calls(10).failure_ratio(0.9));
    rig.calls("FFFFFSSSSS");
    rig.handle.reconfigure(|c| c.failure_ratio(0.5)).unwrap();
    assert_eq!((rig.state(), rig.counts().failures), (Circuit::Closed, 5));
    rig.fail();
    assert_eq!(rig.state(), Circuit::Open, "the next verdict is by the new setting");
}

#[test]
fn every_live_setting_takes_hold() {
    let mut rig = rig(|c| c.count_window(20).failure_ratio(0.9).probes(1));
    rig.handle
        .reconfigure(|c| {
            c.failure_ratio(0.5)
                .min_calls(2)
                .cool_down(3 * SEC)
                .max_cool_down(4 * SEC)
                .cool_down_factor(10.0)
                .probes(2)
                .probe_lease(SEC)
                .ramp([0.5])
                .ramp_step(7 * SEC)
        })
        .unwrap();
    rig.calls("FF");
    assert_eq!(rig.refused().retry_after, Some(3 * SEC));
    rig.wait(3 * SEC);
    rig.fail();
    assert_eq!(rig.refused().retry_after, Some(4 * SEC));
    rig.wait(4 * SEC);
    let hung = rig.start_all(2);
    rig.wait(SEC);
    rig.handle.tick();
    assert_eq!(rig.state(), Circuit::Open);
    drop(hung);
    rig.wait(4 * SEC);
    rig.ok_times(2);
    assert_eq!((rig.state(), rig.handle.snapshot().retry_after), (Circuit::Ramping, Some(7 * SEC)));

    let mut rig = self::rig(|c| c.count_window(20).min_calls(20));
    rig.handle.reconfigure(|c| c.no_failure_ratio().consecutive_failures(3)).unwrap();
    rig.calls("FFF");
    assert_eq!(rig.state(), Circuit::Open);
    rig.handle.reset();
    rig.handle.reconfigure(|c| c.consecutive_failures(100).failures(2)).unwrap();
    rig.calls("FF");
    assert_eq!(rig.state(), Circuit::Open);
    rig.handle.reset();
    rig.handle.reconfigure(|c| c.failures(20).slow_calls(SEC, 0.5).min_calls(2)).unwrap();
    rig.takes(SEC, Ok(0));
    rig.takes(SEC, Ok(0));
    assert_eq!(rig.state(), Circuit::Open);
    rig.handle.reset();
    rig.handle.reconfigure(|c| c.no_slow_calls().cancel_counts_after(2 * SEC)).unwrap();
    let call = rig.start();
    rig.wait(2 * SEC);
    drop(call);
    assert_eq!(rig.counts().failures, 1);
}

#[test]
fn the_windows_shape_is_fixed_and_a_refused_change_changes_nothing() {
    let mut rig = rig(|c| c.count_window(4).min_calls(4));
    rig.calls("FFF");
    for change in [
        rig.handle.reconfigure(|c| c.count_window(5).failure_ratio(0.1)),
        rig.handle.reconfigure(|c| c.time_window(SEC)),
        rig.handle.reconfigure(|c| c.failure_ratio(0.1).probes(0)),
    ] {
        change.unwrap_err();
    }
    rig.ok();
    assert_eq!(rig.state(), Circuit::Open, "three of four, and no fifth");
    assert_eq!(
        rig.log.take()[0].why,
        Why::FailureRatio(seawall::ratio::Ratio::percent(50).unwrap())
    );
}

#[test]
fn a_slow_rule_may_come_and_go_while_calls_run() {
    let mut rig = rig(|c| c.count_window(100).min_calls(100));
    let before = rig.start();
    rig.handle.reconfigure(|c| c.slow_calls(SEC, 0.5)).unwrap();
    let during = rig.start();
    rig.wait(SEC / 2);
    rig.handle.reconfigure(|c| c.slow_calls(2 * SEC, 0.5)).unwrap();
    rig.wait(SEC);
    during.ok();
    assert_eq!((rig.counts().total, rig.counts().slow), (1, 0), "by the new threshold");
    rig.wait(SEC);
    before.ok();
    assert_eq!((rig.counts().total, rig.counts().slow), (2, 1), "timed since it was pending");
    let last = rig.start();
    rig.handle.reconfigure(|c| c.no_slow_calls()).unwrap();
    rig.wait(10 * SEC);
    rig.handle.tick();
    last.fail();
    assert_eq!((rig.counts().total, rig.counts().failures, rig.counts().slow), (3, 1, 1));
}

#[test]
fn a_change_that_panics_changes_nothing_and_poisons_nothing() {
    let rig = rig(|c| c);
    let handle = rig.handle.clone();
    let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = handle.reconfigure(|_| panic!("a bad hand"));
    }));
    assert!(changed.is_err());
    rig.handle.reconfigure(|c| c.failure_ratio(0.1)).unwrap();
    rig.handle.force_open();
    assert_eq!(rig.state(), Circuit::ForcedOpen);
}

#[test]
fn reading_never_writes() {
    let mut rig =
        rig(|c| c.count_window(4).probes(1).probe_lease(SEC).slow_calls(SEC, 0.5).ramp([0.5]));
    let read = |rig: &crate::rig::Rig| {
        let first = rig.handle.snapshot();
        for _ in 0..10 {
            assert_eq!(rig.handle.snapshot(), first);
        }
    };
    let _hanging = rig.start_all(4);
    rig.wait(SEC);
    read(&rig);
    assert_eq!((rig.state(), rig.counts().total), (Circuit::Closed, 0));
    rig.refused();
    rig.wait(SEC);
    read(&rig);
    let _probe = rig.start();
    rig.wait(10 * SEC);
    read(&rig);
    assert_eq!(rig.state(), Circuit::HalfOpen, "the lease is over, and nobody has acted on it");
    assert_eq!(rig.log.len(), 2);
}

#[test]
fn reconfigured_a_thousand_times_while_calls_run_it_loses_no_count() {
    let rig = rig(|c| c.time_window(10 * crate::rig::HOUR).min_calls(u32::MAX));
    let stop = Arc::new(AtomicBool::new(false));
    let operator = {
        let (handle, stop) = (rig.handle.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            for i in 0..1_000_u16 {
                handle
                    .reconfigure(|c| match i % 3 {
                        0 => c.slow_calls(crate::rig::HOUR, 1.0).consecutive_slow_calls(9),
                        1 => c.slow_calls(2 * crate::rig::HOUR, 0.9),
                        _ => c.no_slow_calls(),
                    })
                    .unwrap();
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        })
    };
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let mut service = rig.service.clone();
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                use tower::{Service, ServiceExt};
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) || calls == 0 {
                    for _ in 0..8 {
                        service.ready().now_or_never().unwrap().unwrap();
                        let answer = if calls % 2 == 0 { failure() } else { Ok(0) };
                        let call = service.call(does(async {
                            // Let it be seen pending, so that it is timed.
                            tokio::task::yield_now().await;
                            answer
                        }));
                        let _ = futures::executor::block_on(call);
                        calls += 1;
                    }
                }
                calls
            })
        })
        .collect();
    operator.join().unwrap();
    let calls: u64 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
    let counts = rig.counts();
    assert_eq!((counts.total, counts.failures), (calls, calls / 2));
    assert_eq!((counts.slow, rig.handle.snapshot().stale), (0, 0));
    assert_eq!((rig.state(), rig.handle.snapshot().in_time), (Circuit::Closed, 0));
}

#[test]
fn a_breaker_that_is_forced_open_refuses_a_herd_at_once() {
    let mut rig = rig(|c| c);
    rig.handle.force_open();
    let refused = (0..100_000).filter(|_| matches!(rig.make(Ok(0)), Made::Refused(_))).count();
    assert_eq!(refused, 100_000);
}
