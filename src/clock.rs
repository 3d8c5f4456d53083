//! Time, as a value that every layer takes.
//!
//! A [`Moment`] is a count of nanoseconds since an epoch that lies some 73 years before the
//! process first looked, so that "an hour before first use" is still a moment. All arithmetic
//! saturates: a clock that stands still, jumps or goes back gives a duration of zero, never a panic.
//! Nothing decides on wall-clock time.

use std::fmt;
use std::sync::{Arc, OnceLock, atomic};
use std::time::{Duration, Instant, SystemTime};

/// Where the first reading lies after the epoch: 2^61 ns, about 73 years.
const FIRST_USE: u64 = 1 << 61;

/// A point on a [`Clock`]: nanoseconds since the clock's epoch.
///
/// ```
/// use seawall::clock::Clock;
/// use std::time::Duration;
///
/// let (clock, hand) = Clock::manual();
/// let before = clock.now();
/// hand.advance(Duration::from_millis(120));
/// assert_eq!(clock.now().since(before), Duration::from_millis(120));
/// assert_eq!(before.since(clock.now()), Duration::ZERO, "never negative");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved on by `span`, or the last moment there is.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({}ns)", self.0)
    }
}

/// Whole nanoseconds of `span`, saturated at [`u64::MAX`] (584 years).
pub(crate) const fn nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// Reads monotonic time: the system's, tokio's, or a hand-driven one.
///
/// `Clock::default()` is the system's monotonic clock, or tokio's when the crate's `test-util`
/// feature is on: then `#[tokio::test(start_paused = true)]` moves breakers, windows, caches and
/// timers together (threads outside a runtime still see real time).
///
/// ```
/// use seawall::clock::Clock;
///
/// let clock = Clock::system();
/// let (a, b) = (clock.now(), clock.now());
/// assert!(b >= a);
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    #[cfg(feature = "test-util")]
    Tokio,
    Manual(Arc<atomic::AtomicU64>),
}

impl Default for Clock {
    fn default() -> Self {
        #[cfg(feature = "test-util")]
        return Self(Source::Tokio);
        #[cfg(not(feature = "test-util"))]
        Self(Source::System)
    }
}

impl Clock {
    /// The system's monotonic clock, whatever features are on.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until its [`ManualClock`] is moved.
    pub fn manual() -> (Self, ManualClock) {
        let time = Arc::new(atomic::AtomicU64::new(FIRST_USE));
        (Self(Source::Manual(Arc::clone(&time))), ManualClock(time))
    }

    /// The date and time of day, for whoever reads what is told; nothing is decided by it.
    #[allow(clippy::disallowed_methods)] // the one place that reads it
    pub(crate) fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The moment it is.
    #[inline]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System => system_now(),
            #[cfg(feature = "test-util")]
            Source::Tokio => since_anchor(tokio::time::Instant::now().into_std()),
            // Relaxed: the hand and the readers share this one word and nothing behind it.
            Source::Manual(time) => Moment(time.load(atomic::Ordering::Relaxed)),
        }
    }
}

#[inline]
#[allow(clippy::disallowed_methods)] // the one place that reads it
fn system_now() -> Moment {
    since_anchor(Instant::now())
}

#[inline]
fn since_anchor(instant: Instant) -> Moment {
    static ANCHOR: OnceLock<Instant> = OnceLock::new();
    let anchor = *ANCHOR.get_or_init(|| instant);
    // A paused tokio clock may stand before an anchor that a real thread set.
    let moment = match instant.checked_duration_since(anchor) {
        Some(after) => FIRST_USE.saturating_add(nanos(after)),
        None => FIRST_USE.saturating_sub(nanos(anchor - instant)),
    };
    Moment(moment)
}

/// Moves a [`Clock::manual`].
///
/// ```
/// use seawall::clock::Clock;
/// use std::time::Duration;
///
/// let (clock, hand) = Clock::manual();
/// let start = clock.now();
/// hand.advance(Duration::from_secs(5));
/// hand.set_back(Duration::from_secs(2));
/// assert_eq!(clock.now().since(start), Duration::from_secs(3));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<atomic::AtomicU64>);

impl ManualClock {
    /// Moves time on, saturating.
    pub fn advance(&self, span: Duration) {
        self.shift(|now| now.saturating_add(nanos(span)));
    }

    /// Moves time back, as a faulty clock would, saturating at the epoch.
    pub fn set_back(&self, span: Duration) {
        self.shift(|now| now.saturating_sub(nanos(span)));
    }

    fn shift(&self, to: impl Fn(u64) -> u64) {
        // Relaxed: one word, nothing published behind it.
        let _ = self.0.fetch_update(atomic::Ordering::Relaxed, atomic::Ordering::Relaxed, |now| {
            Some(to(now))
        });
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let last = Moment::from_nanos(u64::MAX);
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(Moment::from_nanos(0).since(last), Duration::ZERO);
        let (clock, hand) = Clock::manual();
        hand.set_back(Duration::MAX);
        assert_eq!(clock.now(), Moment::from_nanos(0));
        hand.advance(Duration::MAX);
        assert_eq!(clock.now(), last);
    }

    #[test]
    fn an_hour_before_first_use_is_a_moment() {
        let now = Clock::system().now();
        assert!(now.as_nanos() > nanos(Duration::from_secs(3600)));
    }
}
