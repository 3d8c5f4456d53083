//! What travels with an HTTP request: in its method, a header, and an extension.

use ::http::header::{HeaderName, HeaderValue};
use ::http::{Extensions, Method, Request};

use crate::clock::Moment;
use crate::request::{Attempt, IdempotencyKey, Marked, Operation};

/// `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): names one operation, so that the
/// service knows a repetition.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Deadline and attempt, as one extension.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) deadline: Option<Moment>,
    pub(super) attempt: Option<Attempt>,
}

impl Marks {
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    /// With this deadline, unless it has an earlier one.
    pub(super) fn due_by(&mut self, deadline: Option<Moment>) {
        self.deadline = [self.deadline, deadline].into_iter().flatten().min();
    }

    pub(super) fn change(extensions: &mut Extensions, change: impl FnOnce(&mut Self)) {
        match extensions.get_mut() {
            Some(marks) => change(marks),
            None => {
                let mut marks = Self::default();
                change(&mut marks);
                extensions.insert(marks);
            }
        }
    }
}

/// By the method (RFC 9110 section 9.2): `GET`, `HEAD`, `OPTIONS` and `TRACE` are reads; `PUT` and
/// `DELETE` are idempotent, and so is whatever bears an `Idempotency-Key`; all else is done once.
///
/// Where that is wrong, or the method says nothing (in gRPC all is `POST`), an [`Operation`] among the
/// request's extensions says it. Deadline and attempt are extensions too; see
/// [`SendMarksLayer`](super::SendMarksLayer) for other processes.
///
/// ```
/// use http::Request;
/// use seawall::http::with_key;
/// use seawall::request::{IdempotencyKey, Marked, Operation};
///
/// let charge = Request::post("/charges").body("9.99 EUR").unwrap();
/// assert_eq!(charge.operation(), Operation::Once);
/// let charge = with_key(charge, &IdempotencyKey::new());
/// assert_eq!(charge.operation(), Operation::Idempotent);
///
/// let mut search = Request::post("/search").body("quotes").unwrap();
/// search.extensions_mut().insert(Operation::Read);
/// assert_eq!(search.operation(), Operation::Read);
/// ```
impl<B> Marked for Request<B> {
    fn operation(&self) -> Operation {
        if let Some(said) = self.extensions().get() {
            return *said;
        }
        match *self.method() {
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE => Operation::Read,
            Method::PUT | Method::DELETE => Operation::Idempotent,
            _ if self.headers().contains_key(IDEMPOTENCY_KEY) => Operation::Idempotent,
            _ => Operation::Once,
        }
    }

    fn deadline(&self) -> Option<Moment> {
        Marks::of(self.extensions()).deadline
    }

    fn set_deadline(&mut self, deadline: Moment) {
        Marks::change(self.extensions_mut(), |marks| marks.deadline = Some(deadline));
    }

    fn attempt(&self) -> Option<Attempt> {
        Marks::of(self.extensions()).attempt
    }

    fn set_attempt(&mut self, attempt: Attempt) {
        Marks::change(self.extensions_mut(), |marks| marks.attempt = Some(attempt));
    }

    fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.headers().get(IDEMPOTENCY_KEY)?.to_str().ok()?.parse().ok()
    }
}

/// `request`, with `key` as its `Idempotency-Key`, unless it has one.
///
/// Call it where the operation begins, outside all that repeats: its attempts then bear the same key.
pub fn with_key<B>(mut request: Request<B>, key: &IdempotencyKey) -> Request<B> {
    let value = HeaderValue::from_str(key.as_str()).expect("a key is visible ASCII");
    request.headers_mut().entry(IDEMPOTENCY_KEY).or_insert(value);
    request
}

/// Gives `request` the deadline and the attempt of the request that it is made for: `extensions` are
/// those of the request that your server was asked.
///
/// So what a server asks of others ends when its own caller stops waiting, and isn't repeated where
/// that caller repeats. A deadline of `request`'s own is kept if it is earlier.
pub fn inherit<B>(extensions: &Extensions, request: &mut Request<B>) {
    if let Some(theirs) = extensions.get::<Marks>() {
        Marks::change(request.extensions_mut(), |marks| {
            marks.due_by(theirs.deadline);
            marks.attempt = theirs.attempt.or(marks.attempt);
        });
    }
}
