//! `ReadyInCall` as its users see it: through tower's mock, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use seawall::error::{BoxError, Carry, Reason};
use seawall::ready::{ReadyInCall, ReadyInCallLayer};
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock::{self, Mock, Spawn};

type Client = ReadyInCall<Mock<u32, u32>>;

fn ready_in_call() -> (Spawn<Client>, mock::Handle<u32, u32>) {
    mock::spawn_layer(ReadyInCallLayer::new())
}

#[tokio::test]
async fn calls_at_once_when_the_inner_is_ready() {
    let (mut service, mut inner) = ready_in_call();
    inner.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    let (request, answer) = inner.next_request().await.unwrap();
    assert_eq!(request, 7, "sent in `call`, before any poll");
    answer.send_response(8);
    assert_eq!(assert_ready_ok!(call.poll()), 8);
}

#[tokio::test]
async fn is_ready_when_the_inner_is_not_and_waits_in_the_call() {
    let (mut service, mut inner) = ready_in_call();
    inner.allow(0);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    assert!(inner.poll_request().is_pending(), "nothing was sent yet");

    inner.allow(1);
    assert!(call.is_woken(), "it is the call's task that is woken");
    assert_pending!(call.poll());
    let (request, answer) = inner.next_request().await.unwrap();
    assert_eq!(request, 7);
    answer.send_response(8);
    assert_eq!(assert_ready_ok!(call.poll()), 8);
}

#[tokio::test]
async fn many_calls_may_wait_and_each_is_sent_once() {
    let (mut service, mut inner) = ready_in_call();
    inner.allow(0);
    let mut calls: Vec<_> = (0..3)
        .map(|request| {
            assert_ready_ok!(service.poll_ready());
            let mut call = task::spawn(service.call(request));
            assert_pending!(call.poll());
            call
        })
        .collect();
    inner.allow(3);
    let mut sent = Vec::new();
    for call in &mut calls {
        assert_pending!(call.poll());
        sent.push(inner.next_request().await.unwrap().0);
    }
    assert_eq!(sent, [0, 1, 2]);
    assert!(inner.poll_request().is_pending());
}

#[tokio::test]
async fn a_waiting_call_that_is_dropped_sends_nothing_and_gives_up_its_place() {
    let inner = ConcurrencyLimit::new(
        service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>()),
        1,
    );
    let mut client = ReadyInCallLayer::new().layer(inner);
    let first = client.ready().await.unwrap().call(());
    let mut second = task::spawn(client.ready().await.unwrap().call(()));
    assert_pending!(second.poll());
    let mut third = task::spawn(client.ready().await.unwrap().call(()));
    assert_pending!(third.poll());

    drop(second);
    drop(first);
    assert!(third.is_woken(), "the queue moved on to the one that stayed");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_covers_a_client_that_never_becomes_ready() {
    let timeout = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap();
    let (mut service, mut inner) = mock::spawn_layer::<u32, u32, _>(
        ServiceBuilder::new().layer(timeout).layer(ReadyInCallLayer::new()).into_inner(),
    );
    inner.allow(0);
    assert_ready_ok!(service.poll_ready());
    let error = service.call(1).await.unwrap_err();
    assert_eq!(error.rejected().unwrap().reason, Reason::TimedOut);
}

/// A client that is closed for good, as a `Buffer` without its worker is: and so are its clones.
#[derive(Clone)]
struct Closed;

impl Service<u32> for Closed {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("closed".into()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test]
async fn a_closed_inner_answers_every_call_with_its_error_and_never_fails_readiness() {
    let mut client = ReadyInCallLayer::new().layer(Closed);
    for _ in 0..3 {
        let ready = client.ready().await.expect("readiness never fails");
        assert_eq!(ready.call(7).await.unwrap_err().to_string(), "closed");
    }
}

#[tokio::test]
async fn an_inner_that_fails_while_the_call_waits_answers_it_with_its_error() {
    let (mut service, mut inner) = ready_in_call();
    inner.allow(0);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    inner.send_error("connection lost");
    assert!(call.is_woken());
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "connection lost");
}

/// Fails its first readiness, and panics if that instance is asked again; its clones are fine.
struct SpentOnce {
    spent: bool,
    clones: Arc<AtomicU32>,
}

impl Clone for SpentOnce {
    fn clone(&self) -> Self {
        let clones = Arc::clone(&self.clones);
        if clones.fetch_add(1, SeqCst) > 0 {
            panic!("cloned more than the error path needs");
        }
        Self { spent: true, clones }
    }
}

impl Service<u32> for SpentOnce {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.clones.load(SeqCst) == 0 {
            assert!(!std::mem::replace(&mut self.spent, true), "asked again");
            return Poll::Ready(Err("connection lost".into()));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        std::future::ready(Ok(request + 1))
    }
}

#[tokio::test]
async fn an_instance_that_failed_is_discarded_and_never_asked_again() {
    let mut client =
        ReadyInCallLayer::new().layer(SpentOnce { spent: false, clones: Arc::default() });
    // The clone is asked a second time, by the next `poll_ready`.
    client.ready().await.unwrap();
    assert_eq!(client.ready().await.unwrap().call(7).await.unwrap(), 8);
}

/// Ready from its second `poll_ready` on; tells its clones apart, and counts them.
struct Numbered {
    number: u32,
    asked: u32,
    clones: Arc<AtomicU32>,
}

impl Clone for Numbered {
    fn clone(&self) -> Self {
        Self {
            number: self.clones.fetch_add(1, SeqCst) + 1,
            asked: 0,
            clones: Arc::clone(&self.clones),
        }
    }
}

impl Service<u32> for Numbered {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.asked += 1;
        if self.asked < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert!(self.asked >= 2, "number {} was not ready", self.number);
        self.asked = 1;
        std::future::ready(Ok(self.number))
    }
}

#[tokio::test]
async fn the_instance_that_was_asked_is_the_one_called_and_only_a_wait_clones() {
    let clones = Arc::new(AtomicU32::new(0));
    let mut client = ReadyInCallLayer::new().layer(Numbered {
        number: 0,
        asked: 0,
        clones: Arc::clone(&clones),
    });
    assert_eq!(client.ready().await.unwrap().call(0).await.unwrap(), 0);
    assert_eq!(clones.load(SeqCst), 1, "it had to wait");
    let waited = client.ready().await.unwrap().call(0).await.unwrap();
    assert_eq!(waited, 1, "the clone that took its place");
    assert_eq!(clones.load(SeqCst), 2);

    client.ready().await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.ready().await.unwrap().call(0).await.unwrap(), 2);
    }
    assert_eq!(clones.load(SeqCst), 2, "ready: called without a clone");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_moves_to_another_task() {
    let busy = ConcurrencyLimit::new(
        service_fn(|_: ()| async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            Ok::<_, BoxError>(())
        }),
        1,
    );
    let mut client = ReadyInCallLayer::new().layer(busy);
    let first = tokio::spawn(client.ready().await.unwrap().call(()));
    let second = tokio::spawn(client.ready().await.unwrap().call(()));
    second.await.unwrap().unwrap();
    first.await.unwrap().unwrap();
}

#[tokio::test]
#[should_panic(expected = "polled after it was done")]
async fn a_call_that_failed_is_not_polled_again() {
    let mut client = ReadyInCallLayer::new().layer(Closed);
    let mut call = task::spawn(client.ready().await.unwrap().call(7));
    assert_ready_err!(call.poll());
    let _ = call.poll();
}
