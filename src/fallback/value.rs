//! A fallback that always gives the same value, marked.

use std::time::Duration;

use super::plan::{Failed, Plan};
use crate::stale::{MarkStale, Staleness};

/// Answers with a clone of one value, marked with the cause; made by [`value`].
#[derive(Clone, Copy, Debug)]
pub struct Value<T>(T);

/// A [`Plan`] that answers every refused or failed call with `value`.
///
/// The value is marked ([`MarkStale`], of age zero: it was never anyone's answer), so that nobody
/// takes it for the service's and the cause isn't lost. For responses without room for a mark, wrap
/// them in [`Answer`](crate::stale::Answer), or take [`function`](super::function) and decide there.
///
/// It answers calls in doubt too (a timeout after sending): use it where a stand-in is true whether
/// or not the request was carried out, which it is for reads.
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::fallback::{self, FallbackConfig, FallbackLayer};
/// use seawall::outcome::Outcome;
/// use seawall::stale::{Answer, Cause};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rates = FallbackLayer::new(
///     FallbackConfig::new("rates"),
///     fallback::value(Answer::fresh(1.0)),
/// )
/// .layer(service_fn(|_: ()| async { Err::<Answer<f64>, BoxError>("down".into()) }));
///
/// let answer = rates.oneshot(()).await.unwrap();
/// assert_eq!(answer.value, 1.0);
/// assert_eq!(answer.stale.unwrap().cause, Cause::Failed(Outcome::Failure));
/// # }
/// ```
pub const fn value<T: Clone + MarkStale>(value: T) -> Value<T> {
    Value(value)
}

impl<Req, T: Clone + MarkStale, E> Plan<Req, T, E> for Value<T> {
    type Context = ();

    fn context(&self, _: &Req) {}

    fn answer(&self, (): &(), failed: &Failed<'_, T, E>) -> Option<T> {
        let (age, cause) = (Duration::ZERO, failed.cause);
        Some(self.0.clone().mark_stale(Staleness { age, cause }))
    }
}
