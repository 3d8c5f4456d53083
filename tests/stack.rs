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
        [Circuit::Open, Circuit::HalfOpen, Circuit::Ramping, Circuit::Closed]
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
async fn any_part_can_be_replaced_by_a_layer_or_left_out() {
    use seawall::timeout::{TimeoutConfig, TimeoutLayer};
    let breaker =
        CircuitBreakerLayer::new(CircuitBreakerConfig::new("own").consecutive_failures(1));
    let timeout = TimeoutLayer::new(TimeoutConfig::new("own").limit(Duration::from_millis(10)));
    let (breaker, timeout) = (breaker.unwrap(), timeout.unwrap());
    let (circuit, limit) = (breaker.handle(), timeout.handle());
    let stack = stack::payment("payments")
        .cached::<_, Answer<u64>, _>(reads())
        .no_fallback()
        .breaker_layer(breaker)
        .timeout_layer(timeout)
        .ready_layer(seawall::ready::ReadyInCallLayer::new())
        .no_innermost()
        .build()
        .unwrap();
    let client = Client::default();
    client.does(2);
    let error = stack.service(client).oneshot(1).await.unwrap_err();
    assert_eq!(error.rejected().unwrap().name, "own");
    assert_eq!((circuit.snapshot().state, limit.snapshot().timeouts), (Circuit::Open, 1));
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_not_waited_for_beyond_the_slow_threshold() {
    let client = Client::default();
    let stack = stack::payment("payments").build().unwrap();
    let (payments, breaker) = (stack.service(client.clone()), &stack.handles().breaker);
    client.does(1);
    while payments.clone().oneshot(1).await.unwrap_err().rejected().is_none() {}
    client.does(2);
    tokio::time::sleep(breaker.snapshot().retry_after.unwrap()).await;
    let probe = tokio::spawn(payments.clone().oneshot(1));
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(499)).await;
    assert_eq!(
        payments.clone().oneshot(1).await.unwrap_err().rejected().unwrap().room,
        Room::Breaker
    );
    assert_eq!(breaker.snapshot().state, Circuit::HalfOpen);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let _ = payments.clone().oneshot(1).await;
    assert_eq!(breaker.snapshot().state, Circuit::Open, "though it runs on until its timeout");
    assert_eq!(client.calls(), 11, "ten failures and the probe");
    assert!(probe.await.unwrap().is_err());
}

/// A hundred callers at a time who give up after `patience`, three times over.
async fn given_up_by_callers_after(
    patience: Duration,
    change: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig,
) -> seawall::breaker::Snapshot {
    let client = Client::default();
    client.does(2);
    let stack = stack::payment("payments").breaker(change).build().unwrap();
    let payments = stack.service(client);
    for _ in 0..3 {
        let calls = (0..100).map(|_| tokio::time::timeout(patience, payments.clone().oneshot(1)));
        futures::future::join_all(calls).await;
    }
    assert_eq!(stack.handles().bulkhead.snapshot().in_flight, 0);
    assert_eq!(stack.handles().breaker.snapshot().in_time, 0);
    stack.handles().breaker.snapshot()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_cut_off_from_outside_open_the_circuit() {
    let patience = Duration::from_millis(700);
    assert!(given_up_by_callers_after(patience, |breaker| breaker).await.state.is_open());
    let no_slow_rule = |breaker: CircuitBreakerConfig| {
        breaker.no_slow_calls().cancel_counts_after(Duration::from_millis(500))
    };
    assert!(given_up_by_callers_after(patience, no_slow_rule).await.state.is_open());
}

#[tokio::test(start_paused = true)]
async fn impatient_callers_say_nothing_of_the_service() {
    let circuit = given_up_by_callers_after(Duration::from_millis(300), |breaker| breaker).await;
    assert_eq!((circuit.state, circuit.counts.total), (Circuit::Closed, 0));
}

#[test]
fn an_open_circuit_over_an_inner_that_is_never_ready_refuses_at_once() {
    let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("x")).unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(Unready.map_err(Error::from));
    let mut caller = tokio_test::task::spawn(());
    assert!(caller.enter(|cx, _| service.poll_ready(cx)).is_pending(), "closed: it is waited for");
    handle.force_open();
    assert!(caller.enter(|cx, _| service.poll_ready(cx)).is_ready());
    let refused = tokio_test::task::spawn(service.call(1)).poll();
    let std::task::Poll::Ready(Err(Error::Rejected(refused))) = refused else { panic!() };
    assert_eq!((refused.reason, refused.sent()), (Reason::ForcedOpen, false));
}

#[tokio::test]
async fn calls_with_boxed_errors_can_be_spawned_from_an_async_block() {
    let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    let payments =
        layer.layer(service_fn(|()| async { Err::<(), seawall::BoxError>("503".into()) }));
    let error = tokio::spawn(async move { payments.oneshot(()).await }).await.unwrap();
    assert_eq!(error.unwrap_err().to_string(), "503");
}

/// The preset for HTTP, over a client in memory that answers, is sick, hangs or breaks off.
mod http {
    use super::*;
    use ::http::{HeaderMap, Method, Request, Response, StatusCode};
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::BodyExt;
    use seawall::http::{BufferError, ByStatus};
    use seawall::outcome::Outcome;
    use seawall::stack::Boxed;
    use seawall::stale::Staleness;
    use static_assertions::assert_impl_all;
    use std::pin::Pin;

    const MILLI: Duration = Duration::from_millis(1);

    #[derive(Clone, Copy, Debug)]
    enum Way {
        Up,
        Sick,
        /// No answer, ever.
        Hang,
        /// A head, and then nothing.
        HangInBody,
        /// A byte every 300 ms.
        Trickle,
        /// Breaks off in the middle of the body.
        Break,
        Refuse,
        Reset,
    }

    /// A body of bytes that come one by one, `gap` apart; `None` breaks it off.
    struct Slowly {
        bytes: std::vec::IntoIter<Option<u8>>,
        gap: Duration,
        wait: Option<Pin<Box<tokio::time::Sleep>>>,
    }

    impl http_body::Body for Slowly {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            if !self.gap.is_zero() {
                let gap = self.gap;
                let wait = self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(gap)));
                std::task::ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            Poll::Ready(self.bytes.next().map(|byte| match byte {
                Some(byte) => Ok(Frame::data(Bytes::from(vec![byte]))),
                None => Err(io::ErrorKind::ConnectionReset.into()),
            }))
        }
    }

    #[derive(Clone)]
    struct Wire {
        way: Arc<Mutex<Way>>,
        calls: Arc<AtomicU32>,
    }

    impl Wire {
        fn new() -> Self {
            Self { way: Arc::new(Mutex::new(Way::Up)), calls: Arc::default() }
        }

        fn is(&self, way: Way) {
            *self.way.lock().unwrap() = way;
        }
    }

    /// What the service says to this request: everything that it should depend on.
    fn says(method: &Method, uri: &::http::Uri, headers: &HeaderMap) -> String {
        let header = |name| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let (who, lang) = (header("authorization"), header("accept-language"));
        format!("{method} {uri} {who} {lang}")
    }

    impl Service<Request<String>> for Wire {
        type Response = Response<Slowly>;
        type Error = io::Error;
        type Future =
            Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send + Sync>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<String>) -> Self::Future {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let way = *self.way.lock().unwrap();
            let text = says(request.method(), request.uri(), request.headers());
            let body = move |gap, broken: bool| {
                let mut bytes: Vec<_> = text.into_bytes().into_iter().map(Some).collect();
                if broken {
                    bytes.insert(3, None);
                }
                let slowly = Slowly { bytes: bytes.into_iter(), gap, wait: None };
                Response::builder().header("vary", "accept-language").body(slowly).unwrap()
            };
            Box::pin(async move {
                match way {
                    Way::Up => Ok(body(Duration::ZERO, false)),
                    Way::Sick => {
                        let mut sick = body(Duration::ZERO, false);
                        *sick.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                        Ok(sick)
                    }
                    Way::Hang => pending().await,
                    Way::HangInBody => Ok(body(Duration::from_secs(1_000_000), false)),
                    Way::Trickle => Ok(body(300 * MILLI, false)),
                    Way::Break => Ok(body(Duration::ZERO, true)),
                    Way::Refuse => Err(io::ErrorKind::ConnectionRefused.into()),
                    Way::Reset => Err(io::ErrorKind::ConnectionReset.into()),
                }
            })
        }
    }

    type Payments = Boxed<
        Request<String>,
        Response<seawall::http::Body<Slowly>>,
        Error<BufferError<io::Error, io::Error>>,
    >;

    assert_impl_all!(Payments: Send, Sync, Clone);

    fn ask(method: Method, path: &str, who: &str, lang: &str) -> Request<String> {
        let uri = format!("https://pay.example{path}");
        let request = Request::builder().method(method).uri(uri).header("authorization", who);
        request.header("accept-language", lang).body(String::new()).unwrap()
    }

    fn asks() -> Vec<Request<String>> {
        let mut all = Vec::new();
        for method in [Method::GET, Method::HEAD] {
            for path in ["/q/7", "/q/7?", "/q/7?a=1&b=2", "/q/7?b=2&a=1", "/q/%37", "/Q/7", "/q/7/"]
            {
                for who in ["ada", "bob", ""] {
                    for lang in ["de", "en"] {
                        all.push(ask(method.clone(), path, who, lang));
                    }
                }
            }
        }
        all
    }

    async fn text(response: Response<seawall::http::Body<Slowly>>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_breaks_each_read_gets_its_own_last_answer_marked() {
        for way in [
            Way::Sick,
            Way::Hang,
            Way::HangInBody,
            Way::Trickle,
            Way::Break,
            Way::Refuse,
            Way::Reset,
        ] {
            let wire = Wire::new();
            let stack = stack::payment("payments").http().build().unwrap();
            let payments: Payments = stack.boxed(wire.clone());
            let read = |request: Request<String>| {
                let expected = says(request.method(), request.uri(), request.headers());
                let call = payments.clone().oneshot(request);
                async move {
                    let answer = call.await.unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                    let age = answer.headers().get("age");
                    let age: Option<u64> = age.map(|age| age.to_str().unwrap().parse().unwrap());
                    let mark =
                        answer.extensions().get::<Staleness>().map(|mark| mark.age.as_secs());
                    assert_eq!(text(answer).await, expected);
                    (age, mark)
                }
            };
            for request in asks() {
                assert_eq!(read(request).await, (None, None), "fresh");
            }
            wire.is(way);
            tokio::time::sleep(7_000 * MILLI).await;
            for result in futures::future::join_all(asks().into_iter().map(read)).await {
                let (told, mark) = result;
                assert!((7..=8).contains(&told.unwrap()), "{way:?}: {told:?} s");
                assert_eq!(mark, told);
            }
            assert_eq!(stack.handles().bulkhead.snapshot().in_flight, 0);
            assert!(stack.handles().breaker.snapshot().state.is_open(), "{way:?}");
            // What was never asked before has no answer, and another principal's isn't one.
            let strange = payments.clone().oneshot(ask(Method::GET, "/q/7", "eve", "de")).await;
            assert_eq!(strange.unwrap_err().rejected().unwrap().reason, Reason::CircuitOpen);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_charge_is_never_answered_from_the_cache_and_says_whether_it_was_sent() {
        let wire = Wire::new();
        let stack = stack::payment("payments")
            .http()
            .classify(ByStatus::new().connect_errors(|error: &io::Error| {
                error.kind() == io::ErrorKind::ConnectionRefused
            }))
            .build()
            .unwrap();
        let payments: Payments = stack.boxed(wire.clone());
        let charge = || payments.clone().oneshot(ask(Method::POST, "/q/7", "ada", "de"));
        let read = || payments.clone().oneshot(ask(Method::GET, "/q/7", "ada", "de"));
        read().await.unwrap();
        charge().await.unwrap();

        // Sent, and answered with a failure: the answer as it is.
        wire.is(Way::Sick);
        let sick = charge().await.unwrap();
        assert_eq!(sick.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(sick.extensions().get::<Staleness>().is_none());
        // Sent, and never answered: in doubt.
        wire.is(Way::Hang);
        let gone = *charge().await.unwrap_err().rejected().unwrap();
        assert_eq!((gone.room, gone.reason, gone.sent()), (Room::Timeout, Reason::TimedOut, true));
        assert_eq!(Outcome::of_rejected(&gone), Outcome::InDoubt);
        // The client's own errors, found behind the buffer's.
        wire.is(Way::Reset);
        let Error::Inner(BufferError::Call(error)) = charge().await.err().unwrap() else {
            panic!()
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        // Refused: fast, typed, not sent, and with a time.
        wire.is(Way::Sick);
        while charge().await.is_ok() {}
        let before = (wire.calls.load(Ordering::SeqCst), tokio::time::Instant::now());
        let refused = *charge().await.unwrap_err().rejected().unwrap();
        assert_eq!((wire.calls.load(Ordering::SeqCst), tokio::time::Instant::now()), before);
        assert_eq!((refused.reason, refused.sent()), (Reason::CircuitOpen, false));
        let wait = refused.retry_after.unwrap();
        assert!(wait > Duration::ZERO && wait <= 500 * MILLI, "{wait:?}");
        assert_eq!(Outcome::of_rejected(&refused), Outcome::Ignored);
    }

    #[tokio::test(start_paused = true)]
    async fn a_charge_that_succeeds_outdates_what_its_caller_read() {
        let wire = Wire::new();
        let stack = stack::payment("payments").http().build().unwrap();
        let payments: Payments = stack.boxed(wire.clone());
        for who in ["ada", "bob"] {
            payments.clone().oneshot(ask(Method::GET, "/q/7", who, "de")).await.unwrap();
        }
        payments.clone().oneshot(ask(Method::POST, "/q/7", "ada", "de")).await.unwrap();
        wire.is(Way::Reset);
        let read = |who| payments.clone().oneshot(ask(Method::GET, "/q/7", who, "de"));
        assert!(read("ada").await.is_err());
        assert!(read("bob").await.is_ok(), "his answer is still the last he had");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_outside_the_breaker_and_inside_the_fallback() {
    use seawall::outcome::ErrInDoubt;
    use seawall::request::Ask;
    use seawall::retry::RetryConfig;
    use tower::util::MapRequest;

    let client = Client::default();
    client.does(1);
    let unasked = MapRequest::new(client.clone(), Ask::<u64>::into_inner);
    let stack = stack::payment("payments")
        .retry(RetryConfig::new("payments").attempts(3), ErrInDoubt)
        .build()
        .unwrap();
    let payments = stack.service(unasked);
    payments.clone().oneshot(Ask::read(7)).await.unwrap_err();
    assert_eq!(client.calls(), 3, "a read in doubt is read again");
    assert_eq!(stack.handles().breaker.snapshot().counts.total, 3, "each attempt is judged");
    payments.clone().oneshot(Ask::once(7)).await.unwrap_err();
    assert_eq!(client.calls(), 4, "a charge without a key is not made again");
    assert_eq!(stack.handles().retry.snapshot().in_doubt, 1);

    stack.handles().breaker.force_open();
    let refused = payments.oneshot(Ask::read(7)).await.unwrap_err();
    assert_eq!(refused.rejected().unwrap().reason, Reason::ForcedOpen);
    assert_eq!(client.calls(), 4, "and an open circuit is not tried again");
}

mod objective {
    use super::*;
    use seawall::outcome::{ByResult, Outcome};
    use seawall::slo::{Objective, RefusedAs, StaleAs};

    #[tokio::test(start_paused = true)]
    async fn it_counts_what_the_caller_sees_and_not_what_happens_inside() {
        let client = Client::default();
        let sees = StaleAs::new(Outcome::Success, RefusedAs::new(Outcome::Failure, ByResult));
        let stack = stack::payment("payments")
            .slo(Objective::availability("checkout", 0.9), sees)
            .cached(reads())
            .build()
            .unwrap();
        let payments = stack.service(client.clone());
        payments.clone().oneshot(7).await.unwrap();
        client.does(1);
        // A hundred failures inside, each answered from the cache; and one call that has no answer.
        for _ in 0..100 {
            assert!(payments.clone().oneshot(7).await.unwrap().is_stale());
        }
        assert!(payments.clone().oneshot(8).await.is_err());
        tokio::time::sleep(Duration::from_secs(5)).await;
        stack.handles().slo.tick();
        let seen = stack.handles().slo.snapshot();
        assert_eq!((seen.total, seen.bad), (102, 1));
    }
}

mod deadline {
    use super::*;
    use seawall::outcome::ErrInDoubt;
    use seawall::request::Ask;
    use seawall::retry::RetryConfig;
    use tokio::time::Instant;
    use tower::util::MapRequest;

    const MILLI: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn it_bounds_all_attempts_together_and_begins_none_that_cannot_end() {
        let client = Client::default();
        client.does(2);
        let stack = stack::payment("payments")
            .retry(RetryConfig::new("payments").attempts(10), ErrInDoubt)
            .deadline(2_500 * MILLI)
            .build()
            .unwrap();
        let payments = stack.service(MapRequest::new(client.clone(), Ask::<u64>::into_inner));
        let began = Instant::now();
        let error = payments.clone().oneshot(Ask::read(7)).await.unwrap_err();
        assert_eq!(error.rejected().unwrap().room, Room::Timeout);
        assert!(began.elapsed() <= 2_500 * MILLI, "{:?}", began.elapsed());
        assert!((2..=3).contains(&client.calls()), "{} attempts", client.calls());
        assert_eq!(stack.handles().bulkhead.snapshot().in_flight, 0);

        // What the request says counts where it is earlier; and nothing is sent when it has passed.
        let now = seawall::clock::Clock::default().now();
        let before = (client.calls(), Instant::now());
        let soon = Ask::read(7).by(now.plus(300 * MILLI));
        payments.clone().oneshot(soon).await.unwrap_err();
        assert_eq!((client.calls() - before.0, before.1.elapsed()), (1, 300 * MILLI));
        let late = payments.oneshot(Ask::read(7).by(now)).await.unwrap_err();
        assert_eq!(late.rejected().unwrap().reason, Reason::DeadlinePassed);
        assert_eq!(client.calls() - before.0, 1);
    }

    #[test]
    fn one_that_no_attempt_could_use_up_is_a_config_error() {
        let error = stack::payment("payments").deadline(999 * MILLI).build().unwrap_err();
        assert_eq!((error.field(), error.range()), ("deadline", "at least the attempt timeout"));
        assert!(stack::payment("payments").deadline(1_000 * MILLI).build().is_ok());
        let own = stack::payment("payments").deadline(500 * MILLI).timeout(400 * MILLI).build();
        assert!(own.is_ok());
        assert!(stack::payment("payments").no_timeout().deadline(MILLI).build().is_ok());
    }
}

mod canary {
    use super::*;
    use seawall::canary::{CanaryConfig, Data};
    use seawall::ratio::Ratio;
    use seawall::verdict::{Stream, Verdict};

    fn trial() -> CanaryConfig {
        CanaryConfig::new("payments-v2").learn(Duration::ZERO).no_warm_up()
    }

    #[tokio::test(start_paused = true)]
    async fn each_arm_has_a_breaker_of_its_own_under_its_own_name() {
        let (baseline, canary) = (Client::default(), Client::default());
        let stack = stack::payment("payments")
            .canary(trial().only_watch(true), |canary| canary)
            .build()
            .unwrap();
        let payments = stack.split(baseline.clone(), canary.clone());
        let handles = stack.handles();
        assert!(handles.canary.comparison.set_weight(Ratio::percent(50).unwrap()));
        canary.does(1);
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            if let Err(Error::Rejected(refused)) = payments.clone().oneshot(7).await {
                assert_eq!(refused.reason, Reason::CircuitOpen);
                names.insert(refused.name);
            }
        }
        assert_eq!(handles.canary.arm.breaker.snapshot().state, Circuit::Open);
        assert_eq!(handles.breaker.snapshot().state, Circuit::Closed, "the baseline's is its own");
        assert_eq!(Vec::from_iter(names), ["payments-v2"]);
        assert!(baseline.calls() > 400, "{}", baseline.calls());
        assert!(canary.calls() <= 21, "{}", canary.calls());
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_answers_take_it_out_though_a_cache_stands_outside() {
        let (baseline, canary) = (Client::default(), Client::default());
        let wrong =
            canary.clone().map_response(|answer: Answer<u64>| Answer::fresh(answer.value + 1));
        let stack = stack::payment("payments")
            .cached(reads())
            .canary(trial(), |canary| {
                canary.check(
                    |id: &u64, answer: &Answer<u64>| {
                        if answer.value == id * 100 { Data::Ok } else { Data::Bad }
                    },
                )
            })
            .build()
            .unwrap();
        let payments = stack.split(baseline, wrong);
        let comparison = &stack.handles().canary.comparison;
        assert!(comparison.set_weight(Ratio::percent(5).unwrap()));
        let mut wrongs = 0;
        for id in 0..10_000 {
            let answer = payments.clone().oneshot(id).await.unwrap();
            wrongs += u32::from(answer.value != id * 100);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let verdict = comparison.snapshot().verdict;
        let Verdict::RollBack(seawall::verdict::Cause::Worse(Stream::BadData)) = verdict else {
            panic!("{verdict}")
        };
        assert!((4..=200).contains(&wrongs), "{wrongs} wrong answers before it was taken out");
        assert_eq!(comparison.snapshot().weight, Ratio::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_fails_in_both_arms_is_no_reason_to_take_it_out() {
        let (baseline, canary) = (Client::default(), Client::default());
        let stack = stack::payment("payments").canary(trial(), |canary| canary).build().unwrap();
        let payments = stack.split(baseline.clone(), canary.clone());
        let comparison = &stack.handles().canary.comparison;
        assert!(comparison.set_weight(Ratio::percent(20).unwrap()));
        for step in 0..60_000 {
            let what = u32::from((20_000..40_000).contains(&step));
            baseline.does(what);
            canary.does(what);
            let _ = payments.clone().oneshot(7).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!comparison.snapshot().verdict.is_roll_back(), "at {step} ms");
        }
        assert_eq!(comparison.snapshot().weight, Ratio::percent(20).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_switch_on_bypass_leads_to_the_baseline_and_on_halt_to_the_cache() {
        use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};

        let (baseline, canary) = (Client::default(), Client::default());
        let switch = KillSwitch::new(KillSwitchConfig::new("payments"));
        let stack = stack::payment("payments")
            .cached(reads())
            .kill_switch(&switch)
            .canary(trial(), |canary| canary)
            .build()
            .unwrap();
        let payments = stack.split(baseline.clone(), canary.clone());
        assert!(stack.handles().canary.comparison.set_weight(Ratio::ONE));
        assert!(!payments.clone().oneshot(7).await.unwrap().is_stale());
        assert_eq!((baseline.calls(), canary.calls()), (0, 1));
        switch.flip(Mode::Bypass, "test", "past all of it");
        payments.clone().oneshot(7).await.unwrap();
        assert_eq!((baseline.calls(), canary.calls()), (1, 1));
        switch.flip(Mode::Halt, "test", "nothing goes out");
        assert!(payments.clone().oneshot(7).await.unwrap().is_stale());
        assert_eq!((baseline.calls(), canary.calls()), (1, 1));
    }
}

mod rollout {
    use super::*;
    use seawall::audit::Step;
    use seawall::canary::{CanaryConfig, Data};
    use seawall::event::{Event, Kind};
    use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
    use seawall::ratio::Ratio;
    use seawall::rollout::{Phase, RolloutConfig};
    use seawall::stack::Flips;
    use std::sync::Mutex;

    fn trial() -> CanaryConfig {
        CanaryConfig::new("payments-v2").learn(Duration::from_secs(2)).no_warm_up()
    }

    #[tokio::test(start_paused = true)]
    async fn one_line_rolls_a_bad_version_back_and_flips_what_must_be_flipped() {
        let exports = KillSwitch::new(KillSwitchConfig::new("exports"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let (baseline, canary) = (Client::default(), Client::default());
        let wrong =
            canary.clone().map_response(|answer: Answer<u64>| Answer::fresh(answer.value + 1));
        let stack = stack::payment("payments")
            .canary(trial(), |canary| {
                canary.check(
                    |id: &u64, answer: &Answer<u64>| {
                        if answer.value == id * 100 { Data::Ok } else { Data::Bad }
                    },
                )
            })
            .rollout(RolloutConfig::new("payments").hook(Flips::new(&exports, Mode::Halt)))
            .observe(move |event: &Event| {
                if let Kind::Rollout(audit) = &event.kind {
                    log.lock().unwrap().push(audit.step.as_str());
                }
            })
            .build()
            .unwrap();
        let driving = tokio::spawn(stack.drive().run());
        let payments = stack.split(baseline, wrong);
        let rollout = &stack.handles().canary.rollout;
        rollout.start("deploy-1", "v2").unwrap();
        let mut wrongs = 0;
        for id in 0..60_000 {
            let answer = payments.clone().oneshot(id).await.unwrap();
            wrongs += u32::from(answer.value != id * 100);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(rollout.snapshot().phase, Phase::RolledBack);
        assert_eq!(exports.mode(), Mode::Halt);
        assert!((3..=200).contains(&wrongs), "{wrongs} wrong answers at 1 %");
        assert_eq!(
            *told.lock().unwrap(),
            [
                "started",
                "stage_entered",
                "suspected",
                "rollback_decided",
                "weight_zeroed",
                "hook_attempted",
                "hook_succeeded",
                "rolled_back"
            ]
        );
        driving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_whose_breaker_stays_open_is_rolled_back_by_it() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let (baseline, canary) = (Client::default(), Client::default());
        let stack = stack::payment("payments")
            .canary(trial().no_absolute_guard().alpha(1e-200), |canary| canary)
            .rollout(RolloutConfig::new("payments").stages([0.5, 1.0]))
            .observe(move |event: &Event| {
                if let Kind::Rollout(audit) = &event.kind {
                    if let Step::RollbackDecided(decision) = &audit.step {
                        log.lock().unwrap().push(decision.cause.as_str());
                    }
                }
            })
            .build()
            .unwrap();
        let driving = tokio::spawn(stack.drive().run());
        let payments = stack.split(baseline, canary.clone());
        canary.does(1);
        stack.handles().canary.rollout.start("deploy-1", "v2").unwrap();
        for id in 0..10_000 {
            let _ = payments.clone().oneshot(id).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(*told.lock().unwrap(), ["breaker_open"]);
        driving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_leaves_the_canary_what_an_operator_gave_it() {
        let (baseline, canary) = (Client::default(), Client::default());
        let stack = stack::payment("payments")
            .no_breaker()
            .canary(trial(), |canary| canary)
            .rollout(RolloutConfig::new("payments").dry_run(true))
            .build()
            .unwrap();
        let driving = tokio::spawn(stack.drive().run());
        let payments = stack.split(baseline, canary.clone());
        let handles = &stack.handles().canary;
        handles.rollout.start("deploy-1", "v2").unwrap();
        let half = Ratio::percent(50).unwrap();
        assert!(handles.comparison.set_weight(half));
        canary.does(1);
        for id in 0..10_000 {
            let _ = payments.clone().oneshot(id).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(handles.rollout.snapshot().phase, Phase::RolledBack, "it says so");
        assert_eq!(handles.comparison.snapshot().weight, half, "and does nothing");
        driving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn driving_a_stack_ends_alerts_and_moves_circuits_with_nobody_calling() {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let client = Client::default();
        let stack = stack::payment("payments")
            .slo(
                seawall::slo::Objective::availability("payments", 0.999),
                seawall::outcome::ByResult,
            )
            .observe(move |event: &Event| {
                if let Kind::Burn(burn) = &event.kind {
                    if burn.alert == "page_fast" {
                        log.lock().unwrap().push(burn.fires);
                    }
                }
            })
            .build()
            .unwrap();
        let driving = tokio::spawn(stack.drive().run());
        let payments = stack.service(client.clone());
        client.does(1);
        for id in 0..1_000 {
            let _ = payments.clone().oneshot(id).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(*events.lock().unwrap(), [true], "it burns");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(*events.lock().unwrap(), [true, false], "it ended, though nobody called");
        driving.abort();
    }
}
