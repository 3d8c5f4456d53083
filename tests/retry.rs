//! The retry as its users see it: over scripted services, in virtual time.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use seawall::budget::{Budget, BudgetConfig, Cost};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::clock::Clock;
use seawall::error::{Carry, Error, Reason, Rejected, Room};
use seawall::event::{Observe, Sink, Wants};
use seawall::outcome::{Classify, Outcome};
use seawall::request::{Ask, Attempt, IdempotencyKey, Marked, Operation};
use seawall::retry::{Doubt, Jitter, RetryConfig, RetryHandle, RetryLayer};
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What the service says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing was carried out.
    Failed,
    /// The connection broke after the request was sent.
    Broken,
    /// Come again after so many seconds.
    Busy(u64),
    /// The caller is wrong.
    Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

type E = Error<Fault>;
type Answer = Result<u32, E>;

#[derive(Clone, Copy, Debug)]
struct ByFault;

impl Classify<u32, E> for ByFault {
    fn classify(&self, result: Result<&u32, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(Error::Inner(Fault::Failed | Fault::Busy(_))) => Outcome::Failure,
            Err(Error::Inner(Fault::Wrong)) => Outcome::Ignored,
            Err(_) => Outcome::InDoubt,
        }
    }

    fn retry_after(&self, result: Result<&u32, &E>) -> Option<Duration> {
        match result {
            Err(Error::Inner(Fault::Busy(secs))) => Some(Duration::from_secs(*secs)),
            _ => None,
        }
    }
}

const FAILED: Answer = Err(Error::Inner(Fault::Failed));
const BROKEN: Answer = Err(Error::Inner(Fault::Broken));
const WRONG: Answer = Err(Error::Inner(Fault::Wrong));

fn busy(secs: u64) -> Answer {
    Err(Error::Inner(Fault::Busy(secs)))
}

/// Answers by a list, the last answer for ever; keeps the requests, and when they came.
#[derive(Clone)]
struct Scripted {
    seen: Arc<Mutex<Seen>>,
    readied: bool,
}

struct Seen {
    answers: VecDeque<Answer>,
    requests: Vec<(Duration, Ask<&'static str>)>,
    start: Instant,
    ready: bool,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let seen = Seen {
            answers: answers.into_iter().collect(),
            requests: Vec::new(),
            start: Instant::now(),
            ready: true,
        };
        Self { seen: Arc::new(Mutex::new(seen)), readied: false }
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    fn requests(&self) -> Vec<Ask<&'static str>> {
        self.seen.lock().unwrap().requests.iter().map(|(_, request)| request.clone()).collect()
    }

    /// The waits between the calls.
    fn waits(&self) -> Vec<Duration> {
        let seen = self.seen.lock().unwrap();
        seen.requests.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }

    fn set_ready(&self, ready: bool) {
        self.seen.lock().unwrap().ready = ready;
    }
}

impl Service<Ask<&'static str>> for Scripted {
    type Response = u32;
    type Error = E;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.readied = self.seen.lock().unwrap().ready;
        if self.readied { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, request: Ask<&'static str>) -> Ready<Answer> {
        assert!(std::mem::take(&mut self.readied), "called an instance that was not readied");
        let mut seen = self.seen.lock().unwrap();
        let at = seen.start.elapsed();
        seen.requests.push((at, request));
        let last = seen.answers.len() == 1;
        ready(if last { seen.answers[0] } else { seen.answers.pop_front().expect("an answer") })
    }
}

fn plenty() -> Budget {
    Budget::new(BudgetConfig::new().burst(1_000_000)).unwrap()
}

fn config() -> RetryConfig {
    RetryConfig::new("payments").seed(7).budget(plenty())
}

fn layer(config: RetryConfig) -> RetryLayer<ByFault> {
    RetryLayer::new(config).unwrap().classify(ByFault)
}

/// One call through a retry over `answers`.
async fn call(
    config: RetryConfig,
    request: Ask<&'static str>,
    answers: impl IntoIterator<Item = Answer>,
) -> (Answer, Scripted, RetryHandle) {
    let layer = layer(config);
    let inner = Scripted::new(answers);
    let answer = layer.layer(inner.clone()).oneshot(request).await;
    (answer, inner, layer.handle())
}

fn refused(answer: Answer) -> Rejected {
    *answer.unwrap_err().rejected().expect("a refusal")
}

// What is repeated, and how often.

#[test]
fn a_call_that_succeeds_at_once_needs_no_runtime_and_no_timer() {
    let layer = layer(config());
    let inner = Scripted::new([Ok(7)]);
    let answer = layer.layer(inner.clone()).oneshot(Ask::once("charge")).now_or_never();
    assert_eq!(answer, Some(Ok(7)));
    assert_eq!((inner.calls(), layer.handle().snapshot().retries), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_made_again_until_it_succeeds() {
    let (answer, inner, handle) = call(config(), Ask::once("a"), [FAILED, FAILED, Ok(7)]).await;
    assert_eq!(answer, Ok(7));
    let numbers: Vec<_> =
        inner.requests().iter().map(|request| request.attempt().unwrap().number()).collect();
    assert_eq!(numbers, [1, 2, 3], "each says which attempt it is");
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.retries, snapshot.recovered, snapshot.exhausted), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_its_result_is_the_answer() {
    let answers = [FAILED, FAILED, busy(0), Ok(7)];
    let (answer, inner, handle) = call(config(), Ask::read("a"), answers).await;
    assert_eq!(answer, busy(0));
    assert_eq!((inner.calls(), handle.snapshot().exhausted), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_the_service_is_not_repeated() {
    let (answer, inner, _) = call(config(), Ask::read("a"), [WRONG, Ok(7)]).await;
    assert_eq!((answer, inner.calls()), (WRONG, 1));
}

#[tokio::test(start_paused = true)]
async fn by_default_an_unknown_error_is_repeated_only_where_that_was_declared() {
    let layer = RetryLayer::new(config()).unwrap();
    for (request, calls) in [(Ask::once("a"), 1), (Ask::idempotent("a"), 2), (Ask::read("a"), 2)] {
        let inner = Scripted::new([FAILED, Ok(7)]);
        let _ = layer.layer(inner.clone()).oneshot(request.clone()).await;
        assert_eq!(inner.calls(), calls, "{request:?}");
    }
}

/// A request that counts its clones.
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Marked for Counted {}

#[tokio::test(start_paused = true)]
async fn the_request_is_cloned_only_while_another_attempt_is_possible() {
    for (attempts, answers, clones) in [
        (1, vec![FAILED], 0),
        (1, vec![Ok(7)], 0),
        (3, vec![Ok(7)], 1),
        (3, vec![FAILED, Ok(7)], 2),
        (3, vec![FAILED, FAILED, Ok(7)], 2),
        (3, vec![FAILED, FAILED, FAILED], 2),
    ] {
        let left = Arc::new(Mutex::new(VecDeque::from(answers.clone())));
        let service =
            service_fn(move |_: Counted| ready(left.lock().unwrap().pop_front().unwrap()));
        let counted = Counted(Arc::default());
        let clones_seen = Arc::clone(&counted.0);
        let _ = layer(config().attempts(attempts)).layer(service).oneshot(counted).await;
        assert_eq!(clones_seen.load(SeqCst), clones, "{attempts} attempts, {answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_nested_retries_of_three_attempts_make_three_attempts() {
    let (outer, middle, inner) = (layer(config()), layer(config()), layer(config()));
    let client = Scripted::new([FAILED]);
    let service = outer.layer(middle.layer(inner.layer(client.clone())));
    assert_eq!(service.oneshot(Ask::read("a")).await, FAILED);
    assert_eq!(client.calls(), 3);
    let retries = |layer: RetryLayer<ByFault>| layer.handle().snapshot().retries;
    assert_eq!((retries(outer), retries(middle), retries(inner)), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_marked_request_neither_earns_nor_costs_at_an_inner_retry() {
    let budget = Budget::new(BudgetConfig::new().ratio(1.0).floor(0).burst(2)).unwrap();
    (0..2).for_each(|_| budget.withdraw(Cost::One).unwrap().spend());
    let inner = layer(config().budget(budget.clone()));
    let mut marked = Ask::read("a");
    marked.set_attempt(Attempt::new(2));
    let client = Scripted::new([Ok(7), Ok(7), FAILED]);
    for _ in 0..3 {
        let _ = inner.layer(client.clone()).oneshot(marked.clone()).await;
    }
    assert_eq!((client.calls(), budget.snapshot().tokens), (3, 0));
}

// When.

#[tokio::test(start_paused = true)]
async fn waits_are_drawn_from_doubling_ranges_below_the_cap() {
    let config = config().attempts(6).backoff(100 * MS, 400 * MS).total(60 * SECOND);
    let layer = layer(config);
    let mut all = vec![Vec::new(); 5];
    for _ in 0..200 {
        let inner = Scripted::new([FAILED]);
        let _ = layer.layer(inner.clone()).oneshot(Ask::read("a")).await;
        for (waits, wait) in all.iter_mut().zip(inner.waits()) {
            waits.push(wait);
        }
    }
    for (waits, range) in all.iter().zip([100, 200, 400, 400, 400].map(|ms| ms * MS)) {
        // tokio's timer has a resolution of a millisecond, upwards.
        assert!(waits.iter().all(|wait| *wait <= range + MS), "{range:?}");
        assert!(waits.iter().any(|wait| *wait > range * 9 / 10), "{range:?}");
        assert!(waits.iter().any(|wait| *wait < range / 10), "{range:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn decorrelated_waits_lie_between_the_base_and_the_cap() {
    let config = config().attempts(20).total(60 * SECOND);
    let config = config.backoff(50 * MS, 300 * MS).jitter(Jitter::Decorrelated);
    let (_, inner, _) = call(config, Ask::read("a"), [FAILED]).await;
    let waits = inner.waits();
    assert_eq!(waits.len(), 19);
    assert!(waits.iter().all(|wait| (50 * MS..=301 * MS).contains(wait)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_waits_and_no_two_calls_wait_alike() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let layer = layer(config().backoff(10 * SECOND, 10 * SECOND).total(60 * SECOND));
        let mut waits = Vec::new();
        for _ in 0..3 {
            let inner = Scripted::new([FAILED, Ok(7)]);
            layer.layer(inner.clone()).oneshot(Ask::read("a")).await.unwrap();
            waits.extend(inner.waits());
        }
        assert!(waits[0] != waits[1] && waits[1] != waits[2], "{waits:?}");
        runs.push(waits);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_floor_that_jitter_never_undercuts() {
    let layer = layer(config().backoff(100 * MS, 100 * MS));
    let mut waits = Vec::new();
    for _ in 0..100 {
        let inner = Scripted::new([busy(2), Ok(7)]);
        layer.layer(inner.clone()).oneshot(Ask::read("a")).await.unwrap();
        waits.extend(inner.waits());
    }
    assert!(waits.iter().all(|wait| (2_000 * MS..=2_101 * MS).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > 2_050 * MS), "and not all at that moment");
}

#[tokio::test(start_paused = true)]
async fn a_hostile_retry_after_is_capped() {
    let config = config().retry_after_cap(3 * SECOND).backoff(Duration::ZERO, Duration::ZERO);
    let (answer, inner, _) = call(config, Ask::read("a"), [busy(u64::MAX), Ok(7)]).await;
    assert_eq!(answer, Ok(7));
    assert_eq!(inner.waits(), [3 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_deadline_ends_the_call_at_once() {
    let start = Instant::now();
    let soon = Ask::read("a").by(Clock::default().now().plus(2 * SECOND));
    let (answer, inner, handle) = call(config(), soon, [busy(2), Ok(7)]).await;
    assert_eq!((answer, inner.calls()), (busy(2), 1));
    assert_eq!(start.elapsed(), Duration::ZERO, "it does not wait for what can't be");
    assert_eq!(handle.snapshot().too_late, 1);
    assert_eq!(handle.budget().snapshot().tokens, 1_000_000, "and costs nothing");
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_total() {
    let config = config().attempts(100).backoff(SECOND, SECOND).total(5 * SECOND);
    let start = Instant::now();
    let (answer, inner, handle) = call(config, Ask::read("a"), [FAILED]).await;
    assert_eq!(answer, FAILED);
    assert!(start.elapsed() < 5 * SECOND, "{:?}", start.elapsed());
    assert!((5..50).contains(&inner.calls()), "{}", inner.calls());
    assert_eq!(handle.snapshot().too_late, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_would_begin_late_because_its_task_was_late_does_not_begin() {
    let layer = layer(config().backoff(100 * MS, 100 * MS).total(SECOND));
    let inner = Scripted::new([FAILED, Ok(7)]);
    let mut call = task::spawn(layer.layer(inner.clone()).oneshot(Ask::read("a")));
    assert_pending!(call.poll());
    advance(2 * SECOND).await;
    assert_eq!(assert_ready!(call.poll()), FAILED);
    assert_eq!((inner.calls(), layer.handle().snapshot().too_late), (1, 1));
    assert_eq!(layer.handle().budget().snapshot().tokens, 1_000_000, "the token went back");
}

#[tokio::test(start_paused = true)]
async fn the_total_runs_while_the_first_attempt_is_pending() {
    let layer = layer(config().backoff(MS, MS).total(SECOND));
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let service = service_fn(move |_: Ask<()>| {
        counted.fetch_add(1, SeqCst);
        async {
            sleep(2 * SECOND).await;
            FAILED
        }
    });
    assert_eq!(layer.layer(service).oneshot(Ask::read(())).await, FAILED);
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn without_a_backoff_a_call_is_made_again_at_once_and_needs_no_timer() {
    let layer = layer(config().backoff(Duration::ZERO, Duration::ZERO));
    let inner = Scripted::new([FAILED, FAILED, Ok(7)]);
    let mut call = task::spawn(layer.layer(inner.clone()).oneshot(Ask::read("a")));
    for _ in 0..2 {
        assert_pending!(call.poll());
        assert!(call.is_woken());
    }
    assert_eq!(assert_ready!(call.poll()), Ok(7));
}

#[tokio::test]
async fn a_loop_of_fast_refusals_lets_others_have_their_turn() {
    let config = config().attempts(100).backoff(Duration::ZERO, Duration::ZERO);
    let inner = Scripted::new([FAILED]);
    let seen = inner.clone();
    let retrying = tokio::spawn(layer(config).layer(inner).oneshot(Ask::read("a")));
    let turns = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&turns);
    let other = tokio::spawn(std::future::poll_fn::<(), _>(move |cx| {
        count.fetch_add(1, SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    assert_eq!(retrying.await.unwrap(), FAILED);
    other.abort();
    assert_eq!(seen.calls(), 100);
    assert!(turns.load(SeqCst) >= 99, "{turns:?}");
}

// What ends the retrying.

#[tokio::test(start_paused = true)]
async fn a_retry_never_waits_for_a_service_that_is_not_ready_at_once() {
    let layer = layer(config());
    let inner = Scripted::new([FAILED, Ok(7)]);
    let mut call = task::spawn(layer.layer(inner.clone()).oneshot(Ask::read("a")));
    assert_pending!(call.poll());
    inner.set_ready(false);
    advance(SECOND).await;
    assert_eq!(assert_ready!(call.poll()), FAILED, "the last result is the answer");
    assert_eq!((inner.calls(), layer.handle().snapshot().not_ready), (1, 1));
    assert_eq!(layer.handle().budget().snapshot().tokens, 1_000_000);
}

/// Ready until its first call has been made; then its `poll_ready` fails.
#[derive(Clone, Default)]
struct Spent(Arc<AtomicU32>);

impl Service<Ask<()>> for Spent {
    type Response = u32;
    type Error = E;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(if self.0.load(SeqCst) == 0 { Ok(()) } else { Err(Fault::Broken.into()) })
    }

    fn call(&mut self, _: Ask<()>) -> Ready<Answer> {
        self.0.fetch_add(1, SeqCst);
        ready(FAILED)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_spent_when_a_retry_asks_leaves_the_last_result() {
    let layer = layer(config());
    let answer = layer.layer(Spent::default()).oneshot(Ask::read(())).await;
    assert_eq!((answer, layer.handle().snapshot().not_ready), (FAILED, 1));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_inside_ends_the_retrying() {
    // Seven attempts around a breaker that opens at three failures.
    let retry = layer(config().attempts(7));
    let breaker = CircuitBreakerLayer::new(
        CircuitBreakerConfig::new("payments").no_failure_ratio().consecutive_failures(3),
    )
    .unwrap();
    let circuit = breaker.handle();
    let inner = Scripted::new([FAILED]);
    let service = ServiceBuilder::new().layer(retry.clone()).layer(breaker).service(inner.clone());
    let answer = service.clone().oneshot(Ask::read("a")).await;
    assert_eq!(
        answer, FAILED,
        "the last result that there was, and not a refusal of what never was"
    );
    assert_eq!((inner.calls(), circuit.snapshot().counts.total), (3, 3));
    let snapshot = retry.handle().snapshot();
    assert_eq!((snapshot.retries, snapshot.refused), (3, 1));

    // From now on the first refusal is the answer, and nothing is earned or paid.
    let before = retry.handle().budget().snapshot();
    for _ in 0..1_000 {
        let rejected = refused(service.clone().oneshot(Ask::read("a")).await);
        assert_eq!((rejected.reason, rejected.sent()), (Reason::CircuitOpen, false));
    }
    assert_eq!(retry.handle().snapshot().retries, 3);
    assert_eq!(retry.handle().budget().snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_inside_ends_the_retrying() {
    let retry = layer(config().attempts(7));
    let bulkhead = BulkheadLayer::new(BulkheadConfig::new("payments").limit(1)).unwrap();
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let service = ServiceBuilder::new().layer(retry.clone()).layer(bulkhead).service(service_fn(
        move |_: Ask<()>| {
            count.fetch_add(1, SeqCst);
            pending::<Answer>()
        },
    ));
    let mut held = task::spawn(service.clone().oneshot(Ask::read(())));
    assert_pending!(held.poll());
    let rejected = refused(service.oneshot(Ask::read(())).await);
    assert_eq!(rejected.reason, Reason::BulkheadFull);
    assert_eq!((sent.load(SeqCst), retry.handle().snapshot().retries), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn refusals_of_our_own_layers_neither_cost_nor_earn_tokens() {
    let budget = Budget::new(BudgetConfig::new().ratio(1.0).floor(0).burst(10)).unwrap();
    (0..5).for_each(|_| budget.withdraw(Cost::One).unwrap().spend());
    let full = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
    let full: Answer = Err(Error::Rejected(full));
    let layer = layer(config().budget(budget.clone()));

    let inner = Scripted::new([full]);
    for _ in 0..100 {
        let _ = layer.layer(inner.clone()).oneshot(Ask::read("a")).await;
    }
    assert_eq!(budget.snapshot().tokens, 5, "a refused first attempt earns nothing");

    let inner = Scripted::new([FAILED, full]);
    let answer = layer.layer(inner.clone()).oneshot(Ask::read("a")).await;
    assert_eq!((answer, inner.calls()), (FAILED, 2));
    assert_eq!(budget.snapshot().tokens, 6, "a refused retry costs nothing; its first earned one");
}

// The budget.

#[tokio::test(start_paused = true)]
async fn without_a_token_the_failure_is_the_answer() {
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).floor(0).burst(3)).unwrap();
    let layer = layer(config().budget(budget));
    let inner = Scripted::new([FAILED]);
    let start = Instant::now();
    for _ in 0..3 {
        let _ = layer.layer(inner.clone()).oneshot(Ask::read("a")).await;
    }
    assert_eq!(inner.calls(), 6);
    let waited = start.elapsed();
    let _ = layer.layer(inner.clone()).oneshot(Ask::read("a")).await;
    assert_eq!(inner.calls(), 7);
    assert_eq!(start.elapsed(), waited, "a call that can't be repeated does not wait");
    assert_eq!(layer.handle().snapshot().budget_empty, 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_multiplied_by_no_more_than_one_and_the_budget() {
    // Two retries over one dependency share a budget of a fifth; nothing comes back by time.
    let budget = Budget::new(BudgetConfig::new().floor(0)).unwrap();
    let inner = Scripted::new([FAILED]);
    let services: Vec<_> =
        (0..2).map(|_| layer(config().budget(budget.clone())).layer(inner.clone())).collect();
    let calls = (0..10_000).map(|i| services[i % 2].clone().oneshot(Ask::read("a")));
    join_all(calls).await;
    let burst = 20;
    assert!(inner.calls() <= 10_000 + 2_000 + burst, "{}", inner.calls());
    assert!(inner.calls() >= 10_000 + 2_000, "{}", inner.calls());
}

#[tokio::test(start_paused = true)]
async fn through_three_nested_retries_an_outage_is_multiplied_by_no_more_than_one_and_the_budget() {
    // Each has a budget of its own, of a fifth; nothing comes back by time.
    let budget = || Budget::new(BudgetConfig::new().floor(0)).unwrap();
    let (outer, middle) = (layer(config().budget(budget())), layer(config().budget(budget())));
    let innermost = layer(config().budget(budget()));
    let client = Scripted::new([FAILED]);
    let service = outer.layer(middle.layer(innermost.layer(client.clone())));
    join_all((0..10_000).map(|_| service.clone().oneshot(Ask::read("a")))).await;
    let burst = 20;
    assert!(client.calls() <= 10_000 + 2_000 + burst, "{}", client.calls());
    assert!(client.calls() >= 10_000 + 2_000, "and the budget is used: {}", client.calls());
    let most = client.requests().iter().map(|request| request.attempt().unwrap().number()).max();
    assert!(most <= Some(3), "and no call is made more often: {most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_costs_two_tokens() {
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).floor(0).burst(9)).unwrap();
    let layer = layer(config().budget(budget.clone()));
    let gives_up = service_fn(|_: Ask<&'static str>| async {
        let rejected = Rejected::new(Room::Timeout, Reason::TimedOut, "attempt").after_sending();
        Err::<u32, E>(Error::Rejected(rejected))
    });
    let _ = layer.layer(gives_up).oneshot(Ask::read("a")).await;
    assert_eq!(budget.snapshot().tokens, 5);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_came_back_costs_one_token_though_it_leaves_doubt() {
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).floor(0).burst(9)).unwrap();
    let layer = layer(config().budget(budget.clone()));
    let _ = layer.layer(Scripted::new([BROKEN])).oneshot(Ask::read("a")).await;
    assert_eq!(budget.snapshot().tokens, 7);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_gives_its_token_back() {
    let terms = BudgetConfig::new().ratio(0.0).floor(0).burst(1).doubt_cost(1);
    let budget = Budget::new(terms).unwrap();
    let layer = layer(config().budget(budget.clone()));
    let mut call = task::spawn(layer.layer(Scripted::new([FAILED])).oneshot(Ask::read("a")));
    assert_pending!(call.poll());
    assert_eq!(budget.snapshot().tokens, 0);
    drop(call);
    assert_eq!(budget.snapshot().tokens, 1);
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn a_budget_serves_towers_own_retry() {
    #[derive(Clone)]
    struct Again(Budget);

    impl tower::retry::Policy<(), u32, E> for Again {
        type Future = Ready<()>;

        fn retry(&mut self, (): &mut (), result: &mut Answer) -> Option<Ready<()>> {
            use tower::retry::budget::Budget;
            match result {
                Ok(_) => {
                    Budget::deposit(&self.0);
                    None
                }
                Err(_) => Budget::withdraw(&self.0).then(|| ready(())),
            }
        }

        fn clone_request(&mut self, (): &()) -> Option<()> {
            Some(())
        }
    }

    let budget = Budget::new(BudgetConfig::new().floor(0).burst(5)).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let service =
        tower::retry::RetryLayer::new(Again(budget.clone())).layer(service_fn(move |()| {
            count.fetch_add(1, SeqCst);
            ready(FAILED)
        }));
    assert_eq!(service.oneshot(()).await, FAILED);
    assert_eq!((calls.load(SeqCst), budget.snapshot().tokens), (6, 0));
}

// In doubt.

#[tokio::test(start_paused = true)]
async fn a_charge_without_a_key_is_never_repeated_in_doubt() {
    let (answer, inner, handle) = call(config(), Ask::once("9.99 EUR"), [BROKEN, Ok(7)]).await;
    assert_eq!((answer, inner.calls()), (BROKEN, 1));
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.not_repeatable, snapshot.in_doubt, snapshot.retries), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_timed_out_is_never_repeated_without_a_key() {
    let retry = layer(config());
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let service = ServiceBuilder::new()
        .layer(retry.clone())
        .layer(TimeoutLayer::new(TimeoutConfig::new("payments").limit(SECOND)).unwrap())
        .service(service_fn(move |_: Ask<()>| {
            count.fetch_add(1, SeqCst);
            pending::<Answer>()
        }));
    let rejected = refused(service.clone().oneshot(Ask::once(())).await);
    assert_eq!((rejected.reason, rejected.sent()), (Reason::TimedOut, true));
    assert_eq!(sent.load(SeqCst), 1);
    // With a key the other side can tell.
    let keyed = Ask::keyed(IdempotencyKey::new(), ());
    assert!(refused(service.oneshot(keyed).await).sent());
    assert_eq!(sent.load(SeqCst), 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_of_a_charge_bear_its_key_and_its_content_and_the_next_charge_another() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
        let (answer, inner, _) = call(config(), charge, [BROKEN, BROKEN, Ok(7)]).await;
        assert_eq!(answer, Ok(7));
        let requests = inner.requests();
        assert_eq!(requests.len(), 3);
        for request in &requests {
            assert_eq!(request.value, "9.99 EUR");
            assert_eq!(request.idempotency_key(), requests[0].idempotency_key());
        }
        keys.push(requests[0].idempotency_key().unwrap());
    }
    assert_ne!(keys[0], keys[1]);
}

/// A configuration whose doubts are kept.
fn reconciled(config: RetryConfig) -> (RetryConfig, Arc<Mutex<Vec<Doubt>>>) {
    let doubts = Arc::<Mutex<Vec<Doubt>>>::default();
    let heard = Arc::clone(&doubts);
    let hook = move |doubt: &Doubt| heard.lock().unwrap().push(doubt.clone());
    (config.reconcile(hook), doubts)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_in_doubt_is_told_with_its_key() {
    let (config, doubts) = reconciled(config());
    let key: IdempotencyKey = "order-1234".parse().unwrap();
    let charge = Ask::keyed(key.clone(), "9.99 EUR");
    let (answer, _, handle) = call(config, charge, [BROKEN]).await;
    assert_eq!(answer, BROKEN);
    let doubts = doubts.lock().unwrap();
    let [doubt] = &doubts[..] else { panic!("{doubts:?}") };
    assert_eq!((doubt.name, doubt.attempts), ("payments", 3));
    assert_eq!((doubt.operation, &doubt.key), (Operation::Idempotent, &Some(key)));
    assert_eq!(handle.snapshot().in_doubt, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_in_the_end_and_reads_are_not_in_doubt() {
    for (request, answers) in [
        (Ask::keyed(IdempotencyKey::new(), "a"), [BROKEN, Ok(7)]),
        (Ask::once("a"), [FAILED, FAILED]),
        (Ask::once("a"), [FAILED, Ok(7)]),
        (Ask::read("a"), [BROKEN, BROKEN]),
    ] {
        let (config, doubts) = reconciled(config());
        let (_, _, handle) = call(config, request.clone(), answers).await;
        assert_eq!(*doubts.lock().unwrap(), [], "{request:?}");
        assert_eq!(handle.snapshot().in_doubt, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_that_did_nothing_does_not_hide_that_an_earlier_one_is_in_doubt() {
    for (later, attempts) in [(FAILED, 3), (WRONG, 2)] {
        let (config, doubts) = reconciled(config());
        let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
        let (answer, _, _) = call(config, charge, [BROKEN, later]).await;
        let rejected = refused(answer);
        assert_eq!((rejected.room, rejected.reason), (Room::Retry, Reason::InDoubt), "{later:?}");
        assert!(rejected.sent(), "so layers above and the caller know");
        assert_eq!(
            rejected.to_string(),
            "payments: given up by the retry, an attempt may have been carried out"
        );
        assert_eq!(doubts.lock().unwrap().len(), 1, "{later:?}");
        assert_eq!(doubts.lock().unwrap()[0].attempts, attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repetition_that_was_refused_was_not_made_and_the_result_before_it_stands() {
    let open = Err(Error::Rejected(Rejected::new(Room::Breaker, Reason::CircuitOpen, "payments")));
    for (answers, in_doubt, attempts) in [
        (vec![BROKEN, open], true, 1),
        (vec![busy(0), BROKEN, open], true, 2),
        (vec![FAILED, open], false, 0),
    ] {
        let (config, doubts) = reconciled(config());
        let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
        let (answer, _, handle) = call(config, charge, answers.clone()).await;
        assert_eq!(answer, answers[answers.len() - 2], "{answers:?}");
        assert_eq!(handle.snapshot().refused, 1);
        let doubts = doubts.lock().unwrap();
        assert_eq!(doubts.len(), usize::from(in_doubt), "{answers:?}");
        assert!(doubts.iter().all(|doubt| doubt.attempts == attempts), "{doubts:?}");
    }
    // Two attempts before it, the first in doubt, the second not.
    let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
    let (answer, _, _) = call(config(), charge, [BROKEN, FAILED, open]).await;
    assert_eq!(refused(answer).reason, Reason::InDoubt);
}

#[tokio::test(start_paused = true)]
async fn a_refused_repetition_does_not_hide_a_failure_from_the_layers_outside() {
    let outer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("all")).unwrap();
    let retry = layer(config());
    let inner = CircuitBreakerLayer::new(
        CircuitBreakerConfig::new("payments").no_failure_ratio().consecutive_failures(1),
    )
    .unwrap();
    let client = Scripted::new([FAILED]);
    let service = ServiceBuilder::new()
        .layer(outer.clone())
        .layer(retry)
        .layer(inner)
        .service(client.clone());
    // The first attempt opens the inner circuit, which refuses the second.
    let _ = service.oneshot(Ask::read("a")).await;
    assert_eq!(client.calls(), 1);
    let counts = outer.handle().snapshot().counts;
    assert_eq!((counts.total, counts.failures), (1, 1));
}

/// A result that is counted while it lives.
struct Live(Arc<AtomicU32>, Outcome);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_kept_future_whose_call_is_done_holds_no_result() {
    use Outcome::{Failure, Ignored, Success};
    for outcomes in
        [[Failure, Failure, Success], [Failure, Failure, Failure], [Failure, Ignored, Ignored]]
    {
        let live = Arc::new(AtomicU32::new(0));
        let (count, made) = (Arc::clone(&live), Arc::new(AtomicU32::new(0)));
        let layer = RetryLayer::new(config().backoff(Duration::ZERO, Duration::ZERO)).unwrap();
        let classify = |result: Result<&Live, &E>| result.unwrap().1;
        let mut service = layer.classify(classify).layer(service_fn(move |_: Ask<()>| {
            count.fetch_add(1, SeqCst);
            let outcome = outcomes[made.fetch_add(1, SeqCst) as usize];
            ready(Ok::<_, E>(Live(Arc::clone(&count), outcome)))
        }));
        let mut call = task::spawn(service.call(Ask::read(())));
        loop {
            match call.poll() {
                Poll::Pending => assert_eq!(live.load(SeqCst), 1, "the last one"),
                Poll::Ready(answer) => {
                    drop(answer);
                    break;
                }
            }
        }
        assert_eq!(live.load(SeqCst), 0, "{outcomes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_leaves_a_charge_in_doubt() {
    for when in ["classify", "retry_after"] {
        struct Panics(&'static str);

        impl Classify<u32, E> for Panics {
            fn classify(&self, _: Result<&u32, &E>) -> Outcome {
                assert_ne!(self.0, "classify", "on purpose");
                Outcome::InDoubt
            }

            fn retry_after(&self, _: Result<&u32, &E>) -> Option<Duration> {
                panic!("on purpose")
            }
        }

        let (config, doubts) = reconciled(config());
        let layer = RetryLayer::new(config).unwrap().classify(Panics(when));
        let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
        let call = layer.layer(Scripted::new([BROKEN])).oneshot(charge);
        let caught = catch_unwind(AssertUnwindSafe(|| call.now_or_never()));
        assert!(caught.is_err(), "{when}");
        assert_eq!(doubts.lock().unwrap().len(), 1, "{when}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_charge_whose_caller_leaves_is_in_doubt_while_it_is_under_way() {
    for (answers, polls, told) in [
        // Waiting, after an attempt that may have been carried out.
        (vec![BROKEN], 1, 1),
        // Waiting, after one that was not.
        (vec![FAILED], 1, 0),
    ] {
        let (config, doubts) = reconciled(config());
        let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
        let service = layer(config).layer(Scripted::new(answers.clone()));
        let mut call = task::spawn(service.oneshot(charge));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        drop(call);
        assert_eq!(doubts.lock().unwrap().len(), told, "{answers:?}");
    }
    // Under way.
    for (request, told) in [(Ask::once(()), 1), (Ask::read(()), 0)] {
        let (config, doubts) = reconciled(config());
        let service = layer(config).layer(service_fn(|_: Ask<()>| pending::<Answer>()));
        let mut call = task::spawn(service.oneshot(request));
        assert_pending!(call.poll());
        drop(call);
        assert_eq!(doubts.lock().unwrap().len(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_panics_is_in_doubt() {
    let (config, doubts) = reconciled(config());
    let service = layer(config).layer(service_fn(|_: Ask<()>| -> BoxFuture<'static, Answer> {
        async { panic!("in poll, on purpose") }.boxed()
    }));
    let mut call = Box::pin(service.oneshot(Ask::once(())));
    assert!(catch_unwind(AssertUnwindSafe(|| (&mut call).now_or_never())).is_err());
    drop(call);
    assert_eq!(doubts.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_or_re_enters_the_handle_harms_nobody() {
    let config = config().reconcile(|_: &Doubt| panic!("on purpose"));
    let (answer, _, handle) = call(config, Ask::once("a"), [BROKEN]).await;
    assert_eq!((answer, handle.observer_panics()), (BROKEN, 1));

    let slot = Arc::<Mutex<Option<RetryHandle>>>::default();
    let reached = Arc::clone(&slot);
    let config = self::config().reconcile(move |_: &Doubt| {
        let handle = reached.lock().unwrap().clone().unwrap();
        handle.reconfigure(|config| config.attempts(9)).unwrap();
    });
    let layer = layer(config);
    *slot.lock().unwrap() = Some(layer.handle());
    let _ = layer.layer(Scripted::new([BROKEN])).oneshot(Ask::once("a")).await;
    assert_eq!(layer.handle().snapshot().attempts, 9);
}

// The deadline.

#[tokio::test(start_paused = true)]
async fn a_total_deadline_travels_inwards_and_no_attempt_outlives_it() {
    let limit = |limit| {
        let config = TimeoutConfig::new("payments").limit(limit);
        TimeoutLayer::new(config).unwrap().with_deadline()
    };
    let retry = layer(config().attempts(10).backoff(MS, MS));
    let begun = Arc::<Mutex<Vec<Duration>>>::default();
    let seen = Arc::clone(&begun);
    let start = Instant::now();
    let service = ServiceBuilder::new()
        .layer(limit(2 * SECOND))
        .layer(retry.clone())
        .layer(limit(800 * MS))
        .service(service_fn(move |request: Ask<()>| {
            let left = request.deadline().unwrap().since(Clock::default().now());
            assert!(left <= 800 * MS, "each attempt knows its own end: {left:?}");
            seen.lock().unwrap().push(start.elapsed());
            pending::<Answer>()
        }));
    let rejected = refused(service.oneshot(Ask::read(())).await);
    assert_eq!(rejected.reason, Reason::TimedOut);
    assert!((2 * SECOND..2 * SECOND + 5 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(begun.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_refuses_what_comes_after_its_deadline_and_sends_nothing() {
    let timeout = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap().with_deadline();
    let handle = timeout.handle();
    let inner = Scripted::new([Ok(7)]);
    let now = Clock::default().now();
    let rejected = refused(timeout.layer(inner.clone()).oneshot(Ask::read("a").by(now)).await);
    assert_eq!((rejected.room, rejected.reason), (Room::Timeout, Reason::DeadlinePassed));
    assert!(!rejected.sent());
    assert_eq!((inner.calls(), handle.snapshot().too_late, handle.snapshot().timeouts), (0, 1, 0));

    // An earlier deadline of the request's own is kept, a later one is drawn in.
    for (asked, kept) in [(400 * MS, 400 * MS), (9 * SECOND, SECOND)] {
        let request = Ask::read("a").by(now.plus(asked));
        timeout.layer(inner.clone()).oneshot(request).await.unwrap();
        let seen = inner.requests().pop().unwrap().deadline().unwrap();
        assert_eq!(seen.since(now), kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_lets_no_call_wait_past_its_deadline_and_the_retry_makes_no_other() {
    let queued = BulkheadConfig::new("payments").limit(1).queue(10).max_wait(60 * SECOND);
    let bulkhead = BulkheadLayer::queued(queued).unwrap().with_deadline();
    let places = bulkhead.handle();
    let retry = layer(config().attempts(5));
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let service = ServiceBuilder::new().layer(retry.clone()).layer(bulkhead).service(service_fn(
        move |_: Ask<()>| {
            count.fetch_add(1, SeqCst);
            pending::<Answer>()
        },
    ));
    let mut held = task::spawn(service.clone().oneshot(Ask::read(())));
    assert_pending!(held.poll());
    let start = Instant::now();
    for (left, waits) in [(300 * MS, 300 * MS), (Duration::ZERO, Duration::ZERO)] {
        let before = start.elapsed();
        let request = Ask::read(()).by(Clock::default().now().plus(left));
        let rejected = refused(service.clone().oneshot(request).await);
        assert_eq!((rejected.room, rejected.reason), (Room::Bulkhead, Reason::DeadlinePassed));
        assert!(!rejected.sent());
        let waited = start.elapsed() - before;
        assert!((waits..=waits + MS).contains(&waited), "{waited:?}");
    }
    assert_eq!((sent.load(SeqCst), retry.handle().snapshot().retries), (1, 0));
    drop(held);
    assert_eq!(places.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_between_attempts_ends_the_retrying() {
    let timeout = TimeoutLayer::new(TimeoutConfig::new("payments")).unwrap().with_deadline();
    let retry = layer(config().backoff(300 * MS, 300 * MS).attempts(50));
    let inner = Scripted::new([FAILED]);
    let service = ServiceBuilder::new().layer(retry.clone()).layer(timeout).service(inner.clone());
    let request = Ask::read("a").by(Clock::default().now().plus(SECOND));
    assert_eq!(service.oneshot(request).await, FAILED);
    let last = inner.waits().iter().sum::<Duration>();
    assert!(last < SECOND, "{last:?}");
    assert_eq!(retry.handle().snapshot().too_late, 1);
}

// Configuration, handle, observers.

#[test]
fn absurd_settings_are_errors_that_name_the_field_and_the_range() {
    let day = Duration::from_secs(24 * 60 * 60);
    let field = |config: RetryConfig| RetryLayer::new(config).unwrap_err().field();
    assert_eq!(field(config().attempts(0)), "attempts");
    assert_eq!(field(config().attempts(101)), "attempts");
    assert_eq!(field(config().attempts(u32::MAX)), "attempts");
    assert_eq!(field(config().backoff(SECOND, MS)), "backoff base");
    assert_eq!(field(config().backoff(MS, Duration::MAX)), "backoff cap");
    assert_eq!(field(config().retry_after_cap(day + MS)), "retry_after_cap");
    assert_eq!(field(config().total(Duration::ZERO)), "total");
    assert_eq!(field(config().total(Duration::MAX)), "total");
    let field = |config: BudgetConfig| Budget::new(config).unwrap_err().field();
    for ratio in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert_eq!(field(BudgetConfig::new().ratio(ratio)), "ratio");
    }
    assert_eq!(field(BudgetConfig::new().floor(u32::MAX)), "floor");
    assert_eq!(field(BudgetConfig::new().burst(0)), "burst");
    assert_eq!(field(BudgetConfig::new().burst(u32::MAX)), "burst");
    assert_eq!(field(BudgetConfig::new().doubt_cost(0)), "doubt_cost");
    assert_eq!(field(BudgetConfig::new().burst(5).doubt_cost(6)), "doubt_cost");
}

#[tokio::test(start_paused = true)]
async fn a_live_change_holds_for_calls_that_begin_from_then_on_and_keeps_the_counts() {
    let layer = layer(config());
    let inner = Scripted::new([FAILED]);
    let mut before = task::spawn(layer.layer(inner.clone()).oneshot(Ask::read("a")));
    assert_pending!(before.poll());
    layer.handle().reconfigure(|config| config.attempts(1)).unwrap();
    assert_eq!(before.await, FAILED);
    assert_eq!(inner.calls(), 3, "as many as when it began");
    let _ = layer.layer(inner.clone()).oneshot(Ask::read("a")).await;
    assert_eq!((inner.calls(), layer.handle().snapshot().retries), (4, 2));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Reason>>>);

impl Observe for Log {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        assert_eq!((room, name), (Room::Retry, "payments"));
        Some(Box::new(Log(Arc::clone(&self.0))))
    }
}

impl Sink for Log {
    fn wants(&self) -> Wants {
        Wants::ALL
    }

    fn refused(&self, rejected: &Rejected) {
        self.0.lock().unwrap().push(rejected.reason);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_why_a_call_was_not_repeated() {
    let log = Log::default();
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).floor(0).burst(2)).unwrap();
    let config = config().budget(budget).observe(log.clone()).attempts(2);
    let layer = layer(config);
    for answers in [[busy(100), FAILED], [FAILED, FAILED], [FAILED, FAILED], [FAILED, FAILED]] {
        let request = Ask::read("a").by(Clock::default().now().plus(5 * SECOND));
        let _ = layer.layer(Scripted::new(answers)).oneshot(request).await;
    }
    assert_eq!(*log.0.lock().unwrap(), [Reason::DeadlinePassed, Reason::BudgetEmpty]);
}

#[tokio::test(start_paused = true)]
async fn one_layer_is_one_set_of_rules_for_all_its_services_and_clones() {
    let layer = layer(config());
    let (one, other) = (Scripted::new([FAILED]), Scripted::new([FAILED]));
    let _ = layer.layer(one).oneshot(Ask::read("a")).await;
    let _ = layer.clone().layer(other).clone().oneshot(Ask::read("a")).await;
    assert_eq!(layer.handle().snapshot().retries, 4);
}
