//! Deadline and attempt as headers, for the processes that a call passes through.

use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{HeaderName, HeaderValue};
use ::http::{HeaderMap, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::request::Marks;
use super::retry_after::digits;
use crate::clock::{Clock, nanos};
use crate::request::Attempt;

/// The milliseconds that are left until the caller stops waiting. What is left, not a time of day: the
/// clocks of two machines needn't agree.
pub const DEADLINE: HeaderName = HeaderName::from_static("seawall-deadline-ms");

/// Which attempt of its caller a request is, where that caller repeats it.
pub const ATTEMPT: HeaderName = HeaderName::from_static("seawall-attempt");

/// gRPC's own deadline: up to eight digits and a unit.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Writes a request's deadline and attempt into its headers. Innermost, around the client.
///
/// A gRPC request (`content-type: application/grpc`) gets `grpc-timeout` too. Without marks nothing is
/// written, and a header that is there already is replaced.
///
/// ```
/// use http::Request;
/// use seawall::clock::Clock;
/// use seawall::http::{DEADLINE, SendMarksLayer};
/// use seawall::request::Marked;
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (clock, _) = Clock::manual();
/// let client = SendMarksLayer::new(clock.clone()).layer(service_fn(|request: Request<()>| async move {
///     Ok::<_, ()>(request.headers()[DEADLINE].clone())
/// }));
/// let mut request = Request::new(());
/// request.set_deadline(clock.now().plus(Duration::from_millis(750)));
/// assert_eq!(client.oneshot(request).await.unwrap(), "750");
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SendMarksLayer {
    clock: Clock,
}

impl SendMarksLayer {
    /// With the clock of the layers above.
    pub const fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for SendMarksLayer {
    type Service = SendMarks<S>;

    fn layer(&self, inner: S) -> SendMarks<S> {
        SendMarks { inner, clock: self.clock.clone() }
    }
}

/// Writes marks into headers; made by [`SendMarksLayer`].
#[derive(Clone, Debug)]
pub struct SendMarks<S> {
    inner: S,
    clock: Clock,
}

impl<S, B> Service<Request<B>> for SendMarks<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let marks = Marks::of(request.extensions());
        let headers = request.headers_mut();
        if let Some(deadline) = marks.deadline {
            let left = nanos(deadline.since(self.clock.now())) / 1_000_000;
            headers.insert(DEADLINE, left.into());
            if is_grpc(headers) {
                headers.insert(GRPC_TIMEOUT, grpc_timeout(left));
            }
        }
        if let Some(attempt) = marks.attempt {
            headers.insert(ATTEMPT, attempt.number().into());
        }
        self.inner.call(request)
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(::http::header::CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

/// In milliseconds while eight digits suffice, else in seconds; never more than is left.
fn grpc_timeout(left: u64) -> HeaderValue {
    const MOST: u64 = 99_999_999;
    let text =
        if left <= MOST { format!("{left}m") } else { format!("{}S", (left / 1_000).min(MOST)) };
    HeaderValue::try_from(text).expect("digits and a letter")
}

/// Reads deadline and attempt from a request's headers. Outermost, around a server; what it asks of
/// others takes them over by [`inherit`](super::inherit).
///
/// Both headers come from outside, and can do no harm: a caller may ask for less time and fewer
/// attempts, not for more. What isn't a number is ignored; what is too large is no deadline.
#[derive(Clone, Debug, Default)]
pub struct ReadMarksLayer {
    clock: Clock,
}

impl ReadMarksLayer {
    /// With the clock of the layers below.
    pub const fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for ReadMarksLayer {
    type Service = ReadMarks<S>;

    fn layer(&self, inner: S) -> ReadMarks<S> {
        ReadMarks { inner, clock: self.clock.clone() }
    }
}

/// Reads marks from headers; made by [`ReadMarksLayer`].
#[derive(Clone, Debug)]
pub struct ReadMarks<S> {
    inner: S,
    clock: Clock,
}

impl<S, B> Service<Request<B>> for ReadMarks<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let headers = request.headers();
        let number = |name| digits(text(headers, &name)?)?;
        let ours = number(DEADLINE).map(Duration::from_millis);
        let grpc = text(headers, &GRPC_TIMEOUT).and_then(of_grpc_timeout);
        let left = [ours, grpc].into_iter().flatten().min();
        let attempt = number(ATTEMPT).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        if left.is_some() || attempt.is_some() {
            let deadline = left.map(|left| self.clock.now().plus(left));
            Marks::change(request.extensions_mut(), |marks| {
                marks.due_by(deadline);
                // Whoever repeats it out there, here it is made once.
                marks.attempt = attempt.map(|n| Attempt::new(n).hedged()).or(marks.attempt);
            });
        }
        self.inner.call(request)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// "Timeout" of the gRPC protocol over HTTP/2: at most eight digits, and a unit.
fn of_grpc_timeout(value: &str) -> Option<Duration> {
    let unit = value.len().checked_sub(1)?;
    let (number, unit) = (value.get(..unit)?, value.get(unit..)?);
    if number.len() > 8 {
        return None;
    }
    let number = digits(number)??;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_in_all_units_and_nonsense_is_none() {
        assert_eq!(of_grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(of_grpc_timeout("2M"), Some(Duration::from_secs(120)));
        assert_eq!(of_grpc_timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(of_grpc_timeout("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(of_grpc_timeout("1u"), Some(Duration::from_micros(1)));
        assert_eq!(of_grpc_timeout("1n"), Some(Duration::from_nanos(1)));
        for bad in ["", "m", "1", "-1m", "+1m", "1.5S", "123456789m", "1s", "1ä", "ä"] {
            assert_eq!(of_grpc_timeout(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_grpc_timeout_is_never_longer_than_what_is_left() {
        for left in [0, 1, 99_999_999, 100_000_000, 123_456_789_999, u64::MAX] {
            let written = grpc_timeout(left);
            let read = of_grpc_timeout(written.to_str().unwrap()).unwrap();
            assert!(read <= Duration::from_millis(left), "{left}: {written:?}");
        }
    }
}
