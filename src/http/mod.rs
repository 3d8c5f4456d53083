//! HTTP clients behind a seawall: bodies, outcomes, keys, cache rules. Feature `http`.
//!
//! The rooms know nothing of HTTP; they ask how a call ended, what its key is, how to mark a stale
//! answer. Here are the answers for `http::Request` and `http::Response`, hence for every client and
//! server of the tower family.
//!
//! ```text
//!  cached fallback   CacheRules: what may be kept (RFC 9111, RFC 5861), under which key
//!    ⋮               ByStatus: how a call ended; Retry-After
//!  timeout
//!    Buffer          reads the bodies of reads, so that all of the above covers them
//!      client        hyper-util, reqwest, tonic
//! ```
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use seawall::error::{BoxError, Error};
//! use seawall::http::{self as sea, BufferConfig, BufferLayer, CachedLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let mut answers = ["9.99 EUR"].into_iter();
//! let mut client = ServiceBuilder::new()
//!     .layer(CachedLayer::cached(sea::cached("quotes"))?)
//!     .map_err(Error::from) // any client's error can then carry a refusal
//!     .layer(BufferLayer::new(BufferConfig::new())?)
//!     .service(service_fn(move |_: Request<()>| {
//!         let mut response = Response::new(Full::new(Bytes::new()));
//!         match answers.next() {
//!             Some(quote) => *response.body_mut() = Full::from(quote),
//!             None => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
//!         }
//!         async move { Ok::<_, BoxError>(response) }
//!     }));
//!
//! let quote = || Request::get("https://pay.example/quotes/7").body(()).unwrap();
//! client.ready().await.unwrap().call(quote()).await.unwrap();
//! let stale = client.ready().await.unwrap().call(quote()).await.unwrap();
//! assert_eq!((stale.status(), &stale.headers()["age"]), (StatusCode::OK, &"0".parse().unwrap()));
//! assert_eq!(stale.into_body().collect().await.unwrap().to_bytes(), "9.99 EUR");
//! # Ok(())
//! # }
//! ```
//!
//! # Clients
//! hyper-util's `Client` is a service of `http::Request` as it is. reqwest takes and gives its own
//! types; these lines make it one:
//!
//! ```
//! // No retries of its own: see below.
//! let reqwest = reqwest::Client::builder().retry(reqwest::retry::never()).build().unwrap();
//! let client = tower::service_fn(move |request: http::Request<reqwest::Body>| {
//!     let reqwest = reqwest.clone();
//!     async move {
//!         let response = reqwest.execute(request.try_into()?).await?;
//!         Ok::<http::Response<reqwest::Body>, reqwest::Error>(response.into())
//!     }
//! });
//! ```
//!
//! # Retries
//! [`retry`](crate::retry) repeats `http::Request`s by their method and their `Idempotency-Key`: see
//! the implementation of [`Marked`](crate::request::Marked) for [`http::Request`], and
//! [`ByStatus::for_retry`]. Deadline and attempt cross to other processes with [`SendMarksLayer`].
//!
//! Let no client under a seawall have a timeout or retries of its own: they know nothing of marks,
//! budgets and doubt, and multiply. reqwest repeats what HTTP/2 said was not processed, and whatever its
//! `ClientBuilder::retry` was told; `retry(reqwest::retry::never())` switches both off. hyper-util's
//! `Client` sends a request again, on another connection, when a kept one turned out to be closed before
//! anything of it was sent; that does no harm, and `retry_canceled_requests(false)` switches it off.

mod body;
mod buffer;
#[cfg(feature = "cache")]
mod cache;
mod cache_control;
mod classify;
mod error;
mod grpc;
mod key;
mod mark;
mod rank;
mod reading;
mod request;
mod retry;
mod retry_after;
mod send_marks;

pub use body::Body;
pub use buffer::{Buffer, BufferConfig, BufferLayer, IsRead, SafeMethods};
#[cfg(feature = "cache")]
pub use cache::{Asked, CacheRules, CachedLayer, KeptResponse, cached};
pub use classify::{ByStatus, ConnectErrors, IsConnect, NoneKnown};
pub use error::{BufferError, ClientError};
pub use grpc::ByGrpcStatus;
pub use key::{Credentials, KeyRules, Principal};
pub use rank::writes_first;
pub use reading::ResponseFuture;
pub use request::{IDEMPOTENCY_KEY, inherit, with_key};
pub use retry::ForRetry;
pub use send_marks::{ATTEMPT, DEADLINE, ReadMarks, ReadMarksLayer, SendMarks, SendMarksLayer};
