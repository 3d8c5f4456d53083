//! Calls that wait for a place.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::join_all;
use seawall::bulkhead::{
    Bulkhead, BulkheadConfig, BulkheadHandle, BulkheadLayer, OneClass, Queued,
};
use seawall::clock::Clock;
use seawall::criticality::Criticality;
use seawall::error::{BoxError, Error, Reason};
use seawall::request::Ask;
use tokio::sync::oneshot;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock::{self, Mock, Spawn};

use super::{Crowd, why};

type Client = Bulkhead<Mock<u32, u32>, OneClass, Queued>;

const SECOND: Duration = Duration::from_secs(1);

fn config(limit: usize, queue: usize) -> BulkheadConfig {
    BulkheadConfig::new("payments").limit(limit).queue(queue)
}

fn queued(config: BulkheadConfig) -> (Spawn<Client>, mock::Handle<u32, u32>, BulkheadHandle) {
    let layer = BulkheadLayer::queued(config).unwrap();
    let (service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(1_000);
    (service, inner, layer.handle())
}

/// In flight and waiting.
fn seen(handle: &BulkheadHandle) -> (u32, u32) {
    let snapshot = handle.snapshot();
    (snapshot.in_flight, snapshot.waiting)
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_called_when_a_place_comes_free_first_come_first() {
    let (mut service, mut inner, handle) = queued(config(1, 2));
    let mut call = |request| {
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(request));
        let polled = call.poll();
        (call, polled)
    };
    let (first, _) = call(1);
    let (mut second, polled) = call(2);
    assert!(polled.is_pending());
    let (mut third, polled) = call(3);
    assert!(polled.is_pending());
    let (_, refused) = call(4);
    assert_eq!(why(&assert_ready_err!(refused)).reason, Reason::BulkheadFull);
    assert_eq!(seen(&handle), (1, 2));

    assert_eq!(inner.next_request().await.unwrap().0, 1);
    drop(first);
    assert!(second.is_woken() && !third.is_woken());
    assert_pending!(second.poll());
    let (request, answer) = inner.next_request().await.unwrap();
    assert_eq!(request, 2);
    answer.send_response(20);
    assert_eq!(assert_ready_ok!(second.poll()), 20);
    assert!(third.is_woken());
    assert_pending!(third.poll());
    assert_eq!(inner.next_request().await.unwrap().0, 3);
    drop(third);
    assert_eq!(seen(&handle), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_too_long_is_refused_and_was_never_sent() {
    let (mut service, mut inner, handle) = queued(config(1, 2).max_wait(SECOND));
    assert_ready_ok!(service.poll_ready());
    let held = service.call(1);
    assert_ready_ok!(service.poll_ready());
    let call = service.call(2);
    let begin = tokio::time::Instant::now();
    let error = call.await.unwrap_err();
    assert_eq!((why(&error).reason, why(&error).sent()), (Reason::WaitedTooLong, false));
    assert!((SECOND..SECOND + Duration::from_millis(3)).contains(&begin.elapsed()));
    assert_eq!(seen(&handle), (1, 0));
    assert_eq!(inner.next_request().await.unwrap().0, 1);
    drop(held);
    assert!(inner.poll_request().is_pending());
}

#[tokio::test(start_paused = true)]
async fn the_wait_counts_from_the_call_not_from_the_first_poll() {
    let (mut service, _inner, _) = queued(config(1, 2).max_wait(SECOND));
    assert_ready_ok!(service.poll_ready());
    let _held = service.call(1);
    assert_ready_ok!(service.poll_ready());
    let call = service.call(2);
    tokio::time::advance(SECOND * 2 / 3).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(why(&call.await.unwrap_err()).reason, Reason::WaitedTooLong);
    assert!(begin.elapsed() < SECOND / 2, "{:?}", begin.elapsed());
}

#[test]
fn a_wait_of_zero_needs_no_timer_and_no_runtime() {
    let config = config(1, 2).max_wait(Duration::ZERO).clock(Clock::system());
    let (mut service, _inner, handle) = queued(config);
    assert_ready_ok!(service.poll_ready());
    let held = service.call(1);
    assert_ready_ok!(service.poll_ready());
    let error = assert_ready_err!(task::spawn(service.call(2)).poll());
    assert_eq!(why(&error).reason, Reason::BulkheadFull);
    drop(held);
    assert_ready_ok!(service.poll_ready());
    assert_pending!(task::spawn(service.call(3)).poll());
    assert_eq!(seen(&handle), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_in_the_instant_of_grant_passes_its_place_on() {
    let (mut service, mut inner, handle) = queued(config(1, 3));
    let mut call = |request| {
        assert_ready_ok!(service.poll_ready());
        task::spawn(service.call(request))
    };
    let (first, mut second, mut third, mut fourth) = (call(1), call(2), call(3), call(4));
    for waiter in [&mut second, &mut third, &mut fourth] {
        assert_pending!(waiter.poll());
    }
    drop(third);
    assert_eq!(seen(&handle), (1, 2), "left from the middle");
    drop(first);
    assert!(second.is_woken());
    assert_eq!(seen(&handle), (1, 1), "the place is taken for it already");
    drop(second);
    assert!(fourth.is_woken());
    assert_eq!(seen(&handle), (1, 0));
    assert_pending!(fourth.poll());
    assert_eq!(inner.next_request().await.unwrap().0, 1);
    assert_eq!(inner.next_request().await.unwrap().0, 4, "the others were never sent");
    drop(fourth);
    assert_eq!(seen(&handle), (0, 0));
}

#[tokio::test]
async fn a_readied_clone_that_is_dropped_uncalled_holds_neither_place_nor_slot() {
    let (mut service, _inner, handle) = queued(config(1, 1));
    for _ in 0..10 {
        let mut copy = service.get_ref().clone();
        copy.ready().await.unwrap();
    }
    assert_eq!(seen(&handle), (0, 0));
    assert_ready_ok!(service.poll_ready());
    let _held = service.call(1);
    for _ in 0..10 {
        let mut copy = service.get_ref().clone();
        copy.ready().await.unwrap();
    }
    assert_eq!(seen(&handle), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_line_and_a_dead_inner_refuse_at_once_whatever_the_order() {
    for after in [None, Some(SECOND)] {
        let mut config = config(1, 1).max_wait(SECOND * 10);
        if let Some(after) = after {
            config = config.newest_first_after(after);
        }
        let (mut service, mut inner, _) = queued(config);
        assert_ready_ok!(service.poll_ready());
        let _held = service.call(1);
        assert_ready_ok!(service.poll_ready());
        let mut waits = task::spawn(service.call(2));
        assert_pending!(waits.poll());
        inner.allow(0);
        assert_ready_ok!(service.poll_ready());
        let error = assert_ready_err!(task::spawn(service.call(3)).poll());
        assert_eq!(why(&error).reason, Reason::BulkheadFull);
        if after.is_some() {
            // From now on the newest takes the oldest one's place, so it needs an inner.
            tokio::time::advance(SECOND).await;
            assert_pending!(service.poll_ready());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_deadline_and_not_at_all_when_that_is_past() {
    let clock = Clock::default();
    let layer = BulkheadLayer::queued(config(1, 8).max_wait(SECOND * 10)).unwrap().with_deadline();
    let hang = service_fn(|_: Ask<()>| std::future::pending::<Result<(), BoxError>>());
    let mut client = layer.layer(hang);
    let _held = client.ready().await.unwrap().call(Ask::read(()));
    let begin = tokio::time::Instant::now();
    let soon = Ask::read(()).by(clock.now().plus(SECOND));
    let error = client.ready().await.unwrap().call(soon).await.unwrap_err();
    assert_eq!(why(&error).reason, Reason::DeadlinePassed);
    assert!((SECOND..SECOND + Duration::from_millis(3)).contains(&begin.elapsed()));
    let past = Ask::read(()).by(clock.now());
    let error = client.ready().await.unwrap().call(past).await.unwrap_err();
    assert_eq!(why(&error).reason, Reason::DeadlinePassed);
    assert!(begin.elapsed() < SECOND * 2, "at once");
    assert_eq!(seen(&layer.handle()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_takes_its_own_free_place_though_others_wait_for_theirs() {
    let clock = Clock::default();
    let config = config(2, 8).share(Criticality::Critical, 0.5).share(Criticality::Normal, 0.5);
    let layer = BulkheadLayer::queued(config).unwrap().with_deadline();
    let layer = layer.rank(|ask: &Ask<Criticality>| ask.value);
    let hang = service_fn(|_: Ask<Criticality>| std::future::pending::<Result<(), BoxError>>());
    let mut client = layer.layer(hang);
    let _held = client.ready().await.unwrap().call(Ask::read(Criticality::Normal));
    let mut waits = task::spawn(client.ready().await.unwrap().call(Ask::read(Criticality::Normal)));
    assert_pending!(waits.poll());
    let late = Ask::read(Criticality::Critical).by(clock.now());
    let mut call = task::spawn(client.ready().await.unwrap().call(late));
    assert_pending!(call.poll(), "it is in");
    assert_eq!(seen(&layer.handle()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_grow_lets_in_all_who_wait_and_a_shrink_takes_nothing_from_them() {
    let (mut service, mut inner, handle) = queued(config(1, 100));
    let mut calls: Vec<_> = (0..51)
        .map(|request| {
            assert_ready_ok!(service.poll_ready());
            let mut call = task::spawn(service.call(request));
            assert_pending!(call.poll());
            call
        })
        .collect();
    assert_eq!(seen(&handle), (1, 50));
    handle.reconfigure(|config| config.limit(41)).unwrap();
    assert_eq!(seen(&handle), (41, 10));
    assert_eq!(calls.iter().filter(|call| call.is_woken()).count(), 40);
    handle.reconfigure(|config| config.limit(5)).unwrap();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    for request in 0..41 {
        assert_eq!(inner.next_request().await.unwrap().0, request);
    }
    calls.drain(..36);
    assert_eq!(seen(&handle), (5, 10), "back to the limit, and nobody came in");
    drop(calls.remove(0));
    assert_eq!(seen(&handle), (5, 9));
    drop(calls);
    assert_eq!(seen(&handle), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn overloaded_the_newest_is_served_while_its_caller_still_listens() {
    // A place for 10 ms, a call every 5 ms, for four seconds; callers go after 300 ms.
    let served = |config: BulkheadConfig| async {
        let layer = BulkheadLayer::queued(config.max_wait(SECOND * 60)).unwrap();
        let work = || tokio::time::sleep(Duration::from_millis(10));
        let client = layer.layer(service_fn(move |()| async move {
            work().await;
            Ok::<_, BoxError>(())
        }));
        let calls = (0..800_u64).map(|i| {
            let client = client.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(i * 5)).await;
                let begin = tokio::time::Instant::now();
                // Its caller doesn't say so: the work is done all the same.
                let answer = client.oneshot(()).await;
                answer.is_ok() && begin.elapsed() < Duration::from_millis(300)
            }
        });
        let in_time = join_all(calls).await.into_iter().filter(|in_time| *in_time).count();
        assert_eq!(seen(&layer.handle()), (0, 0));
        in_time
    };
    let first_come = served(config(1, 1_000)).await;
    let newest = served(config(1, 1_000).newest_first_after(SECOND / 10)).await;
    assert!(first_come < 80, "{first_come}: all wait longer than they listen");
    assert!(newest > 350, "{newest} of the 400 that one place can serve");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_who_wait_are_served_by_a_hundred_places() {
    let layer = BulkheadLayer::queued(config(100, 100_000).max_wait(SECOND * 600)).unwrap();
    let crowd = Crowd::default();
    let inner = crowd.clone();
    let client = layer.layer(service_fn(move |()| {
        inner.clone().serve(tokio::time::sleep(Duration::from_millis(120)))
    }));
    let calls = (0..100_000).map(|_| client.clone().oneshot(()));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(crowd.peak(), 100);
    assert_eq!(seen(&layer.handle()), (0, 0));
}

#[test]
fn a_place_freed_in_one_runtime_wakes_who_waits_in_another() {
    let layer = BulkheadLayer::queued(config(1, 1).max_wait(SECOND * 60)).unwrap();
    let handle = layer.handle();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (free, freed) = oneshot::channel::<()>();
    let (inside, is_inside) = mpsc::channel();
    let holds = layer.layer(service_fn({
        let freed = Arc::new(Mutex::new(Some((freed, inside))));
        move |()| {
            let (freed, inside) = freed.lock().unwrap().take().unwrap();
            async move {
                inside.send(()).unwrap();
                freed.await.map_err(BoxError::from)
            }
        }
    }));
    let holder = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut holds = holds;
            holds.ready().await.unwrap().call(()).await.unwrap();
        });
    });
    is_inside.recv().unwrap();
    let mut waits = layer.layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    runtime().block_on(async {
        let mut call = Box::pin(waits.ready().await.unwrap().call(()));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        free.send(()).unwrap();
        call.await.unwrap();
    });
    holder.join().unwrap();
    assert_eq!(seen(&handle), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_inner_after_a_wait_gives_the_place_back() {
    #[derive(Clone)]
    struct Panics;
    impl Service<bool> for Panics {
        type Response = ();
        type Error = Error<()>;
        type Future = Pin<Box<dyn Future<Output = Result<(), Error<()>>>>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, panics: bool) -> Self::Future {
            if panics {
                std::panic::resume_unwind(Box::new("told to"));
            }
            Box::pin(std::future::pending())
        }
    }
    let layer = BulkheadLayer::queued(config(1, 1)).unwrap();
    let mut client = layer.layer(Panics);
    let held = client.ready().await.unwrap().call(false);
    let mut waits = Box::pin(client.ready().await.unwrap().call(true));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(cx).is_pending());
    drop(held);
    let poll = std::panic::AssertUnwindSafe(|| waits.as_mut().poll(cx));
    assert!(std::panic::catch_unwind(poll).is_err());
    assert_eq!(seen(&layer.handle()), (0, 0), "though its future is kept");
}
