//! A service of a type that can be named.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_service::Service;

type BoxFuture<Res, E> = Pin<Box<dyn Future<Output = Result<Res, E>> + Send>>;

/// A service whose own type is hidden: for a struct's field, or a function's signature.
///
/// Each call boxes its future, one allocation; cloning boxes the clone. Everything else is as it was.
///
/// ```
/// use seawall::stack::{self, Boxed};
/// use std::io;
/// use tower::{ServiceExt, service_fn};
///
/// struct Checkout {
///     payments: Boxed<u64, u64, seawall::Error<io::Error>>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let client = service_fn(|amount: u64| async move { Ok::<_, io::Error>(amount * 2) });
/// let stack = stack::payment("payments").build().unwrap();
/// let checkout = Checkout { payments: stack.boxed(client) };
/// assert_eq!(checkout.payments.clone().oneshot(21).await.unwrap(), 42);
/// # }
/// ```
pub struct Boxed<Req, Res, E>(Box<dyn Hidden<Req, Res, E> + Send + Sync>);

/// What of a service is needed behind the box.
trait Hidden<Req, Res, E> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>>;
    fn call(&mut self, req: Req) -> BoxFuture<Res, E>;
    fn clone(&self) -> Boxed<Req, Res, E>;
}

impl<S, Req> Hidden<Req, S::Response, S::Error> for S
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::poll_ready(self, cx)
    }

    fn call(&mut self, req: Req) -> BoxFuture<S::Response, S::Error> {
        Box::pin(Service::call(self, req))
    }

    fn clone(&self) -> Boxed<Req, S::Response, S::Error> {
        Boxed(Box::new(Clone::clone(self)))
    }
}

impl<Req, Res, E> Boxed<Req, Res, E> {
    /// Hides the type of `service`.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Req, Response = Res, Error = E> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Box::new(service))
    }
}

impl<Req, Res, E> Clone for Boxed<Req, Res, E> {
    fn clone(&self) -> Self {
        self.0.clone()
    }
}

impl<Req, Res, E> Service<Req> for Boxed<Req, Res, E> {
    type Response = Res;
    type Error = E;
    type Future = BoxFuture<Res, E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, req: Req) -> Self::Future {
        self.0.call(req)
    }
}

impl<Req, Res, E> fmt::Debug for Boxed<Req, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed(..)")
    }
}
