//! Layers that break the contract, each in one way: a probe that passes them would prove nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use tower::{Layer, Service};

use crate::inner::{Err, Req, Res};
use crate::layers::Subject;
use crate::probes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sin {
    CallsAClone,
    TakesItsPermitInPollReady,
    ForgetsItsPermitWhenDropped,
    GivesItsPermitBackOnlyWhenDropped,
    ForgetsItsPermitWhenCallPanics,
    SwallowsErrorsOfPollReady,
}

#[derive(Clone, Debug)]
struct Broken {
    sin: Sin,
    permits: Arc<AtomicU64>,
}

fn broken(sin: Sin) -> Subject<Broken> {
    let permits = Arc::<AtomicU64>::default();
    let gauge = Arc::clone(&permits);
    Subject::new(Broken { sin, permits }).gauge("permits", move || gauge.load(SeqCst))
}

impl<S> Layer<S> for Broken {
    type Service = BrokenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BrokenService { inner, layer: self.clone() }
    }
}

#[derive(Clone, Debug)]
struct BrokenService<S> {
    inner: S,
    layer: Broken,
}

impl<S> Service<Req> for BrokenService<S>
where
    S: Service<Req, Response = Res, Error = Err> + Clone,
    S::Future: Unpin,
{
    type Response = Res;
    type Error = Err;
    type Future = BrokenFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Err>> {
        let polled = ready!(self.inner.poll_ready(cx));
        if self.layer.sin == Sin::TakesItsPermitInPollReady {
            self.layer.permits.fetch_add(1, SeqCst);
        }
        if self.layer.sin == Sin::SwallowsErrorsOfPollReady {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(polled)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let permits = Arc::clone(&self.layer.permits);
        let early = self.layer.sin == Sin::ForgetsItsPermitWhenCallPanics;
        if early {
            permits.fetch_add(1, SeqCst);
        }
        let future = if self.layer.sin == Sin::CallsAClone {
            self.inner.clone().call(request)
        } else {
            self.inner.call(request)
        };
        if !early && self.layer.sin != Sin::TakesItsPermitInPollReady {
            permits.fetch_add(1, SeqCst);
        }
        BrokenFuture { future, sin: self.layer.sin, permits: Some(permits) }
    }
}

struct BrokenFuture<F> {
    future: F,
    sin: Sin,
    permits: Option<Arc<AtomicU64>>,
}

impl<F> BrokenFuture<F> {
    fn release(&mut self) {
        if let Some(permits) = self.permits.take() {
            permits.fetch_sub(1, SeqCst);
        }
    }
}

impl<F: Future + Unpin> Future for BrokenFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let output = ready!(Pin::new(&mut self.future).poll(cx));
        if self.sin != Sin::GivesItsPermitBackOnlyWhenDropped {
            self.release();
        }
        Poll::Ready(output)
    }
}

impl<F> Drop for BrokenFuture<F> {
    fn drop(&mut self) {
        if self.sin != Sin::ForgetsItsPermitWhenDropped {
            self.release();
        }
    }
}

#[test]
#[should_panic(expected = "called an instance that was not readied")]
fn a_layer_that_calls_a_clone_is_found() {
    probes::calls_only_the_instance_that_was_readied(broken(Sin::CallsAClone));
}

#[test]
#[should_panic(expected = "while readied clones are held")]
fn a_layer_that_takes_its_permit_in_poll_ready_is_found() {
    let subject = broken(Sin::TakesItsPermitInPollReady);
    probes::readied_clones_hold_nothing_and_may_be_dropped_uncalled(subject);
}

#[test]
#[should_panic(expected = "dropped after 0 polls")]
fn a_layer_that_forgets_its_permit_when_dropped_is_found() {
    let subject = broken(Sin::ForgetsItsPermitWhenDropped);
    probes::dropped_at_any_await_point_leaves_every_gauge_at_zero(subject);
}

#[test]
#[should_panic(expected = "while the future of an ended call is kept")]
fn a_layer_that_gives_its_permit_back_only_when_dropped_is_found() {
    let subject = broken(Sin::GivesItsPermitBackOnlyWhenDropped);
    probes::an_ended_call_owes_nothing_while_its_future_is_kept(subject);
}

#[test]
#[should_panic(expected = "after a panic in call")]
fn a_layer_that_forgets_its_permit_when_call_panics_is_found() {
    let subject = broken(Sin::ForgetsItsPermitWhenCallPanics);
    probes::a_panic_in_call_leaves_every_gauge_at_zero(subject);
}

#[test]
#[should_panic(expected = "it was not ready")]
fn a_layer_that_swallows_errors_of_poll_ready_is_found() {
    let subject = broken(Sin::SwallowsErrorsOfPollReady);
    probes::an_error_of_poll_ready_reaches_the_caller(subject);
}
