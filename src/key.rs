//! A key for cached answers and keyed state: 128 bits, keyed, never reversible to its parts.

use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt;
use std::hash::Hasher;
use std::sync::OnceLock;

use crate::rng;

/// A 128-bit digest of a request's parts: SipHash-1-3 under a secret of this process.
///
/// Keyed, so that no one outside can aim at another's entry (two requests collide with a chance of
/// about 2^-128 a pair), and one-way, so that a credential that is part of a key can't be read from
/// it. `Copy`, 16 bytes, made in one pass without allocating. Not stable across processes.
///
/// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
///
/// ```
/// use seawall::key::Key;
///
/// let quote = Key::of_parts([b"GET".as_slice(), b"/quotes/7"]);
/// assert_eq!(quote, Key::of_parts([b"GET".as_slice(), b"/quotes/7"]));
/// assert_ne!(quote, Key::of_parts([b"GET/quotes".as_slice(), b"/7"]), "parts keep their borders");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// The key of `parts`, in order; their borders count.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        parts.into_iter().fold(KeyBuilder::new(), KeyBuilder::part).finish()
    }

    /// The key of anything that can be hashed, such as an integer, a string or a tuple.
    ///
    /// ```
    /// use seawall::key::Key;
    ///
    /// assert_eq!(Key::of(&("quote", 7)), Key::of(&("quote", 7)));
    /// assert_ne!(Key::of(&("quote", 7)), Key::of(&("quote", 8)));
    /// ```
    pub fn of<T: std::hash::Hash + ?Sized>(value: &T) -> Self {
        let mut builder = KeyBuilder::new();
        value.hash(&mut builder.0);
        builder.finish()
    }

    /// Its bytes, to be a part of another key.
    #[cfg(feature = "http")]
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_ne_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.0)
    }
}

/// Builds a [`Key`] part by part.
#[derive(Clone, Debug)]
pub struct KeyBuilder(SipHasher13);

impl KeyBuilder {
    /// No parts yet.
    #[inline]
    pub fn new() -> Self {
        static SECRET: OnceLock<SipHasher13> = OnceLock::new();
        let keyed = SECRET.get_or_init(|| {
            SipHasher13::new_with_keys(rng::mix(rng::entropy()), rng::mix(rng::entropy()))
        });
        Self(*keyed)
    }

    /// One more part; its length goes in too, so that parts can't run into each other.
    #[must_use]
    #[inline]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.write_u64(bytes.len() as u64);
        self.0.write(bytes);
        self
    }

    /// The key of all parts.
    #[inline]
    pub fn finish(self) -> Key {
        Key(self.0.finish128().as_u128())
    }
}

impl Default for KeyBuilder {
    fn default() -> Self {
        Self::new()
    }
}
