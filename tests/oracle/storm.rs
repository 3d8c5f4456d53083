//! Many threads against one circuit: what must be left when they are gone.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use seawall::breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::clock::Clock;
use seawall::error::Error;
use seawall::event::{Circuit, Counts, Event, Kind, Transition, Why};
use tower::{Layer, Service};

use crate::plan::{Change, End, Settings, Shape};
use crate::rig::{Boom, Judge, Result, panic_quietly, result};

const THREADS: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Order {
    End(End),
    Hang,
    PanicInCall,
}

struct Told(Order);

impl Future for Told {
    type Output = Result;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result> {
        match self.0 {
            Order::End(end) => Poll::Ready(result(0, end)),
            _ => Poll::Pending,
        }
    }
}

#[derive(Clone, Debug)]
struct Inner;

impl Service<Order> for Inner {
    type Response = u32;
    type Error = Error<Boom>;
    type Future = Told;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Error<Boom>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, order: Order) -> Told {
        if matches!(order, Order::PanicInCall) {
            panic_quietly();
        }
        Told(order)
    }
}

type Breaker = CircuitBreaker<Inner, Judge>;
type Running = Pin<Box<<Breaker as Service<Order>>::Future>>;

/// SplitMix64: what a thread does next.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % sides
    }
}

/// One call, polled once; what then is still pending comes back.
fn call(service: &mut Breaker, order: Order) -> Option<Running> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut future = Box::pin(service.call(order));
        future.as_mut().poll(&mut context).is_pending().then_some(future)
    }));
    polled.unwrap_or(None)
}

fn caller(mut service: Breaker, mut dice: Dice, calls: u64) {
    let mut hung = VecDeque::new();
    for _ in 0..calls {
        let order = match dice.roll(16) {
            0..=7 => Order::End(End::Ok),
            8..=10 => Order::End(End::Err),
            11 => Order::End([End::Sent, End::NotSent, End::Ignored][dice.roll(3) as usize]),
            12 => Order::End(End::Panic),
            13 => Order::PanicInCall,
            _ => Order::Hang,
        };
        hung.extend(call(&mut service, order));
        if hung.len() > 20 || dice.roll(8) == 0 {
            let at = dice.roll(hung.len().max(1) as u64) as usize;
            hung.swap_remove_back(at);
        }
        if dice.roll(64) == 0 {
            service = service.clone();
        }
    }
}

/// Events say each generation once, and each begins where the one before left off.
fn check_events(mut events: Vec<Transition>, last: u32) {
    events.retain(|step| step.why != Why::RampHeld);
    events.sort_by_key(|step| step.generation);
    let told: Vec<_> = events.iter().map(|step| step.generation).collect();
    assert_eq!(told, (1..=last).collect::<Vec<_>>(), "one event a transition");
    for pair in events.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let ramped = before.to == Circuit::Ramping && after.from == Circuit::Closed;
        assert!(before.to == after.from || ramped, "{before:?}, then {after:?}");
    }
    for step in events {
        let Counts { total, failures, slow } = step.counts;
        assert!(failures.max(slow) <= total, "{step:?}");
    }
}

pub(crate) fn rages(settings: &Settings, calls: u64, seed: u64) {
    let (clock, hand) = Clock::manual();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let config = settings.over(CircuitBreakerConfig::new("storm")).clock(clock).observe(
        move |event: &Event| {
            if let Kind::Transition(step) = event.kind {
                log.lock().unwrap().push(step);
            }
        },
    );
    let layer = CircuitBreakerLayer::new(config).unwrap().classify(Judge);
    let handle = layer.handle();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|n| {
                let service = layer.layer(Inner);
                scope.spawn(move || caller(service, Dice(seed ^ n << 32), calls))
            })
            .collect();
        let (over, handle, hand) = (&over, &handle, &hand);
        scope.spawn(move || {
            let mut dice = Dice(!seed);
            while !over.load(Ordering::Relaxed) {
                match dice.roll(40) {
                    0 => handle.force_open(),
                    1 => handle.force_close(),
                    2 => handle.disable(),
                    3..=9 => handle.reset(),
                    10..=12 => handle.tick(),
                    13 | 14 => {
                        let slow = (dice.roll(2) == 0).then_some((2_000_000, 500_000));
                        let next = settings
                            .with(Change::Slow(slow))
                            .with(Change::Probes(dice.roll(4) as usize + 1))
                            .with(Change::Shadow(dice.roll(4) == 0));
                        let change = |_| next.over(CircuitBreakerConfig::new("storm"));
                        handle.reconfigure(change).unwrap();
                    }
                    _ => {
                        let shown = handle.snapshot();
                        let Counts { total, failures, slow } = shown.counts;
                        assert!(failures.max(slow) <= total, "{shown:?}");
                    }
                }
                hand.advance(Duration::from_micros(dice.roll(400)));
                thread::yield_now();
            }
        });
        for caller in callers {
            caller.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });

    let shown = handle.snapshot();
    assert_eq!(shown.in_time, 0, "nothing is left in the cohorts: {shown:?}");
    check_events(std::mem::take(&mut *told.lock().unwrap()), shown.generation);

    // A fresh lap of known outcomes leaves exactly those.
    handle.reset();
    handle.force_close();
    let mut service = layer.layer(Inner);
    let lap = match settings.shape {
        Shape::Count(calls) => calls as u64,
        Shape::Time(_) => 100,
    };
    for n in 0..lap {
        let end = if n % 4 == 0 { End::Err } else { End::Ok };
        assert!(call(&mut service, Order::End(end)).is_none());
    }
    let expected = Counts { total: lap, failures: lap.div_ceil(4), slow: 0 };
    assert_eq!(handle.snapshot().counts, expected);
    // And every seat of a half-open circuit is free, again and again.
    let plain =
        Settings { consecutive: Some(1), cap: settings.cool_down, probes: 3, ..settings.clone() };
    handle.reconfigure(|_| plain.over(CircuitBreakerConfig::new("storm"))).unwrap();
    handle.reset();
    call(&mut service, Order::End(End::Err));
    assert_eq!(handle.snapshot().state, Circuit::Open);
    hand.advance(Duration::from_nanos(settings.cool_down));
    for _ in 0..3 {
        let probes: Vec<_> = (0..4).filter_map(|_| call(&mut service, Order::Hang)).collect();
        assert_eq!(probes.len(), 3);
    }
}
