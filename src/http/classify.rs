//! How an HTTP call ended, by its status.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::http::{Response, StatusCode};

use super::error::ClientError;
use crate::outcome::{Classify, Outcome};
use crate::retry_after::RetryAfter;

/// Classifies HTTP responses by status, and errors by whether anything was sent.
///
/// | result | outcome |
/// | --- | --- |
/// | 5xx except 501; 408 | [`Failure`](Outcome::Failure) |
/// | 429 | throttled: [`Ignored`](Outcome::Ignored) unless [set](Self::throttled) |
/// | all else: 1xx to 4xx, and 501 | [`Success`](Outcome::Success): the service did answer |
/// | an error while connecting | [`Failure`](Outcome::Failure): nothing was sent |
/// | any other error | [`InDoubt`](Outcome::InDoubt): the request may have been carried out |
///
/// Which errors are connect errors only the client knows: say so with
/// [`connect_errors`](Self::connect_errors). Until then all are in doubt.
///
/// ```
/// use http::Response;
/// use seawall::http::ByStatus;
/// use seawall::outcome::{Classify, Outcome};
///
/// let by_status = ByStatus::new();
/// let judge = |status: u16| {
///     let response = Response::builder().status(status).body(()).unwrap();
///     Classify::<_, std::io::Error>::classify(&by_status, Ok(&response))
/// };
/// assert_eq!(judge(503), Outcome::Failure);
/// assert_eq!(judge(404), Outcome::Success);
/// assert_eq!(judge(429), Outcome::Ignored);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ByStatus<N = NoneKnown> {
    throttled: Outcome,
    connect: N,
}

/// No error is known to be a connect error.
#[derive(Clone, Copy, Debug)]
pub struct NoneKnown;

/// Errors for which `F` says so are connect errors of the client's error type `E`.
pub struct ConnectErrors<F, E> {
    is_connect: F,
    of: PhantomData<fn(&E)>,
}

/// Tells connect errors, before which nothing was sent, from the others.
pub trait IsConnect<E> {
    /// Did the connection fail, so that nothing was sent?
    fn is_connect(&self, error: &E) -> bool;
}

impl<E> IsConnect<E> for NoneKnown {
    fn is_connect(&self, _: &E) -> bool {
        false
    }
}

impl<T, F, E> IsConnect<T> for ConnectErrors<F, E>
where
    T: ClientError<E>,
    F: Fn(&E) -> bool,
{
    fn is_connect(&self, error: &T) -> bool {
        error.client_error().is_some_and(&self.is_connect)
    }
}

impl ByStatus {
    /// By the table above.
    pub const fn new() -> Self {
        Self { throttled: Outcome::Ignored, connect: NoneKnown }
    }
}

impl Default for ByStatus {
    fn default() -> Self {
        Self::new()
    }
}

impl<N> ByStatus<N> {
    /// What a 429 is. Default [`Outcome::Ignored`]: it says that this caller asks too much, not that
    /// the service is sick.
    #[must_use]
    pub fn throttled(mut self, outcome: Outcome) -> Self {
        self.throttled = outcome;
        self
    }

    /// Which errors of the client are connect errors. They are found also where layers have wrapped
    /// them (see [`ClientError`]).
    ///
    /// With hyper-util, `|e: &hyper_util::client::legacy::Error| e.is_connect()`; with reqwest,
    /// `|e: &reqwest::Error| e.is_connect()`.
    ///
    /// ```
    /// use http::Response;
    /// use seawall::error::Error;
    /// use seawall::http::{BufferError, ByStatus};
    /// use seawall::outcome::{Classify, Outcome};
    /// use std::io;
    ///
    /// let by_status = ByStatus::new()
    ///     .connect_errors(|e: &io::Error| e.kind() == io::ErrorKind::ConnectionRefused);
    /// let judge = |kind: io::ErrorKind| {
    ///     let error = Error::Inner(BufferError::<io::Error, io::Error>::Call(kind.into()));
    ///     Classify::<Response<()>, _>::classify(&by_status, Err(&error))
    /// };
    /// assert_eq!(judge(io::ErrorKind::ConnectionRefused), Outcome::Failure);
    /// assert_eq!(judge(io::ErrorKind::ConnectionReset), Outcome::InDoubt);
    /// ```
    #[must_use]
    pub fn connect_errors<E, F>(self, is_connect: F) -> ByStatus<ConnectErrors<F, E>>
    where
        F: Fn(&E) -> bool,
    {
        ByStatus {
            throttled: self.throttled,
            connect: ConnectErrors { is_connect, of: PhantomData },
        }
    }

    /// The outcome that `status` stands for.
    pub fn of_status(&self, status: StatusCode) -> Outcome {
        match status {
            StatusCode::TOO_MANY_REQUESTS => self.throttled,
            StatusCode::NOT_IMPLEMENTED => Outcome::Success,
            StatusCode::REQUEST_TIMEOUT => Outcome::Failure,
            _ if status.is_server_error() => Outcome::Failure,
            _ => Outcome::Success,
        }
    }

    pub(super) const fn throttled_is(&self) -> Outcome {
        self.throttled
    }

    pub(super) fn of_error<E>(&self, error: &E) -> Outcome
    where
        N: IsConnect<E>,
    {
        if self.connect.is_connect(error) { Outcome::Failure } else { Outcome::InDoubt }
    }
}

impl<N, B, E> Classify<Response<B>, E> for ByStatus<N>
where
    N: IsConnect<E>,
{
    #[inline]
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) => self.of_status(response.status()),
            Err(error) => self.of_error(error),
        }
    }

    /// The response's `Retry-After`, in either form.
    fn retry_after(&self, result: Result<&Response<B>, &E>) -> Option<Duration> {
        result.ok().and_then(RetryAfter::retry_after)
    }
}

impl<F: Clone, E> Clone for ConnectErrors<F, E> {
    fn clone(&self) -> Self {
        Self { is_connect: self.is_connect.clone(), of: PhantomData }
    }
}

impl<F: Copy, E> Copy for ConnectErrors<F, E> {}

impl<F, E> fmt::Debug for ConnectErrors<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectErrors")
    }
}
