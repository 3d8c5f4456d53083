//! One monotonic clock for all parties: microseconds since the process began.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) const SECOND: u64 = 1_000_000;

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub(crate) fn now() -> u64 {
    epoch().elapsed().as_micros() as u64
}

/// The same moment, as a timer takes it.
pub(crate) fn instant(at: u64) -> Instant {
    epoch() + Duration::from_micros(at)
}
