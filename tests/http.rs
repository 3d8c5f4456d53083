//! HTTP: whole bodies, outcomes, `Retry-After`, keys, cache rules, and a real client on top.
#![cfg(all(feature = "http", feature = "cache"))]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::task::noop_waker_ref;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use proptest::prelude::*;
use seawall::clock::{Clock, ManualClock};
use seawall::error::{Carry, Error, Reason, Rejected, Room};
use seawall::fallback::{CachedConfig, FallbackLayer, Keep, Verdict};
use seawall::http::{
    self as sea, Body, Buffer, BufferConfig, BufferError, BufferLayer, ByGrpcStatus, ByStatus,
    CacheRules, KeptResponse, KeyRules,
};
use seawall::key::Key;
use seawall::outcome::{Classify, Outcome};
use seawall::retry_after::RetryAfter;
use seawall::stale::{Cause, Staleness};
use static_assertions::assert_impl_all;
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// What a scripted body does next.
#[derive(Clone, Debug)]
enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Wait,
    Break,
}

/// A body that does what it is told; it hints at its length only if told to.
#[derive(Clone, Debug, Default)]
struct Scripted {
    steps: VecDeque<Step>,
    length: Option<u64>,
}

fn scripted(steps: impl IntoIterator<Item = Step>) -> Scripted {
    Scripted { steps: steps.into_iter().collect(), length: None }
}

fn data(text: &'static str) -> Step {
    Step::Data(Bytes::from_static(text.as_bytes()))
}

fn trailers() -> HeaderMap {
    [("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))].into_iter().collect()
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(map)) => Poll::Ready(Some(Ok(Frame::trailers(map)))),
            Some(Step::Break) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

type Called = Result<Response<Body<Scripted>>, BufferError<io::Error, io::Error>>;

fn get() -> Request<()> {
    Request::get("https://pay.example/quotes/7").body(()).unwrap()
}

/// One response with this body through a buffer of `max_body`.
async fn buffered(request: Request<()>, max_body: usize, body: Scripted) -> Called {
    let mut response = Some(Response::new(body));
    BufferLayer::new(BufferConfig::new().max_body(max_body))
        .unwrap()
        .layer(service_fn(move |_: Request<()>| {
            ready(Ok::<_, io::Error>(response.take().unwrap()))
        }))
        .oneshot(request)
        .await
}

mod buffer {
    use super::*;

    #[tokio::test]
    async fn a_reads_body_is_read_before_the_answer_and_its_trailers_are_kept() {
        let body = scripted([
            data("9."),
            Step::Wait,
            data("99"),
            data(""),
            data(" EUR"),
            Step::Trailers(trailers()),
        ]);
        let response = buffered(get(), 100, body).await.unwrap();
        let body = response.into_body();
        assert_eq!(body.as_bytes().unwrap(), "9.99 EUR");
        assert_eq!(body.trailers(), Some(&trailers()));
        assert_eq!(body.size_hint().exact(), Some(8));
        assert!(!body.is_end_stream());
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), "9.99 EUR");
    }

    #[tokio::test]
    async fn a_body_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7_u8; 1000]);
        let body = scripted([Step::Data(chunk.clone())]);
        let response = buffered(get(), 1000, body).await.unwrap();
        assert_eq!(response.body().as_bytes().unwrap().as_ptr(), chunk.as_ptr());
    }

    #[tokio::test]
    async fn what_is_no_read_passes_through_unread() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let mut request = get();
            *request.method_mut() = method;
            let response = buffered(request, 100, scripted([Step::Break])).await.unwrap();
            assert!(response.body().as_bytes().is_none());
            assert!(response.into_body().collect().await.is_err());
        }
    }

    #[tokio::test]
    async fn which_requests_are_reads_can_be_said() {
        let config =
            BufferConfig::new().reads(|request: &Request<()>| *request.method() == Method::POST);
        let service = BufferLayer::new(config).unwrap().layer(service_fn(|_| {
            ready(Ok::<_, io::Error>(Response::new(Full::<Bytes>::from("x"))))
        }));
        let whole = service.clone().oneshot(Request::post("/").body(()).unwrap());
        assert!(whole.await.unwrap().body().as_bytes().is_some());
        let passing = service.oneshot(get()).await.unwrap();
        assert!(passing.body().as_bytes().is_none());
    }

    #[tokio::test]
    async fn a_body_that_says_it_is_too_long_passes_through_unread() {
        let body = Scripted { length: Some(9), ..scripted([data("123456789")]) };
        let response = buffered(get(), 8, body).await.unwrap();
        let body = response.into_body();
        assert!(body.as_bytes().is_none());
        assert_eq!(body.size_hint().exact(), Some(9));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "123456789");
    }

    #[tokio::test]
    async fn a_body_that_turns_out_too_long_passes_through_from_its_first_byte() {
        let steps = [
            data("1234"),
            Step::Wait,
            data("56789"),
            Step::Wait,
            data("abc"),
            Step::Trailers(trailers()),
        ];
        let response = buffered(get(), 8, scripted(steps)).await.unwrap();
        let body = response.into_body();
        assert!(body.as_bytes().is_none() && !body.is_end_stream());
        assert_eq!(body.size_hint().lower(), 9, "what was read");
        assert_eq!(body.size_hint().upper(), None);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), "123456789abc");
    }

    #[tokio::test]
    async fn a_body_of_exactly_max_body_is_whole() {
        let body = scripted([data("1234"), data("5678")]);
        let response = buffered(get(), 8, body).await.unwrap();
        assert_eq!(response.body().as_bytes().unwrap(), "12345678");
    }

    #[tokio::test]
    async fn an_empty_body_is_whole_and_at_its_end() {
        let response = buffered(get(), 8, scripted([])).await.unwrap();
        assert_eq!(response.body().as_bytes().unwrap(), "");
        assert!(response.body().is_end_stream());
        assert!(response.into_body().frame().await.is_none());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_not_an_answer() {
        let body = scripted([data("9."), Step::Wait, Step::Break]);
        let BufferError::Body(error) = buffered(get(), 100, body).await.unwrap_err() else {
            panic!("the call itself went well");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_clients_error_stays_what_it_is() {
        let service =
            BufferLayer::new(BufferConfig::new()).unwrap().layer(service_fn(|_: Request<()>| {
                ready(Err::<Response<Scripted>, _>(io::Error::other("no route")))
            }));
        let error = service.oneshot(get()).await.unwrap_err();
        assert!(matches!(&error, BufferError::Call(e) if e.to_string() == "no route"));
        assert_eq!(Error::from(error).to_string(), "no route", "lifted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_outside_covers_a_body_that_hangs() {
        let hangs = service_fn(|_: Request<()>| {
            let body = http_body_util::StreamBody::new(futures::stream::pending::<
                Result<Frame<Bytes>, Infallible>,
            >());
            ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let service = BufferLayer::new(BufferConfig::new()).unwrap().layer(hangs);
        let call = tokio::time::timeout(SECOND, service.oneshot(get()));
        assert!(call.await.is_err(), "the head alone is no answer");
    }

    #[test]
    fn a_call_dropped_while_reading_drops_the_body() {
        let owner = Arc::new(());
        struct Held(#[allow(dead_code)] Arc<()>);
        impl http_body::Body for Held {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                Poll::Pending
            }
        }
        let held = Arc::clone(&owner);
        let mut service = BufferLayer::new(BufferConfig::new()).unwrap().layer(service_fn(
            move |_: Request<()>| {
                ready(Ok::<_, Infallible>(Response::new(Held(Arc::clone(&held)))))
            },
        ));
        let mut call = service.call(get());
        let poll = Pin::new(&mut call).poll(&mut Context::from_waker(noop_waker_ref()));
        assert!(poll.is_pending());
        assert_eq!(Arc::strong_count(&owner), 3);
        drop(call);
        assert_eq!(Arc::strong_count(&owner), 2);
    }

    #[test]
    fn an_absurd_limit_is_a_typed_error() {
        for bytes in [0, (1 << 30) + 1, usize::MAX] {
            let error = BufferLayer::new(BufferConfig::new().max_body(bytes)).unwrap_err();
            assert_eq!(error.field(), "max_body");
        }
    }

    #[test]
    fn it_is_as_send_as_its_client() {
        assert_impl_all!(Buffer<()>: Send, Sync, Clone);
        assert_impl_all!(Body<Full<Bytes>>: Send, Sync, Unpin);
        assert_impl_all!(sea::ResponseFuture<std::future::Ready<()>, Scripted>: Send, Unpin);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// However a body is cut into chunks, and wherever the limit is, all of it arrives once.
        #[test]
        fn no_byte_is_lost_or_doubled(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            max_body in 1_usize..40,
            waits in any::<u16>(),
        ) {
            let all = chunks.concat();
            let steps = chunks.into_iter().enumerate().flat_map(|(i, chunk)| {
                let wait = (waits >> i & 1 == 1).then_some(Step::Wait);
                wait.into_iter().chain([Step::Data(chunk.into())])
            });
            let call = buffered(get(), max_body, scripted(steps));
            let response = futures::executor::block_on(call).unwrap();
            prop_assert_eq!(response.body().as_bytes().is_some(), all.len() <= max_body);
            let body = futures::executor::block_on(response.into_body().collect()).unwrap();
            prop_assert_eq!(body.to_bytes(), all);
        }
    }
}

mod classification {
    use super::*;

    #[test]
    fn every_status_has_its_outcome() {
        for code in 100..=599_u16 {
            let status = StatusCode::from_u16(code).unwrap();
            let expected = match code {
                408 => Outcome::Failure,
                429 => Outcome::Ignored,
                501 => Outcome::Success,
                500..=599 => Outcome::Failure,
                _ => Outcome::Success,
            };
            assert_eq!(ByStatus::new().of_status(status), expected, "{code}");
        }
        let throttled = ByStatus::new().throttled(Outcome::Failure);
        assert_eq!(throttled.of_status(StatusCode::TOO_MANY_REQUESTS), Outcome::Failure);
    }

    #[test]
    fn an_error_is_in_doubt_unless_nothing_was_sent() {
        type E = BufferError<io::Error, io::Error>;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let unknown = ByStatus::new();
        let told = ByStatus::new()
            .connect_errors(|e: &io::Error| e.kind() == io::ErrorKind::ConnectionRefused);
        let judge = |error: &E| Classify::<Response<()>, E>::classify(&told, Err(error));

        let cautious = Classify::<Response<()>, _>::classify(&unknown, Err(&refused()));
        assert_eq!(cautious, Outcome::InDoubt);
        assert_eq!(judge(&BufferError::Call(refused())), Outcome::Failure);
        assert_eq!(judge(&BufferError::Call(reset())), Outcome::InDoubt);
        assert_eq!(
            judge(&BufferError::Body(refused())),
            Outcome::InDoubt,
            "a body breaks off late"
        );

        let wrapped: [Error<E>; 1] = [Error::Inner(BufferError::Call(refused()))];
        let judged = Classify::<Response<()>, _>::classify(&told, Err(&wrapped[0]));
        assert_eq!(judged, Outcome::Failure);
        let below: BufferError<Error<io::Error>, io::Error> =
            BufferError::Call(Error::Inner(refused()));
        let judged = Classify::<Response<()>, _>::classify(&told, Err(&below));
        assert_eq!(judged, Outcome::Failure);
    }

    #[test]
    fn a_grpc_call_ends_by_its_status_in_headers_or_trailers() {
        let by_status = ByGrpcStatus::default();
        let judge = |response: &Response<Body<Scripted>>| {
            Classify::<_, io::Error>::classify(&by_status, Ok(response))
        };
        for code in 0..=20 {
            let expected = match code {
                8 => Outcome::Ignored,
                2 | 4 | 13 | 14 | 15 | 17.. => Outcome::Failure,
                _ => Outcome::Success,
            };
            let in_headers =
                Response::builder().header("grpc-status", code).body(Body::whole("")).unwrap();
            assert_eq!(judge(&in_headers), expected, "{code}");
            let map = [("grpc-status".parse().unwrap(), HeaderValue::from(code))];
            let steps = [data("x"), Step::Trailers(map.into_iter().collect())];
            let call = buffered(get(), 10, scripted(steps));
            let in_trailers = futures::executor::block_on(call).unwrap();
            assert_eq!(judge(&in_trailers), expected, "{code} in trailers");
        }
        assert_eq!(judge(&Response::new(Body::whole("x"))), Outcome::Failure, "no status at all");
        let passing = Response::new(Body::passing(scripted([])));
        assert_eq!(judge(&passing), Outcome::Success, "not known yet");
        let unavailable = Response::builder().status(503).body(Body::whole("")).unwrap();
        assert_eq!(judge(&unavailable), Outcome::Failure);
    }
}

mod retry_after {
    use super::*;

    fn parse(value: &[u8], date: Option<&str>) -> Option<Duration> {
        let mut response = Response::new(());
        let value = HeaderValue::from_bytes(value).ok()?;
        response.headers_mut().insert("retry-after", value);
        if let Some(date) = date {
            response.headers_mut().insert("date", date.parse().unwrap());
        }
        response.retry_after()
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(parse(b"120", None), Some(SECOND * 120));
        assert_eq!(parse(b" 0 ", None), Some(Duration::ZERO));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for later in [
            "Sun, 06 Nov 1994 08:50:07 GMT",
            "Sunday, 06-Nov-94 08:50:07 GMT",
            "Sun Nov  6 08:50:07 1994",
        ] {
            assert_eq!(parse(later.as_bytes(), date), Some(SECOND * 30), "{later}");
        }
        let past = parse(b"Sun, 06 Nov 1994 08:49:07 GMT", date);
        assert_eq!(past, Some(Duration::ZERO));
    }

    #[test]
    fn a_date_is_taken_by_the_servers_own_clock_so_that_ours_may_be_stepped() {
        let far = parse(b"Fri, 31 Dec 2100 00:01:00 GMT", Some("Fri, 31 Dec 2100 00:00:00 GMT"));
        assert_eq!(far, Some(SECOND * 60));
        let without = parse(b"Sun, 06 Nov 1994 08:49:37 GMT", None);
        assert_eq!(without, Some(Duration::ZERO), "long past by any clock");
        let nonsense = parse(b"Sun, 06 Nov 1994 08:49:37 GMT", Some("yesterday"));
        assert_eq!(nonsense, Some(Duration::ZERO), "as without");
    }

    #[test]
    fn nonsense_is_none() {
        let huge = "9".repeat(1000);
        for nonsense in [
            "",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "0x10",
            "1,2",
            "1 2",
            "soon",
            &huge,
            "18446744073709551616",
            "Sun, 99 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(nonsense.as_bytes(), None), None, "{nonsense:.40}");
        }
        assert_eq!(parse(b"\xFF\xFE", None), None);
        assert_eq!(Response::new(()).retry_after(), None);
        assert_eq!(parse(b"18446744073709551615", None), Some(Duration::from_secs(u64::MAX)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&value, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        }

        #[test]
        fn no_date_like_text_makes_it_panic(
            text in "(Sun|Mon)?,? ?[0-9]{0,3}[ -](Jan|Feb|Dec)?[ -][0-9]{0,6} [0-9:]{0,9} ?(GMT)?",
        ) {
            let _ = parse(text.as_bytes(), None);
        }
    }
}

mod keys {
    use super::*;

    fn key(change: impl FnOnce(&mut Request<()>)) -> Option<Key> {
        let mut request = get();
        change(&mut request);
        KeyRules::new().key(&request)
    }

    fn with(name: &'static str, value: &'static str) -> Option<Key> {
        key(|request| {
            request.headers_mut().append(name, value.parse().unwrap());
        })
    }

    fn at(uri: &'static str) -> Option<Key> {
        key(|request| *request.uri_mut() = uri.parse().unwrap())
    }

    #[test]
    fn whatever_may_change_the_answer_changes_the_key() {
        let keys = [
            key(|_| ()),
            key(|request| *request.method_mut() = Method::HEAD),
            at("http://pay.example/quotes/7"),
            at("https://other.example/quotes/7"),
            at("https://pay.example:444/quotes/7"),
            at("https://pay.example/quotes/8"),
            at("https://pay.example/quotes/7?"),
            at("https://pay.example/quotes/7?a=1"),
            at("https://pay.example/quotes/7?a=1&b=2"),
            at("https://pay.example/quotes/7?b=2&a=1"),
            at("/quotes/7"),
            with("host", "pay.example"),
            with("host", "other.example"),
            with("authorization", "a"),
            with("authorization", "b"),
            with("authorization", ""),
            with("cookie", "a"),
            with("cookie", "b"),
            with("accept", "text/html"),
            with("accept", "text/csv"),
            with("accept-language", "text/csv"),
            with("accept-encoding", "gzip"),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(a.is_some(), "{i}");
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(i == j, a == b, "{i} and {j}");
            }
        }
    }

    #[test]
    fn values_keep_their_borders() {
        let pair = |name: &'static str, a: &'static str, b: &'static str| {
            key(|request| {
                for value in [a, b] {
                    request.headers_mut().append(name, value.parse().unwrap());
                }
            })
        };
        assert_ne!(pair("cookie", "ab", "c"), pair("cookie", "a", "bc"));
        assert_ne!(pair("cookie", "a", ""), with("cookie", "a"));
        assert_ne!(pair("accept", "a", "b"), pair("accept", "b", "a"));
    }

    #[test]
    fn what_does_not_matter_does_not_change_the_key() {
        assert_eq!(key(|_| ()), with("user-agent", "x"));
        assert_eq!(key(|_| ()), with("traceparent", "00-1-2-01"));
        assert_eq!(key(|_| ()), with("cache-control", "max-stale=5"));
    }

    #[test]
    fn no_unsafe_request_has_a_key() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "get"] {
            let method: Method = method.parse().unwrap();
            assert_eq!(key(|request| *request.method_mut() = method), None);
        }
    }

    #[test]
    fn a_request_that_wants_no_cache_or_only_a_part_has_no_key() {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("cache-control", "max-age=0, No-Cache"),
            ("pragma", "no-cache"),
            ("range", "bytes=0-10"),
            ("upgrade", "websocket"),
        ] {
            assert_eq!(with(name, value), None, "{name}: {value}");
        }
    }

    #[test]
    fn a_request_with_a_body_has_no_key() {
        assert_eq!(with("content-length", "12"), None);
        assert_eq!(with("transfer-encoding", "chunked"), None);
        assert!(with("content-length", "0").is_some());
    }

    #[test]
    fn credentials_without_a_known_principal_have_no_key() {
        let rules = KeyRules::new().principal(|_: &Request<()>| None);
        assert!(rules.key(&get()).is_some(), "public");
        for name in ["authorization", "cookie"] {
            let mut request = get();
            request.headers_mut().insert(name, "x".parse().unwrap());
            assert_eq!(rules.key(&request), None);
        }
    }

    #[test]
    fn more_headers_can_be_made_part_of_the_key() {
        let rules = KeyRules::new().vary(["x-tenant".parse().unwrap()]);
        let tenant = |name: &'static str| {
            let mut request = get();
            request.headers_mut().insert("x-tenant", name.parse().unwrap());
            rules.key(&request)
        };
        assert_ne!(tenant("a"), tenant("b"));
        let many = (0..100).map(|i| format!("x-{i}").parse().unwrap());
        assert!(KeyRules::new().vary(many).key(&get()).is_some(), "bounded, not broken");
    }
}

mod cache {
    use super::*;

    type Cache = sea::CachedLayer;
    type Reply = Result<Response<Scripted>, Error<BufferError<io::Error, io::Error>>>;

    fn config() -> (CachedConfig<CacheRules, ByStatus>, ManualClock) {
        let (clock, hand) = Clock::manual();
        let config = sea::cached("payments").refresh_age(SECOND);
        (config.max_stale(SECOND * 600).clock(clock), hand)
    }

    fn cache() -> (Cache, ManualClock) {
        let (config, hand) = config();
        (Cache::cached(config).unwrap(), hand)
    }

    fn reply(headers: &[(&'static str, &'static str)]) -> Reply {
        let mut builder = Response::builder();
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        Ok(builder.body(scripted([data("9.99 EUR")])).unwrap())
    }

    fn status(status: u16) -> Reply {
        Ok(Response::builder().status(status).body(scripted([])).unwrap())
    }

    fn reset() -> Reply {
        let error = io::Error::from(io::ErrorKind::ConnectionReset);
        Err(Error::Inner(BufferError::Call(error)))
    }

    /// One exchange through the cache over a buffer.
    async fn exchange(
        cache: &Cache,
        request: Request<()>,
        reply: Reply,
    ) -> Result<Response<Body<Scripted>>, Error<BufferError<io::Error, io::Error>>> {
        let mut reply = Some(reply);
        let client = service_fn(move |_: Request<()>| ready(reply.take().unwrap()));
        let buffer = BufferLayer::new(BufferConfig::new()).unwrap().layer(client);
        let flat = buffer.map_err(|error| match error {
            BufferError::Call(error) => error,
            BufferError::Body(error) => Error::Inner(BufferError::Body(error)),
        });
        cache.layer(flat).oneshot(request).await
    }

    fn is_stale<B>(response: &Response<B>) -> bool {
        response.extensions().get::<Staleness>().is_some()
    }

    /// Is a response with these headers given out again after 5 s?
    async fn is_given(headers: &[(&'static str, &'static str)]) -> bool {
        is_given_to(get(), headers).await
    }

    async fn is_given_to(request: Request<()>, headers: &[(&'static str, &'static str)]) -> bool {
        let (cache, hand) = cache();
        let fresh = exchange(&cache, request.clone(), reply(headers)).await.unwrap();
        assert!(!is_stale(&fresh));
        hand.advance(SECOND * 5);
        exchange(&cache, request, reset()).await.is_ok_and(|r| is_stale(&r))
    }

    fn as_user(user: &'static str) -> Request<()> {
        let mut request = get();
        request.headers_mut().insert("authorization", user.parse().unwrap());
        request
    }

    #[tokio::test]
    async fn the_last_good_response_is_given_whole_and_marked() {
        let (cache, hand) = cache();
        let steps = [data("9.99"), data(" EUR"), Step::Trailers(trailers())];
        let fresh = Response::builder()
            .status(203)
            .version(http::Version::HTTP_2)
            .header("content-type", "text/plain")
            .header("x-two", "a")
            .header("x-two", "b")
            .body(scripted(steps))
            .unwrap();
        exchange(&cache, get(), Ok(fresh)).await.unwrap();
        hand.advance(SECOND * 40);
        let stale = exchange(&cache, get(), status(503)).await.unwrap();
        assert_eq!((stale.status().as_u16(), stale.version()), (203, http::Version::HTTP_2));
        assert_eq!(stale.headers()["age"], "40");
        assert_eq!(stale.headers()["content-type"], "text/plain");
        assert_eq!(stale.headers().get_all("x-two").iter().count(), 2);
        let mark = stale.extensions().get::<Staleness>().unwrap();
        assert_eq!(mark.age, SECOND * 40);
        assert_eq!(mark.cause, Cause::Failed(Outcome::Failure));
        let collected = stale.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), "9.99 EUR");
    }

    #[tokio::test]
    async fn it_is_given_for_failures_throttling_doubt_and_refusals_and_for_nothing_else() {
        let (cache, _hand) = cache();
        exchange(&cache, get(), reply(&[])).await.unwrap();
        let refusal = Rejected::new(Room::Breaker, Reason::CircuitOpen, "payments");
        let bad = [
            status(500),
            status(503),
            status(408),
            status(429),
            reset(),
            Err(Carry::from_rejected(refusal)),
            Err(Carry::from_rejected(refusal.after_sending())),
        ];
        for bad in bad {
            assert!(is_stale(&exchange(&cache, get(), bad).await.unwrap()));
        }
        for good in [200, 301, 304, 501] {
            let fresh = exchange(&cache, get(), status(good)).await.unwrap();
            assert!(!is_stale(&fresh), "{good}");
        }
    }

    #[tokio::test]
    async fn without_a_kept_response_the_original_comes_back_untouched() {
        let (cache, _hand) = cache();
        let original = exchange(&cache, get(), status(503)).await.unwrap();
        assert_eq!(original.status(), 503);
        assert!(!is_stale(&original));
    }

    #[tokio::test]
    async fn an_error_is_never_kept() {
        let (cache, hand) = cache();
        exchange(&cache, get(), reply(&[])).await.unwrap();
        hand.advance(SECOND * 5);
        for bad in [500, 503, 429] {
            exchange(&cache, get(), status(bad)).await.unwrap();
        }
        let stale = exchange(&cache, get(), reset()).await.unwrap();
        assert_eq!(stale.status(), 200);
        assert_eq!(cache.cache().snapshot().written, 1);
    }

    #[tokio::test]
    async fn no_charge_is_kept_or_answered() {
        let (cache, _hand) = cache();
        exchange(&cache, get(), reply(&[])).await.unwrap();
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let mut request = get();
            *request.method_mut() = method;
            assert!(exchange(&cache, request, reset()).await.is_err());
        }
    }

    #[tokio::test]
    async fn one_principals_response_is_never_anothers() {
        let (cache, hand) = cache();
        exchange(&cache, as_user("ada"), reply(&[])).await.unwrap();
        hand.advance(SECOND);
        assert!(exchange(&cache, as_user("bob"), reset()).await.is_err());
        assert!(exchange(&cache, get(), reset()).await.is_err(), "nor nobody's");
        assert!(is_stale(&exchange(&cache, as_user("ada"), reset()).await.unwrap()));
    }

    #[tokio::test]
    async fn what_the_server_forbids_is_not_given_stale() {
        for value in [
            "no-store",
            "NO-STORE",
            "max-age=60, no-store",
            "no-cache",
            "no-cache=\"x\"",
            "must-revalidate",
            "max-age=600, must-revalidate",
            "proxy-revalidate",
            "private",
            "private=\"x\"",
            "s-maxage=0",
            "stale-if-error=0",
            "stale-if-error=nonsense",
        ] {
            assert!(!is_given(&[("cache-control", value)]).await, "{value}");
        }
        let two_lines = [("cache-control", "max-age=60"), ("cache-control", "no-store")];
        assert!(!is_given(&two_lines).await);
    }

    #[tokio::test]
    async fn what_the_server_allows_or_does_not_speak_of_is_given() {
        assert!(is_given(&[]).await);
        for value in ["public", "max-age=0", "max-age=1", "x=\"no-store\"", "stale-if-error=5"] {
            assert!(is_given(&[("cache-control", value)]).await, "{value}");
        }
    }

    #[tokio::test]
    async fn private_and_set_cookie_need_a_principal_in_the_key() {
        for header in [("cache-control", "private"), ("set-cookie", "session=1")] {
            assert!(!is_given(&[header]).await, "{header:?}");
            assert!(is_given_to(as_user("ada"), &[header]).await, "{header:?}");
        }
        let (cache, _hand) = cache();
        let cookie = reply(&[("set-cookie", "session=1")]);
        exchange(&cache, as_user("ada"), cookie).await.unwrap();
        let stale = exchange(&cache, as_user("ada"), reset()).await.unwrap();
        assert!(!stale.headers().contains_key("set-cookie"), "an old session is not set again");
    }

    #[tokio::test]
    async fn a_response_that_varies_by_what_is_not_in_the_key_is_not_kept() {
        for value in ["*", "x-tenant", "accept, x-tenant", "accept, *", "\"accept\"", "a b"] {
            assert!(!is_given(&[("vary", value)]).await, "{value}");
        }
        for value in ["", "accept", "Accept-Encoding, accept-language", "cookie", "authorization"] {
            assert!(is_given(&[("vary", value)]).await, "{value}");
        }
        let (config, _hand) = config();
        let config = config.map_rules(|rules| rules.vary(["x-tenant".parse().unwrap()]));
        let cache: Cache = Cache::cached(config).unwrap();
        exchange(&cache, get(), reply(&[("vary", "x-tenant")])).await.unwrap();
        assert!(exchange(&cache, get(), reset()).await.is_ok(), "now it is in the key");
        let mut other = get();
        other.headers_mut().insert("x-tenant", "b".parse().unwrap());
        assert!(exchange(&cache, other, reset()).await.is_err());
    }

    #[tokio::test]
    async fn stale_if_error_bounds_how_long_and_age_counts() {
        let until = async |headers: &'static [(&'static str, &'static str)]| {
            let (cache, hand) = cache();
            exchange(&cache, get(), reply(headers)).await.unwrap();
            let mut seconds = 0;
            while exchange(&cache, get(), reset()).await.is_ok() {
                hand.advance(SECOND);
                seconds += 1;
            }
            seconds - 1
        };
        assert_eq!(until(&[]).await, 600, "max_stale");
        assert_eq!(until(&[("age", "100")]).await, 500);
        assert_eq!(until(&[("age", "100"), ("age", "590")]).await, 10, "the older");
        assert_eq!(until(&[("age", "nonsense")]).await, 600, "RFC 9111 section 5.1: ignored");
        assert_eq!(until(&[("cache-control", "stale-if-error=20")]).await, 20);
        assert_eq!(until(&[("cache-control", "max-age=10, stale-if-error=20")]).await, 30);
        assert_eq!(until(&[("cache-control", "s-maxage=15")]).await, 15);
        assert_eq!(until(&[("cache-control", "stale-if-error=100000")]).await, 600);
        let both = [("age", "5"), ("cache-control", "max-age=10,stale-if-error=20")];
        let (cache, hand) = cache();
        exchange(&cache, get(), reply(&both)).await.unwrap();
        hand.advance(SECOND * 25);
        let stale = exchange(&cache, get(), reset()).await.unwrap();
        assert_eq!(stale.headers()["age"], "30", "its own age and ours");
    }

    #[tokio::test]
    async fn a_huge_age_is_too_old_and_no_panic() {
        assert!(!is_given(&[("age", "99999999999999999999999999")]).await);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_while_being_read_is_not_kept_and_is_answered_from_the_cache() {
        let (cache, hand) = cache();
        let broken = || {
            let steps = [data("9."), Step::Wait, Step::Break];
            Ok(Response::new(scripted(steps)))
        };
        assert!(exchange(&cache, get(), broken()).await.is_err());
        assert_eq!(cache.cache().snapshot().entries, 0);
        exchange(&cache, get(), reply(&[])).await.unwrap();
        hand.advance(SECOND * 5);
        let stale = exchange(&cache, get(), broken()).await.unwrap();
        assert_eq!(stale.body().as_bytes().unwrap(), "9.99 EUR");
        let mark = stale.extensions().get::<Staleness>().unwrap();
        assert_eq!(mark.cause, Cause::Failed(Outcome::InDoubt));
    }

    #[tokio::test]
    async fn a_body_that_passes_through_is_not_kept() {
        let (cache, _hand) = cache();
        let long = Response::new(Scripted { length: Some(2 << 20), ..scripted([data("x")]) });
        exchange(&cache, get(), Ok(long)).await.unwrap();
        assert_eq!(cache.cache().snapshot().entries, 0);
    }

    #[tokio::test]
    async fn a_good_answer_that_says_otherwise_drops_what_was_kept() {
        for gone in [status(404), status(403), status(301)] {
            let (cache, _hand) = cache();
            exchange(&cache, get(), reply(&[])).await.unwrap();
            exchange(&cache, get(), gone).await.unwrap();
            assert!(exchange(&cache, get(), reset()).await.is_err(), "at once");
            exchange(&cache, get(), reply(&[])).await.unwrap();
            assert!(exchange(&cache, get(), reset()).await.is_ok(), "and kept anew at once");
        }
        let (cache, hand) = cache();
        exchange(&cache, get(), reply(&[])).await.unwrap();
        hand.advance(SECOND * 2);
        exchange(&cache, get(), reply(&[("cache-control", "no-store")])).await.unwrap();
        assert!(exchange(&cache, get(), reset()).await.is_err());
    }

    #[tokio::test]
    async fn what_says_nothing_of_the_kept_response_leaves_it() {
        for other in [304, 206] {
            let (cache, hand) = cache();
            exchange(&cache, get(), reply(&[])).await.unwrap();
            hand.advance(SECOND * 2);
            exchange(&cache, get(), status(other)).await.unwrap();
            let stale = exchange(&cache, get(), reset()).await.unwrap();
            assert_eq!(stale.body().as_bytes().unwrap(), "9.99 EUR");
        }
    }

    #[tokio::test]
    async fn a_write_that_succeeds_drops_what_its_caller_read_of_the_same_target() {
        let write = |user, method: Method| {
            let mut request = as_user(user);
            *request.method_mut() = method;
            request
        };
        for method in [Method::PUT, Method::POST, Method::DELETE] {
            let (cache, _hand) = cache();
            exchange(&cache, as_user("ada"), reply(&[])).await.unwrap();
            let failed = exchange(&cache, write("ada", method.clone()), status(503)).await;
            assert_eq!(failed.unwrap().status(), 503);
            assert!(exchange(&cache, as_user("ada"), reset()).await.is_ok(), "nothing happened");
            exchange(&cache, write("ada", method), status(204)).await.unwrap();
            assert!(exchange(&cache, as_user("ada"), reset()).await.is_err());
        }
    }

    #[tokio::test]
    async fn hop_by_hop_headers_are_not_given_out_again() {
        let (cache, _hand) = cache();
        let headers = [
            ("connection", "close, X-Hop"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("x-hop", "1"),
            ("x-end", "1"),
            ("age", "3"),
        ];
        exchange(&cache, get(), reply(&headers)).await.unwrap();
        let stale = exchange(&cache, get(), reset()).await.unwrap();
        let mut names: Vec<_> = stale.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["age", "x-end"]);
    }

    #[tokio::test]
    async fn a_stale_answer_of_a_cache_further_in_is_not_kept_as_fresh() {
        let rules = CacheRules::new();
        let (age, cause) = (SECOND, Cause::Failed(Outcome::Failure));
        let mut stale = Response::new(Body::<Scripted>::whole("x"));
        stale.extensions_mut().insert(Staleness { age, cause });
        let (_, asked) =
            Keep::<Request<()>, Response<Body<Scripted>>>::key(&rules, &get()).unwrap();
        let verdict = Keep::<Request<()>, _>::keep(&rules, &asked, &stale);
        assert!(matches!(verdict, Verdict::Leave));
    }

    #[tokio::test]
    async fn a_kept_body_holds_no_more_memory_than_its_own() {
        let (cache, _hand) = cache();
        let buffer = Bytes::from(vec![b'x'; 100_000]);
        let slice = scripted([Step::Data(buffer.slice(..10))]);
        let fresh = exchange(&cache, get(), Ok(Response::new(slice))).await.unwrap();
        assert_eq!(fresh.body().as_bytes().unwrap().as_ptr(), buffer.as_ptr());
        drop(fresh);
        let stale = exchange(&cache, get(), reset()).await.unwrap();
        assert_ne!(stale.body().as_bytes().unwrap().as_ptr(), buffer.as_ptr());
        assert!(buffer.is_unique(), "the kept one is a copy of ten bytes");
    }

    fn header_value() -> impl Strategy<Value = HeaderValue> {
        let text = prop_oneof![
            "[a-z=,\"0-9 *;-]{0,40}",
            "(max-age|s-maxage|stale-if-error|private|no-cache)=?\"?[0-9-]{0,30}\"?,?",
            Just("*".to_owned()),
        ];
        let bytes = prop::collection::vec(any::<u8>(), 0..40);
        prop_oneof![text.prop_map(String::into_bytes), bytes]
            .prop_filter_map("no header", |bytes| HeaderValue::from_bytes(&bytes).ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// Whatever a server sends: no panic, nothing forbidden is given, nothing too old.
        #[test]
        fn hostile_headers_break_nothing(
            headers in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "cache-control", "vary", "age", "connection", "retry-after", "date",
                        "set-cookie", "content-range", "expires", "pragma",
                    ]),
                    header_value(),
                ),
                0..6,
            ),
        ) {
            let (cache, hand) = cache();
            let mut fresh = Response::new(scripted([data("x")]));
            for (name, value) in &headers {
                fresh.headers_mut().append(*name, value.clone());
            }
            let _ = fresh.retry_after();
            let run = |reply| futures::executor::block_on(exchange(&cache, get(), reply));
            run(Ok(fresh)).unwrap();
            hand.advance(SECOND * 5);
            if let Ok(stale) = run(reset()) {
                let age = stale.extensions().get::<Staleness>().unwrap().age;
                prop_assert!((SECOND * 5..=SECOND * 600).contains(&age));
                let forbidden = headers.iter().any(|(name, value)| {
                    let text = value.as_bytes();
                    *name == "set-cookie" || (*name == "vary" && text == b"*")
                        || (*name == "cache-control" && matches!(text.strip_prefix(b"private"), Some(b"" | [b',' | b'=', ..])))
                });
                prop_assert!(!forbidden, "{headers:?}");
            }
            hand.advance(SECOND * 600);
            prop_assert!(run(reset()).is_err());
        }
    }

    #[test]
    fn layers_over_any_body_are_send_and_sync() {
        assert_impl_all!(Cache: Send, Sync, Clone);
        assert_impl_all!(KeptResponse: Send, Sync);
    }
}

/// A server on loopback that plays one scripted exchange per connection, and hyper-util's client.
mod wire {
    use super::*;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    type Log = Arc<Mutex<Vec<&'static str>>>;

    /// Sends each of `answers` to one connection in turn, then closes it; afterwards stops listening.
    async fn server(answers: &'static [&'static str]) -> (SocketAddr, Log) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Log::default();
        let log = Arc::clone(&served);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                log.lock().unwrap().push(answer);
            }
        });
        (address, served)
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n9.99 EUR";
    const SICK: &str = "HTTP/1.1 503 Sick\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n9.9";
    const CUT_CHUNK: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n9.9";

    #[tokio::test]
    async fn hyper_utils_client_survives_sickness_a_reset_mid_body_and_a_dead_server() {
        let (address, served) = server(&[GOOD, SICK, CUT, CUT_CHUNK]).await;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let classify =
            ByStatus::new().connect_errors(|e: &hyper_util::client::legacy::Error| e.is_connect());
        let cached = FallbackLayer::cached(sea::cached("payments").classify(classify)).unwrap();
        let cache = cached.cache();
        let mut client = tower::ServiceBuilder::new()
            .layer(cached)
            .map_err(Error::from)
            .layer(BufferLayer::new(BufferConfig::new()).unwrap())
            .service(client);

        let mut causes = Vec::new();
        for _ in 0..5 {
            let request =
                Request::get(format!("http://{address}/quotes/7")).body(Empty::new()).unwrap();
            let response = client.ready().await.unwrap().call(request).await.unwrap();
            causes.push(response.extensions().get::<Staleness>().map(|mark| mark.cause));
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "9.99 EUR");
        }
        let expected = [
            None,
            Some(Cause::Failed(Outcome::Failure)),
            Some(Cause::Failed(Outcome::InDoubt)),
            Some(Cause::Failed(Outcome::InDoubt)),
            Some(Cause::Failed(Outcome::Failure)),
        ];
        assert_eq!(causes, expected, "a refused connection is no doubt: nothing was sent");
        assert_eq!(served.lock().unwrap().len(), 4);
        assert_eq!((cache.snapshot().written, cache.snapshot().stale), (1, 4));
    }

    #[tokio::test]
    async fn a_charge_that_breaks_off_is_the_callers_to_know() {
        let (address, _served) = server(&[GOOD, CUT]).await;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let mut client = tower::ServiceBuilder::new()
            .layer(FallbackLayer::cached(sea::cached("payments")).unwrap())
            .map_err(Error::from)
            .layer(BufferLayer::new(BufferConfig::new()).unwrap())
            .service(client);
        let ask = |method: Method| {
            Request::builder()
                .method(method)
                .uri(format!("http://{address}/charges"))
                .body(Empty::new())
                .unwrap()
        };
        client.ready().await.unwrap().call(ask(Method::GET)).await.unwrap();
        let charge = client.ready().await.unwrap().call(ask(Method::POST)).await.unwrap();
        assert!(charge.extensions().get::<Staleness>().is_none());
        assert!(charge.into_body().collect().await.is_err());
    }
}
