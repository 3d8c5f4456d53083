//! The hedge as its users see it: over services of a given slowness, in virtual time.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use seawall::budget::{Budget, BudgetConfig};
use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
use seawall::clock::Clock;
use seawall::error::{Carry, Error, Reason, Rejected, Room};
use seawall::event::{Observe, Sink, Wants};
use seawall::hedge::{HedgeConfig, HedgeHandle, HedgeLayer};
use seawall::request::{Ask, Marked, Operation, Safe};
use seawall::retry::{RetryConfig, RetryLayer};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(80);

type E = Error<&'static str>;
type Answer = Result<u32, E>;

/// One call: how long it takes, and its answer.
type Step = (u64, Answer);

const DOWN: Answer = Err(Error::Inner("down"));

/// A service whose n-th call goes by the n-th step, the last for ever.
#[derive(Clone)]
struct Slow {
    steps: &'static [Step],
    asked: Arc<Mutex<Vec<Ask<()>>>>,
    /// Calls that were neither answered nor dropped.
    live: Arc<AtomicU32>,
    ready: Arc<AtomicU32>,
}

struct Live(Arc<AtomicU32>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Slow {
    fn new(steps: &'static [Step]) -> Self {
        let ready = Arc::new(AtomicU32::new(1));
        Self { steps, asked: Arc::default(), live: Arc::default(), ready }
    }

    fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn live(&self) -> u32 {
        self.live.load(SeqCst)
    }

    fn numbers(&self) -> Vec<u32> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|ask| ask.attempt().unwrap().number()).collect()
    }
}

impl Service<Ask<()>> for Slow {
    type Response = u32;
    type Error = E;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        if self.ready.load(SeqCst) == 1 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, ask: Ask<()>) -> Self::Future {
        let mut asked = self.asked.lock().unwrap();
        asked.push(ask);
        let (takes, answer) = self.steps[(asked.len() - 1).min(self.steps.len() - 1)];
        self.live.fetch_add(1, SeqCst);
        let live = Live(Arc::clone(&self.live));
        async move {
            let _live = live;
            sleep(Duration::from_millis(takes)).await;
            answer
        }
        .boxed()
    }
}

fn plenty() -> Budget {
    Budget::new(BudgetConfig::new().burst(1_000_000)).unwrap()
}

fn config() -> HedgeConfig {
    HedgeConfig::new("quotes").after(DELAY).budget(plenty())
}

fn ask() -> Safe<Ask<()>> {
    Safe::from_read(())
}

/// One call through a hedge: the answer, how long it took, and what happened.
async fn call(config: HedgeConfig, steps: &'static [Step]) -> (Answer, u128, Slow, HedgeHandle) {
    let layer = HedgeLayer::new(config).unwrap();
    let inner = Slow::new(steps);
    let start = Instant::now();
    let answer = layer.layer(inner.clone()).oneshot(ask()).await;
    (answer, start.elapsed().as_millis(), inner, layer.handle())
}

#[tokio::test(start_paused = true)]
async fn a_quick_call_is_made_once() {
    let (answer, took, inner, handle) = call(config(), &[(79, Ok(1)), (0, Ok(2))]).await;
    assert_eq!((answer, inner.calls(), handle.snapshot().hedges), (Ok(1), 1, 0));
    assert!((79..=80).contains(&took));
}

#[test]
fn a_call_that_is_ready_at_once_needs_no_timer_and_no_runtime() {
    let layer = HedgeLayer::new(config()).unwrap();
    let client = layer.layer(service_fn(|_: Ask<()>| ready(Answer::Ok(7))));
    assert_eq!(client.oneshot(ask()).now_or_never(), Some(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_made_again_and_the_first_answer_wins() {
    let (answer, took, inner, handle) = call(config(), &[(3_000, Ok(1)), (120, Ok(2))]).await;
    assert_eq!(answer, Ok(2));
    assert!((200..=202).contains(&took), "{took}");
    assert_eq!(inner.numbers(), [1, 2], "each says which it is");
    assert_eq!((handle.snapshot().hedges, handle.snapshot().won), (1, 1));

    let (answer, took, _, handle) = call(config(), &[(150, Ok(1)), (120, Ok(2))]).await;
    assert_eq!(answer, Ok(1));
    assert!((150..=151).contains(&took), "{took}");
    assert_eq!((handle.snapshot().hedges, handle.snapshot().won), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_loser_is_dropped_and_its_permits_come_back_with_the_answer() {
    let hedge = HedgeLayer::new(config()).unwrap();
    let bulkhead = BulkheadLayer::new(BulkheadConfig::new("quotes").limit(2)).unwrap();
    let places = bulkhead.handle();
    let inner = Slow::new(&[(3_000, Ok(1)), (120, Ok(2))]);
    let service = ServiceBuilder::new().layer(hedge).layer(bulkhead).service(inner.clone());
    let mut call = task::spawn(service.oneshot(ask()));
    assert_pending!(call.poll());
    advance(DELAY + MS).await;
    assert_pending!(call.poll());
    assert_eq!((places.snapshot().in_flight, inner.live()), (2, 2));
    advance(122 * MS).await;
    assert_eq!(assert_ready!(call.poll()), Ok(2));
    let when = "while the future that is done is still held";
    assert_eq!((places.snapshot().in_flight, inner.live()), (0, 0), "{when}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_drops_both() {
    let inner = Slow::new(&[(3_000, Ok(1))]);
    let layer = HedgeLayer::new(config()).unwrap();
    let mut call = task::spawn(layer.layer(inner.clone()).oneshot(ask()));
    assert_pending!(call.poll());
    advance(DELAY + MS).await;
    assert_pending!(call.poll());
    assert_eq!(inner.live(), 2);
    drop(call);
    assert_eq!(inner.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_answer_only_when_both_fail() {
    // Before the second call: at once, that is a retry's business.
    let (answer, took, inner, _) = call(config(), &[(10, DOWN), (0, Ok(2))]).await;
    assert_eq!((answer, inner.calls()), (DOWN, 1));
    assert!(took <= 11);
    // The first fails while the second is under way, and the other way round.
    let (answer, _, _, _) = call(config(), &[(100, DOWN), (120, Ok(2))]).await;
    assert_eq!(answer, Ok(2));
    let (answer, _, _, handle) = call(config(), &[(300, Ok(1)), (10, DOWN)]).await;
    assert_eq!((answer, handle.snapshot().won), (Ok(1), 0));
    let (answer, took, inner, _) = call(config(), &[(100, DOWN), (120, DOWN)]).await;
    assert_eq!((answer, inner.calls()), (DOWN, 2));
    assert!((200..=202).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_first_call_is_waited_for() {
    let log = Log::default();
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).floor(0).burst(2)).unwrap();
    let config = config().budget(budget).observe(log.clone());
    let layer = HedgeLayer::new(config).unwrap();
    let inner = Slow::new(&[(300, Ok(1))]);
    let calls = (0..10).map(|_| layer.layer(inner.clone()).oneshot(ask()));
    join_all(calls).await;
    assert_eq!(inner.calls(), 12);
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.hedges, snapshot.budget_empty), (2, 8));
    assert_eq!(*log.0.lock().unwrap(), [Reason::BudgetEmpty; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_and_a_retry_that_share_a_budget_share_its_tokens() {
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).floor(0).burst(2)).unwrap();
    let hedge = HedgeLayer::new(config().budget(budget.clone())).unwrap();
    let retry = RetryLayer::new(RetryConfig::new("quotes").budget(budget.clone())).unwrap();
    let _ = hedge.layer(Slow::new(&[(300, Ok(1))])).oneshot(ask()).await;
    let _ = retry.layer(Slow::new(&[(0, DOWN)])).oneshot(Ask::read(())).await;
    assert_eq!(
        budget.snapshot().tokens,
        0,
        "one for the hedge, one for a repetition, and none for a second"
    );
    assert_eq!((hedge.handle().snapshot().hedges, retry.handle().snapshot().retries), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_earns_its_share_once_however_it_ends() {
    let budget = Budget::new(BudgetConfig::new().ratio(1.0).floor(0).burst(100)).unwrap();
    let spend = || {
        while let Some(token) = budget.withdraw(seawall::budget::Cost::One) {
            token.spend();
        }
    };
    let layer = HedgeLayer::new(config().budget(budget.clone())).unwrap();
    for steps in [
        &[(10, Ok(1))][..],
        &[(10, DOWN)],
        &[(300, Ok(1)), (10, Ok(2))],
        &[(100, DOWN), (120, Ok(2))],
        &[(300, Ok(1)), (10, DOWN)],
    ] {
        spend();
        let _ = layer.layer(Slow::new(steps)).oneshot(ask()).await;
        assert_eq!(budget.snapshot().tokens, 1, "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_call_that_is_refused_costs_nothing() {
    let hedge = HedgeLayer::new(config()).unwrap();
    let bulkhead = BulkheadLayer::new(BulkheadConfig::new("quotes").limit(1)).unwrap();
    let inner = Slow::new(&[(300, Ok(1))]);
    let service = ServiceBuilder::new().layer(hedge.clone()).layer(bulkhead).service(inner.clone());
    assert_eq!(service.oneshot(ask()).await, Ok(1), "the first is waited for");
    let snapshot = hedge.handle().snapshot();
    assert_eq!((inner.calls(), snapshot.refused, snapshot.budget.tokens), (1, 1, 1_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_first_call_is_the_answer_and_earns_nothing() {
    let budget = Budget::new(BudgetConfig::new().ratio(1.0).floor(0).burst(2)).unwrap();
    budget.withdraw(seawall::budget::Cost::InDoubt).unwrap().spend();
    let full = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "quotes");
    let layer = HedgeLayer::new(config().budget(budget.clone())).unwrap();
    let client =
        layer.layer(service_fn(move |_: Ask<()>| ready(Answer::Err(Error::Rejected(full)))));
    let refused = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(refused.rejected().unwrap().reason, Reason::BulkheadFull);
    assert_eq!(budget.snapshot().tokens, 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_call_never_waits_for_a_service_that_is_not_ready() {
    let layer = HedgeLayer::new(config()).unwrap();
    let inner = Slow::new(&[(300, Ok(1))]);
    let mut call = task::spawn(layer.layer(inner.clone()).oneshot(ask()));
    assert_pending!(call.poll());
    inner.ready.store(0, SeqCst);
    advance(DELAY + MS).await;
    assert_pending!(call.poll());
    assert_eq!((inner.calls(), layer.handle().snapshot().not_ready), (1, 1));
    assert_eq!(layer.handle().budget().snapshot().tokens, 1_000_000);
    advance(220 * MS).await;
    assert_eq!(assert_ready!(call.poll()), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_a_second_time_after_its_deadline() {
    let layer = HedgeLayer::new(config()).unwrap();
    let inner = Slow::new(&[(300, Ok(1))]);
    let late = Ask::read(()).by(Clock::default().now().plus(DELAY));
    layer.layer(inner.clone()).oneshot(Safe::of(late).unwrap()).await.unwrap();
    assert_eq!((inner.calls(), layer.handle().snapshot().too_late), (1, 1));
    assert_eq!(layer.handle().budget().snapshot().tokens, 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_retry_outside_hedges_its_first_attempt_alone() {
    let hedge = HedgeLayer::new(config()).unwrap();
    let retry = RetryLayer::new(RetryConfig::new("quotes").budget(plenty())).unwrap();
    let inner = Slow::new(&[(200, DOWN)]);
    let service = ServiceBuilder::new().layer(retry).layer(hedge.clone()).service(inner.clone());
    let _ = service.oneshot(ask()).await;
    assert_eq!(inner.calls(), 3 + 1);
    assert_eq!(hedge.handle().snapshot().hedges, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_or_a_hedge_inside_multiplies_nothing() {
    let outer = HedgeLayer::new(config()).unwrap();
    let retry = RetryLayer::new(RetryConfig::new("quotes").budget(plenty())).unwrap();
    let inner = Slow::new(&[(200, DOWN)]);
    let service = ServiceBuilder::new().layer(outer.clone()).layer(retry).service(inner.clone());
    let _ = service.oneshot(ask()).await;
    assert_eq!(inner.calls(), 2);

    let (one, other) = (outer, HedgeLayer::new(config()).unwrap());
    let inner = Slow::new(&[(200, Ok(1))]);
    let service = ServiceBuilder::new()
        .layer(one)
        .map_request(|ask: Ask<()>| Safe::of(ask).unwrap())
        .layer(other.clone())
        .service(inner.clone());
    service.oneshot(ask()).await.unwrap();
    assert_eq!((inner.calls(), other.handle().snapshot().hedges), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_live_quantile_sets_the_delay_and_hedges_about_its_share_of_calls() {
    let config = HedgeConfig::new("quotes").budget(plenty());
    let layer = HedgeLayer::new(config).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    // One call in fifty takes two seconds, the others 90 to 110 ms; second calls are lucky.
    let service = layer.layer(service_fn(move |ask: Ask<u64>| {
        count.fetch_add(1, SeqCst);
        let slow = ask.value % 50 == 0 && ask.attempt().unwrap().number() == 1;
        let takes = if slow { 2_000 } else { 90 + ask.value % 21 };
        async move {
            sleep(Duration::from_millis(takes)).await;
            Answer::Ok(0)
        }
    }));
    let mut longest = Duration::ZERO;
    for i in 0..5_000 {
        let start = Instant::now();
        service.clone().oneshot(Safe::from_read(i)).await.unwrap();
        if i > 200 {
            longest = longest.max(start.elapsed());
        }
    }
    let snapshot = layer.handle().snapshot();
    assert!((108..=120).contains(&snapshot.delay.as_millis()), "{:?}", snapshot.delay);
    assert!((90..=400).contains(&snapshot.hedges), "{}", snapshot.hedges);
    assert_eq!(u64::from(calls.load(SeqCst)), 5_000 + snapshot.hedges);
    assert!(longest < Duration::from_millis(250), "{longest:?} instead of two seconds");
}

#[tokio::test(start_paused = true)]
async fn while_little_is_known_the_longest_delay_holds() {
    let config = HedgeConfig::new("quotes").budget(plenty()).delay_between(MS, 500 * MS);
    let (_, took, inner, handle) = call(config, &[(3_000, Ok(1)), (10, Ok(2))]).await;
    assert!((510..=512).contains(&took), "{took}");
    assert_eq!((inner.calls(), handle.snapshot().delay), (2, 500 * MS));
}

#[test]
fn only_what_is_safe_becomes_safe() {
    assert!(Safe::of(Ask::read(())).is_ok());
    assert!(Safe::of(Ask::idempotent(())).is_ok());
    assert_eq!(Safe::of(Ask::once(7)), Err(Ask::once(7)));
    assert_eq!(Safe::declare(Ask::once(())).operation(), Operation::Idempotent);
    #[cfg(feature = "http")]
    {
        let charge = || http::Request::post("/charges").body(()).unwrap();
        assert!(Safe::of(charge()).is_err());
        let key = seawall::request::IdempotencyKey::new();
        assert!(Safe::of(seawall::http::with_key(charge(), &key)).is_ok());
        assert!(Safe::of(http::Request::new(())).is_ok(), "GET");
    }
}

#[test]
fn absurd_settings_are_errors_that_name_the_field_and_the_range() {
    let field = |config: HedgeConfig| HedgeLayer::new(config).unwrap_err().field();
    for share in [0.0, 1.0, -0.5, 2.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(config().after_quantile(share)), "after_quantile", "{share}");
    }
    assert_eq!(field(config().after(Duration::MAX)), "longest delay");
    assert_eq!(field(config().delay_between(2 * MS, MS)), "shortest delay");
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_nothing_makes_two_calls_at_once() {
    let (_, took, inner, _) =
        call(config().after(Duration::ZERO), &[(300, Ok(1)), (50, Ok(2))]).await;
    assert_eq!(inner.calls(), 2);
    assert!(took <= 52, "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_live_change_holds_for_calls_that_become_pending_from_then_on() {
    let layer = HedgeLayer::new(config()).unwrap();
    layer.handle().reconfigure(|config| config.after(200 * MS)).unwrap();
    let inner = Slow::new(&[(150, Ok(1))]);
    layer.layer(inner.clone()).oneshot(ask()).await.unwrap();
    assert_eq!(inner.calls(), 1);
}

/// Neither `Send` nor `Sync`.
#[tokio::test(start_paused = true)]
async fn serves_an_inner_that_is_not_send() {
    let layer = HedgeLayer::new(config()).unwrap();
    let calls = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&calls);
    let service = layer.layer(service_fn(move |_: Ask<()>| {
        count.set(count.get() + 1);
        let hang = count.get() == 1;
        async move {
            if hang {
                pending::<()>().await;
            }
            Answer::Ok(1)
        }
        .boxed_local()
    }));
    assert_eq!(service.oneshot(ask()).await, Ok(1));
    assert_eq!(calls.get(), 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Reason>>>);

impl Observe for Log {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        assert_eq!((room, name), (Room::Hedge, "quotes"));
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
