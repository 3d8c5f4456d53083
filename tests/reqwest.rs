//! The recipe for reqwest, over a real connection: a file of its own, since reqwest takes a while to
//! build.
#![cfg(all(feature = "http", feature = "cache"))]

use http::Request;
use http_body_util::BodyExt;
use seawall::error::Error;
use seawall::fallback::FallbackLayer;
use seawall::http::{self as sea, BufferConfig, BufferLayer, ByStatus};
use seawall::outcome::Outcome;
use seawall::retry::{RetryConfig, RetryLayer};
use seawall::stale::{Cause, Staleness};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[tokio::test]
async fn reqwest_is_a_client_in_a_few_lines() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.read_u8().await.unwrap() != b'\n' {}
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n9.99 EUR";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });

    // The recipe: reqwest takes and gives its own types.
    let reqwest = reqwest::Client::new();
    let client = service_fn(move |request: Request<reqwest::Body>| {
        let reqwest = reqwest.clone();
        async move {
            let response = reqwest.execute(request.try_into()?).await?;
            Ok::<http::Response<reqwest::Body>, reqwest::Error>(response.into())
        }
    });

    let classify = ByStatus::new().connect_errors(|e: &reqwest::Error| e.is_connect());
    let mut client = ServiceBuilder::new()
        .layer(FallbackLayer::cached(sea::cached("payments").classify(classify)).unwrap())
        .map_err(Error::from)
        .layer(BufferLayer::new(BufferConfig::new()).unwrap())
        .service(client);

    let mut causes = Vec::new();
    for _ in 0..2 {
        let request = Request::get(format!("http://{address}/quotes/7"))
            .body(reqwest::Body::default())
            .unwrap();
        let response = client.ready().await.unwrap().call(request).await.unwrap();
        causes.push(response.extensions().get::<Staleness>().map(|mark| mark.cause));
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "9.99 EUR");
    }
    assert_eq!(causes, [None, Some(Cause::Failed(Outcome::Failure))]);
}

/// How often a service that answers 503 is asked, when a call is made through a retry of three attempts
/// and this client.
async fn asked_through(reqwest: reqwest::ClientBuilder) -> u32 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            count.fetch_add(1, SeqCst);
            let answer = "HTTP/1.1 503 Sick\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });

    let reqwest = reqwest.build().unwrap();
    let config = RetryConfig::new("payments").backoff(Duration::ZERO, Duration::ZERO);
    let client = ServiceBuilder::new()
        .layer(RetryLayer::new(config).unwrap().classify(ByStatus::new().for_retry()))
        .map_err(Error::from)
        .service(service_fn(move |request: Request<String>| {
            let reqwest = reqwest.clone();
            async move {
                let response = reqwest.execute(request.try_into()?).await?;
                Ok::<http::Response<reqwest::Body>, reqwest::Error>(response.into())
            }
        }));
    let quote = Request::get(format!("http://{address}/quotes/7")).body(String::new()).unwrap();
    assert_eq!(client.oneshot(quote).await.unwrap().status(), 503);
    asked.load(SeqCst)
}

#[tokio::test]
async fn retries_of_reqwests_own_multiply_and_can_be_switched_off() {
    let its_own = reqwest::retry::for_host("127.0.0.1").no_budget().classify_fn(|answer| {
        let sick = answer.status().is_some_and(|status| status.is_server_error());
        if sick { answer.retryable() } else { answer.success() }
    });
    assert_eq!(
        asked_through(reqwest::Client::builder().retry(its_own)).await,
        9,
        "three times three"
    );
    let off = reqwest::Client::builder().retry(reqwest::retry::never());
    assert_eq!(asked_through(off).await, 3);
}
