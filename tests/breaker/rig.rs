//! A breaker on a test bench: requests are the work itself, time is moved by hand, transitions are
//! written down.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use seawall::breaker::future::ResponseFuture;
use seawall::breaker::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer,
};
use seawall::clock::{Clock, ManualClock};
use seawall::error::{BoxError, Carry, Rejected};
use seawall::event::{Circuit, Counts, Event, Kind, Transition};
use seawall::outcome::{ByResult, Classify};
use tower::{Layer, Service, ServiceExt};

pub(crate) type Answer = Result<u32, BoxError>;
/// A request: the future that the inner service runs for it.
pub(crate) type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SEC: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Runs the work that it is asked to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner;

impl Service<Work> for Inner {
    type Response = u32;
    type Error = BoxError;
    type Future = Work;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, work: Work) -> Work {
        work
    }
}

pub(crate) fn does(work: impl Future<Output = Answer> + Send + 'static) -> Work {
    Box::pin(work)
}

pub(crate) fn answers(answer: Answer) -> Work {
    does(std::future::ready(answer))
}

pub(crate) fn failure() -> Answer {
    Err("broken".into())
}

pub(crate) fn refusal(rejected: Rejected) -> Answer {
    Err(BoxError::from_rejected(rejected))
}

/// What a call was that was made at once: let through, or refused.
#[derive(Debug)]
pub(crate) enum Made {
    Passed,
    Refused(Rejected),
}

impl Made {
    pub(crate) fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Transition>>>);

impl Log {
    pub(crate) fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let log = self.clone();
        move |event| {
            if let Kind::Transition(transition) = event.kind {
                log.0.lock().unwrap().push(transition);
            }
        }
    }

    /// All transitions since it was last asked.
    pub(crate) fn take(&self) -> Vec<Transition> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A breaker over [`Inner`].
pub(crate) struct Rig<C = ByResult> {
    pub(crate) service: CircuitBreaker<Inner, C>,
    pub(crate) handle: CircuitBreakerHandle,
    pub(crate) hand: ManualClock,
    pub(crate) log: Log,
}

/// A rig whose waits are exact: no jitter but where a test sets it.
pub(crate) fn rig(set: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig) -> Rig {
    rig_with(ByResult, set)
}

pub(crate) fn rig_with<C: Classify<u32, BoxError>>(
    classify: C,
    set: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig,
) -> Rig<C> {
    let (clock, hand) = Clock::manual();
    let log = Log::default();
    let config =
        CircuitBreakerConfig::new("payments").clock(clock).jitter(0.0).observe(log.observer());
    let layer = CircuitBreakerLayer::new(set(config)).unwrap().classify(classify);
    Rig { service: layer.layer(Inner), handle: layer.handle(), hand, log }
}

impl<C: Classify<u32, BoxError>> Rig<C> {
    /// Makes a call and polls it once.
    pub(crate) fn start_work(&mut self, work: Work) -> InFlight<C> {
        self.service.ready().now_or_never().expect("the inner is ready").unwrap();
        let future = Box::pin(self.service.call(work));
        let mut call = InFlight { future, answer: None, result: None };
        call.result = call.poll();
        call
    }

    /// Makes a call whose panic must reach its caller.
    pub(crate) fn panics(&mut self, work: Work) {
        let made = catch_unwind(AssertUnwindSafe(|| drop(self.start_work(work))));
        assert!(made.is_err(), "it should have panicked");
    }

    /// A call that hangs until it is told how to end.
    pub(crate) fn start(&mut self) -> InFlight<C> {
        let (answer, waits) = oneshot::channel::<Answer>();
        let mut call = self.start_work(does(async { waits.await.unwrap() }));
        assert!(call.result.is_none(), "it was refused: {:?}", call.result);
        call.answer = Some(answer);
        call
    }

    pub(crate) fn start_all(&mut self, n: usize) -> Vec<InFlight<C>> {
        (0..n).map(|_| self.start()).collect()
    }

    /// Makes a call that ends at once, if it is let through.
    pub(crate) fn make(&mut self, answer: Answer) -> Made {
        let call = self.start_work(answers(answer));
        match call.result.expect("it ends at once") {
            Err(error) => match error.rejected() {
                Some(refused) if !refused.sent() => Made::Refused(*refused),
                _ => Made::Passed,
            },
            Ok(_) => Made::Passed,
        }
    }

    pub(crate) fn ok(&mut self) {
        let made = self.make(Ok(0));
        assert!(matches!(made, Made::Passed), "{made:?}");
    }

    pub(crate) fn fail(&mut self) {
        let made = self.make(failure());
        assert!(matches!(made, Made::Passed), "{made:?}");
    }

    pub(crate) fn ok_times(&mut self, n: usize) {
        (0..n).for_each(|_| self.ok());
    }

    pub(crate) fn fail_times(&mut self, n: usize) {
        (0..n).for_each(|_| self.fail());
    }

    /// `S` succeeds, `F` fails; each is let through.
    pub(crate) fn calls(&mut self, script: &str) {
        for letter in script.chars() {
            match letter {
                'S' => self.ok(),
                'F' => self.fail(),
                other => panic!("{other}"),
            }
        }
    }

    /// A call that takes so long, and then succeeds or fails.
    pub(crate) fn takes(&mut self, time: Duration, answer: Answer) {
        let call = self.start();
        self.wait(time);
        let _ = call.end(answer);
    }

    /// Makes a call that must be refused.
    pub(crate) fn refused(&mut self) -> Rejected {
        match self.make(Ok(0)) {
            Made::Refused(refused) => refused,
            Made::Passed => panic!("it was let through, {:?}", self.handle.snapshot()),
        }
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.hand.advance(time);
    }

    pub(crate) fn state(&self) -> Circuit {
        self.handle.snapshot().state
    }

    pub(crate) fn counts(&self) -> Counts {
        self.handle.snapshot().counts
    }

    /// Opens it by failures, whatever was before.
    pub(crate) fn open(&mut self) {
        for _ in 0..5_000 {
            if self.state() != Circuit::Closed {
                break;
            }
            self.fail();
        }
        assert_eq!(self.state(), Circuit::Open);
    }

    /// Opens it and waits until the first probe may come.
    pub(crate) fn open_and_wait(&mut self) {
        self.open();
        let left = self.handle.snapshot().retry_after.unwrap();
        self.wait(left);
    }
}

/// A call that was made and polled once.
pub(crate) struct InFlight<C = ByResult> {
    future: Pin<Box<ResponseFuture<Work, C>>>,
    answer: Option<oneshot::Sender<Answer>>,
    /// What the first poll gave.
    pub(crate) result: Option<Answer>,
}

impl<C: Classify<u32, BoxError>> InFlight<C> {
    pub(crate) fn poll(&mut self) -> Option<Answer> {
        self.future.as_mut().now_or_never()
    }

    /// The inner service answers.
    pub(crate) fn end(mut self, answer: Answer) -> Answer {
        self.answer.take().unwrap().send(answer).unwrap();
        self.poll().expect("it was answered")
    }

    pub(crate) fn ok(self) {
        self.end(Ok(0)).unwrap();
    }

    pub(crate) fn fail(self) {
        self.end(failure()).unwrap_err();
    }
}
