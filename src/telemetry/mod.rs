//! Shows outside what goes on inside: metrics, log events, what to look at and when to be woken.
//!
//! Each is an [`Observe`](crate::event::Observe) that is given to layers when they are built, and each
//! may be left out. A recorder or a subscriber that is missing, slow, panics or calls back changes
//! nothing about calls: it runs outside any lock, and a panic in it is caught and counted.
//!
//! | | feature | what it does |
//! | --- | --- | --- |
//! | `Metrics` | `metrics` | counts calls, refusals, transitions at a recorder of the crate `metrics` |
//! | `Sampler` | `metrics` | looks at what no event tells: calls in flight, budgets, burn rates |
//! | `Tracing` | `tracing` | one log event for each event, none for calls |
//! | [`CATALOGUE`] | | every metric: name, type, unit, labels, help |
//!
//! # What it costs
//! A counted call is one more virtual call and one add to a handle that was registered when the layer was
//! built; no label is made, nothing is looked up, nothing allocated. `Metrics::calls(false)` leaves
//! healthy calls alone, and counts refusals and events still.
//!
//! # Which layer's calls?
//! Each layer reports the calls it saw, so a call through a retry and a breaker is in
//! `seawall_calls_total` twice, with different values of `layer`: `sum by (name, outcome)` over *one*
//! `layer`. `breaker` is closest to the service, `fallback` closest to the caller.

mod catalogue;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics")]
mod registry;
#[cfg(feature = "metrics")]
mod sampler;
#[cfg(feature = "metrics")]
mod state_set;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
pub use catalogue::{CATALOGUE, Metric, Type, Unit};
#[cfg(feature = "metrics")]
pub use sampler::Sampler;
