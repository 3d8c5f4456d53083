//! The bulkhead beside a model that is too simple to be wrong.
//!
//! Random calls of three classes, ends, departures, clock steps and orders go to both; after each step
//! who is in, who waits and who was refused must be what the model says. 10,000 cases.

use std::collections::BTreeMap;
use std::future::{Future, Pending, pending};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use seawall::bulkhead::{Bulkhead, BulkheadConfig, BulkheadHandle, BulkheadLayer, Queued};
use seawall::clock::{Clock, ManualClock};
use seawall::criticality::Criticality;
use seawall::error::{Error, Reason};
use tower::util::ServiceFn;
use tower::{Layer, Service, service_fn};

const OVERLOAD: u64 = 100;

#[derive(Clone, Debug)]
enum Op {
    Call(usize),
    /// The n-th of those that are under way goes: its place, or its slot, is given back.
    Goes(usize),
    /// Looks at the n-th: until then it doesn't know that its turn has come.
    Looks(usize),
    Limit(usize),
    Shares([u32; 3]),
    Queue(usize),
    Passes(u64),
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..3_usize).prop_map(Op::Call),
        4 => (0..20_usize).prop_map(Op::Goes),
        2 => (0..20_usize).prop_map(Op::Looks),
        1 => (1..7_usize).prop_map(Op::Limit),
        1 => shares().prop_map(Op::Shares),
        1 => (1..4_usize).prop_map(Op::Queue),
        1 => (1..200_u64).prop_map(Op::Passes),
    ]
}

/// In tenths, not all zero.
fn shares() -> impl Strategy<Value = [u32; 3]> {
    prop_oneof![
        Just([6, 4, 0]),
        Just([5, 3, 2]),
        Just([0, 0, 10]),
        Just([10, 0, 0]),
        Just([1, 1, 1])
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    In,
    Waits,
    /// Sent away for a newer one.
    Away,
}

/// The rules, written down once more without a thought of speed.
struct Model {
    limit: usize,
    shares: [u32; 3],
    length: usize,
    newest: bool,
    now: u64,
    busy_since: Option<u64>,
    /// Class and standing of each call, in the order they came.
    calls: BTreeMap<usize, (usize, Stand)>,
}

impl Model {
    fn those(&self, class: usize, stand: Stand) -> Vec<usize> {
        let of = |(id, call): (&usize, &(usize, Stand))| (*call == (class, stand)).then_some(*id);
        self.calls.iter().filter_map(of).collect()
    }

    fn inside(&self, class: usize) -> usize {
        self.those(class, Stand::In).len()
    }

    fn free(&self) -> usize {
        self.limit.saturating_sub((0..3).map(|class| self.inside(class)).sum())
    }

    fn waiting(&self) -> usize {
        (0..3).map(|class| self.those(class, Stand::Waits).len()).sum()
    }

    fn own(&self, class: usize) -> usize {
        let sharing = self.shares.iter().filter(|share| **share > 0).count();
        let share = self.shares[class] as usize;
        match (share, self.limit >= sharing) {
            (0, _) => 0,
            (_, true) => 1 + (self.limit - sharing) * share / 10,
            (_, false) => self.limit * share / 10,
        }
    }

    fn has_own(&self, class: usize) -> bool {
        self.free() > 0 && self.inside(class) < self.own(class)
    }

    fn has_room(&self, class: usize) -> bool {
        let kept = |other: usize| {
            let root = (self.inside(other) as f64).sqrt() as usize;
            self.own(other).saturating_sub(self.inside(other)).min(1 + root)
        };
        self.has_own(class)
            || self.free() > (0..3).filter(|other| *other != class).map(kept).sum::<usize>()
    }

    fn newest_first(&self) -> bool {
        self.newest && self.busy_since.is_some_and(|since| self.now - since >= OVERLOAD)
    }

    /// Lets in whose turn it is, until there is none.
    fn settle(&mut self) {
        loop {
            let waits = |class: &usize| !self.those(*class, Stand::Waits).is_empty();
            let first = (0..3).filter(waits).find(|class| self.has_own(*class));
            let Some(class) = first.or_else(|| (0..3).filter(waits).find(|c| self.has_room(*c)))
            else {
                break;
            };
            let line = self.those(class, Stand::Waits);
            let turn = if self.newest_first() { line.last() } else { line.first() };
            self.calls.insert(*turn.unwrap(), (class, Stand::In));
            self.note_if_empty();
        }
        self.note_if_empty();
    }

    fn note_if_empty(&mut self) {
        if self.waiting() == 0 {
            self.busy_since = None;
        }
    }

    /// `false`: refused.
    fn call(&mut self, id: usize, class: usize) -> bool {
        let line = self.those(class, Stand::Waits);
        if line.is_empty() && self.has_room(class) {
            self.calls.insert(id, (class, Stand::In));
            return true;
        }
        if line.len() >= self.length {
            if !self.newest_first() {
                return false;
            }
            self.calls.insert(line[0], (class, Stand::Away));
        }
        self.calls.insert(id, (class, Stand::Waits));
        self.busy_since.get_or_insert(self.now);
        true
    }
}

type Answer = Result<(), Error<()>>;
type Client = Bulkhead<ServiceFn<fn(usize) -> Pending<Answer>>, fn(&usize) -> Criticality, Queued>;
type Call = Pin<Box<<Client as Service<usize>>::Future>>;

struct Rig {
    model: Model,
    client: Client,
    handle: BulkheadHandle,
    hand: ManualClock,
    calls: BTreeMap<usize, Call>,
    next: usize,
}

fn share_of(config: BulkheadConfig, shares: [u32; 3]) -> BulkheadConfig {
    Criticality::ALL
        .into_iter()
        .zip(shares)
        .fold(config, |config, (class, share)| config.share(class, f64::from(share) / 10.0))
}

fn poll(call: &mut Call) -> Poll<Answer> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

impl Rig {
    fn new(limit: usize, shares: [u32; 3], length: usize, newest: bool) -> Self {
        let (clock, hand) = Clock::manual();
        let mut config = BulkheadConfig::new("oracle").limit(limit).queue(length).clock(clock);
        config = share_of(config.max_wait(Duration::from_secs(3_600)), shares);
        if newest {
            config = config.newest_first_after(Duration::from_nanos(OVERLOAD));
        }
        let class: fn(&usize) -> Criticality = |class| Criticality::ALL[*class];
        let layer = BulkheadLayer::queued(config).unwrap().rank(class);
        let hang: fn(usize) -> Pending<Answer> = |_| pending();
        let client = layer.layer(service_fn(hang));
        let (calls, busy_since) = (BTreeMap::new(), None);
        let model = Model { limit, shares, length, newest, now: 0, busy_since, calls };
        let calls = BTreeMap::new();
        Self { model, client, handle: layer.handle(), hand, calls, next: 0 }
    }

    fn nth(&self, n: usize) -> Option<usize> {
        let count = self.calls.len();
        (count > 0).then(|| *self.calls.keys().nth(n % count).unwrap())
    }

    fn run(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Call(class) => self.call(class)?,
            Op::Goes(n) => {
                if let Some(id) = self.nth(n) {
                    self.calls.remove(&id);
                    self.model.calls.remove(&id);
                    self.model.note_if_empty();
                }
            }
            Op::Looks(n) => {
                if let Some(id) = self.nth(n) {
                    self.look(id)?;
                }
            }
            Op::Limit(limit) => {
                self.model.limit = limit;
                self.handle.reconfigure(|config| config.limit(limit)).unwrap();
            }
            Op::Shares(shares) => {
                self.model.shares = shares;
                self.handle.reconfigure(|config| share_of(config, shares)).unwrap();
            }
            Op::Queue(length) => {
                self.model.length = length;
                self.handle.reconfigure(|config| config.queue(length)).unwrap();
            }
            Op::Passes(span) => {
                self.model.now += span;
                self.hand.advance(Duration::from_nanos(span));
            }
        }
        self.model.settle();
        self.compare()
    }

    fn call(&mut self, class: usize) -> Result<(), TestCaseError> {
        let (id, cx) = (self.next, &mut Context::from_waker(Waker::noop()));
        self.next += 1;
        prop_assert!(self.client.poll_ready(cx).is_ready());
        let mut call = Box::pin(self.client.call(class));
        let accepted = self.model.call(id, class);
        match poll(&mut call) {
            Poll::Pending => {
                prop_assert!(accepted, "it should be refused");
                self.calls.insert(id, call);
            }
            Poll::Ready(Err(Error::Rejected(rejected))) => {
                prop_assert!(!accepted, "it should not be refused");
                prop_assert_eq!(rejected.reason, Reason::BulkheadFull);
                prop_assert_eq!(rejected.class, Some(Criticality::ALL[class]));
            }
            Poll::Ready(other) => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    /// Who was sent away hears of it when it looks.
    fn look(&mut self, id: usize) -> Result<(), TestCaseError> {
        let polled = poll(self.calls.get_mut(&id).unwrap());
        let away = self.model.calls[&id].1 == Stand::Away;
        prop_assert_eq!(polled.is_ready(), away);
        if away {
            self.calls.remove(&id);
            self.model.calls.remove(&id);
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let snapshot = self.handle.snapshot();
        prop_assert_eq!(snapshot.limit as usize, self.model.limit);
        prop_assert_eq!(snapshot.waiting as usize, self.model.waiting());
        for (class, of) in Criticality::ALL.into_iter().enumerate() {
            let use_of = snapshot.class(of);
            prop_assert_eq!(use_of.in_flight as usize, self.model.inside(class), "{}", of);
            prop_assert_eq!(use_of.own as usize, self.model.own(class), "{}", of);
        }
        Ok(())
    }
}

#[test]
fn the_bulkhead_does_what_its_model_does() {
    let cases = std::env::var("SEAWALL_ORACLE_CASES").ok();
    let cases = cases.map_or(10_000, |cases| cases.parse().expect("a number of cases"));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    let _context = runtime.enter();
    let plans =
        (1..7_usize, shares(), 1..4_usize, any::<bool>(), prop::collection::vec(ops(), 1..60));
    let followed = runner.run(&plans, |(limit, shares, length, newest, ops)| {
        let mut rig = Rig::new(limit, shares, length, newest);
        for op in &ops {
            rig.run(op)?;
        }
        rig.calls.clear();
        let snapshot = rig.handle.snapshot();
        prop_assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
        Ok(())
    });
    if let Err(error) = followed {
        panic!("{error}");
    }
}
