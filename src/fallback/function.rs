//! A fallback that is a function of the cause, and of what it took from the request.

use std::fmt;
use std::marker::PhantomData;

use super::plan::{Failed, Plan};

/// Answers with what a function gives; made by [`function`] and [`function_with`].
pub struct Function<X, F, Res, E> {
    context: X,
    answer: F,
    /// What the function is about, so that closures infer.
    about: PhantomData<fn() -> (Res, E)>,
}

/// Takes nothing from the request: the context is `()`.
#[derive(Clone, Copy, Debug)]
pub struct NoContext;

/// A [`Plan`] that answers a refused or failed call with `answer(failed)`, if that is `Some`.
///
/// ```
/// use seawall::error::{BoxError, Carry};
/// use seawall::fallback::{self, Failed, FallbackConfig, FallbackLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // Stand in for what was refused; let what failed by itself be seen.
/// let plan = fallback::function(|failed: &Failed<'_, &'static str, BoxError>| {
///     failed.result.err()?.rejected().map(|_| "later")
/// });
/// let service = FallbackLayer::new(FallbackConfig::new("greeting"), plan)
///     .layer(service_fn(|_: ()| async { Err::<&'static str, BoxError>("boom".into()) }));
/// assert_eq!(service.oneshot(()).await.unwrap_err().to_string(), "boom");
/// # }
/// ```
pub const fn function<F, Res, E>(answer: F) -> Function<NoContext, F, Res, E>
where
    F: Fn(&Failed<'_, Res, E>) -> Option<Res>,
{
    Function { context: NoContext, answer, about: PhantomData }
}

/// As [`function`], with a context that is taken from the request before the call.
///
/// Take little: it travels with every call, also with those that succeed.
///
/// ```
/// use seawall::error::BoxError;
/// use seawall::fallback::{self, Failed, FallbackConfig, FallbackLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let plan = fallback::function_with(
///     |name: &String| name.len(),
///     |length: &usize, failed: &Failed<'_, String, BoxError>| {
///         Some(format!("{length} letters, {}", failed.cause.as_str()))
///     },
/// );
/// let service = FallbackLayer::new(FallbackConfig::new("names"), plan)
///     .layer(service_fn(|_: String| async { Err::<String, BoxError>("boom".into()) }));
/// assert_eq!(service.oneshot("Ada".to_owned()).await.unwrap(), "3 letters, failure");
/// # }
/// ```
pub const fn function_with<Req, X, F, Ctx, Res, E>(context: X, answer: F) -> Function<X, F, Res, E>
where
    X: Fn(&Req) -> Ctx,
    F: Fn(&Ctx, &Failed<'_, Res, E>) -> Option<Res>,
{
    Function { context, answer, about: PhantomData }
}

impl<Req, F, Res, E> Plan<Req, Res, E> for Function<NoContext, F, Res, E>
where
    F: Fn(&Failed<'_, Res, E>) -> Option<Res>,
{
    type Context = ();

    fn context(&self, _: &Req) {}

    fn answer(&self, (): &(), failed: &Failed<'_, Res, E>) -> Option<Res> {
        (self.answer)(failed)
    }
}

impl<Req, X, F, Ctx, Res, E> Plan<Req, Res, E> for Function<X, F, Res, E>
where
    X: Fn(&Req) -> Ctx,
    F: Fn(&Ctx, &Failed<'_, Res, E>) -> Option<Res>,
{
    type Context = Ctx;

    fn context(&self, request: &Req) -> Ctx {
        (self.context)(request)
    }

    fn answer(&self, context: &Ctx, failed: &Failed<'_, Res, E>) -> Option<Res> {
        (self.answer)(context, failed)
    }
}

impl<X: Clone, F: Clone, Res, E> Clone for Function<X, F, Res, E> {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), answer: self.answer.clone(), about: PhantomData }
    }
}

impl<X, F, Res, E> fmt::Debug for Function<X, F, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}
