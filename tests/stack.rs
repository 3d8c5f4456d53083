//! The preset: its order, its defaults, and that every part can be changed, replaced or left out.

use std::future::{Ready, pending, ready};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::error::{Carry, Error, Reason, Room};
use seawall::event::{Circuit, Event, Kind};
use seawall::fallback::CachedConfig;
use seawall::key::Key;
use seawall::stack;
use seawall::stale::{Answer, Cause};
use tower::{Layer, Service, ServiceExt, service_fn};

type Reply = Result<Answer<u64>, io::Error>;

/// A client that does as `what` says: 0 answers, 1 fails, 2 hangs; and counts its calls.
#[derive(Clone, Default)]
struct Client {
    what: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
}

impl Client {
    fn does(&self, what: u32) {
        self.what.store(what, Ordering::SeqCst);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Service<u64> for Client {
    type Response = Answer<u64>;
    type Error = io::Error;
    type Future = futures::future::Either<Ready<Reply>, std::future::Pending<Reply>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, id: u64) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match self.what.load(Ordering::SeqCst) {
            0 => futures::future::Either::Left(ready(Ok(Answer::fresh(id * 100)))),
            1 => futures::future::Either::Left(ready(Err(io::Error::other("503")))),
            _ => futures::future::Either::Right(pending()),
        }
    }
}

fn reads() -> CachedConfig<seawall::fallback::ByKey<impl Fn(&u64) -> Option<Key> + Clone>> {
    CachedConfig::new("payments", |id: &u64| Some(Key::of(id)))
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_answered_from_the_cache_and_hardly_reaches_the_service() {
    let client = Client::default();
    let stack = stack::payment("payments").cached(reads()).build().unwrap();
    let payments = stack.service(client.clone());

    assert!(!payments.clone().oneshot(7).await.unwrap().is_stale());
    client.does(1);
    for _ in 0..1_000 {
        let answer = payments.clone().oneshot(7).await.unwrap();
        assert_eq!((answer.value, answer.is_stale()), (700, true));
    }
    assert_eq!(stack.handles().breaker.snapshot().state, Circuit::Open);
    assert!(client.calls() <= 21, "{} calls reached it", client.calls());

    // A key never seen: the refusal itself.
    let refused = payments.clone().oneshot(8).await.unwrap_err();
    let refused = refused.rejected().unwrap();
    assert_eq!((refused.room, refused.reason), (Room::Breaker, Reason::CircuitOpen));
}

#[tokio::test(start_paused = true)]
async fn a_hang_opens_the_circuit_at_the_slow_threshold_and_leaves_nothing_in_flight() {
    let client = Client::default();
    let stack = stack::payment("payments").cached(reads()).build().unwrap();
    let payments = stack.service(client.clone());
    payments.clone().oneshot(7).await.unwrap();

    client.does(2);
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(payments.clone().oneshot(7))).collect();
    while stack.handles().bulkhead.snapshot().in_flight < 100 {
        tokio::task::yield_now().await;
    }

    tokio::time::sleep(Duration::from_millis(499)).await;
    stack.handles().breaker.tick();
    assert_eq!(stack.handles().breaker.snapshot().state, Circuit::Closed);
    tokio::time::sleep(Duration::from_millis(2)).await;
    stack.handles().breaker.tick();
    assert_eq!(stack.handles().breaker.snapshot().state, Circuit::Open);

    // Each is cut off after a second, and answered from the cache: it is a read in doubt.
    for call in calls {
        let answer = call.await.unwrap().unwrap();
        let Cause::Rejected(why) = answer.stale.unwrap().cause else { panic!("{answer:?}") };
        assert_eq!((why.reason, why.sent()), (Reason::TimedOut, true));
    }
    assert_eq!(stack.handles().bulkhead.snapshot().in_flight, 0);
    assert_eq!(stack.handles().breaker.snapshot().in_time, 0);
}

#[tokio::test(start_paused = true)]
async fn it_recovers_by_itself_by_way_of_a_probe_and_the_ramp() {
    let client = Client::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let stack = stack::payment("payments")
        .observe(move |event: &Event| {
            if let Kind::Transition(step) = &event.kind {
                log.lock().unwrap().push(step.to);
            }
        })
        .build()
        .unwrap();
    let payments = stack.service(client.clone());
    client.does(1);
    while payments.clone().oneshot(1).await.unwrap_err().rejected().is_none() {}
    client.does(0);
    for _ in 0..1_000 {
        let _ = payments.clone().oneshot(1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        *seen.lock().unwrap(),
        [Circuit::Open, Circuit::HalfOpen, Circuit::Ramping, Circuit::Ramping, Circuit::Closed]
    );
    assert!(payments.oneshot(1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_order_is_fallback_breaker_bulkhead_timeout() {
    let client = Client::default();
    client.does(2);
    let stack = stack::payment("payments").bulkhead(|b| b.limit(1)).build().unwrap();
    let payments = stack.service(client.clone());

    // The bulkhead is inside the breaker: its refusals don't count there.
    let held = tokio::spawn(payments.clone().oneshot(1));
    tokio::task::yield_now().await;
    for _ in 0..200 {
        let refused = payments.clone().oneshot(1).await.unwrap_err();
        assert_eq!(refused.rejected().unwrap().reason, Reason::BulkheadFull);
    }
    let breaker = stack.handles().breaker.snapshot();
    assert_eq!((breaker.state, breaker.counts.total), (Circuit::Closed, 0));

    // The timeout is inside the bulkhead: it gives the place back; and inside the breaker: it counts.
    let gone = held.await.unwrap().unwrap_err();
    assert_eq!(gone.rejected().unwrap().reason, Reason::TimedOut);
    assert_eq!(stack.handles().bulkhead.snapshot().in_flight, 0);
    assert_eq!(stack.handles().breaker.snapshot().counts.slow, 1);

    // The breaker is outside the bulkhead: an open circuit refuses though there is a place.
    stack.handles().breaker.force_open();
    let refused = payments.clone().oneshot(1).await.unwrap_err();
    assert_eq!(refused.rejected().unwrap().room, Room::Breaker);
}

/// A client that is never ready.
#[derive(Clone)]
struct Unready;

impl Service<u64> for Unready {
    type Response = Answer<u64>;
    type Error = io::Error;
    type Future = Ready<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Pending
    }

    fn call(&mut self, _: u64) -> Self::Future {
        unreachable!("it was never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_becomes_ready_is_timed_out_and_opens_the_circuit() {
    let stack = stack::payment("payments").build().unwrap();
    let payments = stack.service(Unready);
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(payments.clone().oneshot(1))).collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.rejected().unwrap().reason, Reason::TimedOut);
    }
    assert!(stack.handles().breaker.snapshot().state.is_open());
}

#[tokio::test(start_paused = true)]
async fn every_part_can_be_left_out() {
    let stack = stack::payment("payments")
        .no_breaker()
        .no_bulkhead()
        .no_timeout()
        .no_ready_in_call()
        .build()
        .unwrap();
    let client = Client::default();
    client.does(1);
    let bare = stack.service(client.clone());
    for _ in 0..1_000 {
        let error = bare.clone().oneshot(1).await.unwrap_err();
        assert!(matches!(error, Error::Inner(_)));
    }
    assert_eq!(client.calls(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_part_can_be_replaced() {
    let other = CircuitBreakerLayer::new(
        CircuitBreakerConfig::new("inner").no_failure_ratio().consecutive_failures(1),
    )
    .unwrap();
    let seen = other.handle();
    let stack = stack::payment("payments").no_breaker().bulkhead_layer(other).build().unwrap();
    let client = Client::default();
    client.does(1);
    let payments = stack.layer(client);
    let _ = payments.clone().oneshot(1).await;
    assert!(seen.snapshot().state.is_open());
}

#[test]
fn a_slow_threshold_that_the_timeout_would_hide_is_a_config_error() {
    let error = stack::payment("payments")
        .timeout(Duration::from_millis(300))
        .breaker(|breaker| breaker.slow_calls(Duration::from_millis(300), 0.5))
        .build()
        .unwrap_err();
    assert_eq!(error.field(), "slow_calls");
    assert_eq!(error.range(), "below the attempt timeout");
}

#[tokio::test(start_paused = true)]
async fn any_clients_error_is_lifted_once() {
    let stack = stack::payment("payments").build().unwrap();
    let failing = service_fn(|_: u64| async { Err::<u64, _>(std::fmt::Error) });
    let error: Error<std::fmt::Error> = stack.service(failing).oneshot(1).await.unwrap_err();
    assert_eq!(error.into_inner(), Some(std::fmt::Error));
}

#[tokio::test(start_paused = true)]
async fn calls_with_boxed_errors_can_be_spawned_from_an_async_block() {
    let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    let payments =
        layer.layer(service_fn(|()| async { Err::<(), seawall::BoxError>("503".into()) }));
    let error = tokio::spawn(async move { payments.oneshot(()).await }).await.unwrap();
    assert_eq!(error.unwrap_err().to_string(), "503");
}
