//! Bounds how many calls are in flight, and refuses the next one at once.
//!
//! A dependency that slows from 120 ms to 8 s needs 67 times the places for the same traffic. Without
//! a bound its callers take every thread, socket and megabyte there is, and the service goes down
//! with it. A bulkhead gives the dependency a number of places; when they are taken, a call is
//! refused in nanoseconds, nothing is sent, and a fallback above can answer.
//!
//! ```text
//!             in flight < limit
//!  call ───────────────────────────▶ inner ───▶ answer, error, drop, panic
//!    │                                              │
//!    │ full                                         ▼
//!    ▼                                       the place is free again
//!  Rejected { BulkheadFull, sent: false }
//! ```
//!
//! ```
//! use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
//! use seawall::error::{BoxError, Carry, Reason};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let bulkhead = BulkheadLayer::new(BulkheadConfig::new("payments").limit(1))?;
//! let handle = bulkhead.handle();
//! let mut client = ServiceBuilder::new()
//!     .layer(bulkhead)
//!     .service(service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>()));
//!
//! let first = client.ready().await?.call(());
//! assert_eq!(handle.snapshot().in_flight, 1);
//!
//! let refused = client.ready().await?.call(()).await.unwrap_err();
//! assert_eq!(refused.rejected().unwrap().reason, Reason::BulkheadFull);
//!
//! drop(first);
//! assert_eq!(handle.snapshot().in_flight, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # When to use it
//! Around every dependency that can become slow: which is every dependency. Give it the number of
//! calls that the dependency serves well at its peak (rate x latency, Little's law), and some room.
//!
//! # When not
//! To limit a *rate*: a bulkhead counts calls in flight, not calls a second.

mod config;
mod engine;
pub mod future;
mod gauge;
mod handle;
mod layer;
mod limiter;
#[cfg(all(test, seawall_loom))]
mod model;
mod places;
mod queue;
mod rank;
mod saturation;
mod service;
mod waiting;

pub use config::BulkheadConfig;
pub use gauge::{Gauge, GaugeConfig};
pub use handle::{BulkheadHandle, ClassUse, Snapshot};
pub use layer::BulkheadLayer;
pub use limiter::{AdaptiveLimit, Aimd, Gradient, Limiter, Vegas, Window};
pub use rank::{OneClass, Rank};
pub use service::{AtOnce, Bulkhead, Queued};
