//! The key by which the other side knows that it has seen an operation before.

use std::fmt;
use std::hash::Hasher;
use std::process;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::clock::Clock;
use crate::rng;

/// The longest key that payment services take.
const LONGEST: usize = 255;

/// Names one operation, such as one charge: new for each, the same in all its attempts.
///
/// A new one is 128 bits that no other process and no other call has: a keyed digest (SipHash-1-3,
/// under a secret of this process) of a counter, the process's number and the time, written as a UUID.
/// So a fork, or a machine restored from an image, doesn't repeat its parent's keys. It is unique, not
/// secret: don't use it as a password.
///
/// ```
/// use seawall::request::IdempotencyKey;
///
/// assert_ne!(IdempotencyKey::new(), IdempotencyKey::new());
/// assert_eq!(IdempotencyKey::new().as_str().len(), 36);
///
/// // Or your own, which survives a restart: the number of the order.
/// let of_order: IdempotencyKey = "order-1234".parse().unwrap();
/// assert_eq!(of_order.as_str(), "order-1234");
/// assert!("two\nlines".parse::<IdempotencyKey>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
// One word, unlike `Arc<str>`: requests and calls have room for it, and most have none.
pub struct IdempotencyKey(Arc<String>);

impl IdempotencyKey {
    /// A new one.
    #[allow(clippy::new_without_default)] // a default is the same each time; this never is
    pub fn new() -> Self {
        let bits = unique();
        // The layout of a random UUID (RFC 9562, version 4), which every service takes as a key.
        let bits = bits & !(0xF << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
        let text = format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (bits >> 96) as u32,
            (bits >> 80) as u16,
            (bits >> 64) as u16,
            (bits >> 48) as u16,
            bits as u64 & 0xFFFF_FFFF_FFFF,
        );
        Self(Arc::new(text))
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn unique() -> u128 {
    static SECRET: OnceLock<(u64, u64)> = OnceLock::new();
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let &(a, b) = SECRET.get_or_init(|| (rng::entropy(), rng::entropy()));
    let mut hasher = SipHasher13::new_with_keys(a, b);
    // Relaxed: any number that no one else got will do.
    hasher.write_u64(DRAWN.fetch_add(1, Ordering::Relaxed));
    hasher.write_u32(process::id());
    hasher.write_u64(Clock::system().now().as_nanos());
    hasher.finish128().as_u128()
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({})", &self.0)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that can't be a key: empty, longer than 255 bytes, or not of visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an idempotency key is 1 to 255 visible ASCII characters")
    }
}

impl std::error::Error for NotAKey {}

impl FromStr for IdempotencyKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let fits = (1..=LONGEST).contains(&text.len());
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && visible { Ok(Self(Arc::new(text.to_owned()))) } else { Err(NotAKey) }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn new_keys_are_uuids_of_version_4_and_never_the_same() {
        let keys: HashSet<_> = (0..10_000).map(|_| IdempotencyKey::new()).collect();
        assert_eq!(keys.len(), 10_000);
        for key in keys.iter().take(100) {
            let parts: Vec<_> = key.as_str().split('-').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{key}");
            assert!(parts[2].starts_with('4'), "{key}");
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{key}");
        }
    }

    #[test]
    fn what_could_break_a_header_is_no_key() {
        for bad in ["", " ", "a b", "a\r\nSet-Cookie: x", "ä", "\u{7f}", &"x".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(NotAKey), "{bad:?}");
        }
        assert!("x".repeat(255).parse::<IdempotencyKey>().is_ok());
    }
}
