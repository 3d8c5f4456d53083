//! The real breaker over a service whose calls end when they are told, driven beside the model.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::test_runner::TestCaseError;
use seawall::breaker::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer, Snapshot,
};
use seawall::clock::{Clock, ManualClock};
use seawall::error::{Error, Reason, Rejected, Room};
use seawall::event::{Circuit, Counts, Event, Kind, Transition};
use seawall::outcome::{Classify, Outcome};
use tower::{Layer, Service};

use crate::model::{Answer, Fork, Shown, Step, World};
use crate::plan::{End, Mark, Op, Settings, Shape};

/// The error of the inner service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boom {
    pub(crate) asked: Option<Duration>,
    pub(crate) ignored: bool,
}

pub(crate) type Result = std::result::Result<u32, Error<Boom>>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge;

impl Classify<u32, Error<Boom>> for Judge {
    fn classify(&self, result: std::result::Result<&u32, &Error<Boom>>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(Error::Inner(boom)) if boom.ignored => Outcome::Ignored,
            Err(_) => Outcome::Failure,
        }
    }

    fn retry_after(&self, result: std::result::Result<&u32, &Error<Boom>>) -> Option<Duration> {
        match result {
            Err(Error::Inner(boom)) => boom.asked,
            _ => None,
        }
    }
}

/// What a call comes to.
pub(crate) fn result(id: u32, end: End) -> Result {
    let boom = |asked, ignored| Err(Error::Inner(Boom { asked, ignored }));
    let refused = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "inner");
    match end {
        End::Ok => Ok(id),
        End::Err => boom(None, false),
        End::ErrAfter(wait) => boom(Some(Duration::from_nanos(wait)), false),
        End::Ignored => boom(None, true),
        End::NotSent => Err(Error::Rejected(refused)),
        End::Sent => Err(Error::Rejected(refused.after_sending())),
        End::Panic => panic_quietly(),
    }
}

/// Panics past the panic hook, so that a million of them print nothing.
pub(crate) fn panic_quietly() -> ! {
    resume_unwind(Box::new("told to"))
}

/// A request: who, and the word by which its call ends.
#[derive(Clone, Debug)]
struct Order {
    id: u32,
    panics: bool,
    end: Rc<Cell<Option<End>>>,
}

#[derive(Clone)]
struct Inner {
    ready: Rc<Cell<bool>>,
    reached: Rc<Cell<bool>>,
}

struct Told(Order);

impl Future for Told {
    type Output = Result;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result> {
        match self.0.end.get() {
            Some(end) => Poll::Ready(result(self.0.id, end)),
            None => Poll::Pending,
        }
    }
}

impl Service<Order> for Inner {
    type Response = u32;
    type Error = Error<Boom>;
    type Future = Told;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Error<Boom>>> {
        if self.ready.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, order: Order) -> Told {
        assert!(self.ready.get(), "called though not ready");
        self.reached.set(true);
        if order.panics {
            panic_quietly();
        }
        Told(order)
    }
}

type Breaker = CircuitBreaker<Inner, Judge>;
type Running = Pin<Box<<Breaker as Service<Order>>::Future>>;

struct Flight {
    id: u32,
    started: u64,
    end: Rc<Cell<Option<End>>>,
    future: Running,
}

/// What came of one act.
struct Seen {
    answer: Answer,
    shown: Shown,
    steps: Vec<Transition>,
}

pub(crate) struct Rig {
    services: [Breaker; 2],
    handle: CircuitBreakerHandle,
    clock: Clock,
    hand: ManualClock,
    born: u64,
    ready: Rc<Cell<bool>>,
    reached: Rc<Cell<bool>>,
    settings: Settings,
    flights: Vec<Flight>,
    /// Futures that are done, kept: their drop must say nothing more.
    husks: RefCell<Vec<Running>>,
    told: Arc<Mutex<Vec<Transition>>>,
    worlds: Vec<World>,
    names: u32,
    generation: u32,
    /// Only what must hold wherever the clock goes.
    loose: bool,
}

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.worlds)
    }
}

type Verdict = std::result::Result<(), TestCaseError>;

impl Rig {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (clock, hand) = Clock::manual();
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let config = settings
            .over(CircuitBreakerConfig::new("oracle"))
            .clock(clock.clone())
            .observe(move |event: &Event| {
                if let Kind::Transition(step) = event.kind {
                    log.lock().unwrap().push(step);
                }
            });
        let layer = CircuitBreakerLayer::new(config).unwrap().classify(Judge);
        let ready = Rc::new(Cell::new(true));
        let reached = Rc::new(Cell::new(false));
        let service = layer.layer(Inner { ready: Rc::clone(&ready), reached: Rc::clone(&reached) });
        let handle = layer.handle();
        let born = clock.now().as_nanos();
        Self {
            worlds: vec![World::new(settings.clone(), born, handle.snapshot().generation)],
            services: [service.clone(), service],
            handle,
            clock,
            hand,
            born,
            ready,
            reached,
            settings: settings.clone(),
            flights: Vec::new(),
            husks: RefCell::default(),
            told,
            names: 0,
            generation: 0,
            loose: false,
        }
    }

    /// Beside no model: only what must hold wherever the clock goes is looked at.
    pub(crate) fn loose(settings: &Settings) -> Self {
        Self { loose: true, ..Self::new(settings) }
    }

    pub(crate) fn run(&mut self, op: Op) -> Verdict {
        match op {
            Op::Burst(times, end) => {
                for _ in 0..times {
                    if self.start(0, true, false)? {
                        self.finish(self.flights.len() - 1, end)?;
                    }
                }
                Ok(())
            }
            Op::Start(by) => self.start(by, true, false).map(|_| ()),
            Op::StartPanics => self.start(1, true, true).map(|_| ()),
            Op::StartUnready => self.start(0, false, false).map(|_| ()),
            Op::Finish(by, end) => match self.pick(by) {
                Some(at) => self.finish(at, end),
                None => Ok(()),
            },
            Op::Cancel(by) => match self.pick(by) {
                Some(at) => self.cancel(at),
                None => Ok(()),
            },
            Op::Poll(by) => match self.pick(by) {
                Some(at) => self.poll(at),
                None => Ok(()),
            },
            Op::On(span) => {
                self.hand.advance(Duration::from_nanos(span));
                self.compare("time went on", |_, _| Answer::Nothing, Answer::Nothing)
            }
            Op::Back(span) => {
                let span = match self.settings.shape {
                    _ if self.loose => span,
                    // With calls watched, or into another bucket, the model has no view of what then
                    // lies ahead of the clock.
                    _ if self.settings.slow.is_some() && !self.flights.is_empty() => 0,
                    Shape::Count(_) => span,
                    Shape::Time(long) => span.min((self.now() - self.born) % (long / 10)),
                };
                self.hand.set_back(Duration::from_nanos(span));
                self.compare("time went back", |_, _| Answer::Nothing, Answer::Nothing)
            }
            Op::To(mark, off) => {
                if let Some(to) = self.moment(mark) {
                    let to = to.saturating_add_signed(off);
                    self.hand.advance(Duration::from_nanos(to.saturating_sub(self.now())));
                }
                self.compare("time went on", |_, _| Answer::Nothing, Answer::Nothing)
            }
            Op::Tick => {
                self.handle.tick();
                self.compare(
                    "tick",
                    |world, fork| {
                        world.tick(fork);
                        Answer::Nothing
                    },
                    Answer::Nothing,
                )
            }
            Op::ForceOpen => self.order(Circuit::ForcedOpen),
            Op::ForceClose => self.order(Circuit::ForcedClosed),
            Op::Disable => self.order(Circuit::Disabled),
            Op::Reset => self.order(Circuit::Closed),
            Op::Change(change) => self.reconfigure(&self.settings.with(change)),
        }
    }

    /// Ends every call, and sees that nothing is left of them.
    pub(crate) fn wind_up(&mut self) -> Verdict {
        while !self.flights.is_empty() {
            if self.flights.len() % 2 == 0 {
                self.cancel(self.flights.len() - 1)?;
            } else {
                self.finish(0, End::Ok)?;
            }
        }
        let shown = self.handle.snapshot();
        if shown.in_time != 0 {
            return Err(TestCaseError::fail(format!("left in the cohorts: {shown:?}")));
        }
        self.husks.borrow_mut().clear();
        self.compare("husks dropped", |_, _| Answer::Nothing, Answer::Nothing)
    }

    /// Takes the circuit from wherever it is to closed and through a known lap of outcomes.
    pub(crate) fn lap(&mut self) -> Verdict {
        self.order(Circuit::Closed)?;
        self.order(Circuit::ForcedClosed)?;
        let size = match self.settings.shape {
            Shape::Count(calls) => calls,
            Shape::Time(_) => 7,
        };
        for n in 0..size {
            self.start(0, true, false)?;
            self.finish(self.flights.len() - 1, if n % 3 == 0 { End::Err } else { End::Ok })?;
        }
        let counts = self.handle.snapshot().counts;
        let failures = size.div_ceil(3) as u64;
        if (counts.total, counts.failures) != (size as u64, failures) {
            return Err(TestCaseError::fail(format!("a known lap left {counts:?}")));
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    fn pick(&self, by: u8) -> Option<usize> {
        (!self.flights.is_empty()).then(|| usize::from(by) % self.flights.len())
    }

    fn moment(&self, mark: Mark) -> Option<u64> {
        let started = |by| self.pick(by).map(|at| self.flights[at].started);
        match mark {
            Mark::Wait => {
                let wait = self.handle.snapshot().retry_after?;
                Some(self.clock.now().plus(wait).as_nanos())
            }
            Mark::Slow(by) => Some(started(by)? + self.settings.slow?.0),
            Mark::Cancel(by) => Some(started(by)? + self.settings.cancels?),
            Mark::Lease(by) => Some(started(by)? + self.settings.lease),
            Mark::Bucket => match self.settings.shape {
                Shape::Count(_) => None,
                Shape::Time(span) => {
                    let width = span / 10;
                    let bucket = self.now().saturating_sub(self.born) / width;
                    Some(self.born + (bucket + 1) * width)
                }
            },
        }
    }

    /// Makes a call; `true` if it is in flight.
    fn start(
        &mut self,
        by: u8,
        ready: bool,
        panics: bool,
    ) -> std::result::Result<bool, TestCaseError> {
        let id = self.names;
        self.names += 1;
        let end = Rc::new(Cell::new(None));
        let order = Order { id, panics, end: Rc::clone(&end) };
        self.ready.set(ready);
        let service = &mut self.services[usize::from(by) % 2];
        let mut context = Context::from_waker(Waker::noop());
        let said_ready = match service.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => return Err(TestCaseError::fail(format!("{error:?}"))),
            Poll::Pending => false,
        };
        let now = self.clock.now().as_nanos();
        let right = self.worlds.iter_mut().any(|world| {
            world.at(now);
            ready == said_ready || world.would_refuse().is_none_or(|refuse| refuse == said_ready)
        });
        if !right && !self.loose {
            return Err(TestCaseError::fail(format!(
                "inner ready: {ready}, breaker ready: {said_ready}, in {:?}",
                self.worlds
            )));
        }

        self.reached.set(false);
        let called = catch_unwind(AssertUnwindSafe(|| service.call(order)));
        let reached = self.reached.get();
        let mut running = None;
        let answer = match called {
            Err(_) if !(reached && panics) => {
                return Err(TestCaseError::fail("a panic of its own"));
            }
            Err(_) => Answer::Admitted,
            Ok(future) if reached => {
                running = Some(Box::pin(future));
                Answer::Admitted
            }
            Ok(future) => {
                let mut future = Box::pin(future);
                let refused = poll_once(&mut future);
                self.husks.borrow_mut().push(future);
                refusal(refused)?
            }
        };
        let in_flight = running.is_some();
        if let Some(future) = running {
            self.flights.push(Flight { id, started: now, end, future });
        }
        let gone = panics && answer == Answer::Admitted;
        self.compare(
            "call",
            |world, fork| {
                let answer = world.start(id, ready, fork);
                if gone && answer == Answer::Admitted {
                    world.end(id, End::Panic, fork);
                }
                answer
            },
            answer,
        )?;
        Ok(in_flight)
    }

    fn finish(&mut self, at: usize, end: End) -> Verdict {
        let mut flight = self.flights.remove(at);
        let id = flight.id;
        flight.end.set(Some(end));
        let polled = catch_unwind(AssertUnwindSafe(|| poll_once(&mut flight.future)));
        match (polled, end) {
            (Err(_), End::Panic) => {}
            (Ok(Poll::Ready(got)), end) if end != End::Panic && got == result(id, end) => {}
            (got, _) => {
                return Err(TestCaseError::fail(format!("{end:?} came out as {:?}", got.ok())));
            }
        }
        self.husks.borrow_mut().push(flight.future);
        self.compare(
            "a call ended",
            |world, fork| {
                world.end(id, end, fork);
                Answer::Nothing
            },
            Answer::Nothing,
        )
    }

    fn cancel(&mut self, at: usize) -> Verdict {
        let flight = self.flights.remove(at);
        let id = flight.id;
        drop(flight);
        self.compare(
            "a call was cancelled",
            |world, fork| {
                world.cancel(id, fork);
                Answer::Nothing
            },
            Answer::Nothing,
        )
    }

    fn poll(&mut self, at: usize) -> Verdict {
        let flight = &mut self.flights[at];
        let id = flight.id;
        if poll_once(&mut flight.future).is_ready() {
            return Err(TestCaseError::fail("ready out of turn"));
        }
        self.compare(
            "a call is pending",
            |world, _| {
                world.pended(id);
                Answer::Nothing
            },
            Answer::Nothing,
        )
    }

    fn order(&mut self, to: Circuit) -> Verdict {
        match to {
            Circuit::ForcedOpen => self.handle.force_open(),
            Circuit::ForcedClosed => self.handle.force_close(),
            Circuit::Disabled => self.handle.disable(),
            _ => self.handle.reset(),
        }
        self.compare(
            "an order",
            |world, _| {
                world.order(to);
                Answer::Nothing
            },
            Answer::Nothing,
        )
    }

    fn reconfigure(&mut self, next: &Settings) -> Verdict {
        let done = self.handle.reconfigure(|_| next.over(CircuitBreakerConfig::new("oracle")));
        if done.is_ok() != next.valid() {
            return Err(TestCaseError::fail(format!("{next:?} gave {done:?}")));
        }
        if done.is_ok() {
            self.settings = next.clone();
        }
        self.compare(
            "reconfigured",
            |world, _| {
                if next.valid() {
                    world.reconfigure(next.clone());
                }
                Answer::Nothing
            },
            Answer::Nothing,
        )
    }

    /// What must hold wherever the clock goes.
    fn holds(&mut self, seen: &Seen) -> Verdict {
        let shown = seen.shown;
        let most = match self.settings.shape {
            Shape::Count(calls) => calls as u64,
            Shape::Time(_) => u64::MAX,
        };
        let generation = self.generation.wrapping_add(seen.steps.len() as u32);
        let sound = |counts: Counts| counts.failures.max(counts.slow) <= counts.total;
        let held = sound(shown.counts)
            && sound(shown.probes)
            && shown.counts.total <= most
            && shown.in_time <= self.flights.len() as u64
            && seen.steps.iter().all(|step| sound(step.counts));
        // A step forward on the ramp keeps the generation.
        let steps = shown.generation >= self.generation && shown.generation <= generation;
        self.generation = shown.generation;
        if held && steps {
            Ok(())
        } else {
            Err(TestCaseError::fail(format!("{shown:?} after {:?}", seen.steps)))
        }
    }

    /// Lets every world do the same, and keeps those that agree with what is seen.
    fn compare(
        &mut self,
        what: &str,
        act: impl Fn(&mut World, &mut Fork) -> Answer,
        answer: Answer,
    ) -> Verdict {
        let now = self.now();
        let seen = Seen {
            answer,
            shown: shown(&self.handle.snapshot()),
            steps: std::mem::take(&mut *self.told.lock().unwrap()),
        };
        if self.loose {
            return self.holds(&seen);
        }
        let (mut left, mut why) = (Vec::new(), Vec::new());
        for world in &self.worlds {
            let mut fork = Fork::default();
            loop {
                let mut world = world.clone();
                world.at(now);
                let answer = act(&mut world, &mut fork);
                match differs(&world, answer, &seen) {
                    None if left.contains(&world) => {}
                    None => left.push(world),
                    Some(difference) => why.push(difference),
                }
                if !fork.next() {
                    break;
                }
            }
        }
        if left.is_empty() {
            return Err(TestCaseError::fail(format!(
                "{what}, at {} ns: {}\nbefore: {:?}",
                now.wrapping_sub(self.born) as i64,
                why.join("\nor "),
                self.worlds,
            )));
        }
        self.worlds = left;
        Ok(())
    }
}

fn poll_once(future: &mut Running) -> Poll<Result> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// What a refused caller hears.
fn refusal(polled: Poll<Result>) -> std::result::Result<Answer, TestCaseError> {
    match polled {
        Poll::Ready(Err(Error::Rejected(refused)))
            if refused.room == Room::Breaker && refused.name == "oracle" && !refused.sent() =>
        {
            let wait = refused.retry_after.map(ns);
            match refused.reason {
                Reason::CircuitOpen => return Ok(Answer::CircuitOpen(wait)),
                Reason::ForcedOpen if wait.is_none() => return Ok(Answer::ForcedOpen),
                Reason::NotReady if wait.is_none() => return Ok(Answer::NotReady),
                _ => {}
            }
            Err(TestCaseError::fail(format!("refused with {refused:?}")))
        }
        other => Err(TestCaseError::fail(format!("refused with {other:?}"))),
    }
}

fn ns(span: Duration) -> u64 {
    span.as_nanos() as u64
}

fn shown(snapshot: &Snapshot) -> Shown {
    Shown {
        state: snapshot.state,
        generation: snapshot.generation,
        counts: snapshot.counts,
        probes: snapshot.probes,
        consecutive_failures: snapshot.consecutive_failures,
        consecutive_slow: snapshot.consecutive_slow_calls,
        in_time: snapshot.in_time,
        retry_after: snapshot.retry_after.map(ns),
        shadowed: snapshot.shadowed,
        stale: snapshot.stale,
    }
}

fn differs(world: &World, answer: Answer, seen: &Seen) -> Option<String> {
    if answer != seen.answer {
        return Some(format!("expected {answer:?}, got {:?}", seen.answer));
    }
    if world.steps.len() != seen.steps.len()
        || !world.steps.iter().zip(&seen.steps).all(|(step, seen)| same(step, seen))
    {
        return Some(format!("expected {:?}, got {:?}", world.steps, seen.steps));
    }
    let shown = world.shown();
    (shown != seen.shown).then(|| format!("expected {shown:?}, got {:?}", seen.shown))
}

fn same(step: &Step, seen: &Transition) -> bool {
    step.from == seen.from
        && step.to == seen.to
        && step.why.contains(&seen.why)
        && step.counts == seen.counts
        && step.generation == seen.generation
        && step.share == seen.share
        && step.wait.map(Duration::from_nanos) == seen.wait
        && step.enforced == seen.enforced
}
