//! What may be kept, under which key, for how long, and how it is given out again.

use std::time::Duration;

use crate::key::Key;
use crate::stale::{MarkStale, Staleness};

/// The rules of a cached fallback: the operations that are declared reads, and what may be kept of
/// their responses.
///
/// [`ByKey`] is the rule set for any response that is `Clone + MarkStale`; with feature `http`,
/// `http::CacheRules` follows RFC 9111 and RFC 5861.
pub trait Keep<Req, Res> {
    /// What else of the request matters when its response is kept or given out; often `()`.
    type Asked;
    /// The form in which a response is kept.
    type Kept;

    /// The key of a declared read; `None` for everything else, which is neither kept nor answered.
    ///
    /// Called once a call, before it: be quick. Two requests may share a key only if either may see
    /// the other's response: whoever asks belongs into it.
    fn key(&self, request: &Req) -> Option<(Key, Self::Asked)>;

    /// What to keep of a good response.
    ///
    /// Called only when it is time to refresh.
    fn keep(&self, asked: &Self::Asked, response: &Res) -> Verdict<Self::Kept>;

    /// A response from what was kept, marked.
    fn give(&self, asked: &Self::Asked, kept: &Self::Kept, staleness: Staleness) -> Res;

    /// Does this good response take back what was kept before (gone, no longer allowed)?
    ///
    /// Called for every good response to a declared read: be quick. Default: none does.
    fn revokes(&self, _response: &Res) -> bool {
        false
    }

    /// For a request without a key: the key of the read that is out of date once it succeeds, such
    /// as the `GET` of what a `PUT` changes. Default: none.
    fn outdates(&self, _request: &Req) -> Option<Key> {
        None
    }
}

/// What becomes of a good response.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<T> {
    /// It is kept, in place of what was kept before.
    Keep(Kept<T>),
    /// It isn't kept; what was kept before stays.
    Leave,
    /// It isn't kept, and what was kept before is dropped.
    Forget,
}

/// A response in the form in which it is kept, and its terms.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Kept<T> {
    /// The response.
    pub value: T,
    /// The bytes it takes up, all that it owns included.
    pub bytes: usize,
    /// How old it was already when it came.
    pub age: Duration,
    /// How old it may become and still be given out; the fallback's own limit holds besides.
    pub max_stale: Duration,
}

impl<T> Kept<T> {
    /// A response of `bytes` bytes, new, and bound only by the fallback's own limit.
    pub const fn new(value: T, bytes: usize) -> Self {
        Self { value, bytes, age: Duration::ZERO, max_stale: Duration::MAX }
    }

    /// How old it was already when it came. Default zero.
    #[must_use]
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// How old it may become and still be given out. Default [`Duration::MAX`].
    #[must_use]
    pub const fn max_stale(mut self, max_stale: Duration) -> Self {
        self.max_stale = max_stale;
        self
    }
}

/// The rules for any response that is `Clone + MarkStale`: all good ones are kept, as clones.
#[derive(Clone, Copy, Debug)]
pub struct ByKey<K, W = SizeOf> {
    key: K,
    weigh: W,
}

/// Weighs a response by the size of its type alone: right for responses that own no heap.
#[derive(Clone, Copy, Debug)]
pub struct SizeOf;

/// The bytes that a response takes up. Closures implement it.
pub trait Weigh<Res> {
    /// The bytes of `response`, all that it owns included.
    fn weigh(&self, response: &Res) -> usize;
}

impl<Res> Weigh<Res> for SizeOf {
    fn weigh(&self, _: &Res) -> usize {
        size_of::<Res>()
    }
}

impl<F: Fn(&Res) -> usize, Res> Weigh<Res> for F {
    fn weigh(&self, response: &Res) -> usize {
        self(response)
    }
}

impl<K> ByKey<K> {
    /// Keeps the responses of requests for which `key` gives a key.
    pub const fn new<Req>(key: K) -> Self
    where
        K: Fn(&Req) -> Option<Key>,
    {
        Self { key, weigh: SizeOf }
    }
}

impl<K, W> ByKey<K, W> {
    pub(super) fn weigh<V>(self, weigh: V) -> ByKey<K, V> {
        ByKey { key: self.key, weigh }
    }
}

impl<Req, Res, K, W> Keep<Req, Res> for ByKey<K, W>
where
    Res: Clone + MarkStale,
    K: Fn(&Req) -> Option<Key>,
    W: Weigh<Res>,
{
    type Asked = ();
    type Kept = Res;

    #[inline]
    fn key(&self, request: &Req) -> Option<(Key, ())> {
        Some(((self.key)(request)?, ()))
    }

    fn keep(&self, (): &(), response: &Res) -> Verdict<Res> {
        Verdict::Keep(Kept::new(response.clone(), self.weigh.weigh(response)))
    }

    #[inline]
    fn give(&self, (): &(), kept: &Res, staleness: Staleness) -> Res {
        kept.clone().mark_stale(staleness)
    }
}
