//! The `Retry-After` header, in both its forms.

use std::time::{Duration, SystemTime};

use ::http::header::{DATE, HeaderName, RETRY_AFTER};
use ::http::{HeaderMap, Response};

use crate::retry_after::RetryAfter;

/// `Retry-After` (RFC 9110 section 10.2.3): a number of seconds, or an HTTP-date.
///
/// A date is taken relative to the response's own `Date`, so that clocks that differ, and ours being
/// stepped, don't matter; relative to the system's only where there is none. A date in the past is
/// zero. Anything else (signs, fractions, numbers beyond 64 bits, other bytes) is `None`.
///
/// ```
/// use http::Response;
/// use seawall::retry_after::RetryAfter;
/// use std::time::Duration;
///
/// let response = Response::builder()
///     .header("date", "Tue, 15 Nov 1994 08:12:31 GMT")
///     .header("retry-after", "Tue, 15 Nov 1994 08:13:31 GMT")
///     .body(())
///     .unwrap();
/// assert_eq!(response.retry_after(), Some(Duration::from_secs(60)));
/// ```
impl<B> RetryAfter for Response<B> {
    fn retry_after(&self) -> Option<Duration> {
        let value = text(self.headers(), RETRY_AFTER)?;
        if let Some(seconds) = digits(value) {
            return seconds.map(Duration::from_secs);
        }
        let then = httpdate::parse_http_date(value).ok()?;
        let sent = text(self.headers(), DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let now = sent.unwrap_or_else(wall_clock);
        Some(then.duration_since(now).unwrap_or_default())
    }
}

#[allow(clippy::disallowed_methods)] // an HTTP-date is wall-clock time, and means nothing without
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A number of digits alone; `Some(None)` if it is too large.
pub(super) fn digits(value: &str) -> Option<Option<u64>> {
    let all = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    all.then(|| value.parse().ok())
}
