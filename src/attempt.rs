//! One attempt at a [`Work`]: with a limit of time, its panic caught, and where it blocks on a thread of its
//! own.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::BoxError;
use crate::work::{Abandoned, BlockingWork, Work, WorkFuture};

pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Err(BoxError),
    Panicked(String),
    /// It blocks on its thread still, unless it was a future.
    TookTooLong(Duration, Option<StillAtWork>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Err(error) => error.fmt(f),
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
            Self::TookTooLong(limit, _) => write!(f, "no end after {limit:?}"),
        }
    }
}

/// A thread that was told that nobody waits for it, and goes on.
#[derive(Debug)]
pub(crate) struct StillAtWork(oneshot::Receiver<thread::Result<Result<(), BoxError>>>);

impl StillAtWork {
    /// Waits for its end, which may never come.
    pub(crate) async fn ended(self) -> Result<(), Failure> {
        outcome(self.0.await)
    }
}

/// Makes the work, and does it once.
pub(crate) async fn once(make: impl FnOnce() -> Work, limit: Duration) -> Result<(), Failure> {
    match catch_unwind(AssertUnwindSafe(make)) {
        Err(panic) => Err(panicked(panic)),
        Ok(Work::Blocking(work)) => on_a_thread(work, limit).await,
        Ok(Work::Future(work)) => match timeout(limit, caught(work)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::TookTooLong(limit, None)),
        },
    }
}

/// The future, whose panic is a failure.
async fn caught(mut work: WorkFuture) -> Result<(), Failure> {
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map_err(Failure::Err),
        Err(panic) => Poll::Ready(Err(panicked(panic))),
    })
    .await
}

fn panicked(panic: Box<dyn Any + Send>) -> Failure {
    let message = match panic.downcast_ref::<&str>() {
        Some(message) => (*message).to_owned(),
        None => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    };
    Failure::Panicked(message)
}

/// Tells the work, when nobody waits for it any more.
struct Waiting(Abandoned);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Does `work` on a thread of its own, and abandons it there if it takes too long.
pub(crate) async fn on_a_thread(work: BlockingWork, limit: Duration) -> Result<(), Failure> {
    let (tell, mut told) = oneshot::channel();
    let waiting = Waiting(Abandoned::default());
    let abandoned = waiting.0.clone();
    let worker = thread::Builder::new().name("seawall-work".into()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&abandoned)));
        let _ = tell.send(result);
    });
    worker.map_err(|error| Failure::Err(error.into()))?;
    match timeout(limit, &mut told).await {
        Ok(ended) => outcome(ended),
        Err(_) => Err(Failure::TookTooLong(limit, Some(StillAtWork(told)))),
    }
}

type Ended = Result<thread::Result<Result<(), BoxError>>, oneshot::error::RecvError>;

fn outcome(ended: Ended) -> Result<(), Failure> {
    match ended {
        Ok(Ok(result)) => result.map_err(Failure::Err),
        Ok(Err(panic)) => Err(panicked(panic)),
        Err(_) => Err(Failure::Err("its thread is gone".into())),
    }
}

/// Polls all until all are done.
pub(crate) async fn all<T>(mut futures: Vec<Boxed<T>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                if let Poll::Ready(done) = future.as_mut().poll(cx) {
                    *result = Some(done);
                }
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
