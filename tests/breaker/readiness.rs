//! Readiness: the inner's, but where no inner is needed; and admission in `call` alone.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{Ready, ready};
use seawall::breaker::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer,
};
use seawall::clock::{Clock, ManualClock};
use seawall::error::{BoxError, Carry, Reason, Rejected};
use seawall::event::Circuit;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock::{self, Mock, Spawn};

use crate::rig::SEC;

type Client = CircuitBreaker<Mock<u32, u32>>;

/// A breaker that opens at two failures of two, one probe to close it, over a mock that isn't ready.
fn breaker() -> (Spawn<Client>, mock::Handle<u32, u32>, CircuitBreakerHandle, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config =
        CircuitBreakerConfig::new("payments").count_window(2).probes(1).jitter(0.0).clock(clock);
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let (service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(0);
    (service, inner, layer.handle(), hand)
}

fn open(service: &mut Spawn<Client>, inner: &mut mock::Handle<u32, u32>) {
    for _ in 0..2 {
        inner.allow(1);
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(7));
        assert_pending!(call.poll());
        let (_, answer) = task::spawn(inner.next_request()).poll_into();
        answer.send_error("503");
        assert_ready_err!(call.poll());
    }
    inner.allow(0);
}

trait PollInto<T> {
    fn poll_into(self) -> T;
}

impl<F: Future<Output = Option<T>>, T> PollInto<T> for task::Spawn<F> {
    fn poll_into(mut self) -> T {
        match self.poll() {
            Poll::Ready(Some(done)) => done,
            _ => panic!("it was not called"),
        }
    }
}

fn refused(service: &mut Spawn<Client>) -> Rejected {
    let error = assert_ready_err!(task::spawn(service.call(7)).poll());
    *error.rejected().unwrap()
}

#[test]
fn closed_it_waits_for_an_inner_that_is_not_ready() {
    let (mut service, mut inner, ..) = breaker();
    assert_pending!(service.poll_ready());
    inner.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[test]
fn open_a_dead_inner_does_not_hold_up_a_refusal() {
    let (mut service, mut inner, ..) = breaker();
    open(&mut service, &mut inner);
    assert_ready_ok!(service.poll_ready(), "pending for ever, and not needed");
    assert_eq!(refused(&mut service).reason, Reason::CircuitOpen);
}

#[test]
fn a_shadow_waits_for_an_inner_that_is_not_ready_in_every_state() {
    // It will not refuse, so it needs the inner.
    let (mut service, mut inner, handle, hand) = breaker();
    handle.reconfigure(|c| c.shadow(true)).unwrap();
    open(&mut service, &mut inner);
    assert_pending!(service.poll_ready());
    hand.advance(SEC);
    assert_pending!(service.poll_ready());
    handle.force_open();
    assert_pending!(service.poll_ready());
    handle.reconfigure(|c| c.shadow(false)).unwrap();
    assert_ready_ok!(service.poll_ready());
}

#[test]
fn an_error_of_the_inners_readiness_is_passed_on_in_every_state() {
    let (mut service, mut inner, handle, _) = breaker();
    open(&mut service, &mut inner);
    inner.send_error("gone");
    assert_ready_err!(service.poll_ready());
    handle.force_close();
    inner.send_error("gone for good");
    assert_ready_err!(service.poll_ready());
}

#[test]
fn a_probe_needs_a_ready_inner_and_is_not_used_up_waiting_for_one() {
    let (mut service, mut inner, handle, hand) = breaker();
    open(&mut service, &mut inner);
    assert_ready_ok!(service.poll_ready());
    hand.advance(SEC);
    // Ready was said while it was open; now this call would be the first probe.
    assert_eq!(refused(&mut service).reason, Reason::NotReady);
    assert_eq!(handle.snapshot().state, Circuit::HalfOpen);
    assert_pending!(service.poll_ready(), "a seat is free: the inner is needed");
    inner.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut probe = task::spawn(service.call(7));
    assert_pending!(probe.poll());
    inner.allow(0);
    assert_ready_ok!(service.poll_ready(), "no seat is free: the inner is not needed");
    assert_eq!(refused(&mut service).reason, Reason::CircuitOpen);
    let (_, answer) = task::spawn(inner.next_request()).poll_into();
    answer.send_response(7);
    assert_ready_ok!(probe.poll());
    assert_eq!(handle.snapshot().state, Circuit::Closed);
}

#[test]
fn a_call_not_ready_gives_its_admission_back() {
    let (clock, _) = Clock::manual();
    let config = CircuitBreakerConfig::new("payments").slow_calls(SEC, 0.5).clock(clock);
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let (mut service, mut inner) = mock::spawn_layer::<u32, u32, _>(layer.clone());
    let not_ready = |service: &mut Spawn<Client>| {
        assert_eq!(refused(service).reason, Reason::NotReady);
        assert_eq!(layer.handle().snapshot().in_time, 0);
    };
    not_ready(&mut service);
    // Readiness is used up by a call, and not inherited by a clone.
    inner.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut clone = Spawn::new(service.get_ref().clone());
    not_ready(&mut clone);
    let first = service.call(7);
    assert_eq!(layer.handle().snapshot().in_time, 1);
    assert_eq!(refused(&mut service).reason, Reason::NotReady);
    drop(first);
    assert_eq!(layer.handle().snapshot().in_time, 0);
}

#[test]
fn a_readied_clone_that_is_dropped_uncalled_holds_nothing() {
    let (mut service, mut inner, handle, hand) = breaker();
    open(&mut service, &mut inner);
    hand.advance(SEC);
    inner.allow(100);
    for _ in 0..10 {
        let mut clone = Spawn::new(service.get_ref().clone());
        assert_ready_ok!(clone.poll_ready());
    }
    assert_eq!(handle.snapshot().state, Circuit::Open, "admission is in `call`");
}

/// Ready once, and panics if another instance is called.
#[derive(Debug, Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = BoxError;
    type Future = Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, answer: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "this instance was not readied");
        ready(if answer < 500 { Ok(answer) } else { Err("it failed".into()) })
    }
}

#[tokio::test]
async fn the_instance_that_was_readied_is_the_one_called_in_every_state() {
    let (clock, hand) = Clock::manual();
    let config = CircuitBreakerConfig::new("payments")
        .count_window(2)
        .probes(1)
        .ramp([0.5])
        .ramp_step(10 * SEC)
        .clock(clock);
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let mut service = layer.layer(Strict::default());
    for answer in [500, 500, 7, 7, 7, 7] {
        let _ = service.ready().await.unwrap().call(answer).await;
        hand.advance(SEC / 2);
    }
    assert_eq!(layer.handle().snapshot().state, Circuit::Ramping);
}

/// Neither `Send` nor `Unpin`.
struct NotSend {
    _counted: std::rc::Rc<()>,
    _pinned: std::marker::PhantomPinned,
}

impl Future for NotSend {
    type Output = Result<(), BoxError>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn an_inner_that_is_neither_send_nor_unpin_is_served() {
    let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    let counted = std::rc::Rc::new(());
    let count = std::rc::Rc::clone(&counted);
    let service = layer.layer(tower::service_fn(move |()| NotSend {
        _counted: std::rc::Rc::clone(&count),
        _pinned: std::marker::PhantomPinned,
    }));
    futures::executor::block_on(service.oneshot(())).unwrap();
    assert_eq!(std::rc::Rc::strong_count(&counted), 1);
    assert_eq!(layer.handle().snapshot().counts.total, 1);
}
