//! Code of the user's that runs inside a layer: observers, classifiers, keys, `Clone` and `Drop` of what
//! is kept. It may panic, hang or call back, and touches nothing but its own call.

use std::future::{Future, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerHandle, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadHandle, BulkheadLayer};
use seawall::clock::Clock;
use seawall::error::{BoxError, Rejected, Room};
use seawall::event::{Call, Circuit, Event, Observe, Sink, Wants};
use seawall::outcome::Outcome;
use seawall::stack;
use seawall::timeout::{TimeoutConfig, TimeoutHandle, TimeoutLayer};
use tokio_test::task;
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `work` on a thread of its own, and fails if it doesn't come to an end.
#[track_caller]
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, ended) = mpsc::channel();
    let worker = std::thread::spawn(move || tell.send(work()).unwrap());
    match ended.recv_timeout(Duration::from_secs(30)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().unwrap_err())
        }
    }
}

fn in_virtual_time<F: Future>(work: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(work)
}

fn breaker(config: CircuitBreakerConfig) -> (CircuitBreakerLayer, CircuitBreakerHandle) {
    let layer = CircuitBreakerLayer::new(config).unwrap();
    let handle = layer.handle();
    (layer, handle)
}

// ---- classifiers ----

#[test]
fn a_classifier_that_panics_leaves_no_call_in_flight_and_no_probe_taken() {
    let (clock, hand) = Clock::manual();
    let config = CircuitBreakerConfig::new("x")
        .slow_calls(SECOND, 0.5)
        .consecutive_failures(1)
        .cool_down(SECOND)
        .probes(1)
        .clock(clock);
    let (layer, handle) = breaker(config);
    let layer = layer.classify(|result: Result<&u32, &BoxError>| match result {
        Ok(13) => panic!("superstitious"),
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure,
    });
    let mut service = layer.layer(service_fn(|n: u32| {
        ready(if n == 0 { Err::<u32, BoxError>("down".into()) } else { Ok(n) })
    }));
    let mut ask = |n: u32| {
        let mut call = task::spawn(service.call_when_ready(n));
        catch_unwind(AssertUnwindSafe(|| call.poll())).map(|polled| match polled {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("it answers at once"),
        })
    };
    assert!(ask(13).is_err(), "the panic is the caller's to see");
    assert_eq!(handle.snapshot().in_time, 0, "its place among the calls in flight came back");

    assert!(ask(0).unwrap().is_err());
    assert_eq!(handle.snapshot().state, Circuit::Open);
    hand.advance(SECOND);
    assert!(ask(13).is_err());
    // A panic is no answer, so that probe failed; its seat isn't out until a lease ends.
    assert_eq!(handle.snapshot().state, Circuit::Open);
    hand.advance(SECOND * 2);
    assert_eq!(ask(1).unwrap().unwrap(), 1);
    assert_eq!(handle.snapshot().state, Circuit::Closed);
}

/// `ready` and `call` of a service that is ready at once.
trait CallWhenReady<Req>: Service<Req> {
    fn call_when_ready(&mut self, req: Req) -> Self::Future {
        let mut task = task::spawn(());
        assert!(task.enter(|cx, _| self.poll_ready(cx)).is_ready());
        self.call(req)
    }
}

impl<S: Service<Req>, Req> CallWhenReady<Req> for S {}

#[test]
fn an_inner_that_panics_has_failed_and_its_probe_opens_the_circuit_again() {
    let (clock, hand) = Clock::manual();
    let config =
        CircuitBreakerConfig::new("x").consecutive_failures(2).cool_down(SECOND).clock(clock);
    let (layer, handle) = breaker(config);
    let mut service = layer.layer(service_fn(|in_poll: bool| {
        assert!(in_poll, "in call");
        async move { if in_poll { panic!("in poll") } else { Ok::<(), BoxError>(()) } }
    }));
    let mut ask = |in_poll| {
        catch_unwind(AssertUnwindSafe(|| {
            let _ = task::spawn(service.call_when_ready(in_poll)).poll();
        }))
    };
    assert!(ask(true).is_err());
    assert!(ask(false).is_err());
    assert_eq!(handle.snapshot().state, Circuit::Open);
    hand.advance(SECOND);
    assert!(ask(false).is_err());
    assert_eq!(handle.snapshot().probes.failures, 1);
}

// ---- observers ----

/// Does the same at every report.
struct AtEach<F>(F);

/// One layer's [`AtEach`].
struct Reporter<F>(Arc<AtEach<F>>, Room);

impl<F: Fn(Room) + Send + Sync + 'static> Observe for AtEach<F> {
    fn attach(self: Arc<Self>, room: Room, _: &'static str) -> Option<Box<dyn Sink>> {
        Some(Box::new(Reporter(self, room)))
    }
}

impl<F: Fn(Room) + Send + Sync> Sink for Reporter<F> {
    fn wants(&self) -> Wants {
        Wants::ALL
    }
    fn event(&self, _: &Event) {
        (self.0.0)(self.1);
    }
    fn refused(&self, _: &Rejected) {
        (self.0.0)(self.1);
    }
    fn called(&self, _: &Call) {
        (self.0.0)(self.1);
    }
}

/// Handles to the rooms of a stack, for its own observer.
struct Reach {
    breaker: CircuitBreakerHandle,
    bulkhead: BulkheadHandle,
    timeout: TimeoutHandle,
}

/// What can happen to a call: an answer, an error, a timeout, a drop, a refusal by each room.
async fn one_of_each<S>(service: &S, reach: impl Fn() -> CircuitBreakerHandle)
where
    S: Service<u32, Response = u32> + Clone,
{
    for what in [0, 1, 2] {
        let _ = service.clone().oneshot(what).await;
    }
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut call = task::spawn(service.clone().oneshot(2));
            let _ = call.poll();
            call
        })
        .collect();
    drop(held);
    for _ in 0..30 {
        let _ = service.clone().oneshot(1).await;
    }
    reach().force_open();
    let _ = service.clone().oneshot(0).await;
    reach().reset();
    let _ = service.clone().oneshot(0).await;
}

async fn client(what: u32) -> Result<u32, io::Error> {
    match what {
        0 => Ok(0),
        1 => Err(io::Error::other("503")),
        _ => pending().await,
    }
}

#[test]
fn observers_of_every_room_may_call_back_into_every_handle() {
    ends(|| {
        in_virtual_time(async {
            let reach = Arc::new(OnceLock::<Reach>::new());
            let (inner, told, busy) =
                (Arc::clone(&reach), Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
            let count = Arc::clone(&told);
            let observer = AtEach(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                let Some(reach) = inner.get() else { return };
                // What it does is reported too: once round is enough.
                if busy.swap(true, Ordering::Relaxed) {
                    return;
                }
                let _ =
                    (reach.breaker.snapshot(), reach.bulkhead.snapshot(), reach.timeout.snapshot());
                reach.breaker.tick();
                reach.breaker.reconfigure(|config| config.failure_ratio(0.7)).unwrap();
                reach.bulkhead.reconfigure(|config| config.limit(2)).unwrap();
                reach.timeout.reconfigure(|config| config.limit(SECOND)).unwrap();
                let state = reach.breaker.snapshot().state;
                if state == Circuit::ForcedOpen {
                    reach.breaker.reset();
                }
                busy.store(false, Ordering::Relaxed);
            });
            let stack = stack::payment("x").observe(observer).build().unwrap();
            let handles = stack.handles();
            let all = Reach {
                breaker: handles.breaker.clone(),
                bulkhead: handles.bulkhead.clone(),
                timeout: handles.timeout.clone(),
            };
            assert!(reach.set(all).is_ok());
            let service = stack.service(service_fn(client));
            one_of_each(&service, || handles.breaker.clone()).await;
            assert!(told.load(Ordering::Relaxed) > 40);
            assert_eq!(handles.bulkhead.snapshot().limit, 2, "it was heard");
            assert_eq!(handles.bulkhead.snapshot().in_flight, 0);
            assert_eq!(handles.breaker.observer_panics(), 0);
        });
    });
}

#[test]
fn observers_of_every_room_may_panic_at_every_report() {
    in_virtual_time(async {
        let stack = stack::payment("x")
            .bulkhead(|bulkhead| bulkhead.limit(2))
            .observe(AtEach(|room| panic!("{room}, on purpose")))
            .build()
            .unwrap();
        let handles = stack.handles();
        let service = stack.service(service_fn(client));
        one_of_each(&service, || handles.breaker.clone()).await;
        assert_eq!(service.clone().oneshot(0).await.unwrap(), 0, "and it still serves");
        assert_eq!(handles.bulkhead.snapshot().in_flight, 0);
        assert_eq!(handles.breaker.snapshot().in_time, 0);
        let caught = [
            handles.breaker.observer_panics(),
            handles.bulkhead.observer_panics(),
            handles.timeout.observer_panics(),
        ];
        assert!(caught.iter().all(|&n| n > 0), "{caught:?}");
    });
}

#[test]
fn an_observer_that_hangs_holds_up_nobody_else() {
    ends(|| {
        let (entered, seen) = mpsc::channel();
        let (let_go, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let config =
            CircuitBreakerConfig::new("x").consecutive_failures(1).observe(move |_: &Event| {
                if entered.send(()).is_ok() {
                    let _ = held.lock().map(|held| held.recv());
                }
            });
        let (layer, handle) = breaker(config);
        let service = layer.layer(service_fn(|(): ()| ready(Err::<(), BoxError>("down".into()))));
        let ask = |mut service: seawall::breaker::CircuitBreaker<_>| {
            let _ = task::spawn(service.call_when_ready(())).poll();
        };
        std::thread::scope(|scope| {
            let first = service.clone();
            scope.spawn(move || ask(first));
            seen.recv().unwrap();
            drop(seen);
            // The transition is done, though its observer is not.
            assert_eq!(handle.snapshot().state, Circuit::Open);
            ask(service);
            handle.reconfigure(|config| config.failure_ratio(0.9)).unwrap();
            handle.reset();
            assert_eq!(handle.snapshot().state, Circuit::Closed);
            drop(let_go);
        });
    });
}

// ---- changes of the settings ----

#[test]
fn a_change_that_panics_changes_nothing_and_the_next_one_is_taken() {
    let (layer, breaker) = breaker(CircuitBreakerConfig::new("x"));
    let bulkhead = BulkheadLayer::new(BulkheadConfig::new("x").limit(7)).unwrap();
    let timeout = TimeoutLayer::new(TimeoutConfig::new("x").limit(SECOND)).unwrap();
    let (bulkhead, timeout) = (bulkhead.handle(), timeout.handle());
    for _ in 0..2 {
        let caught = [
            catch_unwind(AssertUnwindSafe(|| breaker.reconfigure(|_| panic!("on purpose")))),
            catch_unwind(AssertUnwindSafe(|| bulkhead.reconfigure(|_| panic!("on purpose")))),
            catch_unwind(AssertUnwindSafe(|| timeout.reconfigure(|_| panic!("on purpose")))),
        ];
        assert!(caught.iter().all(Result::is_err));
    }
    assert_eq!((bulkhead.snapshot().limit, timeout.snapshot().limit), (7, SECOND));
    breaker.reconfigure(|config| config.consecutive_failures(1)).unwrap();
    bulkhead.reconfigure(|config| config.limit(8)).unwrap();
    timeout.reconfigure(|config| config.limit(SECOND * 2)).unwrap();
    assert_eq!((bulkhead.snapshot().limit, timeout.snapshot().limit), (8, SECOND * 2));
    let mut service = layer.layer(service_fn(|(): ()| ready(Err::<(), BoxError>("down".into()))));
    let _ = task::spawn(service.call_when_ready(())).poll();
    assert_eq!(breaker.snapshot().state, Circuit::Open);
}

// ---- what is cached ----

#[cfg(feature = "cache")]
mod cached {
    use super::*;
    use seawall::fallback::{CachedConfig, CachedHandle, FallbackLayer};
    use seawall::key::Key;
    use seawall::stale::{MarkStale, Staleness};

    type Reached = Arc<OnceLock<CachedHandle<Kept>>>;

    /// Looks at its cache when it is dropped.
    #[derive(Clone)]
    struct Kept {
        bytes: usize,
        cache: Reached,
        drops: Arc<AtomicU64>,
    }

    impl MarkStale for Kept {
        fn mark_stale(self, _: Staleness) -> Self {
            self
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Ordering::Relaxed);
            if let Some(cache) = self.cache.get() {
                let _ = cache.snapshot();
                cache.remove(Key::of(&u32::MAX));
            }
        }
    }

    #[test]
    fn a_kept_response_may_look_at_the_cache_when_it_is_dropped() {
        ends(|| {
            let (cache, drops) = (Reached::default(), Arc::new(AtomicU64::new(0)));
            let config = CachedConfig::new("x", |(id, _): &(u32, usize)| Some(Key::of(id)))
                .weigh(|kept: &Kept| kept.bytes)
                .refresh_age(Duration::ZERO)
                .capacity(1 << 16)
                .shards(1);
            let layer = FallbackLayer::cached(config).unwrap();
            assert!(cache.set(layer.cache()).is_ok());
            let (reached, counted) = (Arc::clone(&cache), Arc::clone(&drops));
            let mut service = layer.layer(service_fn(move |(_, bytes): (u32, usize)| {
                let (cache, drops) = (Arc::clone(&reached), Arc::clone(&counted));
                ready(Ok::<_, BoxError>(Kept { bytes, cache, drops }))
            }));
            let mut ask = |id, bytes| {
                let _ = task::spawn(service.call_when_ready((id, bytes))).poll();
            };
            for id in 0..200 {
                ask(id, 100);
            }
            ask(7, 100); // in its own place
            ask(1_000, 40_000); // in the place of many
            let cache = layer.cache();
            assert!(cache.snapshot().entries < 200);
            cache.clear();
            assert_eq!((cache.snapshot().entries, cache.snapshot().bytes), (0, 0));
            // Each answer was dropped, and each kept copy.
            assert_eq!(drops.load(Ordering::Relaxed), 2 * 202);
            ask(7, 100);
            assert_eq!(cache.snapshot().entries, 1, "a cleared cache keeps anew");
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_function_that_panics_holds_nothing_and_sends_nothing() {
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let stack = stack::payment("x")
            .cached(CachedConfig::new("x", |id: &u32| {
                assert_ne!(*id, 13, "superstitious");
                Some(Key::of(id))
            }))
            .build()
            .unwrap();
        let mut service = stack.service(service_fn(move |id: u32| {
            count.fetch_add(1, Ordering::Relaxed);
            ready(Ok::<_, io::Error>(seawall::stale::Answer::fresh(id)))
        }));
        service.ready().await.unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| service.call(13))).is_err());
        assert_eq!(sent.load(Ordering::Relaxed), 0);
        assert_eq!(stack.handles().bulkhead.snapshot().in_flight, 0);
        assert_eq!(service.ready().await.unwrap().call(1).await.unwrap().value, 1);
    }
}
