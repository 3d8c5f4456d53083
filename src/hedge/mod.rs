//! Makes a slow call a second time, and takes whichever answers first.
//!
//! In a large system a few calls in a hundred are slow for no reason of their own: a queue, a collection
//! of garbage, a bad disk. A second call, made when the first has taken longer than most do, meets such
//! luck again only once in a hundred times a hundred, and costs a few percent more calls. (Dean and
//! Barroso, "The Tail at Scale", CACM 56(2), 2013: "hedged requests".) So it is a cure for single slow
//! calls, and poison for a service that is slow because it has too many: what it may cost is bounded by
//! the same budget as retries.
//!
//! ```text
//!  call ──▶ first call ─────────────────────────┬──▶ answer; the other call is dropped
//!              │ pending                        │
//!              ▼                                │
//!           delay: fixed, or a quantile         │
//!              │ still pending, a token, ready  │
//!              ▼                                │
//!           second call ────────────────────────┘
//! ```
//!
//! ```
//! use seawall::error::BoxError;
//! use seawall::hedge::{HedgeConfig, HedgeLayer};
//! use seawall::request::{Ask, Marked, Safe};
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let hedge = HedgeLayer::new(HedgeConfig::new("quotes").after(Duration::from_millis(80)))?;
//! let handle = hedge.handle();
//! let mut quotes = ServiceBuilder::new().layer(hedge).service(service_fn(|ask: Ask<u32>| async move {
//!     let slow = ask.attempt().unwrap().number() == 1;
//!     tokio::time::sleep(Duration::from_millis(if slow { 3_000 } else { 120 })).await;
//!     Ok::<_, BoxError>(ask.value * 100)
//! }));
//!
//! let start = tokio::time::Instant::now();
//! assert_eq!(quotes.ready().await?.call(Safe::from_read(7)).await?, 700);
//! assert!(start.elapsed() < Duration::from_millis(210), "80 and 120, instead of 3,000");
//! assert_eq!((handle.snapshot().hedges, handle.snapshot().won), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Only what is safe
//! Two calls at once are two charges. So a hedge takes only requests that are
//! [`Safe`](crate::request::Safe) by their type; a charge doesn't compile:
//! ```compile_fail
//! use seawall::error::BoxError;
//! use seawall::hedge::{HedgeConfig, HedgeLayer};
//! use seawall::request::Ask;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let hedge = HedgeLayer::new(HedgeConfig::new("payments")).unwrap();
//! let client = hedge.layer(service_fn(|_: Ask<&str>| async { Ok::<_, BoxError>("paid") }));
//! let _ = client.oneshot(Ask::once("9.99 EUR"));
//! ```
//!
//! # With a retry
//! Outside: the retry makes the attempts, and the first of them may be hedged, so a call is made at most
//! attempts + 1 times. A retry inside a hedge lets both calls through, once each. Give both one
//! [`Budget`].
//!
//! # When to use it
//! For reads whose slowest hundredth matters, from a service with room to spare and more than one
//! instance, so that the second call can have better luck.
//!
//! # When not
//! Where a call is slow because the service is busy, or because the call itself is large: the second is
//! as slow, and one more.

mod config;
mod engine;
pub mod future;
mod handle;
mod latency;
mod layer;
mod service;

pub use crate::budget::{Budget, BudgetConfig};
pub use config::HedgeConfig;
pub use handle::{HedgeHandle, Snapshot};
pub use layer::HedgeLayer;
pub use service::Hedge;
