//! A clock that stands still, leaps, or goes back: nothing panics, and nothing is lost for good.

use std::time::Duration;

use seawall::event::Circuit;

use crate::rig::{CENTURY, HOUR, Made, Rig, SEC, failure, rig};

const LEAPS: [Duration; 4] = [SEC, HOUR, CENTURY, Duration::MAX];

fn full(timed: bool) -> Rig {
    rig(|c| {
        let c = if timed { c.time_window(10 * SEC) } else { c.count_window(10) };
        c.min_calls(5).slow_calls(SEC, 0.5).probes(2).ramp([0.1, 0.5])
    })
}

/// From any state, by good calls alone.
fn comes_back(rig: &mut Rig) {
    for _ in 0..10_000 {
        if rig.state() == Circuit::Closed {
            rig.ok();
            return;
        }
        let _ = rig.make(Ok(0));
        rig.wait(SEC);
    }
    panic!("{:?}", rig.handle.snapshot());
}

#[test]
fn while_the_clock_stands_still_counts_and_verdicts_go_on() {
    for timed in [false, true] {
        let mut rig = full(timed);
        rig.ok_times(1_000);
        rig.handle.reset();
        rig.calls("SSFF");
        rig.fail();
        assert_eq!(rig.state(), Circuit::Open);
        for _ in 0..100 {
            assert_eq!(rig.refused().retry_after, Some(SEC));
        }
    }
}

#[test]
fn a_leap_of_any_length_ends_waits_and_leases_and_hangs_at_once() {
    for leap in &LEAPS[..3] {
        let mut rig = full(true);
        let hanging = rig.start_all(5);
        rig.wait(*leap);
        assert_eq!(rig.refused().retry_after, Some(SEC), "{leap:?}");
        drop(hanging);
        rig.wait(*leap);
        let probes = rig.start_all(2);
        rig.wait(*leap + 10 * SEC);
        rig.handle.tick();
        assert_eq!(rig.state(), Circuit::Open, "{leap:?}");
        drop(probes);
        rig.wait(*leap + SEC);
        rig.ok_times(2);
        assert_eq!(rig.state(), Circuit::Ramping);
        for _ in 0..2 {
            rig.wait(*leap);
            rig.handle.tick();
        }
        assert_eq!(rig.state(), Circuit::Closed, "{leap:?}");
    }
}

#[test]
fn at_the_end_of_time_nothing_panics() {
    for timed in [false, true] {
        let mut rig = full(timed);
        let calls = rig.start_all(3);
        rig.wait(Duration::MAX);
        rig.handle.tick();
        calls.into_iter().for_each(|call| call.ok());
        for i in 0..200 {
            let _ = rig.make(if i % 3 == 0 { Ok(0) } else { failure() });
            rig.wait(SEC);
            rig.handle.tick();
            rig.handle.snapshot();
        }
        rig.handle.reset();
        rig.ok();
    }
}

#[test]
fn a_clock_set_back_while_it_is_open_delays_the_probes_and_no_more() {
    let mut rig = full(false);
    rig.open();
    rig.hand.set_back(HOUR);
    assert_eq!(rig.refused().retry_after, Some(HOUR + SEC));
    rig.wait(HOUR + SEC);
    comes_back(&mut rig);
    // And an operator needn't wait.
    rig.open();
    rig.hand.set_back(HOUR);
    rig.handle.reset();
    rig.ok();
}

#[test]
fn a_clock_set_back_in_any_state_wedges_nothing() {
    for back in LEAPS {
        for timed in [false, true] {
            // Closed, with calls in flight.
            let mut rig = full(timed);
            rig.calls("SSF");
            let calls = rig.start_all(3);
            rig.hand.set_back(back);
            rig.handle.tick();
            calls.into_iter().for_each(|call| call.ok());
            assert_eq!(rig.handle.snapshot().in_time, 0, "{back:?}");
            rig.open();
            // Half-open with a probe out, and ramping.
            let left = rig.handle.snapshot().retry_after.unwrap();
            rig.wait(left);
            let probe = rig.start();
            rig.hand.set_back(back);
            rig.handle.tick();
            probe.ok();
            rig.ok();
            assert_eq!(rig.state(), Circuit::Ramping, "{back:?}");
            rig.hand.set_back(back);
            for _ in 0..10 {
                let _ = rig.make(Ok(0));
            }
            rig.wait(back.min(CENTURY));
            comes_back(&mut rig);
        }
    }
}

#[test]
fn elapsed_time_is_never_negative() {
    let mut rig = full(false);
    let call = rig.start();
    rig.hand.set_back(HOUR);
    call.ok();
    assert_eq!((rig.counts().total, rig.counts().slow), (1, 0));
    let dropped = rig.start();
    rig.hand.set_back(HOUR);
    drop(dropped);
    assert_eq!(rig.counts().total, 1, "younger than young");
}

#[test]
fn after_the_clock_went_back_failures_still_open_it() {
    for back in &LEAPS[..3] {
        for timed in [false, true] {
            let mut rig = full(timed);
            rig.calls("SS");
            rig.hand.set_back(*back);
            let opened = (0..20).any(|_| {
                let _ = matches!(rig.make(failure()), Made::Passed);
                rig.state() == Circuit::Open
            });
            assert!(opened, "{back:?}, timed: {timed}");
        }
    }
}
