//! Deadline and attempt in headers: whatever the bytes, no panic, no attempt number 0, no deadline
//! before now.
#![no_main]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use seawall::clock::Clock;
use seawall::http::{ATTEMPT, DEADLINE, IDEMPOTENCY_KEY, ReadMarksLayer};
use seawall::request::Marked;
use tower_layer::Layer;
use tower_service::Service;

/// Looks at the marks that were read.
struct Look(Clock);

impl Service<Request<()>> for Look {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert_ne!(request.attempt().map(|attempt| attempt.number()), Some(0));
        assert!(request.deadline().is_none_or(|deadline| deadline >= self.0.now()));
        if let Some(key) = request.idempotency_key() {
            assert!(key.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        }
        ready(Ok(()))
    }
}

fuzz_target!(|values: [&[u8]; 4]| {
    let names = [DEADLINE, ATTEMPT, IDEMPOTENCY_KEY, HeaderName::from_static("grpc-timeout")];
    let mut request = Request::new(());
    for (name, value) in names.into_iter().zip(values) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().insert(name, value);
        }
    }
    let (clock, _hand) = Clock::manual();
    let mut server = ReadMarksLayer::new(clock.clone()).layer(Look(clock));
    let _ = server.call(request);
});
