//! Waits for the inner service's readiness inside the call, where the layers above can see it.
//!
//! A client that has lost its connection is often not *failing*: it is never *ready*. Its caller
//! waits in `ready().await`, before any call has begun; and what has not begun can't time out, isn't
//! counted by a breaker, and gets no answer from a fallback. `ReadyInCall` takes the call at once
//! and does the waiting in the response future. Then that wait is part of the call, for every layer
//! above.
//!
//! ```text
//!  poll_ready ──▶ the inner's      Ready           Pending                    Err
//!                                    │                │                        │
//!                                    │                │            drop that instance, keep a clone
//!                                    ▼                ▼                        ▼
//!       Ready ◀──────────────────────┴────────────────┴────────────────────────┘
//!
//!  call ───────▶ inner.call(req)      future: wait until ready, then inner.call(req)
//! ```
//!
//! ```
//! use seawall::error::{BoxError, Carry, Reason};
//! use seawall::ready::ReadyInCallLayer;
//! use seawall::timeout::{TimeoutConfig, TimeoutLayer};
//! use std::convert::Infallible;
//! use std::task::{Context, Poll};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! /// A client that never gets its connection back.
//! #[derive(Clone)]
//! struct Disconnected;
//! # impl Service<()> for Disconnected {
//! #     type Response = ();
//! #     type Error = BoxError;
//! #     type Future = std::future::Ready<Result<(), BoxError>>;
//! #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> { Poll::Pending }
//! #     fn call(&mut self, _: ()) -> Self::Future { unreachable!() }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let mut client = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(TimeoutConfig::new("payments"))?)
//!     .layer(ReadyInCallLayer::new())
//!     .service(Disconnected);
//!
//! let error = client.ready().await?.call(()).await.unwrap_err();
//! assert_eq!(error.rejected().unwrap().reason, Reason::TimedOut);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors of `poll_ready`
//! tower says of them: the instance is spent, discard it. So it is discarded and a clone takes its
//! place. The call then asks that clone; if it is broken too, *its* error is the answer, in the call,
//! where a breaker counts it and a fallback can step in. A service that can mend itself (a channel
//! that reconnects) is given the chance, and then the first error is not seen by anyone. (tower's own
//! `Reconnect` hands errors of `poll_ready` to the call, too.)
//!
//! # When to use it
//! Innermost, around a client whose `poll_ready` does work: one that connects, a `Buffer`, a
//! `ConcurrencyLimit`, a channel. Put a bulkhead above it: it takes any number of calls.
//!
//! # When not
//! Where something above *chooses* by readiness: a `Balance` must see which of its endpoints are
//! ready, and which are dead. And around a client that is always ready, it is one branch for nothing.

pub mod future;
mod layer;
mod service;

pub use layer::ReadyInCallLayer;
pub use service::ReadyInCall;
