//! Who limits: seawall's bulkhead as it is, tower-resilience's algorithms, and limits that stand still.
//!
//! seawall is driven as its users drive it: calls go through the service, on a clock that the
//! simulation moves. tower-resilience's layer reads the system's clock and can't be; its algorithms can,
//! and are told what the layer would tell them: each answer's latency, and each failure.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seawall::bulkhead::{
    Aimd, Bulkhead, BulkheadConfig, BulkheadHandle, BulkheadLayer, Gradient, Limiter, OneClass,
    Rank, Vegas,
};
use seawall::clock::{Clock, ManualClock};
use seawall::criticality::Criticality;
use seawall::error::{Error, Reason, Rejected, Room};
use tower::{Layer, Service};
use tower_resilience::adaptive;
use tower_resilience::adaptive::ConcurrencyAlgorithm;

use super::sim::Nanos;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    GivenUp,
}

/// A client with a limit.
pub(super) trait Client {
    /// May this call be made now?
    fn admits(&mut self, call: u64, now: Nanos) -> bool;
    /// A call that was admitted ended.
    fn ends(&mut self, call: u64, now: Nanos, verdict: Verdict);
    /// The limit as it is.
    fn limit(&self) -> u32;
}

/// A contender's name, and how its client is made with this limit to begin with.
#[derive(Clone, Copy)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) make: fn(initial: u32) -> Box<dyn Client>,
}

/// From what latency on a limiter that must be told calls it slow: twice what is normal.
const SLOW: Duration = Duration::from_millis(240);
/// The largest limit, of all.
const MOST: u32 = 2_000;

pub(super) const CONTENDERS: [Contender; 6] = [
    Contender { name: "seawall-vegas", make: |initial| seawall(initial, Vegas::new()) },
    Contender { name: "seawall-gradient", make: |initial| seawall(initial, Gradient::new()) },
    Contender {
        name: "seawall-aimd",
        make: |initial| seawall(initial, Aimd::new().slow_after(SLOW)),
    },
    Contender {
        name: "tower-resilience-aimd",
        make: |initial| {
            let aimd = adaptive::Aimd::builder()
                .initial_limit(initial as usize)
                .max_limit(MOST as usize)
                .decrease_factor(0.9)
                .latency_threshold(SLOW)
                .build();
            Box::new(Told::new(aimd.expect("valid")))
        },
    },
    Contender {
        name: "tower-resilience-vegas",
        make: |initial| {
            let vegas = adaptive::Vegas::builder()
                .initial_limit(initial as usize)
                .max_limit(MOST as usize)
                .build();
            Box::new(Told::new(vegas.expect("valid")))
        },
    },
    Contender { name: "fixed-at-start", make: |initial| Box::new(fixed(initial)) },
];

/// A limit that stands still.
pub(super) fn fixed(limit: u32) -> Fixed {
    Fixed { limit, in_flight: 0 }
}

#[derive(Debug)]
pub(super) struct Fixed {
    limit: u32,
    in_flight: u32,
}

impl Client for Fixed {
    fn admits(&mut self, _: u64, _: Nanos) -> bool {
        let admits = self.in_flight < self.limit;
        self.in_flight += u32::from(admits);
        admits
    }

    fn ends(&mut self, _: u64, _: Nanos, _: Verdict) {
        self.in_flight -= 1;
    }

    fn limit(&self) -> u32 {
        self.limit
    }
}

/// An algorithm of tower-resilience's, told of each call.
struct Told<A> {
    algorithm: A,
    in_flight: usize,
    began: HashMap<u64, Nanos>,
}

impl<A: ConcurrencyAlgorithm> Told<A> {
    fn new(algorithm: A) -> Self {
        Self { algorithm, in_flight: 0, began: HashMap::new() }
    }
}

impl<A: ConcurrencyAlgorithm> Client for Told<A> {
    fn admits(&mut self, call: u64, now: Nanos) -> bool {
        let admits = self.in_flight < self.algorithm.limit();
        if admits {
            self.in_flight += 1;
            self.began.insert(call, now);
        }
        admits
    }

    fn ends(&mut self, call: u64, now: Nanos, verdict: Verdict) {
        self.in_flight -= 1;
        let began = self.began.remove(&call).expect("admitted");
        match verdict {
            Verdict::Answered => {
                self.algorithm.record_success(Duration::from_nanos(now - began));
            }
            Verdict::GivenUp => self.algorithm.record_failure(),
        }
    }

    fn limit(&self) -> u32 {
        self.algorithm.limit() as u32
    }
}

type Answer = Result<(), Error<()>>;

/// The service under the bulkhead: answers when the simulation says so.
#[derive(Clone, Default)]
#[allow(clippy::type_complexity)] // the newest call's answer, when it comes
struct Downstream(Rc<Cell<Option<Rc<Cell<Option<Answer>>>>>>);

struct Reply(Rc<Cell<Option<Answer>>>);

impl Future for Reply {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Service<u64> for Downstream {
    type Response = ();
    type Error = Error<()>;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Reply {
        let answer = Rc::new(Cell::new(None));
        self.0.set(Some(Rc::clone(&answer)));
        Reply(answer)
    }
}

type Pending = (Pin<Box<dyn Future<Output = Answer>>>, Rc<Cell<Option<Answer>>>);

/// seawall's bulkhead, called as by its users.
struct Real<C = OneClass> {
    service: Bulkhead<Downstream, C>,
    downstream: Downstream,
    handle: BulkheadHandle,
    hand: ManualClock,
    now: Nanos,
    calls: HashMap<u64, Pending>,
}

fn seawall(initial: u32, limiter: impl Limiter + Clone + Sync) -> Box<dyn Client> {
    let config = config(initial).limits(1..=MOST).adaptive(limiter);
    real(config, |config| BulkheadLayer::new(config).expect("valid"))
}

/// seawall's bulkhead with a limit that stands still, or moves, and calls in order of their worth.
pub(super) fn ranked(limit: u32, adaptive: bool, rank: fn(&u64) -> Criticality) -> Box<dyn Client> {
    let config = config(limit).share(Criticality::Critical, 0.7).share(Criticality::Normal, 0.3);
    let config = if adaptive { config.adaptive(Vegas::new()) } else { config };
    real(config, |config| BulkheadLayer::new(config).expect("valid").rank(rank))
}

fn config(limit: u32) -> BulkheadConfig {
    BulkheadConfig::new("limits").limit(limit as usize)
}

fn real<C>(
    config: BulkheadConfig,
    build: impl FnOnce(BulkheadConfig) -> BulkheadLayer<C>,
) -> Box<dyn Client>
where
    C: Rank<u64> + Clone + 'static,
{
    let (clock, hand) = Clock::manual();
    let layer = build(config.clock(clock));
    let downstream = Downstream::default();
    Box::new(Real {
        service: layer.layer(downstream.clone()),
        downstream,
        handle: layer.handle(),
        hand,
        now: 0,
        calls: HashMap::new(),
    })
}

impl<C> Real<C> {
    fn turn_to(&mut self, now: Nanos) {
        self.hand.advance(Duration::from_nanos(now - self.now));
        self.now = now;
    }
}

impl<C: Rank<u64>> Client for Real<C> {
    fn admits(&mut self, call: u64, now: Nanos) -> bool {
        self.turn_to(now);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(self.service.poll_ready(cx).is_ready());
        let mut future: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(self.service.call(call));
        if future.as_mut().poll(cx).is_ready() {
            return false;
        }
        let answer = self.downstream.0.take().expect("it was called");
        self.calls.insert(call, (future, answer));
        true
    }

    fn ends(&mut self, call: u64, now: Nanos, verdict: Verdict) {
        self.turn_to(now);
        let (mut future, answer) = self.calls.remove(&call).expect("admitted");
        answer.set(Some(match verdict {
            Verdict::Answered => Ok(()),
            // As an attempt timeout below the bulkhead would say.
            Verdict::GivenUp => Err(Error::Rejected(
                Rejected::new(Room::Timeout, Reason::TimedOut, "limits").after_sending(),
            )),
        }));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }

    fn limit(&self) -> u32 {
        self.handle.snapshot().limit
    }
}
