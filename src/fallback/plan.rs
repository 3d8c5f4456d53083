//! What a fallback does: look before the call, look at a good answer, stand in for a bad one.

use crate::stale::Cause;

/// The one mechanism behind every fallback: what a [`Fallback`](super::Fallback) asks of it.
///
/// A plan sees the request before the call and may take a small [`Context`](Self::Context) from it;
/// it may look at a good response (the cached fallback keeps it); and when the call was refused, or
/// failed in a way that the classifier declares, it may answer. It borrows the result, so the cause
/// can't get lost: a plan without an answer leaves the original result as it is.
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::fallback::{Failed, Fallback, FallbackConfig, FallbackLayer, Plan};
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// /// Answers for small amounts without asking.
/// struct Small;
///
/// impl Plan<u64, bool, BoxError> for Small {
///     type Context = u64;
///     fn context(&self, amount: &u64) -> u64 {
///         *amount
///     }
///     fn answer(&self, amount: &u64, _: &Failed<'_, bool, BoxError>) -> Option<bool> {
///         (*amount < 10).then_some(true)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut fraud_check = FallbackLayer::new(FallbackConfig::new("fraud"), Small)
///     .layer(service_fn(|_: u64| async { Err::<bool, BoxError>("down".into()) }));
/// assert!(fraud_check.ready().await.unwrap().call(5).await.unwrap());
/// let error = fraud_check.ready().await.unwrap().call(5_000).await.unwrap_err();
/// assert_eq!(error.to_string(), "down", "the original error, untouched");
/// # }
/// ```
pub trait Plan<Req, Res, E> {
    /// What is taken from the request before it is given away; `()` if nothing is needed.
    type Context;

    /// Looks at the request, in `call`, before the inner service has it.
    fn context(&self, request: &Req) -> Self::Context;

    /// The call was polled and isn't done. May come more than once; not at all for a call that is
    /// done at once.
    fn pending(&self, _context: &mut Self::Context) {}

    /// The call succeeded: look at the response, which goes to the caller after that.
    fn good(&self, _context: &Self::Context, _response: &Res) {}

    /// The call was refused, or failed: an answer in its place, or `None` to leave it as it is.
    fn answer(&self, context: &Self::Context, failed: &Failed<'_, Res, E>) -> Option<Res>;
}

/// A call that was refused or failed, as a [`Plan`] sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failed<'a, Res, E> {
    /// Why: a refusal by a layer inside, or the outcome by the classifier.
    pub cause: Cause,
    /// The result itself; `Ok` for a response that the classifier calls a failure.
    pub result: Result<&'a Res, &'a E>,
}

impl<'a, Res, E> Failed<'a, Res, E> {
    pub(super) const fn new(cause: Cause, result: Result<&'a Res, &'a E>) -> Self {
        Self { cause, result }
    }
}
