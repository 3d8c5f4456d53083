//! Compares a new version with the old one, on the calls of production, and takes it out when it is
//! worse.
//!
//! A bad deployment is found by its users, or by a dashboard minutes later; and the rule that a
//! dashboard goes by, "more than 1 % of errors", takes a good version out whenever something that both
//! versions need is down. Here every outcome of both versions is counted where the call is made, and they
//! are compared with each other and with nothing else. What the comparison is sure of it says after a
//! handful of calls; and the chance that it *ever* takes out a version that is no worse is bounded: one in a
//! thousand, however long it runs and however often it looks.
//!
//! ```text
//!              95 %  ┌──────────┐
//!           ┌──────▶ │ baseline │ ─── n_b, k_b ──┐
//!  calls ───┤        └──────────┘                ├──▶ every 250 ms: evidence ──▶ verdict
//!           └──────▶ ┌──────────┐                │                                  │
//!       ▲      5 %   │  canary  │ ─── n_c, k_c ──┘                                  │
//!       │            └──────────┘                                                   │
//!       └───────────────── weight := 0 ◀──────────────────── roll back ◀────────────┘
//! ```
//!
//! ```
//! use seawall::canary::{Canary, CanaryConfig};
//! use seawall::clock::Clock;
//! use seawall::error::BoxError;
//! use seawall::ratio::Ratio;
//! use seawall::verdict::Verdict;
//! use std::time::Duration;
//! use tower::{Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let (clock, hand) = Clock::manual();
//! let canary = Canary::new(
//!     CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up(),
//! )?;
//! let handle = canary.handle();
//! let old = service_fn(|_: ()| async { Ok::<_, BoxError>("old") });
//! let new = service_fn(|_: ()| async { Err::<&str, BoxError>("500".into()) });
//! let mut client = canary.split(old, new);
//!
//! handle.set_weight(Ratio::percent(50).unwrap());
//! for _ in 0..200 {
//!     hand.advance(Duration::from_millis(20));
//!     let _ = client.ready().await?.call(()).await;
//! }
//! assert!(handle.snapshot().verdict.is_roll_back());
//! assert_eq!(client.ready().await?.call(()).await?, "old", "no calls for the canary any more");
//! # Ok(())
//! # }
//! ```
//!
//! # What is compared
//! - **Errors**, by the classifier. Refusals of layers inside that were never sent, and calls that their
//!   caller dropped, say nothing.
//! - **Latency**: calls beyond the baseline's median, 90 % and 99 % quantiles, and beyond a threshold of
//!   yours. A call that hangs is slow once it is that old; nobody waits for its end.
//! - **Answers**, by a [check](Canary::check) of yours, for what no status tells.
//! - And an **absolute guard**, for when there is no baseline to compare with.
//!
//! The guide tells why it can be trusted, why a dependency's outage rolls nobody back, and what it can't
//! see.
//!
//! # Where to put it
//! Below cached fallbacks, which would hide what the canary does, and above retries, which would repeat a
//! canary's failure elsewhere: a call and its retries belong to one version. Each version has its own
//! breaker. Where something else routes ([`Canary::watch`]), say by the request who serves it.
//!
//! # When not
//! Where both versions share what a bad one breaks (a database, a queue), both fail, and the comparison
//! sees no difference. Where users stick to a version and it isn't [told](Canary::sticky): failures of one
//! user are one piece of news and not many, so the bound doesn't hold.

mod baseline;
mod check;
mod config;
mod detector;
mod engine;
mod evidence;
pub mod future;
mod guard;
mod handle;
mod histogram;
mod interval;
mod keys;
mod layer;
mod limit;
mod mixture;
mod promotion;
mod rules;
mod service;
mod starts;
#[cfg(all(test, not(seawall_loom)))]
mod statistics;
mod stream;
mod tally;
mod tell;

pub use check::{Check, Data, Kept, NoCheck, Whole};
pub use config::CanaryConfig;
pub use detector::Detector;
pub use handle::{CanaryHandle, Snapshot};
pub use interval::{Interval, Share};
pub use keys::Sticky;
pub use layer::{Canary, WatchLayer};
pub use limit::limit;
pub use service::{Split, Watch};
pub use tell::{ByCaller, ByRequest, ByResponse, Routed, Tell, Unit};
