//! The retry and its budget beside a model that is too simple to be wrong.
//!
//! Random calls, of any kind and with any deadline, over a service that answers by a random script, fail
//! at random, refuse, ask to be left alone, are not ready, or whose callers leave; the settings change
//! meanwhile. After each step all that can be seen must be what the model says: what each call was
//! answered with, how often it was sent, what was counted, what was told as in doubt, and what is left of
//! the budget, which all share. Waits are those that the service asked for, so that they can be foretold;
//! how they are drawn has its own test (`src/retry/backoff.rs`). 10,000 cases; for a million:
//!
//! ```text
//! SEAWALL_ORACLE_CASES=1000000 cargo test --release --all-features --test retry_oracle
//! ```

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use seawall::budget::{Budget, BudgetConfig};
use seawall::clock::Clock;
use seawall::error::{Carry, Error, Reason, Rejected, Room};
use seawall::outcome::{Classify, Outcome};
use seawall::request::{Ask, Attempt, IdempotencyKey, Marked};
use seawall::retry::{Doubt, RetryConfig, RetryLayer};
use tokio::runtime::Builder;
use tokio::task::unconstrained;
use tokio_test::task;
use tower::{Layer, Service};

const MS: Duration = Duration::from_millis(1);
const TOKEN: u128 = 1_000_000_000;

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    Failed,
    Broken,
    Wrong,
    /// Asks for so many milliseconds.
    Busy(u64),
    Refused,
    TimedOut,
}

impl End {
    const fn outcome(self) -> Outcome {
        match self {
            Self::Well => Outcome::Success,
            Self::Failed | Self::Busy(_) => Outcome::Failure,
            Self::Broken | Self::TimedOut => Outcome::InDoubt,
            Self::Wrong | Self::Refused => Outcome::Ignored,
        }
    }

    fn answer(self) -> Result<(), E> {
        let rejected = |room, reason| Rejected::new(room, reason, "inside");
        match self {
            Self::Well => Ok(()),
            Self::Refused => Err(Error::Rejected(rejected(Room::Breaker, Reason::CircuitOpen))),
            Self::TimedOut => {
                Err(Error::Rejected(rejected(Room::Timeout, Reason::TimedOut).after_sending()))
            }
            other => Err(Error::Inner(other)),
        }
    }
}

type E = Error<End>;

struct ByEnd;

impl Classify<(), E> for ByEnd {
    fn classify(&self, result: Result<&(), &E>) -> Outcome {
        match result {
            Err(Error::Inner(end)) => end.outcome(),
            _ => Outcome::Success,
        }
    }

    fn retry_after(&self, result: Result<&(), &E>) -> Option<Duration> {
        match result {
            Err(Error::Inner(End::Busy(ms))) => Some(Duration::from_millis(*ms)),
            _ => None,
        }
    }
}

/// The attempts of one call: how long each takes, in milliseconds, and how it ends; the last for ever.
type Script = Vec<(u64, End)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Keyed,
    Once,
    /// A retry further out repeats it.
    Nested,
}

#[derive(Clone, Debug)]
enum Op {
    Call {
        kind: Kind,
        script: Script,
        deadline: Option<u64>,
    },
    /// So many milliseconds pass.
    Wait(u64),
    /// The caller of one of the calls leaves.
    Leave(prop::sample::Index),
    Ready(bool),
    Attempts(u32),
    Total(u64),
}

#[derive(Clone, Debug)]
struct Settings {
    attempts: u32,
    advice_cap: u64,
    total: u64,
    ratio_ppm: u32,
    floor: u32,
    burst: u32,
    doubt_cost: u32,
}

/// The service: it knows what each call is to be answered with.
#[derive(Clone)]
struct Inner {
    now: Rc<Cell<u64>>,
    ready: Rc<Cell<bool>>,
}

#[derive(Clone)]
struct Plan {
    script: Script,
    sent: Rc<Cell<u32>>,
}

struct Answering {
    now: Rc<Cell<u64>>,
    at: u64,
    end: End,
}

impl Future for Answering {
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        // It wakes nobody: every call is polled at every step.
        if self.now.get() >= self.at { Poll::Ready(self.end.answer()) } else { Poll::Pending }
    }
}

impl Service<Ask<Plan>> for Inner {
    type Response = ();
    type Error = E;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        if self.ready.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, ask: Ask<Plan>) -> Answering {
        let Plan { script, sent } = ask.value;
        let nth = sent.replace(sent.get() + 1) as usize;
        let (takes, end) = script[nth.min(script.len() - 1)];
        Answering { now: Rc::clone(&self.now), at: self.now.get() + takes, end }
    }
}

/// What the model knows of the shared state.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    ready: bool,
    attempts: u32,
    total: u64,
    balance: u128,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    retries: u64,
    recovered: u64,
    exhausted: u64,
    in_doubt: u64,
    not_repeatable: u64,
    budget_empty: u64,
    too_late: u64,
    not_ready: u64,
    refused: u64,
    told: u64,
}

/// One call, as the model follows it.
struct Followed {
    kind: Kind,
    script: Script,
    deadline: Option<u64>,
    limit: u32,
    began: Option<u64>,
    made: u32,
    paid: u128,
    doubt: bool,
    /// How the attempt before ended.
    before: Option<End>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sent { until: u64 },
    Waiting { until: u64, turns: u32, price: u128 },
    Answered(Result<End, Reason>),
}

impl Model {
    fn cap(settings: &Settings) -> u128 {
        u128::from(settings.burst) * TOKEN
    }

    fn add(&mut self, amount: u128, settings: &Settings) {
        self.balance = (self.balance + amount).min(Self::cap(settings));
    }

    fn pass(&mut self, ms: u64, settings: &Settings) {
        self.now += ms;
        self.add(u128::from(ms) * 1_000_000 * u128::from(settings.floor), settings);
    }

    /// One poll.
    fn poll(&mut self, call: &mut Followed, settings: &Settings) {
        loop {
            match call.state {
                State::Answered(_) => return,
                State::Sent { until } if self.now < until => {
                    if call.limit > 1 && call.began.is_none() {
                        call.began = Some(self.now);
                    }
                    return;
                }
                State::Sent { .. } => self.ended(call, settings),
                State::Waiting { until, turns, .. } => {
                    if self.now < until || (turns == 0) {
                        if let State::Waiting { turns, .. } = &mut call.state {
                            // A wait of nothing gives others a turn; a real one is over when it is.
                            *turns += 1;
                        }
                        return;
                    }
                    self.again(call, settings);
                }
            }
        }
    }

    fn late(&self, call: &Followed, at: u64) -> bool {
        at >= call.began.unwrap() + self.total || call.deadline.is_some_and(|end| at >= end)
    }

    fn ended(&mut self, call: &mut Followed, settings: &Settings) {
        let end = call.script[(call.made as usize - 1).min(call.script.len() - 1)].1;
        let has_effect = matches!(call.kind, Kind::Keyed | Kind::Once);
        if end == End::Refused {
            self.add(std::mem::take(&mut call.paid), settings);
        } else if call.made == 1 && call.kind != Kind::Nested {
            self.add(u128::from(settings.ratio_ppm) * TOKEN / 1_000_000, settings);
        }
        call.doubt |= end.outcome() == Outcome::InDoubt && has_effect;
        match end {
            End::Well => {
                self.counts.recovered += u64::from(call.made > 1);
                call.doubt = false;
                call.state = State::Answered(Ok(end));
                return;
            }
            End::Wrong => return self.answer(call, end),
            End::Refused => {
                self.counts.refused += u64::from(call.made > 1);
                return self.answer(call, call.before.unwrap_or(end));
            }
            _ => {}
        }
        if end.outcome() == Outcome::InDoubt && call.kind == Kind::Once {
            self.counts.not_repeatable += 1;
            return self.answer(call, end);
        }
        if call.made >= call.limit {
            self.counts.exhausted += u64::from(call.kind != Kind::Nested);
            return self.answer(call, end);
        }
        call.began = call.began.or(Some(self.now));
        let wait = if let End::Busy(ms) = end { ms.min(settings.advice_cap) } else { 0 };
        if self.late(call, self.now + wait) {
            self.counts.too_late += 1;
            return self.answer(call, end);
        }
        // What was given up keeps the other side busy; an error that came back does not.
        let given_up = matches!(end, End::TimedOut);
        let price = TOKEN * u128::from(if given_up { settings.doubt_cost } else { 1 });
        if self.balance < price {
            self.counts.budget_empty += 1;
            return self.answer(call, end);
        }
        self.balance -= price;
        call.before = Some(end);
        // A timer is over at the first poll after its end; a wait of nothing, at the second.
        let turns = u32::from(wait > 0);
        call.state = State::Waiting { until: self.now + wait, turns, price };
    }

    fn again(&mut self, call: &mut Followed, settings: &Settings) {
        let State::Waiting { price, .. } = call.state else { unreachable!() };
        let before = call.before.unwrap();
        if self.late(call, self.now) {
            self.add(price, settings);
            self.counts.too_late += 1;
            return self.answer(call, before);
        }
        if !self.ready {
            self.add(price, settings);
            self.counts.not_ready += 1;
            return self.answer(call, before);
        }
        self.counts.retries += 1;
        call.made += 1;
        call.paid = price;
        let takes = call.script[(call.made as usize - 1).min(call.script.len() - 1)].0;
        call.state = State::Sent { until: self.now + takes };
    }

    fn answer(&mut self, call: &mut Followed, end: End) {
        let has_effect = matches!(call.kind, Kind::Keyed | Kind::Once);
        let doubtful = has_effect && end.outcome() == Outcome::InDoubt;
        if std::mem::take(&mut call.doubt) {
            self.counts.in_doubt += 1;
            self.counts.told += 1;
            if !doubtful {
                call.state = State::Answered(Err(Reason::InDoubt));
                return;
            }
        }
        call.state = State::Answered(Ok(end));
    }

    fn leave(&mut self, call: &Followed, settings: &Settings) {
        if let State::Waiting { price, .. } = call.state {
            self.add(price, settings);
        }
        let sent = matches!(call.state, State::Sent { .. });
        if matches!(call.kind, Kind::Keyed | Kind::Once) && (sent || call.doubt) {
            self.counts.in_doubt += 1;
            self.counts.told += 1;
        }
    }
}

fn follow(settings: &Settings, ops: &[Op]) -> Result<(), TestCaseError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(unconstrained(drive(settings, ops)))
}

async fn drive(settings: &Settings, ops: &[Op]) -> Result<(), TestCaseError> {
    let budget = BudgetConfig::new()
        .ratio(f64::from(settings.ratio_ppm) / 1e6)
        .floor(settings.floor)
        .burst(settings.burst)
        .doubt_cost(settings.doubt_cost);
    let told = Arc::new(AtomicU64::new(0));
    let hears = Arc::clone(&told);
    let config = RetryConfig::new("oracle")
        .attempts(settings.attempts)
        .backoff(Duration::ZERO, Duration::ZERO)
        .retry_after_cap(Duration::from_millis(settings.advice_cap))
        .total(Duration::from_millis(settings.total))
        .budget(Budget::new(budget).unwrap())
        .reconcile(move |_: &Doubt| {
            hears.fetch_add(1, SeqCst);
        });
    let layer = RetryLayer::new(config).unwrap().classify(ByEnd);
    let handle = layer.handle();
    let (now, ready) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
    let mut service = layer.layer(Inner { now: Rc::clone(&now), ready: Rc::clone(&ready) });
    let mut model = Model {
        ready: true,
        attempts: settings.attempts,
        total: settings.total,
        balance: Model::cap(settings),
        ..Model::default()
    };
    let calls = RefCell::new(Vec::new());

    for op in ops {
        let mut steps = 1;
        match op.clone() {
            Op::Call { kind, script, deadline } => {
                let sent = Rc::new(Cell::new(0));
                let plan = Plan { script: script.clone(), sent: Rc::clone(&sent) };
                let mut ask = match kind {
                    Kind::Read | Kind::Nested => Ask::read(plan),
                    Kind::Keyed => Ask::keyed(IdempotencyKey::new(), plan),
                    Kind::Once => Ask::once(plan),
                };
                if kind == Kind::Nested {
                    ask.set_attempt(Attempt::new(1));
                }
                if let Some(ms) = deadline {
                    ask.set_deadline(Clock::default().now().plus(Duration::from_millis(ms)));
                }
                let future = task::spawn(service.call(ask));
                let followed = Followed {
                    kind,
                    deadline: deadline.map(|ms| model.now + ms),
                    limit: if kind == Kind::Nested { 1 } else { model.attempts },
                    began: None,
                    made: 1,
                    paid: 0,
                    doubt: false,
                    before: None,
                    state: State::Sent { until: model.now + script[0].0 },
                    script,
                };
                calls.borrow_mut().push((future, sent, followed));
            }
            Op::Wait(ms) => steps = ms,
            Op::Leave(index) => {
                let mut calls = calls.borrow_mut();
                if !calls.is_empty() {
                    let at = index.index(calls.len());
                    let (future, _, followed) = calls.remove(at);
                    drop(future);
                    model.leave(&followed, settings);
                }
            }
            Op::Ready(is) => {
                ready.set(is);
                model.ready = is;
            }
            Op::Attempts(attempts) => {
                handle.reconfigure(|config| config.attempts(attempts)).unwrap();
                model.attempts = attempts;
            }
            Op::Total(ms) => {
                handle.reconfigure(|config| config.total(Duration::from_millis(ms))).unwrap();
                model.total = ms;
            }
        }
        for _ in 0..steps {
            if matches!(op, Op::Wait(_)) {
                tokio::time::advance(MS).await;
                now.set(now.get() + 1);
                model.pass(1, settings);
            }
            let mut calls = calls.borrow_mut();
            // A wait of nothing takes a turn, and an attempt may then end at once: some turns settle all.
            let mut turns = 0;
            while turns == 0 || calls.iter().any(|(future, ..)| future.is_woken()) {
                turns += 1;
                assert!(turns < 1_000, "it goes on for ever");
                calls.retain_mut(|(future, sent, followed)| {
                    let polled = future.poll();
                    model.poll(followed, settings);
                    let is = match polled {
                        Poll::Pending => None,
                        Poll::Ready(Ok(())) => Some(Ok(End::Well)),
                        Poll::Ready(Err(Error::Inner(end))) => Some(Ok(end)),
                        Poll::Ready(Err(error)) => Some(match error.rejected().unwrap().reason {
                            Reason::CircuitOpen => Ok(End::Refused),
                            Reason::TimedOut => Ok(End::TimedOut),
                            reason => Err(reason),
                        }),
                    };
                    let said = match followed.state {
                        State::Answered(answer) => Some(answer),
                        _ => None,
                    };
                    assert_eq!(is, said, "{:?} {:?}", followed.kind, followed.script);
                    assert_eq!(sent.get(), followed.made, "{:?}", followed.script);
                    is.is_none()
                });
            }
            check(&handle.snapshot(), told.load(SeqCst), &model)?;
        }
    }
    let left = calls.into_inner();
    for (future, _, followed) in left {
        drop(future);
        model.leave(&followed, settings);
    }
    check(&handle.snapshot(), told.load(SeqCst), &model)
}

fn check(
    snapshot: &seawall::retry::Snapshot,
    told: u64,
    model: &Model,
) -> Result<(), TestCaseError> {
    let counts = Counts {
        retries: snapshot.retries,
        recovered: snapshot.recovered,
        exhausted: snapshot.exhausted,
        in_doubt: snapshot.in_doubt,
        not_repeatable: snapshot.not_repeatable,
        budget_empty: snapshot.budget_empty,
        too_late: snapshot.too_late,
        not_ready: snapshot.not_ready,
        refused: snapshot.refused,
        told,
    };
    prop_assert_eq!(counts, model.counts);
    prop_assert_eq!(u128::from(snapshot.budget.tokens), model.balance / TOKEN);
    Ok(())
}

fn script() -> impl Strategy<Value = Script> {
    let end = prop_oneof![
        2 => Just(End::Well),
        3 => Just(End::Failed),
        3 => Just(End::Broken),
        1 => Just(End::Wrong),
        2 => (0_u64..40).prop_map(End::Busy),
        1 => Just(End::Refused),
        2 => Just(End::TimedOut),
    ];
    prop::collection::vec((prop_oneof![Just(0_u64), 0_u64..10], end), 1..5)
}

fn op() -> impl Strategy<Value = Op> {
    let kind =
        prop_oneof![Just(Kind::Read), Just(Kind::Keyed), Just(Kind::Once), Just(Kind::Nested)];
    prop_oneof![
        8 => (kind, script(), prop::option::of(0_u64..60)).prop_map(|(kind, script, deadline)| {
            Op::Call { kind, script, deadline }
        }),
        8 => (1_u64..15).prop_map(Op::Wait),
        2 => any::<prop::sample::Index>().prop_map(Op::Leave),
        2 => any::<bool>().prop_map(Op::Ready),
        1 => (1_u32..6).prop_map(Op::Attempts),
        1 => (1_u64..80).prop_map(Op::Total),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let ratio = prop_oneof![Just(0), Just(200_000), Just(1_000_000), 0_u32..=1_000_000];
    let floor = prop_oneof![Just(0_u32), 0_u32..200];
    (1_u32..6, 0_u64..30, 1_u64..100, ratio, floor, (1_u32..8, 1_u32..4)).prop_map(
        |(attempts, advice_cap, total, ratio_ppm, floor, (burst, doubt))| Settings {
            attempts,
            advice_cap,
            total,
            ratio_ppm,
            floor,
            burst,
            doubt_cost: doubt.min(burst),
        },
    )
}

#[test]
fn a_retry_and_its_budget_do_what_a_naive_model_does() {
    let told = std::env::var("SEAWALL_ORACLE_CASES").ok();
    let cases = told.map_or(10_000, |cases| cases.parse().expect("a number of cases"));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let plans = (settings(), prop::collection::vec(op(), 0..24));
    TestRunner::new(config)
        .run(&plans, |(settings, ops)| follow(&settings, &ops))
        .unwrap_or_else(|error| panic!("{error}"));
}
