//! The services under test layers: they do as they are told, and panic when called out of turn.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use seawall::error::Error;
use seawall::stale::Answer;
use tower::Service;

/// Hashable, for layers that make keys of it.
pub(crate) type Req = u32;
/// Can be marked stale, for layers that cache it.
pub(crate) type Res = Answer<u32>;
pub(crate) type Err = Error<Fault>;

/// The inner service's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at fault")
    }
}

impl std::error::Error for Fault {}

/// What a call does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Act {
    /// Answers with the request, once it was pending so many times.
    Answer(u32),
    /// Fails so.
    Fail(u32),
    /// Panics in `poll`, so.
    PanicInPoll(u32),
    PanicInCall,
    #[default]
    Hang,
}

/// What `poll_ready` says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Readiness {
    #[default]
    Ready,
    Pending,
    Error,
}

/// Tells a [`Strict`] and all its clones what to do, and counts.
#[derive(Debug, Default)]
pub(crate) struct Script {
    readiness: Mutex<(Readiness, Vec<Waker>)>,
    act: Mutex<Act>,
    calls: AtomicU32,
    live: AtomicU32,
}

impl Script {
    pub(crate) fn readiness(&self, readiness: Readiness) {
        let mut state = self.readiness.lock().unwrap();
        state.0 = readiness;
        state.1.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn act(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }

    /// Calls made so far.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(SeqCst)
    }

    /// Futures that were made and not yet dropped.
    pub(crate) fn live(&self) -> u32 {
        self.live.load(SeqCst)
    }
}

/// Panics unless *this* value was readied since its last call; a clone starts unready.
#[derive(Debug)]
pub(crate) struct Strict {
    script: Arc<Script>,
    ready: bool,
}

impl Strict {
    pub(crate) fn new() -> (Self, Arc<Script>) {
        let script = Arc::<Script>::default();
        script.act(Act::Answer(0));
        let strict = Self { script: Arc::clone(&script), ready: false };
        (strict, script)
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { script: Arc::clone(&self.script), ready: false }
    }
}

impl Service<Req> for Strict {
    type Response = Res;
    type Error = Err;
    type Future = Acting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Err>> {
        let mut state = self.script.readiness.lock().unwrap();
        self.ready = false;
        match state.0 {
            Readiness::Ready => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::Pending => {
                state.1.push(cx.waker().clone());
                Poll::Pending
            }
            Readiness::Error => Poll::Ready(Err(Fault.into())),
        }
    }

    fn call(&mut self, request: Req) -> Acting {
        assert!(std::mem::take(&mut self.ready), "called an instance that was not readied");
        self.script.calls.fetch_add(1, SeqCst);
        let act = *self.script.act.lock().unwrap();
        if let Act::PanicInCall = act {
            panic!("in call, on purpose");
        }
        self.script.live.fetch_add(1, SeqCst);
        Acting { script: Arc::clone(&self.script), act, request }
    }
}

/// The future of a [`Strict`].
#[derive(Debug)]
pub(crate) struct Acting {
    script: Arc<Script>,
    act: Act,
    request: Req,
}

impl Future for Acting {
    type Output = Result<Res, Err>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let request = self.request;
        match &mut self.act {
            Act::Answer(left) | Act::Fail(left) | Act::PanicInPoll(left) if *left > 0 => {
                *left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Act::Answer(_) => Poll::Ready(Ok(Answer::fresh(request))),
            Act::Fail(_) => Poll::Ready(Err(Fault.into())),
            Act::PanicInPoll(_) => panic!("in poll, on purpose"),
            Act::Hang => Poll::Pending,
            Act::PanicInCall => unreachable!("it has no future"),
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.script.live.fetch_sub(1, SeqCst);
    }
}

/// A service that can't leave its thread: it and its futures hold an `Rc`.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotSend(pub(crate) Rc<Cell<u32>>);

impl Service<Req> for NotSend {
    type Response = Res;
    type Error = Err;
    type Future = Pin<Box<dyn Future<Output = Result<Res, Err>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Err>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let calls = Rc::clone(&self.0);
        Box::pin(async move {
            tokio::task::yield_now().await;
            calls.set(calls.get() + 1);
            Ok(Answer::fresh(request))
        })
    }
}
