//! What of HTTP may be kept and given out stale: RFC 9111, RFC 5861, and some caution.

use std::time::Duration;

use ::http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_RANGE, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use ::http::{HeaderMap, Request, Response, StatusCode, Version};
use bytes::Bytes;

use super::body::Body;
use super::cache_control::{Directives, names, seconds};
use super::classify::ByStatus;
use super::key::{Credentials, KeyRules, Principal};
use crate::fallback::{self, CachedConfig, Keep, Kept, Verdict};
use crate::key::Key;
use crate::outcome::Outcome;
use crate::stale::{MarkStale, Staleness};

/// The settings of a cached fallback over HTTP, called `name`: [`CacheRules`], and [`ByStatus`] with
/// 429 as a failure, so that a throttled read is answered from the cache too.
///
/// ```
/// use seawall::http::{self, CachedLayer};
/// use std::time::Duration;
///
/// let config = http::cached("payments").max_stale(Duration::from_secs(600));
/// let layer = CachedLayer::cached(config).unwrap();
/// assert_eq!(layer.cache().snapshot().entries, 0);
/// ```
pub fn cached(name: &'static str) -> CachedConfig<CacheRules, ByStatus> {
    CachedConfig::with_rules(name, CacheRules::new())
        .classify(ByStatus::new().throttled(Outcome::Failure))
}

/// A cached fallback over HTTP, built from [`cached`]'s settings.
pub type CachedLayer<P = Credentials, C = ByStatus> =
    fallback::CachedLayer<CacheRules<P>, KeptResponse, C>;

/// Which HTTP responses are kept, under which key, and for how long they may be given out.
///
/// # What has a key
/// See [`KeyRules`]: safe requests of a known principal, or of nobody in particular.
///
/// # What is kept
/// Responses of status 200, 203 or 204 that the classifier calls good and whose body is whole (so a
/// [`Buffer`](super::Buffer) must be inside), except
/// - with `no-store`, `no-cache`, `must-revalidate` or `proxy-revalidate` (RFC 9111 section 5.2.2):
///   such may not be given out stale, so there is no use in keeping them;
/// - with `private` or `Set-Cookie`, unless a principal is in the key: under such a key, they are
///   private to that principal;
/// - whose `Vary` is `*`, or names a header that isn't in the key;
/// - that are stale themselves, by a cached fallback further in.
///
/// A request with `Authorization` has its principal in the key, so its response is never another's
/// (that is what RFC 9111 section 3.5 guards).
///
/// # How long
/// At most the fallback's own `max_stale`, counted from when the call began and on top of the
/// response's `Age`. With `stale-if-error=N` (RFC 5861) no longer than its freshness lifetime
/// (`s-maxage`, else `max-age`, else 0) and N seconds; with `s-maxage` but not that, no longer than
/// the former, since it forbids shared caches to go beyond (RFC 9111 section 5.2.2.10). `Expires`
/// and `Date` are wall-clock times, and not looked at.
///
/// # What drops it again
/// Any other good response to the same read (404, 403), but for 304 and 206; one that now says
/// `no-store` and the like, once it is older than `refresh_age`; and a good response to an unsafe request for the same target by the same caller (RFC 9111
/// section 4.4), as far as both have the same key: other callers' entries for that target, and those
/// for other headers that are part of the key (`Accept`), are not reached. They stay, within
/// `max_stale`, and marked.
///
/// # What is given out
/// The status, headers, body and trailers, without hop-by-hop fields (RFC 9111 section 3.1),
/// `Set-Cookie` and extensions, and [marked](MarkStale).
#[derive(Clone, Debug)]
pub struct CacheRules<P = Credentials> {
    keys: KeyRules<P>,
}

impl CacheRules {
    /// With [`KeyRules::new`].
    pub fn new() -> Self {
        Self { keys: KeyRules::new() }
    }
}

impl Default for CacheRules {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> CacheRules<P> {
    /// As [`KeyRules::principal`].
    ///
    /// ```
    /// use http::Request;
    /// use seawall::key::Key;
    ///
    /// #[derive(Clone, Hash)]
    /// struct UserId(u64);
    ///
    /// let config = seawall::http::cached("payments").map_rules(|rules| {
    ///     rules.principal(|request: &Request<String>| {
    ///         request.extensions().get::<UserId>().map(Key::of)
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn principal<B, F>(self, principal: F) -> CacheRules<F>
    where
        F: Fn(&Request<B>) -> Option<Key>,
    {
        CacheRules { keys: self.keys.principal(principal) }
    }

    /// As [`KeyRules::vary`].
    #[must_use]
    pub fn vary(self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { keys: self.keys.vary(headers) }
    }

    /// May a response with these headers be kept, and for how long?
    fn terms<B>(&self, has_principal: bool, headers: &HeaderMap) -> Option<Duration>
    where
        P: Principal<B>,
    {
        let says = Directives::parse(headers.get_all(CACHE_CONTROL).iter().map(bytes));
        let one_callers_own = says.private || headers.contains_key(SET_COOKIE);
        let barred = says.no_store || says.no_cache || says.revalidate;
        let keeps = !barred
            && (has_principal || !one_callers_own)
            && !headers.contains_key(CONTENT_RANGE)
            && headers.get_all(VARY).iter().all(|v| self.covers_all::<B>(v));
        let fresh_for = says.s_maxage.or(says.max_age).unwrap_or_default();
        let limit = match (says.stale_if_error, says.s_maxage) {
            (Some(longer), _) => fresh_for.saturating_add(longer),
            (None, Some(_)) => fresh_for,
            (None, None) => Duration::MAX,
        };
        keeps.then_some(limit)
    }

    fn covers_all<B>(&self, vary: &HeaderValue) -> bool
    where
        P: Principal<B>,
    {
        names(vary.as_bytes()).all(|name| {
            // `*` isn't a header's name by grammar alone, so it is asked for.
            name != b"*"
                && HeaderName::from_bytes(name).is_ok_and(|name| self.keys.covers::<B>(&name))
        })
    }
}

fn bytes(value: &HeaderValue) -> &[u8] {
    value.as_bytes()
}

/// What of a request matters when its response is kept.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    has_principal: bool,
}

/// A whole response, in the form in which it is kept: it shares no memory with the connection's
/// buffers.
#[derive(Debug)]
pub struct KeptResponse {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl<ReqB, B, P> Keep<Request<ReqB>, Response<Body<B>>> for CacheRules<P>
where
    P: Principal<ReqB>,
{
    type Asked = Asked;
    type Kept = KeptResponse;

    #[inline]
    fn key(&self, request: &Request<ReqB>) -> Option<(Key, Asked)> {
        let (key, has_principal) = self.keys.key_and_principal(request)?;
        Some((key, Asked { has_principal }))
    }

    fn keep(&self, asked: &Asked, response: &Response<Body<B>>) -> Verdict<KeptResponse> {
        let headers = response.headers();
        if leaves(response) {
            return Verdict::Leave;
        }
        let Some(limit) = self.terms::<ReqB>(asked.has_principal, headers) else {
            return Verdict::Forget;
        };
        let Some(body) = response.body().as_bytes() else {
            return Verdict::Leave;
        };
        let kept = KeptResponse {
            status: response.status(),
            version: response.version(),
            headers: end_to_end(headers),
            body: Bytes::copy_from_slice(body),
            trailers: response.body().trailers().map(end_to_end),
        };
        let age = headers.get_all(AGE).iter().map(|v| seconds(v.as_bytes()));
        let weight = kept.weight();
        Verdict::Keep(Kept::new(kept, weight).age(age.max().unwrap_or_default()).max_stale(limit))
    }

    fn give(&self, _: &Asked, kept: &KeptResponse, staleness: Staleness) -> Response<Body<B>> {
        let body = Body::with_trailers(kept.body.clone(), kept.trailers.clone());
        let mut response = Response::new(body);
        *response.status_mut() = kept.status;
        *response.version_mut() = kept.version;
        *response.headers_mut() = kept.headers.clone();
        response.mark_stale(staleness)
    }

    #[inline]
    fn revokes(&self, response: &Response<Body<B>>) -> bool {
        !(is_kept(response.status()) || leaves(response))
    }

    fn outdates(&self, request: &Request<ReqB>) -> Option<Key> {
        let is_unsafe = !request.method().is_safe();
        is_unsafe.then(|| self.keys.key_of_get(request))
    }
}

const fn is_kept(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204)
}

/// Does it say nothing about what was kept before?
fn leaves<B>(response: &Response<B>) -> bool {
    let status = response.status();
    status.is_informational()
        || status == StatusCode::NOT_MODIFIED
        || status == StatusCode::PARTIAL_CONTENT
        || response.extensions().get::<Staleness>().is_some()
}

/// The headers that concern more than one connection, in memory of their own.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<_> = headers.get_all(CONNECTION).iter().map(bytes).collect();
    let is_named = |name: &HeaderName| {
        let name = name.as_str().as_bytes();
        named.iter().flat_map(|line| names(line)).any(|other| other.eq_ignore_ascii_case(name))
    };
    let of_the_hop = [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        SET_COOKIE,
        AGE,
    ];
    let others = ["keep-alive", "proxy-connection", "proxy-authentication-info"];
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        if of_the_hop.contains(name) || others.contains(&name.as_str()) || is_named(name) {
            continue;
        }
        // A copy: as it came, the value is a slice of all that was read from the connection.
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            kept.append(name.clone(), copy);
        }
    }
    kept
}

impl KeptResponse {
    /// Its bytes; a header's place in the map counts as 100 besides its text.
    fn weight(&self) -> usize {
        let text = |headers: &HeaderMap| -> usize {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 100).sum()
        };
        size_of::<Self>()
            + self.body.len()
            + text(&self.headers)
            + self.trailers.as_ref().map_or(0, text)
    }
}
