//! Answers for calls that were refused or failed: with the last good response, a value, a function.
//!
//! An open circuit protects the dependency; the caller still needs something to show. Most of what a
//! checkout asks for was answered a minute ago, and a minute-old quote that says so is worth more
//! than an error page. The cached fallback keeps the last good response per key while all is well,
//! and gives it out when it isn't: marked, with its age and the reason, so that nobody takes it for
//! fresh.
//!
//! ```text
//!                   good ────────────▶ the answer          (kept, if older than refresh_age)
//!  call ──▶ inner ─┤
//!                   refused, failed ─▶ plan ─▶ its answer, marked
//!                                        └──▶ none: the original result, untouched
//! ```
//!
//! There is one mechanism, [`Fallback`], and what it does is its [`Plan`]:
//!
//! | plan | answers with |
//! | --- | --- |
//! | [`value()`] | one value, marked |
//! | [`function()`], [`function_with()`] | what a function of the cause (and of a context from the request) gives |
//! | `FallbackLayer::cached`, feature `cache` | the last good response of the same key |
//! | your own [`Plan`] | whatever it likes |
//!
//! ```
//! use seawall::error::BoxError;
//! use seawall::fallback::{self, FallbackConfig, FallbackLayer};
//! use seawall::stale::Answer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let offers = ServiceBuilder::new()
//!     .layer(FallbackLayer::new(
//!         FallbackConfig::new("offers"),
//!         fallback::value(Answer::fresh(Vec::<u32>::new())),
//!     ))
//!     .service(service_fn(|_: ()| async { Err::<Answer<Vec<u32>>, BoxError>("down".into()) }));
//!
//! let answer = offers.oneshot(()).await?;
//! assert!(answer.value.is_empty() && answer.is_stale());
//! # Ok(())
//! # }
//! ```
//!
//! # What is kept, and what is given out
//! - Only *declared reads*: requests for which the key function gives a key. Everything else passes
//!   as if the layer weren't there, so a charge is never answered from the cache. A read in doubt
//!   (a timeout after sending) is, because a read may be repeated.
//! - Only responses that the classifier calls good; an error never replaces one.
//! - A call is answered when a layer inside refused it, or the classifier says it failed, and what
//!   is kept is at most `max_stale` old, counted from when the call that brought it began.
//! - Bytes are bounded, whatever the keys; what is asked for often stays. Responses that own heap must
//!   be weighed for that (`CachedConfig::weigh`): by default the size of their type is counted.
//! - A healthy call reads one word; it writes when what is kept is older than `refresh_age`, one
//!   call per key at a time. What the store evicts is kept again after `refresh_age` at the latest.
//! - The share of stale answers is in the handle's snapshot, and tells an event when it is high.
//!
//! # When to use it
//! For reads that are better old than missing: prices, catalogues, settings, status. Outermost, so
//! that it answers for every layer inside.
//!
//! # When not
//! For writes, and for reads where an old answer does harm, such as a balance before a withdrawal:
//! give those no key. It is no read-through cache: while the service answers, it is asked.

#[cfg(feature = "cache")]
mod cached;
#[cfg(feature = "cache")]
mod cached_config;
mod config;
mod function;
pub mod future;
mod handle;
#[cfg(feature = "cache")]
mod keep;
mod layer;
mod plan;
#[cfg(feature = "cache")]
mod recent;
mod service;
#[cfg(feature = "cache")]
mod share;
#[cfg(feature = "cache")]
mod store;
mod value;

#[cfg(feature = "cache")]
pub use cached::{Asking, Cached};
#[cfg(feature = "cache")]
pub use cached_config::{CachedConfig, CachedSettings};
pub use config::FallbackConfig;
pub use function::{Function, NoContext, function, function_with};
#[cfg(feature = "cache")]
pub use handle::{CachedHandle, CachedSnapshot};
pub use handle::{FallbackHandle, Snapshot};
#[cfg(feature = "cache")]
pub use keep::{ByKey, Keep, Kept, SizeOf, Verdict, Weigh};
#[cfg(feature = "cache")]
pub use layer::CachedLayer;
pub use layer::FallbackLayer;
pub use plan::{Failed, Plan};
pub use service::Fallback;
pub use value::{Value, value};
