//! A call through a layer allocates nothing: admitted or refused, whole or cut off.
//!
//! The allocator counts what this thread asks of it. A case warms up once (lazy statics, a thread's
//! first use of something), then runs a hundred times and must not have asked for anything. The
//! futures live on the stack, the error type is not boxed.
//!
//! To add a layer: a test with a client and what one call through it looks like.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::error::{Error, Reason};
use seawall::hedge::{HedgeConfig, HedgeLayer};
use seawall::ready::ReadyInCallLayer;
use seawall::request::{Ask, Safe};
use seawall::retry::{RetryConfig, RetryLayer};
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Without a destructor and const: never allocates. It fails only at the thread's very end.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every method hands its arguments to `System` unchanged and returns what it gave; counting
// touches one `Cell` of this thread and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Runs `call` once to warm up, then a hundred times without an allocation.
#[track_caller]
fn allocates_nothing(mut call: impl FnMut()) {
    call();
    assert_eq!(allocations(|| (0..100).for_each(|_| call())), 0);
}

type Outcome = Result<u32, Error<Failed>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

/// An inner service: ready, `Copy`, and its future is `answer`'s.
macro_rules! answers {
    ($answer:expr) => {
        service_fn(|_request: u32| $answer)
    };
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Readies, calls and polls once: a whole call, if it is done then; the future is dropped.
#[track_caller]
fn call_once<S>(client: &mut S) -> Poll<Result<S::Response, Error<Failed>>>
where
    S: Service<u32, Error = Error<Failed>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(client.poll_ready(cx), Poll::Ready(Ok(()))));
    poll(pin!(client.call(7)))
}

#[track_caller]
fn assert_answered(polled: Poll<Outcome>) {
    assert_eq!(polled, Poll::Ready(Ok(7)));
}

#[track_caller]
fn assert_refused(polled: Poll<Outcome>, reason: Reason) {
    match polled {
        Poll::Ready(Err(Error::Rejected(rejected))) => assert_eq!(rejected.reason, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
    let grow = || {
        let mut list = Vec::with_capacity(1);
        list.extend([1, 2]);
        std::hint::black_box(&list);
    };
    assert_eq!(allocations(grow), 2);
}

#[test]
fn a_bulkhead_allocates_nothing() {
    let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(1)).unwrap();
    let mut client = layer.layer(answers!(ready(Outcome::Ok(7))));
    allocates_nothing(|| assert_answered(call_once(&mut client)));
    let mut client = layer.layer(answers!(ready(Outcome::Err(Failed.into()))));
    allocates_nothing(|| assert!(matches!(call_once(&mut client), Poll::Ready(Err(_)))));
    let mut client = layer.layer(answers!(pending::<Outcome>()));
    allocates_nothing(|| assert!(call_once(&mut client).is_pending()));
}

#[test]
fn a_bulkhead_that_refuses_allocates_nothing() {
    let layer = BulkheadLayer::new(BulkheadConfig::new("payments").limit(1)).unwrap();
    let mut client = layer.layer(answers!(pending::<Outcome>()));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(client.poll_ready(cx).is_ready());
    let _held = client.call(7);
    allocates_nothing(|| assert_refused(call_once(&mut client), Reason::BulkheadFull));
}

#[test]
fn a_timeout_over_an_inner_that_is_ready_at_once_allocates_nothing() {
    let layer = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap();
    let mut client = layer.layer(answers!(ready(Outcome::Ok(7))));
    allocates_nothing(|| assert_answered(call_once(&mut client)));
    let mut client = layer.layer(answers!(ready(Outcome::Err(Failed.into()))));
    allocates_nothing(|| assert!(matches!(call_once(&mut client), Poll::Ready(Err(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_arms_its_timer_allocates_nothing() {
    let layer = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap();
    let mut client = layer.layer(answers!(pending::<Outcome>()));
    allocates_nothing(|| assert!(call_once(&mut client).is_pending()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_allocates_nothing() {
    let layer = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap();
    let mut client = layer.layer(answers!(pending::<Outcome>()));
    for _ in 0..3 {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(client.poll_ready(cx).is_ready());
        let mut call = pin!(client.call(7));
        assert!(poll(call.as_mut()).is_pending());
        tokio::time::advance(Duration::from_secs(2)).await;
        let expire = || assert_refused(poll(call.as_mut()), Reason::TimedOut);
        assert_eq!(allocations(expire), 0);
    }
}

#[test]
fn ready_in_call_over_a_ready_inner_allocates_nothing() {
    let mut client = ReadyInCallLayer::new().layer(answers!(ready(Outcome::Ok(7))));
    allocates_nothing(|| assert_answered(call_once(&mut client)));
}

#[test]
fn a_breaker_allocates_nothing() {
    let second = Duration::from_secs(1);
    let count = CircuitBreakerConfig::new("payments");
    let time = count.clone().time_window(10 * second).slow_calls(second, 0.5);
    for config in [count, time] {
        let layer = CircuitBreakerLayer::new(config.min_calls(100)).unwrap();
        let mut client = layer.layer(answers!(ready(Outcome::Ok(7))));
        allocates_nothing(|| assert_answered(call_once(&mut client)));
        let mut client = layer.layer(answers!(pending::<Outcome>()));
        allocates_nothing(|| assert!(call_once(&mut client).is_pending()));
    }
}

#[test]
fn clones_of_a_breaker_allocate_nothing_and_layering_one_block() {
    let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    let client = layer.layer(answers!(ready(Outcome::Ok(7))));
    drop(client.clone()); // the first of a thread makes what its others share
    allocates_nothing(|| {
        let mut clone = client.clone();
        assert_answered(call_once(&mut clone));
        assert_answered(call_once(&mut clone));
    });
    assert_eq!(allocations(|| drop(layer.layer(answers!(ready(Outcome::Ok(7)))))), 1);
}

#[test]
fn a_breaker_that_opens_and_refuses_allocates_nothing() {
    let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    let mut client = layer.layer(answers!(ready(Outcome::Err(Failed.into()))));
    let fails = |polled| assert_eq!(polled, Poll::Ready(Err::<u32, _>(Error::Inner(Failed))));
    fails(call_once(&mut client));
    let opens = allocations(|| (1..10).for_each(|_| fails(call_once(&mut client))));
    assert_eq!(opens, 0);
    allocates_nothing(|| assert_refused(call_once(&mut client), Reason::CircuitOpen));
}

#[cfg(feature = "cache")]
#[test]
fn a_stale_answer_allocates_nothing() {
    use seawall::fallback::{CachedConfig, FallbackLayer};
    use seawall::key::Key;
    use seawall::stale::Answer;

    let config = CachedConfig::new("payments", |id: &u32| Some(Key::of(id)));
    let layer = FallbackLayer::cached(config).unwrap();
    let mut well = layer.layer(answers!(ready(Ok::<_, Error<Failed>>(Answer::fresh(7)))));
    allocates_nothing(|| {
        assert!(matches!(call_once(&mut well), Poll::Ready(Ok(a)) if !a.is_stale()))
    });
    let mut sick = layer.layer(answers!(ready(Err::<Answer<i32>, Error<Failed>>(Failed.into()))));
    allocates_nothing(|| {
        assert!(matches!(call_once(&mut sick), Poll::Ready(Ok(a)) if a.is_stale()))
    });
}

#[test]
fn a_retry_whose_first_attempt_succeeds_allocates_nothing() {
    let layer = RetryLayer::new(RetryConfig::new("payments")).unwrap();
    let inner = service_fn(|_: Ask<u32>| ready(Outcome::Ok(7)));
    let mut client = layer.layer(inner).map_request(Ask::once);
    allocates_nothing(|| assert_answered(call_once(&mut client)));
}

#[test]
fn a_retry_that_repeats_allocates_room_for_the_last_result_alone() {
    let config = RetryConfig::new("payments").backoff(Duration::ZERO, Duration::ZERO);
    let layer = RetryLayer::new(config).unwrap();
    let handle = layer.handle();
    let inner = service_fn(|ask: Ask<u32>| {
        let first = seawall::request::Marked::attempt(&ask).unwrap().number() == 1;
        ready(if first { Err(Failed.into()) } else { Outcome::Ok(7) })
    });
    let mut client = layer.layer(inner);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut call = || {
        // Two tokens each, of which a fifth of one was earned: there are twenty.
        assert!(client.poll_ready(cx).is_ready());
        let mut call = pin!(client.call(Ask::read(7)));
        assert!(poll(call.as_mut()).is_pending(), "it yields");
        assert_answered(poll(call));
    };
    call();
    assert_eq!(allocations(|| (0..5).for_each(|_| call())), 5);
    assert_eq!(handle.snapshot().retries, 6);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_allocates_nothing_before_its_second_call() {
    let layer = HedgeLayer::new(HedgeConfig::new("quotes")).unwrap();
    let ready = service_fn(|_: Ask<u32>| ready(Outcome::Ok(7)));
    let mut client = layer.layer(ready).map_request(Safe::from_read);
    allocates_nothing(|| assert_answered(call_once(&mut client)));
    let pending = service_fn(|_: Ask<u32>| pending::<Outcome>());
    let mut client = layer.layer(pending).map_request(Safe::from_read);
    allocates_nothing(|| assert!(call_once(&mut client).is_pending()));
}

#[test]
fn a_canary_allocates_nothing_through_ticks_and_a_roll_back() {
    use seawall::canary::{Canary, CanaryConfig};
    use seawall::clock::Clock;
    use seawall::ratio::Ratio;

    let (clock, hand) = Clock::manual();
    let tick = Duration::from_millis(250);
    let measured = CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up();
    for config in [measured.clone(), measured.errors_only(tick)] {
        let canary = Canary::new(config).unwrap();
        let mut split = canary
            .split(answers!(ready(Outcome::Ok(7))), answers!(ready(Outcome::Err(Failed.into()))));
        canary.handle().set_weight(Ratio::percent(50).unwrap());
        allocates_nothing(|| {
            assert!(call_once(&mut split).is_ready());
            hand.advance(tick);
        });
        assert!(canary.handle().snapshot().verdict.is_roll_back());
        let mut split =
            canary.split(answers!(pending::<Outcome>()), answers!(ready(Outcome::Ok(7))));
        allocates_nothing(|| assert!(call_once(&mut split).is_pending()));
    }
}

#[test]
fn a_canary_whose_callers_stick_to_it_allocates_nothing_whether_a_call_counts_or_not() {
    use seawall::canary::{Canary, CanaryConfig, Sticky};
    use seawall::clock::Clock;
    use seawall::ratio::Ratio;

    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up();
    let who = Cell::new(0_u32);
    let canary =
        Canary::new(config).unwrap().sticky(|_: &_| Some(Sticky::of(who.get().to_le_bytes())));
    let mut split =
        canary.split(answers!(ready(Outcome::Ok(7))), answers!(ready(Outcome::Err(Failed.into()))));
    canary.handle().set_weight(Ratio::percent(50).unwrap());
    allocates_nothing(|| {
        who.set((who.get() + 1) % 20);
        assert!(call_once(&mut split).is_ready());
        hand.advance(Duration::from_secs(1));
    });
    assert!(canary.handle().snapshot().totals.errors.canary.calls > 0);
}

#[test]
fn the_layers_together_allocate_nothing() {
    let bulkhead = BulkheadLayer::new(BulkheadConfig::new("payments")).unwrap();
    let timeout = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap();
    let inner = ReadyInCallLayer::new().layer(answers!(ready(Outcome::Ok(7))));
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    let mut client = breaker.layer(bulkhead.layer(timeout.layer(inner)));
    allocates_nothing(|| assert_answered(call_once(&mut client)));
}
