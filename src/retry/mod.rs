//! Makes a failed call again, and sees to it that this makes nothing worse.
//!
//! Retries turn a hiccup into a success, and an overload into an outage: when a service is too slow,
//! its callers give up and come again, and now it has three times the calls. Nor is every failed call
//! one that may be made twice: a charge that timed out may have been carried out. So a retry here has
//! three masters. The *outcome* says whether it is worth it; the *request* says whether it may be done
//! ([`Operation`](crate::request::Operation)) and how much time is left; the *budget* says whether the
//! service can bear it.
//!
//! ```text
//!  call ──▶ attempt ──▶ success, or nothing that a repetition would change ──────▶ answer
//!              ▲           │ failure, or no answer
//!              │           ▼
//!              │        the last attempt?         no answer, and must not be done twice?
//!              │        past the deadline?        no token in the budget?          ──▶ that result
//!              │           │ none of these
//!              │           ▼
//!              └─ ready ◀─ wait: Retry-After, then jittered backoff
//! ```
//!
//! ```
//! use seawall::error::BoxError;
//! use seawall::request::{Ask, IdempotencyKey};
//! use seawall::retry::{Doubt, RetryConfig, RetryLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let retry = RetryLayer::new(RetryConfig::new("payments").reconcile(|doubt: &Doubt| {
//!     eprintln!("find out about {:?}", doubt.key);
//! }))?;
//! let handle = retry.handle();
//! let answers = vec![Ok("paid"), Err("connection reset"), Err("connection reset")];
//! let mut client = ServiceBuilder::new().layer(retry).service({
//!     let answers = std::sync::Arc::new(std::sync::Mutex::new(answers));
//!     service_fn(move |_: Ask<&str>| {
//!         let answer = answers.lock().unwrap().pop().unwrap();
//!         async move { answer.map_err(BoxError::from) }
//!     })
//! });
//!
//! // Nothing is known of a reset connection, so a charge without a key is not made again.
//! assert!(client.ready().await?.call(Ask::once("9.99 EUR")).await.is_err());
//! assert_eq!((handle.snapshot().retries, handle.snapshot().in_doubt), (0, 1));
//!
//! // With one it is: the other side knows it by its key.
//! let charge = Ask::keyed(IdempotencyKey::new(), "9.99 EUR");
//! assert_eq!(client.ready().await?.call(charge).await?, "paid");
//! assert_eq!((handle.snapshot().retries, handle.snapshot().recovered), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # What is repeated
//! | outcome of the attempt | a read | idempotent, or with a key | once |
//! | --- | --- | --- | --- |
//! | `Success`, `Ignored` | no | no | no |
//! | `Failure`: it was certainly not carried out | yes | yes | yes |
//! | `InDoubt`: it may have been | yes | yes | **no** |
//! | a refusal by a seawall layer inside, nothing sent | no | no | no |
//!
//! The default classifier, [`ErrInDoubt`](crate::outcome::ErrInDoubt), calls every error `InDoubt`. A
//! refusal inside, such as an open breaker's, ends the retrying: it will be open in a moment, too. It
//! neither earns nor costs a token. And a repetition that was refused was not made, so the result before
//! it is the answer: a breaker or an objective outside then sees the failure, and not a call that was
//! never sent.
//!
//! A call that has an effect *ends in doubt* when an attempt may have been carried out and none
//! succeeded, or when it is dropped under way. It is counted, and told to [`Reconcile`] with its key.
//! If a later attempt ended otherwise (at the door, say), the caller gets
//! [`Reason::InDoubt`](crate::error::Reason::InDoubt), `sent`: what happened later can't take back what
//! may have happened before.
//!
//! # Retries inside retries
//! The outermost marks each attempt ([`Attempt`](crate::request::Attempt)), and those inside let marked
//! requests through. So three clients with three attempts each, one inside the other, make three
//! attempts of one call, not 27.
//!
//! # Waits
//! Full jitter by default, decorrelated on demand: see [`Jitter`]. `Retry-After`, as the classifier
//! reads it, is waited for first, up to a cap, and the jittered wait comes after it, so that not all
//! clients come back in that second. A wait that would pass the deadline isn't begun. After the wait a
//! fresh clone of the inner service must be ready at once; if it isn't, the last result is the answer.
//!
//! # What the budget is worth
//! A service with 50 workers (120 ms a call) and a queue of 1,000, at 60 % load, is made five times
//! slower for ten seconds; callers give up an attempt after a second. From then on, in virtual time:
//!
//! | client | calls in the bad time, per caller's call | answered again, after the trigger |
//! | --- | --- | --- |
//! | no retry | 1.00 | after 5 s |
//! | three attempts, no budget | 2.95 | **never**: 0 % in the end, 40 s after the trigger |
//! | three attempts, default `Budget` | 1.14 | after 5 s |
//!
//! ```text
//! cargo test --release --features test-util --test storm -- --nocapture
//! ```
//!
//! # What it costs
//! A call that succeeds at once: a clone of the request, one count, no clock, no timer, no allocation,
//! and no clone of the service. If it is pending, the clock is read once. A repetition costs a clone of
//! request and service, and a box for the result before it.
//!
//! Why it works, and how to set it up: the [guide](crate::guide::retry).
//!
//! # When to use it
//! Where failures are single and unrelated: outside the breaker, so that it sees each attempt, and
//! outside the attempt's timeout. Share one [`Budget`] among all that repeat calls to one dependency.
//!
//! # When not
//! Where something further out repeats calls already, and you can't have it mark them: a browser, a
//! queue with redelivery, a client library with retries of its own. Let one place be in charge.

mod backoff;
mod config;
mod doubt;
mod engine;
pub mod future;
mod handle;
mod layer;
mod service;

pub use crate::budget::{Budget, BudgetConfig};
pub use backoff::Jitter;
pub use config::RetryConfig;
pub use doubt::{Doubt, Reconcile};
pub use handle::{RetryHandle, Snapshot};
pub use layer::RetryLayer;
pub use service::Retry;
