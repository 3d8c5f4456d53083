//! Stops calling a service that fails, and finds out when it is well again.
//!
//! A dependency that is down still costs its callers: each call waits, holds a thread or a socket,
//! and adds load where there is too much already. A circuit breaker watches the outcomes. When they
//! say that the dependency is sick it *opens*: calls are refused at once, with the time after which
//! trying again may help, and a fallback above can answer. After a cool-down a few *probes* find out
//! whether it may close again.
//!
//! ```text
//!                     a rule fires
//!        ┌────────┐ ───────────────▶ ┌──────┐
//!        │ Closed │                  │ Open │ ◀───────────────┐
//!        └────────┘                  └──────┘                 │
//!             ▲                          │ the cool-down ends,│ the probes fail:
//!             │ the probes succeed       ▼ and a caller comes │ a longer cool-down
//!             │                     ┌──────────┐              │
//!             └──────────────────── │ HalfOpen │ ─────────────┘
//!                                   └──────────┘
//!        force_open / force_close / disable hold any state until reset
//! ```
//!
//! ```
//! use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
//! use seawall::error::{BoxError, Carry, Reason};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let breaker = CircuitBreakerLayer::new(
//!     CircuitBreakerConfig::new("payments").count_window(10).min_calls(4).failure_ratio(0.5),
//! )?;
//! let handle = breaker.handle();
//! let mut client = ServiceBuilder::new()
//!     .layer(breaker)
//!     .service(service_fn(|_: ()| async { Err::<(), BoxError>("503".into()) }));
//!
//! for _ in 0..4 {
//!     let _ = client.ready().await?.call(()).await;
//! }
//! assert!(handle.snapshot().state.is_open());
//!
//! let refused = client.ready().await?.call(()).await.unwrap_err();
//! let refused = refused.rejected().unwrap();
//! assert_eq!(refused.reason, Reason::CircuitOpen);
//! assert!(!refused.sent() && refused.retry_after.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//! The verdict is a function of the window, not of which call came last: it is taken anew with every
//! outcome, and a threshold that is *met* trips. Calls admitted in an earlier state change nothing
//! in a later one: each state has a generation, and what arrives late is counted as stale. See
//! [`CircuitBreakerConfig`] for the rules and [`Snapshot`] for what can be read.
//!
//! # When to use it
//! Around a dependency whose failures come together, with an answer of last resort above it
//! ([`fallback`](crate::fallback)), and a [`timeout`](crate::timeout) inside it, so that a hang is an
//! outcome too.
//!
//! # When not
//! Where failures are single and unrelated (a retry serves better), or where one breaker would judge
//! many backends behind a balancer (give each its own).

mod config;
mod cooldown;
mod engine;
pub mod future;
mod gate;
mod handle;
mod layer;
#[cfg(all(test, seawall_loom))]
mod model;
mod probes;
mod rules;
mod run;
mod service;
mod settings;
mod transitions;

pub use config::CircuitBreakerConfig;
pub use handle::{CircuitBreakerHandle, Snapshot};
pub use layer::CircuitBreakerLayer;
pub use service::CircuitBreaker;
