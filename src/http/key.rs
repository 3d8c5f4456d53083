//! The key of an HTTP read: what is asked, and who asks.

use ::http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE,
    HOST, PRAGMA, RANGE, TRANSFER_ENCODING, UPGRADE,
};
use ::http::uri::Scheme;
use ::http::{HeaderMap, HeaderName, Method, Request};

use super::cache_control::Directives;
use crate::key::{Key, KeyBuilder};

/// Makes [`Key`]s of HTTP reads.
///
/// A key is made of the method (`GET` or `HEAD`), scheme, authority and `Host`, path, query, the
/// *principal* who asks, and the request headers by which responses may differ. There is none, so
/// the request is neither kept nor answered from a cache,
/// - for any other method;
/// - when credentials are there (`Authorization` or `Cookie`) but no principal is known;
/// - for a request that says `Cache-Control: no-store` or `no-cache` (or `Pragma: no-cache`, RFC
///   9111 sections 5.2.1 and 5.4), asks for a `Range`, or for an `Upgrade`;
/// - for one whose `Content-Length` or `Transfer-Encoding` says that it has a body. A body isn't in the
///   key: where a `GET` may have one that isn't announced so, give its service keys of your own.
///
/// By default the principal is the credentials themselves, in digest. If they change while the
/// principal doesn't (tokens that are renewed), name it: see [`principal`](Self::principal). If a
/// caller is known by something else (`X-Api-Key`, a client certificate), name it too, or that header
/// with [`vary`](Self::vary): what isn't in the key can't tell callers apart.
///
/// ```
/// use http::Request;
/// use seawall::http::KeyRules;
///
/// let rules = KeyRules::new();
/// let ask = |user: &str| {
///     Request::get("https://pay.example/methods").header("authorization", user).body(()).unwrap()
/// };
/// assert_eq!(rules.key(&ask("Bearer ada")), rules.key(&ask("Bearer ada")));
/// assert_ne!(rules.key(&ask("Bearer ada")), rules.key(&ask("Bearer bob")));
/// assert_eq!(rules.key(&Request::post("/charges").body(()).unwrap()), None);
/// ```
#[derive(Clone, Debug)]
pub struct KeyRules<P = Credentials> {
    /// `None`: the credentials, which are then hashed with all the rest.
    principal: Option<P>,
    vary: Vec<HeaderName>,
}

/// Who asks: two requests of the same principal may see each other's responses.
///
/// Closures over `&Request<B>` implement it.
pub trait Principal<B> {
    /// The principal, if there is one.
    fn principal(&self, request: &Request<B>) -> Option<Key>;

    /// Does it stand for this header, so that responses that vary by it may share a key? Default:
    /// for `Authorization`.
    fn stands_for(&self, header: &HeaderName) -> bool {
        header == AUTHORIZATION
    }
}

impl<F: Fn(&Request<B>) -> Option<Key>, B> Principal<B> for F {
    fn principal(&self, request: &Request<B>) -> Option<Key> {
        self(request)
    }
}

/// The principal is what `Authorization` and `Cookie` say, in digest: the default [`Principal`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials;

impl<B> Principal<B> for Credentials {
    #[inline]
    fn principal(&self, request: &Request<B>) -> Option<Key> {
        let mut key: Option<KeyBuilder> = None;
        // In the order in which they come; each says first which of the two it is.
        for (name, value) in request.headers() {
            let is_cookie = *name == COOKIE;
            if is_cookie || *name == AUTHORIZATION {
                let so_far = key.take().unwrap_or_default();
                key = Some(so_far.part(&[is_cookie.into()]).part(value.as_bytes()));
            }
        }
        key.map(KeyBuilder::finish)
    }

    fn stands_for(&self, header: &HeaderName) -> bool {
        header == AUTHORIZATION || header == COOKIE
    }
}

/// Collects the parts of a key, so that the hash is fed a few times and not part by part: most keys
/// fit in.
struct Parts {
    key: KeyBuilder,
    filled: usize,
    bytes: [u8; 256],
}

impl Parts {
    #[inline]
    fn new() -> Self {
        Self { key: KeyBuilder::new(), filled: 0, bytes: [0; 256] }
    }

    /// Some bytes, whose number is known from what came before.
    #[inline]
    fn put(&mut self, part: &[u8]) {
        let end = self.filled + part.len();
        if let Some(room) = self.bytes.get_mut(self.filled..end) {
            room.copy_from_slice(part);
            self.filled = end;
        } else {
            self.put_long(part);
        }
    }

    /// What doesn't fit goes to the hash at once; that it does so depends on the parts alone.
    #[cold]
    fn put_long(&mut self, part: &[u8]) {
        self.key = self.key.clone().part(&self.bytes[..self.filled]).part(part);
        self.filled = 0;
    }

    /// Bytes of any number, which is put first, so that parts can't run into each other.
    fn add(&mut self, part: &[u8]) {
        self.put(&(part.len() as u64).to_ne_bytes());
        self.put(part);
    }

    /// All values of a header, and how many there are.
    fn header(&mut self, headers: &HeaderMap, name: &HeaderName) {
        let mut values = 0_u64;
        for value in headers.get_all(name) {
            values += 1;
            self.add(value.as_bytes());
        }
        self.add(&values.to_ne_bytes());
    }

    #[inline]
    fn key(self) -> Key {
        self.key.part(&self.bytes[..self.filled]).finish()
    }
}

/// What of a request decides whether it has a key; found in one pass over its headers.
#[derive(Default)]
struct Seen {
    credentials: bool,
    not_for_caches: bool,
    host: bool,
    /// Which of the vary headers are there, one bit each.
    vary: u64,
}

impl Default for KeyRules {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyRules {
    /// The credentials are the principal; responses may vary by `Accept`, `Accept-Encoding` and
    /// `Accept-Language`.
    pub fn new() -> Self {
        Self { principal: None, vary: vec![ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE] }
    }
}

impl<P> KeyRules<P> {
    /// Who asks, in place of the credentials. Default [`Credentials`].
    ///
    /// `None` is nobody in particular; with `Authorization` or `Cookie` in the request it means that
    /// the principal isn't known, and that there is no key.
    ///
    /// ```
    /// use http::Request;
    /// use seawall::http::KeyRules;
    /// use seawall::key::Key;
    ///
    /// #[derive(Clone, Hash)]
    /// struct UserId(u64);
    ///
    /// let rules = KeyRules::new()
    ///     .principal(|request: &Request<()>| request.extensions().get::<UserId>().map(Key::of));
    /// let mut request = Request::get("/methods").header("authorization", "a").body(()).unwrap();
    /// assert_eq!(rules.key(&request), None, "credentials of someone unknown");
    ///
    /// request.extensions_mut().insert(UserId(7));
    /// let before = rules.key(&request);
    /// request.headers_mut().insert("authorization", "renewed".parse().unwrap());
    /// assert!(before.is_some() && before == rules.key(&request));
    /// ```
    #[must_use]
    pub fn principal<B, F>(self, principal: F) -> KeyRules<F>
    where
        F: Fn(&Request<B>) -> Option<Key>,
    {
        KeyRules { principal: Some(principal), vary: self.vary }
    }

    /// More request headers that go into the key, so that responses may `Vary` by them. Default:
    /// `Accept`, `Accept-Encoding`, `Accept-Language`; 64 in all, of which those beyond are left out
    /// (and responses that vary by them are not kept).
    #[must_use]
    pub fn vary(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        for header in headers {
            if self.vary.len() < 64 && !self.vary.contains(&header) {
                self.vary.push(header);
            }
        }
        self
    }

    /// The key of `request`, if it is a read that may be answered from a cache.
    pub fn key<B>(&self, request: &Request<B>) -> Option<Key>
    where
        P: Principal<B>,
    {
        self.key_and_principal(request).map(|(key, _)| key)
    }

    /// The key, and whether a principal is in it.
    #[inline]
    pub(super) fn key_and_principal<B>(&self, request: &Request<B>) -> Option<(Key, bool)>
    where
        P: Principal<B>,
    {
        let method = request.method();
        if *method != Method::GET && *method != Method::HEAD {
            return None;
        }
        let seen = self.look(request.headers());
        if seen.not_for_caches {
            return None;
        }
        let principal = self.named(request);
        let has_principal = match &self.principal {
            Some(_) if seen.credentials && principal.is_none() => return None,
            Some(_) => principal.is_some(),
            None => seen.credentials,
        };
        let key = self.build(request, method, principal, &seen);
        Some((key, has_principal))
    }

    /// The key that a `GET` of the same target, by the same caller, has.
    #[cfg(feature = "cache")]
    pub(super) fn key_of_get<B>(&self, request: &Request<B>) -> Key
    where
        P: Principal<B>,
    {
        let seen = self.look(request.headers());
        self.build(request, &Method::GET, self.named(request), &seen)
    }

    #[inline]
    fn named<B>(&self, request: &Request<B>) -> Option<Key>
    where
        P: Principal<B>,
    {
        self.principal.as_ref()?.principal(request)
    }

    fn build<B>(
        &self,
        request: &Request<B>,
        method: &Method,
        principal: Option<Key>,
        seen: &Seen,
    ) -> Key {
        let (uri, headers) = (request.uri(), request.headers());
        let scheme = match uri.scheme() {
            None => 0,
            Some(scheme) if *scheme == Scheme::HTTP => 1,
            Some(scheme) if *scheme == Scheme::HTTPS => 2,
            Some(_) => 3,
        };
        let is_head = u8::from(*method == Method::HEAD);
        let whose = match principal {
            Some(_) => 2,
            None => u8::from(self.principal.is_none() && seen.credentials),
        };
        let authority = uri.authority().map_or("", |a| a.as_str());
        let path = uri.path_and_query().map_or("", |p| p.as_str());

        // First what of the rest is there, and how long: so that one thing can't be taken for
        // another. (No URI is longer than 64 KiB.)
        let mut head = [0; 20];
        head[..4].copy_from_slice(&[is_head, scheme, whose, seen.host.into()]);
        head[4..8].copy_from_slice(&(authority.len() as u32).to_ne_bytes());
        head[8..12].copy_from_slice(&(path.len() as u32).to_ne_bytes());
        head[12..].copy_from_slice(&seen.vary.to_ne_bytes());
        let mut parts = Parts::new();
        parts.put(&head);
        parts.put(authority.as_bytes());
        parts.put(path.as_bytes());
        if scheme == 3 {
            parts.add(uri.scheme_str().unwrap_or_default().as_bytes());
        }
        if let Some(principal) = principal {
            parts.put(&principal.to_bytes());
        }
        if whose == 1 {
            parts.header(headers, &AUTHORIZATION);
            parts.header(headers, &COOKIE);
        }
        if seen.host {
            parts.header(headers, &HOST);
        }
        for (i, name) in self.vary.iter().enumerate() {
            if seen.vary & 1 << i != 0 {
                parts.header(headers, name);
            }
        }
        parts.key()
    }

    fn look(&self, headers: &HeaderMap) -> Seen {
        let mut seen = Seen::default();
        for (name, value) in headers {
            if let Some(i) = self.vary.iter().position(|vary| vary == name) {
                seen.vary |= 1 << i;
            }
            // `if`s, not a `match`: these are no patterns; each is a comparison of one byte.
            if name == AUTHORIZATION || name == COOKIE {
                seen.credentials = true;
            } else if name == CACHE_CONTROL || name == PRAGMA {
                let asks = Directives::parse([value.as_bytes()]);
                seen.not_for_caches |= asks.no_store || asks.no_cache;
            } else if name == RANGE || name == UPGRADE || name == TRANSFER_ENCODING {
                seen.not_for_caches = true;
            } else if name == HOST {
                seen.host = true;
            } else if name == CONTENT_LENGTH {
                seen.not_for_caches |= value != "0";
            }
        }
        seen
    }

    /// Is `header` in the key, or does the principal stand for it?
    #[cfg(feature = "cache")]
    pub(super) fn covers<B>(&self, header: &HeaderName) -> bool
    where
        P: Principal<B>,
    {
        let stands_for_it = match &self.principal {
            Some(principal) => principal.stands_for(header),
            None => Principal::<B>::stands_for(&Credentials, header),
        };
        stands_for_it || *header == HOST || self.vary.contains(header)
    }
}
