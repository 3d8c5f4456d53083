//! The canary: routing, what counts, what an operator sees and does.

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use seawall::canary::{ByRequest, ByResponse, Canary, CanaryConfig, CanaryHandle, Data};
use seawall::clock::{Clock, ManualClock};
use seawall::error::{Carry, Error, Reason, Rejected, Room};
use seawall::event::{Event, Kind};
use seawall::outcome::Outcome;
use seawall::ratio::Ratio;
use seawall::rng;
use seawall::verdict::{Arm, Cause, Stream, Tally, Verdict};
use tower::{Layer, Service, service_fn};

const TICK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

type Answer = Result<Arm, Error<Failed>>;
const OLD: Answer = Ok(Arm::Baseline);
const NEW: Answer = Ok(Arm::Canary);
const FAILS: Answer = Err(Error::Inner(Failed));

/// Nothing in the way: judged from the first call on, by errors, in blocks of a tick.
fn config() -> (CanaryConfig, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up();
    (config.errors_only(TICK), hand)
}

/// A version that always does the same.
macro_rules! version {
    ($answer:expr) => {
        service_fn(|_request: u32| ready($answer))
    };
}

fn percent(share: u32) -> Ratio {
    Ratio::percent(share).unwrap()
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Readies and calls; the call must be done at once.
#[track_caller]
fn call<S: Service<u32>>(service: &mut S, request: u32) -> Result<S::Response, S::Error> {
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(cx), Poll::Ready(Ok(()))));
    match poll(service.call(request)) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("pending"),
    }
}

/// Twenty calls a tick for so many ticks, or until the canary is rolled back.
fn run<S: Service<u32>>(service: &mut S, ticks: u32, hand: &ManualClock, handle: &CanaryHandle) {
    for _ in 0..ticks {
        for request in 0..20 {
            let _ = call(service, request);
        }
        hand.advance(TICK);
        handle.tick();
        if handle.snapshot().verdict.is_roll_back() {
            return;
        }
    }
}

#[test]
fn calls_are_shared_at_random_by_the_weight_and_a_seed_repeats_them() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let mut split = canary.split(version!(OLD), version!(NEW));
    canary.handle().set_weight(percent(5));
    let mut draw = |seed| -> Vec<Arm> {
        rng::seed_thread(seed);
        (0..20_000).map(|_| call(&mut split, 0).unwrap()).collect()
    };
    let (first, again, other) = (draw(1), draw(1), draw(2));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let canaries = first.iter().filter(|arm| **arm == Arm::Canary).count();
    assert!((900..1_100).contains(&canaries), "{canaries}");
    let totals = canary.handle().snapshot().totals.errors;
    assert_eq!(totals.canary.calls + totals.baseline.calls, 60_000);
}

#[test]
fn a_canary_without_a_share_is_never_polled_nor_called() {
    #[derive(Clone)]
    struct Untouchable;
    impl Service<u32> for Untouchable {
        type Response = Arm;
        type Error = Error<Failed>;
        type Future = std::future::Ready<Answer>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<Failed>>> {
            panic!("polled")
        }
        fn call(&mut self, _: u32) -> Self::Future {
            panic!("called")
        }
    }
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let mut split = canary.split(version!(OLD), Untouchable);
    for _ in 0..100 {
        assert_eq!(call(&mut split, 0), OLD);
    }
    assert_eq!(canary.handle().snapshot().verdict, Verdict::Idle);
}

#[test]
fn a_failing_canary_loses_its_calls_and_every_step_is_told_with_its_evidence() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&log);
    let (config, hand) = config();
    let config = config.no_absolute_guard();
    let config = config.observe(move |event: &Event| {
        assert_eq!((event.room, event.name), (Room::Canary, "payments"));
        told.lock().unwrap().push(match &event.kind {
            Kind::Judged(judged) => {
                let over = judged.evidence.worse >= judged.evidence.line;
                assert_eq!(over, matches!(judged.to, Verdict::Suspect(_) | Verdict::RollBack(_)));
                judged.to.to_string()
            }
            Kind::Weighted(weight) => weight.to_string(),
            other => format!("{other:?}"),
        });
    });
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let mut split = canary.split(version!(OLD), version!(FAILS));
    run(&mut split, 10, &hand, &handle);
    assert!(handle.set_weight(percent(25)));
    run(&mut split, 100, &hand, &handle);

    let seen = handle.snapshot();
    assert_eq!(seen.verdict, Verdict::RollBack(Cause::Worse(Stream::Errors)));
    assert_eq!(seen.weight, Ratio::ZERO);
    assert!(seen.totals.errors.canary.calls < 60, "{seen:?}");
    assert_eq!(
        *log.lock().unwrap(),
        ["25%", "healthy", "suspect (errors)", "roll_back (errors)", "0%"]
    );

    for _ in 0..1_000 {
        assert_eq!(call(&mut split, 0), OLD);
    }
    assert!(!handle.set_weight(percent(25)), "it was rolled back");
    handle.restart();
    assert!(handle.set_weight(percent(25)), "another version");
    assert_eq!(handle.snapshot().totals.errors.canary, Tally::default());
}

#[test]
fn whoever_only_watches_is_told_and_keeps_the_canary_in() {
    let (config, hand) = config();
    let canary = Canary::new(config.only_watch(true)).unwrap();
    let handle = canary.handle();
    let mut split = canary.split(version!(OLD), version!(FAILS));
    handle.set_weight(percent(25));
    run(&mut split, 100, &hand, &handle);
    let seen = handle.snapshot();
    assert!(seen.verdict.is_roll_back() && seen.weight == percent(25));
}

#[test]
fn an_outage_behind_both_versions_rolls_nobody_back() {
    let (config, hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let down = AtomicBool::new(false);
    let version =
        || service_fn(|_: u32| ready(if down.load(Ordering::Relaxed) { FAILS } else { OLD }));
    let mut split = canary.split(version(), version());
    handle.set_weight(percent(25));
    run(&mut split, 200, &hand, &handle);
    down.store(true, Ordering::Relaxed);
    run(&mut split, 200, &hand, &handle);
    assert_eq!(handle.snapshot().verdict, Verdict::Held);
    down.store(false, Ordering::Relaxed);
    run(&mut split, 200, &hand, &handle);
    assert!(!handle.snapshot().verdict.is_roll_back());
    assert_eq!(handle.snapshot().weight, percent(25));
}

/// A version whose readiness and answers are set from outside.
#[derive(Clone, Default)]
struct Moody(Arc<AtomicU64>);

impl Moody {
    const PENDING: u64 = 1;
    const ERROR: u64 = 2;

    fn is(&self, mood: u64) {
        self.0.store(mood, Ordering::Relaxed);
    }
}

impl Service<u32> for Moody {
    type Response = Arm;
    type Error = Error<Failed>;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<Failed>>> {
        match self.0.load(Ordering::Relaxed) {
            Self::PENDING => Poll::Pending,
            Self::ERROR => Poll::Ready(Err(Failed.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: u32) -> Self::Future {
        ready(NEW)
    }
}

#[test]
fn a_canary_that_is_not_ready_holds_nobody_up_and_its_calls_count_for_neither() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let moody = Moody::default();
    let mut split = canary.split(version!(OLD), moody.clone());
    handle.set_weight(percent(50));
    moody.is(Moody::PENDING);
    for _ in 0..1_000 {
        assert_eq!(call(&mut split, 0), OLD);
    }
    let seen = handle.snapshot();
    let counted = seen.totals.errors;
    assert_eq!(counted.canary, Tally::default());
    assert_eq!(counted.baseline.calls + seen.unready, 1_000);
    assert!(seen.unready > 400);
    moody.is(0);
    (0..100).for_each(|_| _ = call(&mut split, 0));
    assert!(handle.snapshot().totals.errors.canary.calls > 20);
}

#[test]
fn a_canary_that_can_not_become_ready_fails_without_a_caller_noticing() {
    let (config, hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let moody = Moody::default();
    let mut split = canary.split(version!(OLD), moody.clone());
    handle.set_weight(percent(25));
    moody.is(Moody::ERROR);
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.extend((0..20).map(|_| call(&mut split, 0)));
        hand.advance(TICK);
        handle.tick();
    }
    assert!(answers.iter().all(|answer| *answer == OLD));
    assert!(handle.snapshot().verdict.is_roll_back());
}

#[test]
fn with_all_calls_it_is_the_canary_that_must_be_ready_and_after_a_drain_the_baseline() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let moody = Moody::default();
    let mut split = canary.split(version!(OLD), moody.clone());
    let cx = &mut Context::from_waker(Waker::noop());
    handle.set_weight(Ratio::ONE);
    moody.is(Moody::PENDING);
    assert!(split.poll_ready(cx).is_pending());
    moody.is(0);
    assert!(split.poll_ready(cx).is_ready());
    handle.set_weight(Ratio::ZERO);
    assert_eq!(poll(split.call(0)), Poll::Ready(OLD), "drained between readiness and the call");
}

#[test]
fn a_call_without_readiness_is_refused_and_never_sent() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let mut split = canary.split(version!(OLD), version!(NEW));
    let Poll::Ready(Err(error)) = poll(split.call(0)) else { panic!("served") };
    let refused = error.rejected().unwrap();
    assert_eq!((refused.room, refused.reason), (Room::Canary, Reason::NotReady));
    assert!(!refused.sent());
}

#[test]
fn calls_in_flight_count_for_the_version_that_they_drew_whatever_the_weight_is_when_they_end() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let slow = service_fn(move |_: u32| {
        let gate = Arc::clone(&gate);
        std::future::poll_fn(move |_| {
            if gate.load(Ordering::Relaxed) { Poll::Ready(FAILS) } else { Poll::Pending }
        })
    });
    let mut split = canary.split(version!(OLD), slow);
    let cx = &mut Context::from_waker(Waker::noop());
    handle.set_weight(Ratio::ONE);
    let mut calls: Vec<Pin<Box<_>>> = (0..5)
        .map(|_| {
            assert!(split.poll_ready(cx).is_ready());
            Box::pin(split.call(0))
        })
        .collect();
    handle.set_weight(Ratio::ZERO);
    assert_eq!(call(&mut split, 0), OLD);
    open.store(true, Ordering::Relaxed);
    calls.iter_mut().for_each(|call| assert_eq!(call.as_mut().poll(cx), Poll::Ready(FAILS)));
    let totals = handle.snapshot().totals.errors;
    assert_eq!((totals.canary, totals.baseline), (Tally::new(5, 5), Tally::new(1, 0)));
}

#[test]
fn what_was_not_sent_and_what_the_caller_dropped_says_nothing_and_a_panic_is_a_failure() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    handle.set_weight(Ratio::ONE);
    let full = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
    let timed_out = Rejected::new(Room::Timeout, Reason::TimedOut, "payments").after_sending();

    let refuses = service_fn(move |_: u32| ready(Answer::Err(Error::Rejected(full))));
    let mut split = canary.split(version!(OLD), refuses);
    assert!(call(&mut split, 0).is_err());
    let mut split = canary.split(version!(OLD), service_fn(|_: u32| pending::<Answer>()));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(split.poll_ready(cx).is_ready());
    drop(split.call(0));
    assert_eq!(handle.snapshot().totals.errors.canary, Tally::default());

    let gives_up = service_fn(move |_: u32| ready(Answer::Err(Error::Rejected(timed_out))));
    let mut split = canary.split(version!(OLD), gives_up);
    assert!(call(&mut split, 0).is_err());
    assert_eq!(handle.snapshot().totals.errors.canary, Tally::new(1, 1));

    let panics = service_fn(|_: u32| -> std::future::Ready<Answer> { panic!("in call") });
    let mut split = canary.split(version!(OLD), panics);
    assert!(split.poll_ready(cx).is_ready());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(split.call(0))));
    assert!(caught.is_err());
    assert_eq!(handle.snapshot().totals.errors.canary, Tally::new(2, 2));
}

#[test]
fn a_classifier_tells_failures_that_are_answers() {
    let (config, hand) = config();
    let canary =
        Canary::new(config).unwrap().classify(
            |result: Result<&Arm, &Error<Failed>>| match result {
                Ok(Arm::Baseline) => Outcome::Success,
                _ => Outcome::Failure,
            },
        );
    let handle = canary.handle();
    let mut split = canary.split(version!(OLD), version!(NEW));
    handle.set_weight(percent(25));
    run(&mut split, 100, &hand, &handle);
    assert!(handle.snapshot().verdict.is_roll_back());
}

/// An account: what a request asks to take, and what an answer says is left.
#[test]
fn silently_corrupted_balances_roll_back_though_every_call_succeeds() {
    let (config, hand) = config();
    let canary = Canary::new(config).unwrap().check(|taken: &u32, left: &i64| {
        if *left == 1_000 - i64::from(*taken) { Data::Ok } else { Data::Bad }
    });
    let handle = canary.handle();
    let good = service_fn(|taken: u32| ready(Ok::<i64, Error<Failed>>(1_000 - i64::from(taken))));
    let corrupts =
        service_fn(|taken: u32| ready(Ok::<i64, Error<Failed>>(1_001 - i64::from(taken))));
    let mut split = canary.split(good, corrupts);
    handle.set_weight(percent(25));
    run(&mut split, 100, &hand, &handle);
    let seen = handle.snapshot();
    assert_eq!(seen.verdict, Verdict::RollBack(Cause::Worse(Stream::BadData)));
    assert_eq!(seen.totals.errors.canary.bad, 0);
    assert!(seen.totals.bad_data.canary.calls < 60);
}

#[test]
fn answers_are_checked_at_the_rate_that_was_set_and_only_what_is_checked_is_kept() {
    let (config, _hand) = config();
    let kept = AtomicU64::new(0);
    let canary = Canary::new(config.check_rate(0.1)).unwrap().check_kept(
        |request: &u32| {
            kept.fetch_add(1, Ordering::Relaxed);
            *request
        },
        |_: &u32, _: &Arm| Data::Ok,
    );
    let mut split = canary.split(version!(OLD), version!(NEW));
    rng::seed_thread(1);
    canary.handle().set_weight(percent(50));
    (0..10_000).for_each(|_| _ = call(&mut split, 0));
    let checked = canary.handle().snapshot().totals.bad_data;
    assert_eq!(checked.canary.calls + checked.baseline.calls, kept.load(Ordering::Relaxed));
    for arm in [checked.canary, checked.baseline] {
        assert!((400..600).contains(&arm.calls), "{checked:?}");
    }
}

#[test]
fn a_check_that_panics_or_skips_says_nothing_and_harms_no_call() {
    let told = Arc::new(AtomicU64::new(0));
    let events = Arc::clone(&told);
    let (config, _hand) = config();
    let config = config.observe(move |event: &Event| {
        if let Kind::CheckPanicked(n) = event.kind {
            events.store(n, Ordering::Relaxed);
        }
    });
    let canary = Canary::new(config).unwrap().check(|request: &u32, _: &Arm| match request {
        0 => panic!("in the check"),
        _ => Data::Skip,
    });
    let mut split = canary.split(version!(OLD), version!(NEW));
    canary.handle().set_weight(percent(50));
    for request in [0, 1, 0, 1, 0] {
        assert!(call(&mut split, request).is_ok());
    }
    let seen = canary.handle().snapshot();
    assert_eq!(seen.check_panics, 3);
    assert_eq!(told.load(Ordering::Relaxed), 2, "told at 1, 2, 4, 8, ...");
    assert_eq!(seen.totals.bad_data, Default::default());
    assert_eq!(seen.totals.errors.canary.calls + seen.totals.errors.baseline.calls, 5);
}

#[test]
fn a_watcher_compares_what_something_else_routes_by_request() {
    let (config, hand) = config();
    let config = config.no_absolute_guard();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let arm = |request: &u32| if *request < 5 { Arm::Canary } else { Arm::Baseline };
    let mut watched = canary
        .watch(ByRequest(arm))
        .layer(service_fn(|request: u32| ready(if request < 5 { FAILS } else { OLD })));
    run(&mut watched, 100, &hand, &handle);
    let seen = handle.snapshot();
    assert_eq!(seen.verdict, Verdict::RollBack(Cause::Worse(Stream::Errors)));
    assert_eq!(seen.totals.errors.canary, Tally::new(20, 20), "a second's");
}

#[test]
fn a_watcher_learns_the_version_from_the_response_and_leaves_out_who_did_not_say() {
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up();
    let canary =
        Canary::new(config).unwrap().classify(|result: Result<&(Arm, bool), &Error<Failed>>| {
            match result {
                Ok((_, true)) => Outcome::Success,
                _ => Outcome::Failure,
            }
        });
    let handle = canary.handle();
    let told = |response: &(Arm, bool)| Some(response.0);
    let mut watched = canary.watch(ByResponse(told)).layer(service_fn(|request: u32| {
        ready(match request {
            0 => Err(Error::Inner(Failed)),
            1..6 => Ok((Arm::Canary, false)),
            _ => Ok((Arm::Baseline, true)),
        })
    }));
    run(&mut watched, 100, &hand, &handle);
    let seen = handle.snapshot();
    assert!(seen.verdict.is_roll_back(), "{seen:?}");
    assert_eq!(seen.totals.errors.baseline.bad, 0);
    assert_eq!(seen.totals.errors.canary.calls % 5, 0);
}

#[test]
fn a_watcher_without_a_canary_is_idle() {
    let (config, hand) = config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let mut watched = canary.watch(ByRequest(|_: &u32| Arm::Baseline)).layer(version!(OLD));
    run(&mut watched, 1_000, &hand, &handle);
    assert_eq!(handle.snapshot().verdict, Verdict::Idle);
}

/// A version whose calls take as long as they are told, by the manual clock.
fn lasting(
    clock: Clock,
    time: Duration,
) -> impl Service<u32, Response = Arm, Error = Error<Failed>, Future = impl Future<Output = Answer>>
{
    service_fn(move |_: u32| {
        let (clock, end) = (clock.clone(), clock.now().plus(time));
        std::future::poll_fn(
            move |_| {
                if clock.now() >= end { Poll::Ready(OLD) } else { Poll::Pending }
            },
        )
    })
}

#[test]
fn a_canary_that_hangs_is_rolled_back_while_its_calls_still_run() {
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("payments").clock(clock.clone()).no_warm_up();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let baseline = lasting(clock.clone(), Duration::from_millis(120));
    let mut split = canary.split(baseline, lasting(clock, Duration::from_secs(8)));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut running: Vec<Pin<Box<_>>> = Vec::new();
    let mut step = |ms: u64| {
        for _ in 0..ms / 5 {
            assert!(split.poll_ready(cx).is_ready());
            running.push(Box::pin(split.call(0)));
            hand.advance(Duration::from_millis(5));
            running.retain_mut(|call| call.as_mut().poll(cx).is_pending());
            handle.tick();
        }
    };
    step(35_000);
    handle.set_weight(percent(5));
    step(3_000);
    let seen = handle.snapshot();
    assert_eq!(seen.verdict, Verdict::RollBack(Cause::Worse(Stream::Slow)), "{seen:?}");
    assert_eq!(seen.totals.errors.canary.calls, 0, "none of its calls has ended");
}

#[test]
fn an_empty_a_failing_and_a_tiny_baseline_roll_nobody_back() {
    // Empty: the canary has all calls but those that nobody makes.
    let (config, hand) = config();
    let canary = Canary::new(config.no_absolute_guard()).unwrap();
    let handle = canary.handle();
    let arm = |request: &u32| if *request < 20 { Arm::Canary } else { Arm::Baseline };
    let mut watched = canary
        .watch(ByRequest(arm))
        .layer(service_fn(|request: u32| ready(if request % 4 == 0 { FAILS } else { OLD })));
    run(&mut watched, 300, &hand, &handle);
    assert_eq!(handle.snapshot().verdict, Verdict::NoData(Arm::Baseline));

    // Failing: whatever the canary does, too.
    let (config, hand) = self::config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let mut split = canary.split(version!(FAILS), version!(FAILS));
    handle.set_weight(percent(25));
    run(&mut split, 1_000, &hand, &handle);
    assert_eq!(handle.snapshot().verdict, Verdict::Held);

    // Tiny: one call in a thousand, beside a canary that fails now and then.
    let (config, hand) = self::config();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let made = Cell::new(0_u32);
    let arm = |_: &u32| {
        made.set(made.get() + 1);
        if made.get() % 1_000 == 0 { Arm::Baseline } else { Arm::Canary }
    };
    let flaky = service_fn(|request: u32| ready(if request == 3 { FAILS } else { OLD }));
    let mut watched = canary.watch(ByRequest(arm)).layer(flaky);
    run(&mut watched, 2_000, &hand, &handle);
    let seen = handle.snapshot();
    assert!(seen.totals.errors.baseline.calls == 40, "{seen:?}");
    assert!(!seen.verdict.is_roll_back(), "{seen:?}");
}

#[test]
fn a_million_calls_from_eight_threads_lose_no_outcome() {
    const CALLS: u64 = 125_000;
    for measured in [false, true] {
        let (clock, hand) = Clock::manual();
        let config = CanaryConfig::new("payments").clock(clock).only_watch(true);
        let config = if measured { config } else { config.errors_only(TICK) };
        let canary = Canary::new(config).unwrap();
        let handle = canary.handle();
        handle.set_weight(percent(25));
        let failed = service_fn(|r: u32| ready(if r % 7 == 0 { FAILS } else { NEW }));
        let split = canary.split(version!(OLD), failed);
        let expected: [u64; 3] = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|seed| {
                    let (mut split, hand, handle) = (split.clone(), hand.clone(), handle.clone());
                    scope.spawn(move || {
                        rng::seed_thread(seed);
                        let mut sum = [0; 3];
                        for request in 0..CALLS as u32 {
                            match call(&mut split, request) {
                                Ok(Arm::Baseline) => sum[0] += 1,
                                Ok(Arm::Canary) => sum[1] += 1,
                                Err(_) => sum[2] += 1,
                            }
                            if request % 1_000 == 0 {
                                hand.advance(TICK / 2);
                                let _ = handle.snapshot();
                            }
                        }
                        sum
                    })
                })
                .collect();
            let sums = threads.into_iter().map(|thread| thread.join().unwrap());
            sums.reduce(|a, b| std::array::from_fn(|i| a[i] + b[i])).unwrap()
        });
        let totals = handle.snapshot().totals.errors;
        assert_eq!(totals.baseline, Tally::new(expected[0], 0));
        assert_eq!(totals.canary, Tally::new(expected[1] + expected[2], expected[2]));
        assert_eq!(totals.canary.calls + totals.baseline.calls, 8 * CALLS);
    }
}

#[tokio::test]
async fn whoever_waits_hears_of_every_change() {
    let (config, hand) = config();
    let canary = Canary::new(config).unwrap();
    let mut handle = canary.handle();
    let mut split = canary.split(version!(OLD), version!(FAILS));
    canary.handle().set_weight(percent(25));
    let driver = canary.handle();
    run(&mut split, 100, &hand, &driver);
    assert!(handle.changed().await.verdict.is_roll_back());
}

#[test]
fn an_observer_that_panics_or_re_enters_the_handle_harms_nobody() {
    let (config, hand) = config();
    let inside: Arc<OnceLock<CanaryHandle>> = Arc::default();
    let reached = Arc::clone(&inside);
    let config = config.observe(move |_: &Event| {
        if let Some(handle) = reached.get() {
            let _ = handle.snapshot();
            handle.tick();
        }
        panic!("in the observer")
    });
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    inside.set(canary.handle()).unwrap();
    let mut split = canary.split(version!(OLD), version!(FAILS));
    handle.set_weight(percent(25));
    run(&mut split, 100, &hand, &handle);
    assert!(handle.snapshot().verdict.is_roll_back());
    assert!(handle.observer_panics() >= 3);
}

#[test]
fn absurd_settings_are_errors_that_name_the_field_and_the_range() {
    let new = || CanaryConfig::new("x");
    let (zero, most) = (Duration::ZERO, Duration::MAX);
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    for (field, config) in [
        ("alpha", new().alpha(nan)),
        ("alpha", new().alpha(0.0)),
        ("alpha", new().alpha(0.6)),
        ("beta", new().beta(-1.0)),
        ("beta", new().beta(infinite)),
        ("tick", new().tick(zero)),
        ("tick", new().tick(most)),
        ("block", new().block(zero)),
        ("block", new().errors_only(most)),
        ("slow_threshold", new().slow_threshold(zero)),
        ("slow_threshold", new().slow_threshold(most)),
        ("slow_threshold", new().slow_threshold(TICK).errors_only(TICK)),
        ("learn", new().learn(most)),
        ("warm_up", new().warm_up(most, u64::MAX)),
        ("absolute_guard", new().absolute_guard(nan)),
        ("absolute_guard", new().absolute_guard(0.0)),
        ("absolute_guard", new().absolute_guard(1.0)),
        ("margin", new().margin(nan, 0.0)),
        ("margin", new().margin(1.0, 0.6)),
        ("margin", new().margin(infinite, 0.0)),
        ("tolerate", new().tolerate(0.9, 0.0)),
        ("dwell", new().dwell(most)),
        ("no_data_after", new().no_data_after(zero)),
        ("no_data_after", new().no_data_after(most)),
        ("check_rate", new().check_rate(0.0)),
        ("check_rate", new().check_rate(nan)),
    ] {
        let error = Canary::new(config).unwrap_err();
        assert_eq!(error.field(), field, "{error}");
        assert!(!error.range().is_empty());
    }
    let extremes = new().tick(Duration::from_millis(10)).warm_up(zero, 0).dwell(zero).learn(zero);
    assert!(Canary::new(extremes).is_ok());
}

#[test]
fn a_clock_that_goes_back_stands_still_or_leaps_an_hour_loses_no_outcome() {
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up();
    let canary = Canary::new(config).unwrap();
    let handle = canary.handle();
    let mut split = canary.split(version!(OLD), version!(NEW));
    handle.set_weight(percent(25));
    let hour = Duration::from_secs(3_600);
    for round in 0..100_u32 {
        (0..50).for_each(|request| _ = call(&mut split, request));
        match round % 4 {
            0 => hand.set_back(hour),
            1 => hand.advance(hour),
            2 => {}
            _ => hand.advance(hour * 24 * 365),
        }
    }
    let seen = handle.snapshot();
    assert!(!seen.verdict.is_roll_back());
    assert_eq!(seen.totals.errors.canary.calls + seen.totals.errors.baseline.calls, 5_000);
}
