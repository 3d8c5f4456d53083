//! A stale HTTP response says how old it is.

use ::http::header::AGE;
use ::http::{HeaderValue, Response};

use crate::stale::{IsStale, MarkStale, Staleness};

/// An `Age` header in whole seconds (RFC 9111 section 5.1), and the [`Staleness`] among the
/// response's extensions for whoever handles it in this process.
///
/// There is no `Warning` header: RFC 9111 section 5.5 has made it obsolete.
///
/// ```
/// use http::Response;
/// use seawall::outcome::Outcome;
/// use seawall::stale::{Cause, MarkStale, Staleness};
/// use std::time::Duration;
///
/// let (age, cause) = (Duration::from_secs(40), Cause::Failed(Outcome::Failure));
/// let marked = Response::new(()).mark_stale(Staleness { age, cause });
/// assert_eq!(marked.headers()["age"], "40");
/// assert_eq!(marked.extensions().get::<Staleness>().unwrap().cause, cause);
/// ```
impl<B> MarkStale for Response<B> {
    fn mark_stale(mut self, staleness: Staleness) -> Self {
        let age = HeaderValue::from(staleness.age.as_secs());
        self.headers_mut().insert(AGE, age);
        self.extensions_mut().insert(staleness);
        self
    }
}

impl<B> IsStale for Response<B> {
    fn staleness(&self) -> Option<Staleness> {
        self.extensions().get().copied()
    }
}
