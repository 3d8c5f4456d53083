//! Reads the bodies of declared reads before it answers.

use std::fmt;
use std::task::{Context, Poll};

use ::http::{Method, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::body::Body;
use super::error::BufferError;
use super::reading::ResponseFuture;
use crate::error::{ConfigError, check};

/// Which requests are declared reads, whose responses are read before they are handed on.
///
/// Closures over `&Request<B>` implement it.
pub trait IsRead<Req> {
    /// Is this request a declared read?
    fn is_read(&self, request: &Req) -> bool;
}

impl<F: Fn(&Req) -> bool, Req> IsRead<Req> for F {
    fn is_read(&self, request: &Req) -> bool {
        self(request)
    }
}

/// `GET` and `HEAD` are reads (safe methods, RFC 9110 section 9.2.1): the default [`IsRead`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SafeMethods;

impl<B> IsRead<Request<B>> for SafeMethods {
    fn is_read(&self, request: &Request<B>) -> bool {
        [Method::GET, Method::HEAD].contains(request.method())
    }
}

/// The settings of a [`BufferLayer`].
///
/// ```
/// use seawall::http::{BufferConfig, BufferLayer};
///
/// let layer = BufferLayer::new(BufferConfig::new().max_body(64 << 10)).unwrap();
/// let error = BufferLayer::new(BufferConfig::new().max_body(usize::MAX)).unwrap_err();
/// assert_eq!(error.field(), "max_body");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BufferConfig<R = SafeMethods> {
    max_body: usize,
    reads: R,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self { max_body: 1 << 20, reads: SafeMethods }
    }
}

impl BufferConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<R> BufferConfig<R> {
    /// The longest body that is read, in bytes; longer ones pass through. Default 1 MiB; 1 to
    /// 1 GiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Which requests are declared reads. Default [`SafeMethods`].
    ///
    /// ```
    /// use http::Request;
    /// use seawall::http::BufferConfig;
    ///
    /// let config = BufferConfig::new()
    ///     .reads(|request: &Request<()>| request.uri().path().starts_with("/quotes/"));
    /// ```
    #[must_use]
    pub fn reads<B, N>(self, reads: N) -> BufferConfig<N>
    where
        N: Fn(&Request<B>) -> bool,
    {
        BufferConfig { max_body: self.max_body, reads }
    }
}

/// Makes [`Buffer`]s: see there.
#[derive(Clone, Copy, Debug)]
pub struct BufferLayer<R = SafeMethods> {
    config: BufferConfig<R>,
}

impl<R> BufferLayer<R> {
    /// A layer with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if `max_body` is zero or above 1 GiB.
    pub fn new(config: BufferConfig<R>) -> Result<Self, ConfigError> {
        check("max_body", config.max_body, "from 1 byte to 1 GiB", |n| (1..=1 << 30).contains(n))?;
        Ok(Self { config })
    }
}

impl<S, R: Clone> Layer<S> for BufferLayer<R> {
    type Service = Buffer<S, R>;

    fn layer(&self, inner: S) -> Buffer<S, R> {
        Buffer { inner, config: self.config.clone() }
    }
}

/// A client whose responses to declared reads come with their bodies read.
///
/// A `200` whose body then hangs or breaks off is no success. Innermost, right around the client,
/// this service makes the body part of the call: a timeout, a breaker and a bulkhead's place further
/// out cover it, one that breaks off is an error ([`BufferError::Body`]) instead of a surprise to
/// the caller, and a whole one can be kept by a cached fallback.
///
/// Bodies that say they are longer than `max_body`, or turn out to be, pass through as they come
/// (what was read of them first), and so does every response to a request that is no declared read:
/// an event stream, a download and a charge's response look the same with and without this layer.
/// What happens to a body that passes through happens after the call is over.
///
/// `poll_ready` is the inner's. The body type must be `Unpin`, as those of hyper, reqwest, axum and
/// tonic are: one that was read from may have to be handed on.
///
/// # Cancel safety
/// Dropping the response future drops the response, and what was read of it.
#[derive(Clone)]
pub struct Buffer<S, R = SafeMethods> {
    inner: S,
    config: BufferConfig<R>,
}

impl<S, R> Buffer<S, R> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, R, ReqB, B> Service<Request<ReqB>> for Buffer<S, R>
where
    S: Service<Request<ReqB>, Response = Response<B>>,
    B: http_body::Body + Unpin,
    R: IsRead<Request<ReqB>>,
{
    type Response = Response<Body<B>>;
    type Error = BufferError<S::Error, B::Error>;
    type Future = ResponseFuture<S::Future, B>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(BufferError::Call)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let max_body = self.config.reads.is_read(&request).then_some(self.config.max_body);
        ResponseFuture::new(self.inner.call(request), max_body)
    }
}

impl<S, R> fmt::Debug for Buffer<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("max_body", &self.config.max_body).finish_non_exhaustive()
    }
}
