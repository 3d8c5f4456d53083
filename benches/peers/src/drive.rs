//! The one trait through which every contender runs, and the loop around it.
//!
//! A contender builds a `tower::Service`; everything else is here and the same for all. Dynamic
//! dispatch happens once per batch of calls ([`Caller::run`]), never per call.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tower::Service;

use crate::allocs;
use crate::backend::{Answer, Ask, Request};
use crate::cases::{Case, Manner, Seen};
use crate::stopwatch;

/// A way to wrap the backend: seawall, a peer, or nothing at all.
pub trait Contender: fmt::Debug + Sync {
    /// As printed.
    fn name(&self) -> &'static str;

    /// The layers of this case around the backend; `None` where the contender has no such layers.
    fn build(&self, case: &'static Case) -> Option<Built>;
}

/// A contender, built for a case.
#[derive(Debug)]
pub struct Built {
    /// Runs calls; every [`Caller::another`] shares its layers.
    pub caller: Box<dyn Caller>,
    /// What it leaves out of the case's work; `None` if nothing.
    pub lacks: Option<&'static str>,
}

impl Built {
    /// A service that does all of the case's work.
    pub fn same<S>(case: &'static Case, service: S) -> Option<Self>
    where
        S: Service<Request, Response = Answer> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        Some(Self { caller: caller(case, service), lacks: None })
    }

    /// A service that does less than the case asks for; `lacks` says what is missing.
    pub fn less<S>(case: &'static Case, service: S, lacks: &'static str) -> Option<Self>
    where
        S: Service<Request, Response = Answer> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        Some(Self { caller: caller(case, service), lacks: Some(lacks) })
    }
}

/// One thread's hold on a contender: a clone of its service.
pub trait Caller: Send + fmt::Debug {
    /// Another caller that shares the same layers. Call it on the thread that will use it, so that
    /// what a clone allocates lies in that thread's memory.
    fn another(&self) -> Box<dyn Caller>;

    /// Makes `calls` calls on this thread: polled with a waker that does nothing.
    fn run(&mut self, calls: u64);

    /// Makes `calls` calls as a task, with the runtime's own waker.
    fn run_as_task(self: Box<Self>, calls: u64) -> Task;

    /// Makes one healthy call and says what came of it.
    fn look(&mut self) -> Seen;
}

/// A batch of calls as a future.
pub type Task = Pin<Box<dyn Future<Output = (Box<dyn Caller>, Spent)> + Send>>;

/// What a batch of calls took on one thread.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Before the first call.
    pub start: Instant,
    /// After the last one.
    pub end: Instant,
    /// Allocations made.
    pub allocs: u64,
}

impl Spent {
    /// Measures `work` on this thread.
    pub fn by(work: impl FnOnce()) -> Self {
        let since = Since::now();
        work();
        since.spent()
    }
}

struct Since {
    allocs: u64,
    start: Instant,
}

impl Since {
    fn now() -> Self {
        Self { allocs: allocs::so_far(), start: stopwatch::now() }
    }

    fn spent(self) -> Spent {
        let end = stopwatch::now();
        Spent { start: self.start, end, allocs: allocs::so_far() - self.allocs }
    }
}

/// Brings the service into the state that the case starts from, and wraps it in the loop.
fn caller<S>(case: &'static Case, mut service: S) -> Box<dyn Caller>
where
    S: Service<Request, Response = Answer> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    let mut cx = Context::from_waker(Waker::noop());
    let key = case.requests[0].key;
    for (calls, ask) in [(case.healthy_before, Ask::Answer), (case.failing_before, Ask::Fail)] {
        for _ in 0..calls {
            drop(complete(&mut service, Request { key, ask }, &mut cx));
        }
    }
    Box::new(Loop { case, service })
}

/// The loop.
struct Loop<S> {
    case: &'static Case,
    service: S,
}

impl<S> fmt::Debug for Loop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("case", &self.case.name).finish_non_exhaustive()
    }
}

impl<S> Caller for Loop<S>
where
    S: Service<Request, Response = Answer> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    fn another(&self) -> Box<dyn Caller> {
        Box::new(Self { case: self.case, service: self.service.clone() })
    }

    fn run(&mut self, calls: u64) {
        // Hidden, as a runtime's is: a waker known to do nothing takes the second poll with it.
        let mut cx = Context::from_waker(black_box(Waker::noop()));
        let requests = self.case.requests.iter().cycle();
        let requests = requests.zip(0..calls).map(|(&request, _)| black_box(request));
        match self.case.manner {
            Manner::ClonedPerCall => {
                for request in requests {
                    let mut service = self.service.clone();
                    let _ = black_box(complete(&mut service, request, &mut cx));
                }
            }
            Manner::Polled | Manner::OnRuntime => {
                for request in requests {
                    let _ = black_box(complete(&mut self.service, request, &mut cx));
                }
            }
        }
    }

    fn run_as_task(mut self: Box<Self>, calls: u64) -> Task {
        Box::pin(async move {
            let since = Since::now();
            for (&request, _) in self.case.requests.iter().cycle().zip(0..calls) {
                let result = match poll_fn(|cx| self.service.poll_ready(cx)).await {
                    Ok(()) => self.service.call(black_box(request)).await,
                    Err(error) => Err(error),
                };
                let _ = black_box(result);
            }
            let spent = since.spent();
            (self as Box<dyn Caller>, spent)
        })
    }

    fn look(&mut self) -> Seen {
        let request = Request { key: self.case.requests[0].key, ask: Ask::Answer };
        let mut cx = Context::from_waker(Waker::noop());
        match complete(&mut self.service, request, &mut cx) {
            Ok(Answer { stale: false, .. }) => Seen::Fresh,
            Ok(Answer { stale: true, .. }) => Seen::Stale,
            Err(_) => Seen::Error,
        }
    }
}

/// One call from readiness to result.
#[inline(always)]
fn complete<S>(
    service: &mut S,
    request: Request,
    cx: &mut Context<'_>,
) -> Result<S::Response, S::Error>
where
    S: Service<Request>,
{
    let mut waits = 0;
    loop {
        match service.poll_ready(cx) {
            Poll::Ready(Ok(())) => break,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => give_way(&mut waits),
        }
    }
    let mut future = pin!(service.call(request));
    loop {
        match future.as_mut().poll(cx) {
            Poll::Ready(result) => return result,
            Poll::Pending => give_way(&mut waits),
        }
    }
}

/// Lets another thread on after a while: with more threads than cores, the one that is waited for
/// may not be running, and a peer would be charged for a whole slice of the scheduler's.
#[cold]
fn give_way(waits: &mut u32) {
    *waits += 1;
    if *waits % 64 == 0 {
        std::thread::yield_now();
    }
}
