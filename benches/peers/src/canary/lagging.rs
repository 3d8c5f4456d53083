//! Two arms that are equally good and differently quick: what hits both shows in one of them first.
//!
//! Here the calls go one by one through a [`Split`](seawall::canary::Split) as a client has it, with a clock
//! of its own: it draws the arms, measures latency and chooses the length of its blocks itself.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seawall::canary::{Canary, CanaryConfig};
use seawall::clock::Clock;
use seawall::error::Error;
use seawall::ratio::Ratio;
use tower::{Service, service_fn};

use super::dice::Dice;
use super::judges::{ALPHA, Judge};
use super::tick::{CALLS, SECOND, Tick};

/// How the arms differ, and what hits both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Lagging {
    /// The baseline takes 1 s, the canary 10 ms; for 10 s every other call of both fails.
    Outage,
    /// The baseline takes half a second on average, the canary 10 ms; for 4 s of every 8 all calls of both
    /// fail.
    Flapping,
}

/// So long the baseline is alone.
const LEARN_S: u64 = 30;
const TICK_NS: u64 = 1_000_000_000 / SECOND;
const GAP_NS: u64 = TICK_NS / CALLS;

impl Lagging {
    /// Seconds that the canary has calls.
    const fn seconds(self) -> u64 {
        match self {
            Self::Outage => 30,
            Self::Flapping => 60,
        }
    }

    /// Does a call fail that starts so many seconds after the canary got its share?
    fn fails(self, second: f64, dice: &mut Dice) -> bool {
        dice.is(match self {
            Self::Outage if (10.0..20.0).contains(&second) => 0.5,
            Self::Flapping if second >= 0.0 && second % 8.0 >= 4.0 => 1.0,
            _ => 0.001,
        })
    }

    /// How long a call takes, in ns.
    fn lasts(self, canary: bool, dice: &mut Dice) -> u64 {
        let seconds = match self {
            _ if canary => 0.010,
            Self::Outage => 1.0,
            Self::Flapping => dice.gamma(0.5),
        };
        (seconds * 1e9) as u64
    }
}

/// Runs one rollout: does this library roll back, and which of `others`, who see the same calls end?
pub(super) fn run(
    lagging: Lagging,
    w: f64,
    mut dice: Dice,
    others: &mut [Box<dyn Judge>],
) -> (bool, Vec<bool>) {
    seawall::rng::seed_thread(dice.next());
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("canary").alpha(ALPHA).clock(clock).no_warm_up();
    let canary = Canary::new(config.learn(Duration::from_secs(LEARN_S))).expect("valid settings");
    let handle = canary.handle();

    // Which version was called last, and how the call ends that is polled next.
    let (called, failed) = (Cell::new(false), Cell::new(false));
    let version = |is_canary: bool| {
        let (called, failed) = (&called, &failed);
        service_fn(move |(): ()| {
            called.set(is_canary);
            poll_fn(move |_| Poll::Ready(if failed.get() { Err(Error::Inner(())) } else { Ok(()) }))
        })
    };
    let mut split = canary.split(version(false), version(true));
    let cx = &mut Context::from_waker(Waker::noop());

    let mut rolled_back = vec![false; others.len()];
    let mut running: Vec<Option<(Pin<Box<_>>, bool, bool)>> = Vec::new();
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut tick, mut now) = (Tick::default(), 0_u64);
    for call in 0..(LEARN_S + lagging.seconds()) * SECOND * CALLS {
        let at = call * GAP_NS;
        while let Some(Reverse((end, index))) = ends.peek().copied() {
            if end > at {
                break;
            }
            ends.pop();
            hand.advance(Duration::from_nanos(end - now));
            now = end;
            let (mut future, is_canary, fails) = running[index].take().expect("it ends once");
            failed.set(fails);
            assert!(is_done(&mut future, cx));
            tick.add(is_canary, fails);
        }
        hand.advance(Duration::from_nanos(at - now));
        now = at;
        if call > 0 && at % TICK_NS == 0 {
            let seen = std::mem::take(&mut tick);
            for (other, rolled_back) in others.iter_mut().zip(&mut rolled_back) {
                if at <= LEARN_S * 1_000_000_000 {
                    other.learn(&seen);
                } else {
                    *rolled_back = *rolled_back || other.rolls_back(&seen);
                }
            }
            if at == LEARN_S * 1_000_000_000 {
                assert!(handle.set_weight(Ratio::new(w).expect("a share")));
            }
        }
        assert!(split.poll_ready(cx).is_ready());
        let future = Box::pin(split.call(()));
        let second = at as f64 / 1e9 - LEARN_S as f64;
        let is_canary = called.get();
        let fails = lagging.fails(second, &mut dice);
        ends.push(Reverse((at + lagging.lasts(is_canary, &mut dice), running.len())));
        running.push(Some((future, is_canary, fails)));
    }
    (handle.snapshot().verdict.is_roll_back(), rolled_back)
}

fn is_done<F: Future>(future: &mut Pin<Box<F>>, cx: &mut Context<'_>) -> bool {
    future.as_mut().poll(cx).is_ready()
}
