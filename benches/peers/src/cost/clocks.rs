//! What a reading of each clock costs, and whether the one that the layers are given is real.

use std::hint::black_box;
use std::time::Duration;

use crate::args::Failure;
use crate::contenders;
use crate::cost::median;
use crate::stopwatch;

/// Nanoseconds a reading of every clock, read in turns.
pub(super) fn measure() -> Vec<(&'static str, f64)> {
    let clock = contenders::CLOCK;
    let counter = quanta::Clock::new();
    let clocks = [
        ("std's Instant", batch(stopwatch::now)),
        ("seawall's Clock", batch(move || clock.now())),
        ("CLOCK_MONOTONIC", batch(|| system(rustix::time::ClockId::Monotonic))),
        ("CLOCK_MONOTONIC_COARSE", batch(|| system(rustix::time::ClockId::MonotonicCoarse))),
        ("the processor's counter (quanta)", batch(move || counter.now())),
    ];
    let mut taken = vec![Vec::new(); clocks.len()];
    for _ in 0..9 {
        for ((_, read), taken) in clocks.iter().zip(&mut taken) {
            taken.push(read());
        }
    }
    clocks.iter().zip(taken).map(|((name, _), taken)| (*name, median(taken))).collect()
}

/// Many readings: nanoseconds each.
fn batch<T>(read: impl Fn() -> T + 'static) -> Box<dyn Fn() -> f64> {
    const READINGS: u32 = 20_000;
    Box::new(move || {
        let spent = stopwatch::time(|| (0..READINGS).for_each(|_| _ = black_box(read())));
        spent.as_nanos() as f64 / f64::from(READINGS)
    })
}

#[inline]
fn system(id: rustix::time::ClockId) -> i64 {
    rustix::time::clock_gettime(id).tv_nsec
}

/// How far apart the coarse clock's readings are.
pub(super) fn tick() -> Duration {
    let tick = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    Duration::new(tick.tv_sec as u64, tick.tv_nsec as u32)
}

/// The layers are on the system's clock: it goes as std's does, while nobody moves it.
pub(super) fn check() -> Result<(), Failure> {
    const A_WHILE: Duration = Duration::from_millis(20);
    let before = stopwatch::now();
    let began = contenders::CLOCK.now();
    let after = stopwatch::now();
    while after.elapsed() < A_WHILE {
        std::hint::spin_loop();
    }
    let least = after.elapsed();
    let passed = contenders::CLOCK.now().since(began);
    let most = before.elapsed();
    if !(least..=most).contains(&passed) {
        return Err(
            format!("the layers' clock: {passed:?} passed, of {least:?} to {most:?}").into()
        );
    }
    Ok(())
}
