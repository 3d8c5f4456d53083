//! How a gRPC call ended, by its `grpc-status`.

use ::http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::Body;
use super::classify::{ByStatus, IsConnect, NoneKnown};
use crate::outcome::{Classify, Outcome};

/// Classifies unary gRPC calls by `grpc-status`, in the headers or in the trailers.
///
/// | `grpc-status` | outcome |
/// | --- | --- |
/// | `UNKNOWN` 2, `DEADLINE_EXCEEDED` 4, `INTERNAL` 13, `UNAVAILABLE` 14, `DATA_LOSS` 15 | failure |
/// | `RESOURCE_EXHAUSTED` 8 | throttled, as for [`ByStatus`] |
/// | any other | success: the service did answer |
/// | none, or no number | failure, as `UNKNOWN` |
///
/// A response whose HTTP status is not 200 goes by that, and errors go by [`ByStatus`]. The status of
/// a call lies in its trailers: put a [`Buffer`](super::Buffer) inside, with
/// [`reads`](super::BufferConfig::reads) true of the unary methods; of a body that passes through
/// nothing more is known yet, and it is a success.
///
/// ```
/// use bytes::Bytes;
/// use http::Response;
/// use http_body_util::Empty;
/// use seawall::http::{Body, ByGrpcStatus};
/// use seawall::outcome::{Classify, Outcome};
///
/// let judge = |status: &str| {
///     let body: Body<Empty<Bytes>> = Body::whole("");
///     let response = Response::builder().header("grpc-status", status).body(body).unwrap();
///     Classify::<_, std::io::Error>::classify(&ByGrpcStatus::default(), Ok(&response))
/// };
/// assert_eq!(judge("0"), Outcome::Success);
/// assert_eq!(judge("5"), Outcome::Success, "NOT_FOUND");
/// assert_eq!(judge("14"), Outcome::Failure);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ByGrpcStatus<N = NoneKnown>(ByStatus<N>);

impl Default for ByGrpcStatus {
    fn default() -> Self {
        Self::new(ByStatus::new())
    }
}

impl<N> ByGrpcStatus<N> {
    /// With the settings of `by_status` for throttling and for errors.
    pub const fn new(by_status: ByStatus<N>) -> Self {
        Self(by_status)
    }

    pub(super) const fn by_status(&self) -> &ByStatus<N> {
        &self.0
    }

    fn of_code(&self, code: &[u8]) -> Outcome {
        match code {
            b"8" => self.0.throttled_is(),
            b"0" | b"1" | b"3" | b"5" | b"6" | b"7" | b"9" | b"10" | b"11" | b"12" | b"16" => {
                Outcome::Success
            }
            _ => Outcome::Failure,
        }
    }
}

impl<N, B, E> Classify<Response<Body<B>>, E> for ByGrpcStatus<N>
where
    N: IsConnect<E>,
{
    fn classify(&self, result: Result<&Response<Body<B>>, &E>) -> Outcome {
        let response = match result {
            Ok(response) if response.status() == StatusCode::OK => response,
            Ok(response) => return self.0.of_status(response.status()),
            Err(error) => return self.0.of_error(error),
        };
        match code(response) {
            Some(code) => self.of_code(code),
            None if response.body().as_bytes().is_some() => Outcome::Failure,
            None => Outcome::Success,
        }
    }
}

/// The `grpc-status` of `response`, where it is known: of a body that passes through, it isn't yet.
pub(super) fn code<B>(response: &Response<Body<B>>) -> Option<&[u8]> {
    fn code(map: &HeaderMap) -> Option<&[u8]> {
        map.get("grpc-status").map(HeaderValue::as_bytes)
    }
    code(response.headers()).or_else(|| response.body().trailers().and_then(code))
}
