//! Bounds how long a call may take, and gives the caller its answer when the time is over.
//!
//! A dependency that hangs holds whatever its callers hold: a task, a connection, a place in a
//! bulkhead, a customer's patience. With a limit the call ends: the inner future is dropped at once,
//! so that all it held comes back, and the caller hears of it. What it hears is that the answer is
//! *in doubt*: the request was sent, and may yet be carried out. So a breaker counts it as a failure
//! and a retry does not repeat a charge.
//!
//! ```text
//!            ready at its first poll: no clock is read, no timer armed
//!         ┌───────────────────────────────────────────────────────────▶ answer, error
//!  call ──┤                        before the limit
//!         └ pending: arm a timer ──┬──────────────────────────────────▶ answer, error
//!                                  │ limit
//!                                  ▼
//!              drop the inner future; Rejected { TimedOut, sent: true }
//! ```
//!
//! ```
//! use seawall::error::{BoxError, Carry, Reason};
//! use seawall::timeout::{TimeoutConfig, TimeoutLayer};
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let timeout = TimeoutLayer::new(TimeoutConfig::new("payments").limit(Duration::from_secs(1)))?;
//! let handle = timeout.handle();
//! let mut client = ServiceBuilder::new()
//!     .layer(timeout)
//!     .service(service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>()));
//!
//! let error = client.ready().await?.call(()).await.unwrap_err();
//! let given_up = error.rejected().unwrap();
//! assert_eq!(given_up.reason, Reason::TimedOut);
//! assert!(given_up.sent(), "the payment service may have heard of it");
//! assert_eq!(handle.snapshot().timeouts, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What the limit covers
//! The response future of the inner service, from the end of its first poll to its output. Waiting
//! for readiness comes before the call and isn't covered, unless
//! [`ReadyInCall`](crate::ready::ReadyInCall) below moves it into the call. What comes after the
//! output, such as the body of an HTTP response, isn't covered either, unless something below reads
//! it first. Timers have tokio's resolution: a call is given up at the limit or up to a millisecond
//! later, never before. An answer that is there when the time is over wins.
//!
//! A caller that drops the call hasn't timed out: nothing is counted and nothing reported.
//!
//! # Deadlines
//! A caller that waits two seconds has no use for an answer in the third, nor for the attempt that
//! would bring it. Where requests carry a deadline ([`request`](crate::request)),
//! [`with_deadline`](TimeoutLayer::with_deadline) makes a timeout read it, bound the call by it, and
//! hand it on: what has passed is refused before anything is sent.
//!
//! ```text
//!  Timeout 2 s .with_deadline() ──▶ retry ──▶ Timeout 800 ms .with_deadline() ──▶ client
//!  stamps now + 2 s                 begins no attempt after it      min(800 ms, what is left)
//! ```
//!
//! # Runtime
//! A call whose inner is ready at its first poll needs no runtime. One that is pending needs tokio's
//! with time enabled (`enable_time`, `enable_all`, `#[tokio::main]`); without it that first poll
//! panics, as `tokio::time::sleep` does.
//!
//! # When to use it
//! Around every call that leaves the process, innermost: below the breaker, which then counts what
//! hangs, and below the bulkhead, whose places it frees. Set it a little above the slowest answer
//! that is still worth having.
//!
//! # When not
//! Where a call must not be cut off half-way and nothing behind it can tell what became of it: give
//! it an idempotency key first. To bound a whole sequence of attempts, use it above the retry as
//! well; a limit here bounds one attempt.

mod config;
mod engine;
pub mod future;
mod handle;
mod layer;
mod service;

pub use config::TimeoutConfig;
pub use handle::{Snapshot, TimeoutHandle};
pub use layer::TimeoutLayer;
pub use service::Timeout;
