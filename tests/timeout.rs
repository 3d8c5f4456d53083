//! The timeout as its users see it: through tower's mock, in virtual time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::error::{BoxError, Carry, Error, Reason, Rejected, Room};
use seawall::event::{Event, Kind, Observe, Sink, Wants};
use seawall::timeout::{Timeout, TimeoutConfig, TimeoutHandle, TimeoutLayer};
use tokio::task::coop;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock::{self, Mock, Spawn};

type Client = Timeout<Mock<u32, u32>>;

const LIMIT: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn layer(limit: Duration) -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new("payments").limit(limit)).unwrap()
}

/// A timeout of one second over a mock that is ready for any number of calls.
fn timeout() -> (Spawn<Client>, mock::Handle<u32, u32>, TimeoutHandle) {
    let layer = layer(LIMIT);
    let (service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(1_000);
    (service, inner, layer.handle())
}

/// A service that takes `work` for every call.
macro_rules! takes {
    ($work:expr) => {
        service_fn(|_: ()| async {
            $work.await;
            Ok::<_, BoxError>(())
        })
    };
}

#[tokio::test(start_paused = true)]
async fn gives_up_at_the_limit_and_says_that_the_request_was_sent() {
    let layer = layer(LIMIT);
    let mut client = layer.layer(takes!(sleep(LIMIT * 8)));
    let start = Instant::now();
    let error = client.ready().await.unwrap().call(()).await.unwrap_err();
    assert!((LIMIT..=LIMIT + MS).contains(&start.elapsed()));
    let given_up = error.rejected().unwrap();
    assert_eq!(
        (given_up.room, given_up.reason, given_up.name),
        (Room::Timeout, Reason::TimedOut, "payments")
    );
    assert!(given_up.sent());
    assert_eq!(error.to_string(), "payments: given up by the timeout, the call took too long");
    assert_eq!(layer.handle().snapshot().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_limit_passes_through() {
    let (mut service, mut inner, handle) = timeout();
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    advance(LIMIT - MS).await;
    assert_pending!(call.poll());
    let (request, answer) = inner.next_request().await.unwrap();
    assert_eq!(request, 7);
    answer.send_response(8);
    assert_eq!(assert_ready_ok!(call.poll()), 8);
    assert_eq!(handle.snapshot().timeouts, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_when_the_time_is_over_wins() {
    for polls in 1..4 {
        let (mut service, mut inner, handle) = timeout();
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(7));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        let (_, answer) = inner.next_request().await.unwrap();
        advance(LIMIT * 2).await;
        answer.send_response(8);
        assert_eq!(assert_ready_ok!(call.poll()), 8, "pending {polls} times");
        assert_eq!(handle.snapshot().timeouts, 0);
    }
}

#[tokio::test]
async fn an_error_of_the_inner_passes_through() {
    let (mut service, mut inner, handle) = timeout();
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    let (_, answer) = inner.next_request().await.unwrap();
    answer.send_error("broken pipe");
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "broken pipe");
    assert_eq!(handle.snapshot().timeouts, 0);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_the_inners_and_is_not_timed() {
    let (mut service, mut inner, _) = timeout();
    inner.allow(0);
    assert_pending!(service.poll_ready());
    advance(LIMIT * 10).await;
    assert_pending!(service.poll_ready());
    inner.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    inner.send_error("closed");
    assert_eq!(assert_ready_err!(service.poll_ready()).to_string(), "closed");
}

#[tokio::test(start_paused = true)]
async fn drops_the_inner_at_the_limit_so_that_its_permits_come_back_at_once() {
    let bulkhead = BulkheadLayer::new(BulkheadConfig::new("places")).unwrap();
    let places = bulkhead.handle();
    let mut client = ServiceBuilder::new()
        .layer(layer(LIMIT))
        .layer(bulkhead)
        .service(takes!(std::future::pending::<()>()));
    let mut call = task::spawn(client.ready().await.unwrap().call(()));
    assert_pending!(call.poll());
    assert_eq!(places.snapshot().in_flight, 1);
    advance(LIMIT + MS).await;
    assert!(call.is_woken());
    assert_ready_err!(call.poll());
    assert_eq!(places.snapshot().in_flight, 0, "while the future that timed out is still held");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_drops_has_not_timed_out() {
    for polls in 0..3 {
        let (mut service, mut inner, handle) = timeout();
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(7));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        let (_, answer) = inner.next_request().await.unwrap();
        // Even when the time was over by then, and nobody had looked.
        advance(LIMIT * 2).await;
        drop(call);
        answer.send_response(8);
        assert_eq!(handle.snapshot().timeouts, 0, "dropped after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_runs_from_the_first_poll_not_from_the_call() {
    let mut client = layer(LIMIT).layer(takes!(sleep(LIMIT / 2)));
    let call = client.ready().await.unwrap().call(());
    advance(LIMIT * 2).await;
    call.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_the_timers_resolution_still_ends_the_call() {
    let mut client = layer(Duration::from_nanos(1)).layer(takes!(std::future::pending::<()>()));
    let start = Instant::now();
    let error = client.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(error.rejected().unwrap().reason, Reason::TimedOut);
    assert!(start.elapsed() <= 2 * MS);
}

#[tokio::test(start_paused = true)]
async fn the_longest_limit_is_kept() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let mut client = layer(year).layer(takes!(std::future::pending::<()>()));
    let start = Instant::now();
    client.ready().await.unwrap().call(()).await.unwrap_err();
    assert!((year..=year + MS).contains(&start.elapsed()));
}

/// Uses up the task's budget in each poll, as a busy stream of a hyper connection may.
struct Hog;

impl Future for Hog {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            ready!(coop::poll_proceed(cx)).made_progress();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_that_uses_up_the_tasks_budget_in_each_poll_is_cut_off_too() {
    let layer = layer(LIMIT);
    let mut client = layer.layer(service_fn(|_: ()| Hog));
    let call = tokio::spawn(client.ready().await.unwrap().call(()));
    for _ in 0..20 {
        advance(LIMIT / 10).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert!(call.is_finished(), "two seconds have passed");
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.rejected().unwrap().reason, Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_done_holds_no_timer() {
    let (mut service, mut inner, _) = timeout();
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    inner.next_request().await.unwrap().1.send_response(8);
    assert_ready_ok!(call.poll());
    advance(LIMIT * 2).await;
    sleep(LIMIT).await;
    assert!(!call.is_woken(), "kept, but nothing will wake it");
}

#[tokio::test(start_paused = true)]
async fn a_live_limit_holds_for_calls_that_become_pending_from_then_on() {
    let layer = layer(LIMIT);
    let handle = layer.handle();
    let client = layer.layer(takes!(std::future::pending::<()>()));
    let mut before = task::spawn(client.clone().oneshot(()));
    assert_pending!(before.poll());
    handle.reconfigure(|config| config.limit(LIMIT * 2)).unwrap();
    let mut after = task::spawn(client.oneshot(()));
    assert_pending!(after.poll());

    advance(LIMIT + MS).await;
    assert_ready_err!(before.poll());
    assert_pending!(after.poll());
    advance(LIMIT).await;
    assert_ready_err!(after.poll());
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.limit, snapshot.timeouts), (LIMIT * 2, 2));
}

#[test]
fn an_inner_that_is_ready_at_once_needs_no_timer_and_no_runtime() {
    let mut client = layer(LIMIT).layer(takes!(std::future::ready(())));
    let call = client.ready().now_or_never().unwrap().unwrap().call(());
    call.now_or_never().unwrap().unwrap();
}

#[test]
fn a_pending_call_without_a_tokio_timer_panics_at_its_first_poll() {
    let message = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap()
    };
    let pending = || {
        let mut client = layer(LIMIT).layer(takes!(std::future::pending::<()>()));
        let call = client.ready().now_or_never().unwrap().unwrap().call(());
        catch_unwind(AssertUnwindSafe(|| call.now_or_never()))
    };
    let outside = message(pending().unwrap_err());
    assert!(outside.contains("Tokio 1.x runtime"), "{outside}");

    let timerless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = timerless.enter();
    let without = message(pending().unwrap_err());
    assert!(without.contains("enable_time"), "{without}");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was done")]
async fn a_call_that_timed_out_is_not_polled_again() {
    let mut client = layer(LIMIT).layer(takes!(std::future::pending::<()>()));
    let mut call: BoxFuture<'_, _> = client.ready().await.unwrap().call(()).boxed();
    assert!((&mut call).await.is_err());
    let _ = call.await;
}

#[test]
fn absurd_limits_are_errors_that_name_the_field_and_the_range() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    for limit in [Duration::ZERO, year + Duration::from_nanos(1), Duration::MAX] {
        let config = TimeoutConfig::new("x").limit(limit);
        let error = TimeoutLayer::new(config).unwrap_err();
        assert_eq!(error.field(), "limit");
        assert_eq!(error.value(), format!("{limit:?}"));
        assert_eq!(error.range(), "above 0 and at most 365 days");
    }
    for limit in [Duration::from_nanos(1), year] {
        assert_eq!(layer(limit).handle().snapshot().limit, limit);
    }
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
        assert!(rejected.sent());
        self.add(rejected.reason.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_timeouts_and_changes_but_not_of_callers_that_leave() {
    let log = Log::default();
    let config = TimeoutConfig::new("payments").observe(log.clone());
    let layer = TimeoutLayer::new(config).unwrap();
    let client = layer.layer(takes!(std::future::pending::<()>()));
    let mut leaver = task::spawn(client.clone().oneshot(()));
    assert_pending!(leaver.poll());
    drop(leaver);
    client.oneshot(()).await.unwrap_err();
    let handle = layer.handle();
    handle.reconfigure(|config| config.limit(LIMIT)).unwrap();
    let none = handle.reconfigure(|config| config.limit(Duration::ZERO));
    assert!(none.is_err());
    assert_eq!(*log.0.lock().unwrap(), ["timeout payments", "timed_out", "reconfigured"]);
    assert_eq!(handle.observer_panics(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_does_not_take_the_answer_with_it() {
    struct Panics;
    impl Observe for Panics {
        fn attach(self: Arc<Self>, _: Room, _: &'static str) -> Option<Box<dyn Sink>> {
            Some(Box::new(Self))
        }
    }
    impl Sink for Panics {
        fn wants(&self) -> Wants {
            Wants::ALL
        }
        fn refused(&self, _: &Rejected) {
            panic!("on purpose");
        }
    }
    let layer = TimeoutLayer::new(TimeoutConfig::new("payments").observe(Panics)).unwrap();
    let client = layer.layer(takes!(std::future::pending::<()>()));
    let error = client.oneshot(()).await.unwrap_err();
    assert_eq!(error.rejected().unwrap().reason, Reason::TimedOut);
    assert_eq!(layer.handle().observer_panics(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_type_of_ones_own_needs_no_box() {
    let never = service_fn(|_: ()| std::future::pending::<Result<(), Error<&'static str>>>());
    let error = layer(LIMIT).layer(never).oneshot(()).await.unwrap_err();
    assert!(matches!(error, Error::Rejected(given_up) if given_up.sent()));
}
