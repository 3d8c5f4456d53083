//! The bulkhead as its users see it: through tower's mock, in virtual time.

#[path = "bulkhead/adaptive.rs"]
mod adaptive;
#[path = "bulkhead/oracle.rs"]
mod oracle;
#[path = "bulkhead/pools.rs"]
mod pools;
#[path = "bulkhead/queue.rs"]
mod queue;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use seawall::bulkhead::{Bulkhead, BulkheadConfig, BulkheadHandle, BulkheadLayer};
use seawall::error::{BoxError, Carry, Error, Reason, Rejected, Room};
use seawall::event::{Event, Kind, Observe, Sink, Wants};
use seawall::ratio::Ratio;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock::{self, Mock, Spawn};

type Client = Bulkhead<Mock<u32, u32>>;

fn layer(limit: usize) -> BulkheadLayer {
    BulkheadLayer::new(BulkheadConfig::new("payments").limit(limit)).unwrap()
}

/// A bulkhead over a mock that is ready for any number of calls.
fn bulkhead(limit: usize) -> (Spawn<Client>, mock::Handle<u32, u32>, BulkheadHandle) {
    let layer = layer(limit);
    let (service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(1_000);
    (service, inner, layer.handle())
}

fn why(error: &BoxError) -> &Rejected {
    error.rejected().expect("a refusal")
}

#[tokio::test]
async fn passes_calls_and_answers_through() {
    let (mut service, mut inner, handle) = bulkhead(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    assert_eq!(handle.snapshot().in_flight, 1);

    let (request, answer) = inner.next_request().await.unwrap();
    assert_eq!(request, 7);
    answer.send_response(8);
    assert_eq!(assert_ready_ok!(call.poll()), 8);
    assert_eq!(
        handle.snapshot().in_flight,
        0,
        "given back at completion, while the future is still held"
    );
}

#[tokio::test]
async fn an_error_of_the_inner_gives_the_place_back_and_is_passed_on() {
    let (mut service, mut inner, handle) = bulkhead(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(1));
    assert_pending!(call.poll());
    let (_, answer) = inner.next_request().await.unwrap();
    answer.send_error("broken pipe");
    let error = assert_ready_err!(call.poll());
    assert_eq!(error.to_string(), "broken pipe");
    assert!(error.rejected().is_none());
    assert_eq!(handle.snapshot().in_flight, 0);
}

#[tokio::test]
async fn refuses_at_once_when_full_and_says_that_nothing_was_sent() {
    let (mut service, mut inner, handle) = bulkhead(1);
    assert_ready_ok!(service.poll_ready());
    let held = service.call(1);
    assert_ready_ok!(service.poll_ready());

    let mut refused = task::spawn(service.call(2));
    let error = assert_ready_err!(refused.poll());
    let refusal = why(&error);
    assert_eq!(
        (refusal.room, refusal.reason, refusal.name),
        (Room::Bulkhead, Reason::BulkheadFull, "payments")
    );
    assert!(!refusal.sent());
    assert_eq!(handle.snapshot().in_flight, 1, "the refused call held none");

    assert_eq!(inner.next_request().await.unwrap().0, 1);
    drop((held, refused));
    assert!(inner.poll_request().is_pending(), "it was never sent");
}

#[tokio::test]
async fn a_dead_inner_does_not_hold_up_a_refusal() {
    let (mut service, mut inner, handle) = bulkhead(1);
    assert_ready_ok!(service.poll_ready());
    let _held = service.call(1);

    inner.allow(0);
    assert_ready_ok!(service.poll_ready());
    let error = assert_ready_err!(task::spawn(service.call(2)).poll());
    assert_eq!(why(&error).reason, Reason::BulkheadFull);
    assert_eq!(handle.snapshot().in_flight, 1);
}

#[tokio::test]
async fn with_room_left_an_inner_that_is_not_ready_is_waited_for() {
    let (mut service, mut inner, _) = bulkhead(1);
    inner.allow(0);
    assert_pending!(service.poll_ready());
    inner.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test]
async fn refuses_as_not_ready_when_a_place_came_free_but_the_inner_is_not_ready() {
    let (mut service, mut inner, handle) = bulkhead(1);
    assert_ready_ok!(service.poll_ready());
    let held = service.call(1);
    inner.allow(0);
    assert_ready_ok!(service.poll_ready(), "because it is full");
    drop(held);

    let error = assert_ready_err!(task::spawn(service.call(2)).poll());
    assert_eq!(why(&error).reason, Reason::NotReady);
    assert!(!why(&error).sent());
    assert_eq!(handle.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_second_call_on_one_readiness_is_refused_and_never_sent() {
    let (mut service, mut inner, handle) = bulkhead(10);
    assert_ready_ok!(service.poll_ready());
    let first = service.call(1);
    let error = assert_ready_err!(task::spawn(service.call(2)).poll());
    assert_eq!(why(&error).reason, Reason::NotReady);
    assert_eq!(inner.next_request().await.unwrap().0, 1);
    assert_eq!(handle.snapshot().in_flight, 1);
    drop(first);
    assert!(inner.poll_request().is_pending());
}

#[tokio::test]
async fn a_clone_does_not_inherit_readiness() {
    let (mut service, _inner, _) = bulkhead(10);
    assert_ready_ok!(service.poll_ready());
    let mut copy = service.get_ref().clone();
    let error = assert_ready_err!(task::spawn(copy.call(1)).poll());
    assert_eq!(why(&error).reason, Reason::NotReady);
}

#[tokio::test]
async fn cancelled_at_any_point_gives_the_place_back() {
    for polls in 0..3 {
        let (mut service, _inner, handle) = bulkhead(1);
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(1));
        assert_eq!(handle.snapshot().in_flight, 1, "taken in `call`");
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        drop(call);
        assert_eq!(handle.snapshot().in_flight, 0, "after {polls} polls");

        assert_ready_ok!(service.poll_ready());
        let _next = service.call(2);
        assert_eq!(handle.snapshot().in_flight, 1);
    }
}

#[tokio::test]
async fn one_layer_is_one_limit_for_all_its_services_and_clones() {
    let layer = layer(2);
    let hang = service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>());
    let (mut one, mut other) = (layer.layer(hang), layer.clone().layer(hang));
    let first = one.ready().await.unwrap().call(());
    let second = other.clone().ready().await.unwrap().call(());
    let error = other.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(why(&error).reason, Reason::BulkheadFull);
    drop((first, second));
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_live_grow_admits_at_once_and_a_live_shrink_is_absorbed_as_calls_end() {
    let (mut service, _inner, handle) = bulkhead(2);
    let mut admit = || {
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(0));
        match call.poll() {
            Poll::Pending => Ok(call),
            Poll::Ready(result) => Err(why(&result.unwrap_err()).reason),
        }
    };
    let full = Some(Reason::BulkheadFull);
    let mut held = vec![admit().unwrap(), admit().unwrap()];
    assert_eq!(admit().err(), full);

    handle.reconfigure(|config| config.limit(3)).unwrap();
    held.push(admit().unwrap());
    assert_eq!(admit().err(), full);

    handle.reconfigure(|config| config.limit(1)).unwrap();
    let shrunk = handle.snapshot();
    assert_eq!((shrunk.in_flight, shrunk.limit), (3, 1));
    assert_eq!(shrunk.utilization(), Ratio::ONE, "never above the whole");
    while let Some(call) = held.pop() {
        assert_eq!(admit().err(), full, "{} in flight", held.len() + 1);
        drop(call);
    }
    let _last = admit().unwrap();
    assert_eq!(handle.snapshot().in_flight, 1);
}

/// Counts who is inside, and remembers the most there were.
#[derive(Clone, Default)]
struct Crowd {
    inside: Arc<AtomicU32>,
    peak: Arc<AtomicU32>,
}

impl Crowd {
    fn peak(&self) -> u32 {
        self.peak.load(SeqCst)
    }

    async fn serve(self, work: impl Future<Output = ()>) -> Result<(), BoxError> {
        let inside = self.inside.fetch_add(1, SeqCst) + 1;
        self.peak.fetch_max(inside, SeqCst);
        work.await;
        self.inside.fetch_sub(1, SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_callers_never_pass_a_limit_of_a_hundred() {
    let layer = layer(100);
    let crowd = Crowd::default();
    let client = layer.layer(service_fn(|()| {
        let work = tokio::time::sleep(Duration::from_millis(120));
        crowd.clone().serve(work)
    }));
    let calls = (0..100_000_u64).map(|i| {
        let client = client.clone();
        async move {
            // A thousand every 10 ms, for a second: 120 times what a hundred places can serve.
            tokio::time::sleep(Duration::from_millis(i / 1_000 * 10)).await;
            client.oneshot(()).await
        }
    });
    let (served, refused): (Vec<_>, Vec<_>) =
        join_all(calls).await.into_iter().partition(Result::is_ok);
    for error in refused {
        assert_eq!(why(&error.unwrap_err()).reason, Reason::BulkheadFull);
    }
    assert_eq!(crowd.peak.load(SeqCst), 100, "the peak is the limit");
    assert!(
        (800..=1_000).contains(&served.len()),
        "a place that comes free is used again: {}",
        served.len()
    );
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_holds_on_many_threads_while_it_changes_a_thousand_times() {
    let layer = layer(8);
    let handle = layer.handle();
    let crowd = Crowd::default();
    let inner = crowd.clone();
    let client = layer.layer(service_fn(move |()| inner.clone().serve(tokio::task::yield_now())));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..500 {
                    let _ = client.clone().oneshot(()).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..1_000 {
        let limit = 1 + round % 8;
        handle.reconfigure(|config| config.limit(limit)).unwrap();
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let peak = crowd.peak.load(SeqCst);
    assert!((1..=8).contains(&peak), "{peak}, the largest limit was 8");
    assert_eq!(handle.snapshot().in_flight, 0);
}

#[test]
fn absurd_limits_are_errors_that_name_the_field_and_the_range() {
    let mut absurd = vec![0, usize::MAX];
    absurd.extend(usize::try_from(1_u64 << 31));
    for limit in absurd {
        let error = BulkheadLayer::new(BulkheadConfig::new("x").limit(limit)).unwrap_err();
        assert_eq!(error.field(), "limit");
        assert_eq!(error.value(), limit.to_string());
        assert_eq!(error.range(), "from 1 to 2147483647");
    }
    let largest = layer(i32::MAX as usize);
    assert_eq!(largest.handle().snapshot().limit, i32::MAX as u32);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Observe for Log {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        self.add(format!("{room} {name}"));
        Some(Box::new((*self).clone()))
    }
}

impl Sink for Log {
    fn wants(&self) -> Wants {
        Wants::ALL
    }
    fn event(&self, event: &Event) {
        assert_eq!(event.kind, Kind::Reconfigured);
        self.add("reconfigured".into());
    }
    fn refused(&self, rejected: &Rejected) {
        self.add(rejected.reason.to_string());
    }
}

#[tokio::test]
async fn an_observer_hears_of_refusals_and_changes() {
    let log = Log::default();
    let config = BulkheadConfig::new("payments").limit(1).observe(log.clone());
    let layer = BulkheadLayer::new(config).unwrap();
    let hang = service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>());
    let mut client = layer.layer(hang);
    let _held = client.ready().await.unwrap().call(());
    let _ = client.ready().await.unwrap().call(()).await;
    let handle = layer.handle();
    handle.reconfigure(|config| config.limit(2)).unwrap();
    handle.reconfigure(|config| config.limit(0)).unwrap_err();
    assert_eq!(*log.0.lock().unwrap(), ["bulkhead payments", "bulkhead_full", "reconfigured"]);
}

#[test]
fn an_observer_that_panics_or_re_enters_the_handle_harms_nobody() {
    let cell: Arc<Mutex<Option<BulkheadHandle>>> = Arc::default();
    let inside = Arc::clone(&cell);
    let config = BulkheadConfig::new("payments").observe(|_: &Event| panic!("on purpose")).observe(
        move |_: &Event| {
            let handle = inside.lock().unwrap().clone().unwrap();
            if handle.snapshot().limit < 3 {
                handle.reconfigure(|config| config.limit(3)).unwrap();
            }
        },
    );
    let handle = BulkheadLayer::new(config).unwrap().handle();
    *cell.lock().unwrap() = Some(handle.clone());
    handle.reconfigure(|config| config.limit(2)).unwrap();
    assert_eq!(handle.snapshot().limit, 3, "set by the one that re-entered");
    assert_eq!(handle.observer_panics(), 2);
}

#[tokio::test]
async fn a_foreign_error_is_lifted_by_one_map_err() {
    #[derive(Debug, PartialEq)]
    struct Declined;
    let declines = service_fn(|_: ()| async { Err::<(), _>(Declined) }).map_err(Error::from);
    let mut client = layer(1).layer(declines);
    let error = client.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(error, Error::Inner(Declined));
}
