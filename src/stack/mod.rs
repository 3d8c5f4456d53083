//! The layers in the order that works, with defaults that fit a payment client.
//!
//! Each room is useful alone; most of the value lies in their order. What was promised is held against
//! what the caller sees, so the objective is outermost. The fallback must see every refusal, so it comes
//! next. A deadline bounds all attempts together, so it is outside the retry. A canary is judged by what
//! became of a call after all its attempts, and must not hide behind the cache; and each version has a
//! breaker of its own, or the sick one would close the other's way. A refusal must cost nothing, so the
//! breaker comes before the bulkhead, and neither a full bulkhead nor an open circuit may count as the
//! service's failure. A timeout must be seen by the breaker and must give the bulkhead's place back, so it
//! is inside both. And a client that never becomes ready must be timed out like one that never answers, so
//! readiness is waited for inside the call.
//!
//! ```text
//!   call ─▶ objective      counts what the caller sees, and tells when the budget burns too fast
//!           │
//!           ▼
//!           fallback       answers with the last good response, marked, when what is inside can't
//!           │
//!           ▼
//!           kill switch    halts at an operator's word, or leads past everything
//!           │
//!           ▼
//!           deadline       bounds all attempts together
//!           │
//!           ▼
//!           canary ────────────────────┐   shares the calls between two versions, and compares them
//!           │ baseline                 │ canary
//!           ▼                          ▼
//!           retry                      retry      repeats what may be repeated, within a budget
//!           │                          │
//!           ▼                          ▼
//!           breaker                    breaker    refuses at once while the service is sick
//!           │                          │
//!           ▼                          ▼
//!           bulkhead                   bulkhead   bounds the calls in flight
//!           │                          │
//!           ▼                          ▼
//!           timeout                    timeout    bounds one attempt
//!           │                          │
//!           ▼                          ▼
//!           ready                      ready      waits for the client inside the call
//!           │                          │
//!           ▼                          ▼
//!           http::Buffer               http::Buffer   makes the body of a read part of the call
//!           │                          │
//!           ▼                          ▼
//!           the client                 the client's next version
//! ```
//!
//! ```
//! use seawall::fallback::CachedConfig;
//! use seawall::key::Key;
//! use seawall::stack;
//! use seawall::stale::Answer;
//! use std::io;
//! use tower::{Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut up = true;
//! let client = service_fn(move |id: u64| {
//!     let answer = if up { Ok(Answer::fresh(id * 100)) } else { Err(io::Error::other("503")) };
//!     up = false;
//!     std::future::ready(answer)
//! });
//!
//! let stack = stack::payment("payments")
//!     .cached(CachedConfig::new("payments", |id: &u64| Some(Key::of(id))))
//!     .build()?;
//! let mut quotes = stack.service(client);
//!
//! assert!(!quotes.ready().await?.call(7).await?.is_stale());
//! let stale = quotes.ready().await?.call(7).await?;
//! assert_eq!((stale.value, stale.is_stale()), (700, true));
//!
//! stack.handles().breaker.force_open();
//! assert!(quotes.ready().await?.call(7).await?.is_stale());
//! # Ok(())
//! # }
//! ```
//!
//! # When it doesn't compile
//! "The method `ready` exists, but its trait bounds were not satisfied" tells little. Two things are asked
//! of a client: with a cache, its responses can be marked ([`MarkStale`](crate::stale::MarkStale)); put
//! `.map_response(Answer::fresh)` around it if they are of your own types. And it is `Clone`, unless
//! [`no_ready_in_call`](Payment::no_ready_in_call) says that it need not be.
//!
//! # Bodies
//! With [`http`](Payment::http) the bodies of `GET` and `HEAD` are read inside the call. A charge's
//! response is handed on with its head: what becomes of its body no timeout here covers. Where responses
//! to charges are small, have them read too:
//! `.buffer(BufferConfig::new().reads(|_: &Request<B>| true))`. They aren't kept for that.
//!
//! # When to use it
//! As the first thing to try. Change what you must with the builder's methods; every part can be
//! configured, replaced or left out, and what is left out costs nothing.
//!
//! # When not
//! When you need one room only, or another order: build it from the rooms with `ServiceBuilder`.

mod arm;
mod boxed;
mod driven;
mod edge;
mod flips;
mod lift;
mod part;
mod payment;
mod stacked;

pub use arm::{Arm, ArmHandles, ArmLayers, Guard, Parts, UnderDeadline};
pub use boxed::Boxed;
pub use driven::Driven;
pub use edge::Edge;
pub use flips::Flips;
pub use lift::{Lift, LiftFuture, LiftLayer};
#[cfg(feature = "cache")]
pub use part::CachedPart;
pub use part::{
    Again, Bounded, Breaker, CanaryHandles, CanaryLayers, CanaryPart, Common, Custom, DeadlinePart,
    Off, Part, SloPart, Steers, Trial,
};
pub use payment::{Payment, payment};
pub use stacked::{Handles, Layers, Past, SplitLayer, Stack};
