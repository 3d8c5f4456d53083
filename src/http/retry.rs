//! What may be repeated, in HTTP and in gRPC.

use std::time::Duration;

use ::http::{Response, StatusCode};

use super::body::Body;
use super::classify::{ByStatus, IsConnect};
use super::grpc::{ByGrpcStatus, code};
use crate::outcome::{Classify, Outcome};

/// Classifies for a [`retry`](crate::retry): by whether the request may have been carried out.
///
/// A breaker asks whether the service is well; a retry, whether a second request could do harm. An
/// error status doesn't say that nothing was done: a gateway's 503 may stand for an answer that was
/// lost on the way. So only what turns a request away at the door is
/// [`Failure`](Outcome::Failure), which is repeated whatever the request does; the rest is
/// [`InDoubt`](Outcome::InDoubt), which is repeated only for reads, for what is idempotent, and for
/// what bears a key.
///
/// | HTTP | gRPC (`grpc-status`) | outcome | repeated |
/// | --- | --- | --- | --- |
/// | a connect error | the same | `Failure` | always |
/// | 408, 429 | `RESOURCE_EXHAUSTED` 8 | `Failure` | always |
/// | 500, 502, 503, 504, other 5xx | `UNKNOWN` 2, `DEADLINE_EXCEEDED` 4, `INTERNAL` 13, `UNAVAILABLE` 14, `DATA_LOSS` 15, none | `InDoubt` | unless it is done once |
/// | any other error | the same | `InDoubt` | unless it is done once |
/// | 501, 505, all else | all else | `Success` | never |
///
/// Made by [`ByStatus::for_retry`] and [`ByGrpcStatus::for_retry`].
///
/// ```
/// use http::Response;
/// use seawall::http::ByStatus;
/// use seawall::outcome::{Classify, Outcome};
/// use seawall::retry::{RetryConfig, RetryLayer};
///
/// let classify = ByStatus::new().for_retry();
/// let judge = |status: u16| {
///     let response = Response::builder().status(status).body(()).unwrap();
///     Classify::<_, std::io::Error>::classify(&classify, Ok(&response))
/// };
/// assert_eq!(judge(429), Outcome::Failure);
/// assert_eq!(judge(503), Outcome::InDoubt);
/// assert_eq!(judge(404), Outcome::Success);
///
/// let layer = RetryLayer::new(RetryConfig::new("payments")).unwrap().classify(classify);
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ForRetry<C>(C);

impl<N> ByStatus<N> {
    /// The same knowledge of connect errors, as a retry needs it.
    #[must_use]
    pub fn for_retry(self) -> ForRetry<Self> {
        ForRetry(self)
    }
}

impl<N> ByGrpcStatus<N> {
    /// The same knowledge of connect errors, as a retry needs it.
    #[must_use]
    pub fn for_retry(self) -> ForRetry<Self> {
        ForRetry(self)
    }
}

fn of_status(status: StatusCode) -> Outcome {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Outcome::Failure,
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Outcome::Success,
        _ if status.is_server_error() => Outcome::InDoubt,
        _ => Outcome::Success,
    }
}

fn of_code(code: &[u8]) -> Outcome {
    match code {
        b"8" => Outcome::Failure,
        b"0" | b"1" | b"3" | b"5" | b"6" | b"7" | b"9" | b"10" | b"11" | b"12" | b"16" => {
            Outcome::Success
        }
        _ => Outcome::InDoubt,
    }
}

impl<N, B, E> Classify<Response<B>, E> for ForRetry<ByStatus<N>>
where
    N: IsConnect<E>,
{
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) => of_status(response.status()),
            Err(error) => self.0.of_error(error),
        }
    }

    fn retry_after(&self, result: Result<&Response<B>, &E>) -> Option<Duration> {
        self.0.retry_after(result)
    }
}

impl<N, B, E> Classify<Response<Body<B>>, E> for ForRetry<ByGrpcStatus<N>>
where
    N: IsConnect<E>,
{
    fn classify(&self, result: Result<&Response<Body<B>>, &E>) -> Outcome {
        match result {
            Ok(response) if response.status() != StatusCode::OK => of_status(response.status()),
            Ok(response) => match code(response) {
                Some(code) => of_code(code),
                None if response.body().as_bytes().is_some() => Outcome::InDoubt,
                None => Outcome::Success,
            },
            Err(error) => self.0.by_status().of_error(error),
        }
    }

    fn retry_after(&self, result: Result<&Response<Body<B>>, &E>) -> Option<Duration> {
        self.0.by_status().retry_after(result)
    }
}
