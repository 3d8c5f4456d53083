//! Retries of HTTP requests: what is repeated, when, and what the other side sees.
#![cfg(feature = "http")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{Empty, Full};
use proptest::prelude::*;
use seawall::clock::Clock;
use seawall::error::Error;
use seawall::http::{
    ATTEMPT, Body, ByGrpcStatus, ByStatus, DEADLINE, IDEMPOTENCY_KEY, ReadMarksLayer,
    SendMarksLayer, inherit, with_key,
};
use seawall::outcome::{Classify, Outcome};
use seawall::request::{IdempotencyKey, Marked, Operation};
use seawall::retry::{Doubt, RetryConfig, RetryLayer};
use seawall::retry_after::RetryAfter;
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

type E = Error<io::Error>;
type Seen = Arc<Mutex<Vec<Request<Full<Bytes>>>>>;

/// A client that answers by a list, the last for ever, and what it was asked.
fn client(
    answers: &'static [Result<u16, io::ErrorKind>],
) -> (
    impl Service<Request<Full<Bytes>>, Response = Response<()>, Error = E, Future: Send> + Clone,
    Seen,
) {
    let seen = Seen::default();
    let asked = Arc::clone(&seen);
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        let mut asked = asked.lock().unwrap();
        asked.push(request);
        let answer = answers[(asked.len() - 1).min(answers.len() - 1)];
        std::future::ready(match answer {
            Ok(status) => Ok(Response::builder().status(status).body(()).unwrap()),
            Err(kind) => Err(Error::Inner(io::Error::from(kind))),
        })
    });
    (client, seen)
}

fn request(method: &Method) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri("/charges").body(Full::from("9.99 EUR")).unwrap()
}

fn connect_errors() -> impl Fn(&io::Error) -> bool + Copy {
    |e: &io::Error| e.kind() == io::ErrorKind::ConnectionRefused
}

/// How often a request is made that is answered so.
async fn attempts(
    request: Request<Full<Bytes>>,
    answers: &'static [Result<u16, io::ErrorKind>],
) -> usize {
    let classify = ByStatus::new().connect_errors(connect_errors()).for_retry();
    let retry = RetryLayer::new(RetryConfig::new("payments")).unwrap().classify(classify);
    let (client, seen) = client(answers);
    let _ = retry.layer(client).oneshot(request).await;
    let seen = seen.lock().unwrap();
    seen.len()
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_goes_by_method_key_and_status() {
    const REFUSED: io::ErrorKind = io::ErrorKind::ConnectionRefused;
    const RESET: io::ErrorKind = io::ErrorKind::ConnectionReset;
    let keyed = || with_key(request(&Method::POST), &IdempotencyKey::new());
    for (answers, of_get, of_post, of_keyed) in [
        (&[Err(REFUSED)][..], 3, 3, 3),
        (&[Err(RESET)], 3, 1, 3),
        (&[Ok(429)], 3, 3, 3),
        (&[Ok(408)], 3, 3, 3),
        (&[Ok(500)], 3, 1, 3),
        (&[Ok(502)], 3, 1, 3),
        (&[Ok(503)], 3, 1, 3),
        (&[Ok(504)], 3, 1, 3),
        (&[Ok(501)], 1, 1, 1),
        (&[Ok(404)], 1, 1, 1),
        (&[Ok(200)], 1, 1, 1),
    ] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(attempts(request(&method), answers).await, of_get, "{method} {answers:?}");
        }
        for method in [Method::POST, Method::PATCH] {
            assert_eq!(attempts(request(&method), answers).await, of_post, "{method} {answers:?}");
        }
        assert_eq!(attempts(keyed(), answers).await, of_keyed, "keyed {answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_attempts_bear_one_key_and_one_body_and_the_next_charge_another_key() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let classify = ByStatus::new().for_retry();
        let retry = RetryLayer::new(RetryConfig::new("payments")).unwrap().classify(classify);
        let (client, seen) = client(&[Ok(503), Err(io::ErrorKind::ConnectionReset), Ok(200)]);
        let charge = with_key(request(&Method::POST), &IdempotencyKey::new());
        retry.layer(client).oneshot(charge).await.unwrap();
        let mut bodies = Vec::new();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(seen.len(), 3);
        let key = seen[0].headers()[IDEMPOTENCY_KEY].clone();
        for request in seen {
            assert_eq!(request.headers()[IDEMPOTENCY_KEY], key);
            let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap();
            bodies.push(body.to_bytes());
        }
        assert_eq!(bodies, ["9.99 EUR"; 3]);
        keys.push(key);
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_key_that_is_there_is_kept() {
    let mut charge = request(&Method::POST);
    charge.headers_mut().insert(IDEMPOTENCY_KEY, "order-1234".parse().unwrap());
    let charge = with_key(charge, &IdempotencyKey::new());
    assert_eq!(charge.idempotency_key().unwrap().as_str(), "order-1234");
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_ends_in_doubt_is_told_with_the_key_of_its_header() {
    let doubts = Arc::<Mutex<Vec<Doubt>>>::default();
    let heard = Arc::clone(&doubts);
    let config = RetryConfig::new("payments")
        .reconcile(move |doubt: &Doubt| heard.lock().unwrap().push(doubt.clone()));
    let classify = ByStatus::new().for_retry();
    let retry = RetryLayer::new(config).unwrap().classify(classify);
    let charge = with_key(request(&Method::POST), &"order-1234".parse().unwrap());
    let answer = retry.layer(client(&[Ok(503)]).0).oneshot(charge).await.unwrap();
    assert_eq!(answer.status(), 503);
    let doubts = doubts.lock().unwrap();
    assert_eq!(doubts.len(), 1);
    assert_eq!(doubts[0].key.as_ref().unwrap().as_str(), "order-1234");
}

#[test]
fn grpc_is_repeated_by_its_status_and_by_what_the_request_declares() {
    let classify = ByGrpcStatus::default().for_retry();
    let judge = |status: &str| {
        let body: Body<Full<Bytes>> = Body::whole("");
        let response = Response::builder().header("grpc-status", status).body(body).unwrap();
        Classify::<_, io::Error>::classify(&classify, Ok(&response))
    };
    for ok in ["0", "1", "3", "5", "6", "7", "9", "10", "11", "12", "16"] {
        assert_eq!(judge(ok), Outcome::Success, "{ok}");
    }
    assert_eq!(judge("8"), Outcome::Failure);
    for doubtful in ["2", "4", "13", "14", "15", "17", "", "x"] {
        assert_eq!(judge(doubtful), Outcome::InDoubt, "{doubtful}");
    }
    let silent: Response<Body<Full<Bytes>>> = Response::new(Body::whole(""));
    assert_eq!(Classify::<_, io::Error>::classify(&classify, Ok(&silent)), Outcome::InDoubt);

    let mut unary = request(&Method::POST);
    assert_eq!(unary.operation(), Operation::Once);
    unary.extensions_mut().insert(Operation::Read);
    assert_eq!(unary.operation(), Operation::Read);
}

/// The wait before the second attempt after an answer with these headers.
async fn wait(headers: &[(&'static str, String)]) -> Option<Duration> {
    let config = RetryConfig::new("payments")
        .attempts(2)
        .backoff(10 * MS, 10 * MS)
        .retry_after_cap(Duration::from_secs(5));
    let classify = ByStatus::new().for_retry();
    let retry = RetryLayer::new(config).unwrap().classify(classify);
    let calls = Arc::<Mutex<Vec<Instant>>>::default();
    let called = Arc::clone(&calls);
    let headers = headers.to_vec();
    let client = service_fn(move |_: Request<()>| {
        called.lock().unwrap().push(Instant::now());
        let mut response = Response::builder().status(503);
        for (name, value) in &headers {
            response = response.header(*name, value);
        }
        std::future::ready(Ok::<_, E>(response.body(()).unwrap()))
    });
    let _ = retry.layer(client).oneshot(Request::new(())).await;
    let calls = calls.lock().unwrap();
    Some(*calls.get(1)? - calls[0])
}

#[tokio::test(start_paused = true)]
async fn both_forms_of_retry_after_are_floors_under_the_backoff() {
    let seconds = [("retry-after", "2".to_owned())];
    let date = [
        ("date", "Tue, 15 Nov 1994 08:12:31 GMT".to_owned()),
        ("retry-after", "Tue, 15 Nov 1994 08:12:33 GMT".to_owned()),
    ];
    for headers in [&seconds[..], &date] {
        for _ in 0..50 {
            let wait = wait(headers).await.unwrap();
            assert!((2_000 * MS..=2_011 * MS).contains(&wait), "{headers:?}: {wait:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_was_stepped_does_not_move_an_http_date() {
    // To our clock, both are years away from now: one behind, one ahead.
    for (date, then) in [
        ("Tue, 15 Nov 1994 08:12:31 GMT", "Tue, 15 Nov 1994 08:12:34 GMT"),
        ("Mon, 15 Nov 2094 08:12:31 GMT", "Mon, 15 Nov 2094 08:12:34 GMT"),
    ] {
        let headers = [("date", date.to_owned()), ("retry-after", then.to_owned())];
        let wait = wait(&headers).await.unwrap();
        assert!((3_000 * MS..=3_011 * MS).contains(&wait), "{wait:?}");
    }
    // Without a `Date`, ours is all there is; a step can do no more than the cap.
    let headers = [("retry-after", "Mon, 15 Nov 2094 08:12:34 GMT".to_owned())];
    assert!(wait(&headers).await.unwrap() <= 5_011 * MS);
    let headers = [("retry-after", "Tue, 15 Nov 1994 08:12:34 GMT".to_owned())];
    assert!(wait(&headers).await.unwrap() <= 11 * MS);
}

#[tokio::test(start_paused = true)]
async fn hostile_headers_neither_hold_a_call_nor_hurry_it() {
    for (value, most) in [
        ("18446744073709551615", 5_011),
        ("99999999999999999999999999", 11),
        ("-1", 11),
        ("1e9", 11),
        ("0x10", 11),
        ("inf", 11),
        ("", 11),
        ("Tue, 99 Nov 9999 99:99:99 GMT", 11),
    ] {
        let wait = wait(&[("retry-after", value.to_owned())]).await.unwrap();
        assert!(wait <= most * MS, "{value:?}: {wait:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn no_retry_after_and_no_mark_header_makes_a_reader_panic(
        value in prop::collection::vec(any::<u8>(), 0..40),
        date in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut response = Response::new(());
        let mut request = Request::new(());
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            response.headers_mut().insert("retry-after", value.clone());
            for name in [DEADLINE, ATTEMPT, http::HeaderName::from_static("grpc-timeout")] {
                request.headers_mut().insert(name, value.clone());
            }
        }
        if let Ok(date) = http::HeaderValue::from_bytes(&date) {
            response.headers_mut().insert("date", date);
        }
        let _ = response.retry_after();
        let server = ReadMarksLayer::default().layer(service_fn(|request: Request<()>| {
            std::future::ready(Ok::<_, E>(request.attempt().is_some_and(|a| a.number() == 0)))
        }));
        let zero = futures::executor::block_on(server.oneshot(request)).unwrap();
        prop_assert!(!zero, "an attempt is counted from 1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_crosses_to_another_process_and_ends_there_what_it_asks_of_others() {
    let left = Arc::<Mutex<Vec<Duration>>>::default();
    let seen = Arc::clone(&left);
    // The service behind the server.
    let last = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TimeoutConfig::new("ledger")).unwrap().with_deadline())
        .service(service_fn(move |request: Request<()>| {
            let deadline = request.deadline().unwrap();
            seen.lock().unwrap().push(deadline.since(Clock::default().now()));
            std::future::ready(Ok::<_, E>(Response::new(())))
        }));
    // The server: half a second late.
    let server = ReadMarksLayer::default().layer(service_fn(move |request: Request<()>| {
        let last = last.clone();
        async move {
            sleep(500 * MS).await;
            let mut onward = Request::new(());
            inherit(request.extensions(), &mut onward);
            last.oneshot(onward).await
        }
    }));
    // The wire: headers alone.
    let wire = service_fn(move |request: Request<()>| {
        let mut arrived = Request::new(());
        *arrived.headers_mut() = request.headers().clone();
        server.clone().oneshot(arrived)
    });
    let client = |limit| {
        let config = TimeoutConfig::new("payments").limit(limit);
        ServiceBuilder::new()
            .layer(TimeoutLayer::new(config).unwrap().with_deadline())
            .layer(SendMarksLayer::default())
            .service(wire.clone())
    };
    client(800 * MS).oneshot(Request::new(())).await.unwrap();
    assert_eq!(*left.lock().unwrap(), [300 * MS], "what is left of it");
    client(400 * MS).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(left.lock().unwrap().len(), 1, "nothing is asked when the caller has gone");
}

#[tokio::test(start_paused = true)]
async fn neither_a_header_nor_a_callers_mark_puts_a_deadline_off() {
    let now = Clock::default().now();
    let seen = |own: Option<Duration>, header: Duration| {
        let server = ReadMarksLayer::default().layer(service_fn(move |request: Request<()>| {
            let mut onward = Request::new(());
            if let Some(own) = own {
                onward.set_deadline(now.plus(own));
            }
            inherit(request.extensions(), &mut onward);
            let both = [request.deadline(), onward.deadline()].map(|at| at.unwrap().since(now));
            std::future::ready(Ok::<_, E>(both))
        }));
        let mut request = Request::new(());
        request.headers_mut().insert(DEADLINE, (header.as_millis() as u64).into());
        // A layer outside has given it a second.
        request.set_deadline(now.plus(1_000 * MS));
        server.oneshot(request)
    };
    assert_eq!(seen(None, 700 * MS).await.unwrap(), [700 * MS, 700 * MS]);
    assert_eq!(seen(None, 5_000 * MS).await.unwrap(), [1_000 * MS, 1_000 * MS]);
    assert_eq!(seen(Some(200 * MS), 700 * MS).await.unwrap(), [700 * MS, 200 * MS]);
    assert_eq!(seen(Some(900 * MS), 700 * MS).await.unwrap(), [700 * MS, 700 * MS]);
}

#[tokio::test(start_paused = true)]
async fn retries_in_three_processes_make_three_attempts_of_one_call() {
    let calls = Arc::<Mutex<u32>>::default();
    let count = Arc::clone(&calls);
    let retry = || {
        let classify = ByStatus::new().for_retry();
        RetryLayer::new(RetryConfig::new("payments")).unwrap().classify(classify)
    };
    let last = service_fn(move |_: Request<()>| {
        *count.lock().unwrap() += 1;
        std::future::ready(Ok::<_, E>(Response::builder().status(503).body(()).unwrap()))
    });
    // One process: reads marks, retries what it asks of the next, and sends marks on.
    macro_rules! process {
        ($next:expr) => {{
            let onward = ServiceBuilder::new()
                .layer(retry())
                .layer(SendMarksLayer::default())
                .service($next);
            ReadMarksLayer::default().layer(service_fn(move |request: Request<()>| {
                let mut asked = Request::new(());
                inherit(request.extensions(), &mut asked);
                onward.clone().oneshot(asked)
            }))
        }};
    }
    macro_rules! wire {
        ($server:expr) => {{
            let server = $server;
            service_fn(move |request: Request<()>| {
                let mut arrived = Request::new(());
                *arrived.headers_mut() = request.headers().clone();
                server.clone().oneshot(arrived)
            })
        }};
    }
    let first = process!(wire!(process!(wire!(process!(last)))));
    first.oneshot(Request::new(())).await.unwrap();
    assert_eq!(*calls.lock().unwrap(), 3);
}

/// Three processes over real connections, each with a client that retries: what arrives at the last?
#[tokio::test]
async fn over_real_connections_three_retrying_clients_make_three_attempts_of_one_call() {
    use hyper::body::Incoming;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::convert::Infallible;
    use std::net::SocketAddr;

    type Wire = Error<hyper_util::client::legacy::Error>;

    async fn serve<S>(service: S) -> SocketAddr
    where
        S: Service<Request<Incoming>, Response = Response<Empty<Bytes>>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                let answer = hyper::service::service_fn(move |ask| service.clone().oneshot(ask));
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
        address
    }

    /// A client that retries at once, three attempts in all, and sends its marks.
    fn client()
    -> impl Service<Request<Empty<Bytes>>, Response = Response<Incoming>, Error = Wire, Future: Send>
    + Clone
    + Send {
        let config = RetryConfig::new("next").backoff(Duration::ZERO, Duration::ZERO);
        let retry = RetryLayer::new(config).unwrap().classify(ByStatus::new().for_retry());
        let wire = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        ServiceBuilder::new()
            .layer(retry)
            .layer(SendMarksLayer::default())
            .map_err(Error::from)
            .service(wire)
    }

    fn ask(address: SocketAddr) -> Request<Empty<Bytes>> {
        Request::get(format!("http://{address}/quotes/7")).body(Empty::new()).unwrap()
    }

    let seen = Arc::<Mutex<Vec<Option<String>>>>::default();
    let log = Arc::clone(&seen);
    let mut next = serve(service_fn(move |request: Request<Incoming>| {
        let mark = request.headers().get(ATTEMPT).map(|mark| mark.to_str().unwrap().to_owned());
        log.lock().unwrap().push(mark);
        let mut sick = Response::new(Empty::new());
        *sick.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        std::future::ready(Ok(sick))
    }))
    .await;
    for _ in 0..2 {
        let (onward, address) = (client(), next);
        next = serve(ReadMarksLayer::default().layer(service_fn(
            move |request: Request<Incoming>| {
                let mut asked = ask(address);
                inherit(request.extensions(), &mut asked);
                let onward = onward.clone();
                async move {
                    let answer = onward.oneshot(asked).await.unwrap();
                    let mut passed_on = Response::new(Empty::new());
                    *passed_on.status_mut() = answer.status();
                    Ok(passed_on)
                }
            },
        )))
        .await;
    }
    assert_eq!(client().oneshot(ask(next)).await.unwrap().status(), 503);
    let seen = seen.lock().unwrap();
    let numbers: Vec<_> = seen.iter().map(Option::as_deref).collect();
    assert_eq!(numbers, [Some("1"), Some("2"), Some("3")], "the outermost's marks, all the way");
}

#[tokio::test]
async fn marks_are_written_for_grpc_in_its_own_header_too() {
    let (clock, _hand) = Clock::manual();
    let client = SendMarksLayer::new(clock.clone()).layer(service_fn(|request: Request<()>| {
        std::future::ready(Ok::<_, E>(request.headers().clone()))
    }));
    let mut request = Request::new(());
    assert!(
        client.clone().oneshot(request.clone()).await.unwrap().is_empty(),
        "no marks, no header"
    );
    request.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    request.set_deadline(clock.now().plus(1_500 * MS));
    request.set_attempt(seawall::request::Attempt::new(2));
    let headers = client.oneshot(request).await.unwrap();
    assert_eq!(headers["grpc-timeout"], "1500m");
    assert_eq!(
        (&headers[DEADLINE], &headers[ATTEMPT]),
        (&"1500".parse().unwrap(), &"2".parse().unwrap())
    );
}
