//! Time, as a value that every layer takes.
//!
//! A [`Moment`] is a count of nanoseconds since an epoch that lies some 73 years before the
//! machine started (where that isn't known: before the process first looked), so that "an hour before
//! first use" is still a moment. All arithmetic saturates: a clock that stands still, jumps or goes back
//! gives a duration of zero, never a panic. Nothing decides on wall-clock time.
//!
//! # What a reading costs
//! On Linux a reading of the monotonic clock costs some 30 ns, more than most layers do; one of its
//! *coarse* sister, which moves at each tick of the kernel (every 1 to 10 ms), a third of that. Is a second
//! over? Has a call lasted longer than 500 ms? Where every span that a room measures is 25 ticks or longer
//! it reads the coarse clock, and is wrong by at most one tick: less than one part in 25. Rooms that
//! measure latency itself (the canary, an adaptive limit, a hedge) always read the fine one.
//! `benches/README.md` has the figures, and those of the processor's own counter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::{Duration, SystemTime};

/// Where the machine's start, or the first reading, lies after the epoch: 2^61 ns, about 73 years.
const FIRST_USE: u64 = 1 << 61;
/// The coarse clock serves for spans of so many of its ticks.
const TICKS: u32 = 25;

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
            Source::System => system::now(),
            #[cfg(feature = "test-util")]
            Source::Tokio => since_anchor(tokio::time::Instant::now().into_std()),
            // Relaxed: the hand and the readers share this one word and nothing behind it.
            Source::Manual(time) => Moment(time.load(atomic::Ordering::Relaxed)),
        }
    }
}

/// The system's monotonic clocks, read without a detour: an `Instant` gives its nanoseconds only as a
/// difference to another, which costs a quarter of the reading again.
#[cfg(target_os = "linux")]
mod system {
    use std::sync::OnceLock;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_getres, clock_gettime};

    use crate::clock::{FIRST_USE, Moment};

    #[inline]
    fn read(id: ClockId) -> Moment {
        let time = clock_gettime(id);
        // Neither is negative.
        let since_start = (time.tv_sec as u64).saturating_mul(1_000_000_000) + time.tv_nsec as u64;
        Moment(FIRST_USE.saturating_add(since_start))
    }

    #[inline]
    pub(super) fn now() -> Moment {
        read(ClockId::Monotonic)
    }

    /// At most a tick ago.
    #[inline]
    pub(super) fn coarse() -> Moment {
        read(ClockId::MonotonicCoarse)
    }

    /// How far apart coarse readings are.
    pub(super) fn tick() -> Duration {
        static TICK: OnceLock<Duration> = OnceLock::new();
        *TICK.get_or_init(|| {
            let tick = clock_getres(ClockId::MonotonicCoarse);
            Duration::new(tick.tv_sec as u64, tick.tv_nsec as u32)
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::{Duration, Instant};

    use crate::clock::{Moment, since_anchor};

    #[inline]
    #[allow(clippy::disallowed_methods)] // the one place that reads it
    pub(super) fn now() -> Moment {
        since_anchor(Instant::now())
    }

    pub(super) fn coarse() -> Moment {
        now()
    }

    pub(super) fn tick() -> Duration {
        Duration::ZERO
    }
}

#[cfg(any(feature = "test-util", not(target_os = "linux")))]
#[allow(clippy::disallowed_methods)] // as above
fn since_anchor(instant: std::time::Instant) -> Moment {
    use std::sync::OnceLock;
    use std::time::Instant;

    static ANCHOR: OnceLock<(Instant, Moment)> = OnceLock::new();
    let (anchor, then) = *ANCHOR.get_or_init(|| {
        let then = if cfg!(target_os = "linux") { system::now() } else { Moment(FIRST_USE) };
        // Read together, so that real time is the same by either clock.
        (if cfg!(target_os = "linux") { Instant::now() } else { instant }, then)
    });
    // A paused tokio clock may stand before an anchor that a real thread set.
    Moment(match instant.checked_duration_since(anchor) {
        Some(after) => then.0.saturating_add(nanos(after)),
        None => then.0.saturating_sub(nanos(anchor - instant)),
    })
}

/// A clock for spans that are set: it reads the coarse clock while that serves.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: Clock,
    coarse: AtomicBool,
}

impl Stopwatch {
    /// For spans no shorter than this.
    pub(crate) fn new(clock: Clock, shortest: Duration) -> Self {
        let stopwatch = Self { clock, coarse: AtomicBool::new(false) };
        stopwatch.measure(shortest);
        stopwatch
    }

    /// From now on no span is shorter than this.
    pub(crate) fn measure(&self, shortest: Duration) {
        let coarse = shortest >= system::tick().saturating_mul(TICKS);
        // Relaxed: either clock will do meanwhile.
        self.coarse.store(coarse, atomic::Ordering::Relaxed);
    }

    /// The moment it is, or was a tick ago.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.clock.0 {
            // Relaxed: as above.
            Source::System if self.coarse.load(atomic::Ordering::Relaxed) => system::coarse(),
            _ => self.clock.now(),
        }
    }
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
    fn spans_of_many_ticks_are_measured_coarsely_and_shorter_ones_finely() {
        let stopwatch = Stopwatch::new(Clock::system(), system::tick() * TICKS);
        let is_coarse = || stopwatch.coarse.load(atomic::Ordering::Relaxed);
        assert!(is_coarse());
        let (before, read, after) = (system::now(), stopwatch.now(), system::now());
        assert!(read <= after, "never ahead");
        assert!(before.since(read) <= system::tick() * 2, "{before:?} {read:?}");
        if cfg!(target_os = "linux") {
            stopwatch.measure(system::tick() * TICKS - Duration::from_nanos(1));
            assert!(!is_coarse());
        }
        let (clock, hand) = Clock::manual();
        let stopwatch = Stopwatch::new(clock, Duration::from_secs(1));
        let before = stopwatch.now();
        hand.advance(Duration::from_nanos(1));
        assert_eq!(
            stopwatch.now().since(before),
            Duration::from_nanos(1),
            "no other clock is coarse"
        );
    }

    #[test]
    fn an_hour_before_first_use_is_a_moment() {
        let now = Clock::system().now();
        assert!(now.as_nanos() > nanos(Duration::from_secs(3600)));
    }
}
