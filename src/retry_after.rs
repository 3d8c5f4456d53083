//! When the other side asks to be left alone for a while.

use std::time::Duration;

use crate::error::Rejected;

/// A response, or an error, that may say when trying again may help.
///
/// What it says comes from outside: whoever reads it caps it by a limit of their own. With feature
/// `http` it is implemented for `http::Response` (the `Retry-After` header, both its forms).
///
/// ```
/// use seawall::error::{Reason, Rejected, Room};
/// use seawall::retry_after::RetryAfter;
/// use std::time::Duration;
///
/// let open = Rejected::new(Room::Breaker, Reason::CircuitOpen, "payments")
///     .retry_after(Some(Duration::from_secs(5)));
/// assert_eq!(RetryAfter::retry_after(&open), Some(Duration::from_secs(5)));
/// ```
pub trait RetryAfter {
    /// How long to wait from now on; `None` if it doesn't say, or says nonsense.
    fn retry_after(&self) -> Option<Duration>;
}

impl RetryAfter for Rejected {
    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}
