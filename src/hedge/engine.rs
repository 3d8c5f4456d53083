//! When a second call is due, and what was counted.

use std::time::Duration;

use super::latency::Latency;
use crate::clock::{Moment, nanos};
use crate::live::Live;
use crate::ratio::Ratio;
use crate::sync::{AtomicU64, Ordering};

/// The settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// After the time that this share of calls takes; `None`: always after `max`.
    pub(crate) quantile: Option<Ratio>,
    /// In nanoseconds.
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// No quantile.
const FIXED: u64 = u64::MAX;

impl Settings {
    fn words(self) -> [u64; 3] {
        [self.quantile.map_or(FIXED, |share| share.ppm().into()), self.min, self.max]
    }

    fn of([quantile, min, max]: [u64; 3]) -> Self {
        let quantile = u32::try_from(quantile).ok().and_then(Ratio::from_ppm);
        Self { quantile, min, max }
    }
}

/// The delay that holds now, the latency it comes from, and the counts.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Live<3>,
    latency: Latency,
    pub(crate) counts: Counts,
}

impl Engine {
    pub(crate) fn new(settings: Settings, now: Moment) -> Self {
        Self {
            settings: Live::new(settings.words()),
            latency: Latency::new(now),
            counts: Counts::default(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::of(self.settings.read([0, 1, 2]))
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.settings.publish(settings.words());
    }

    /// How long a call that began at `now` is waited for before a second one is made.
    pub(crate) fn delay(&self, now: Moment) -> Duration {
        let settings = self.settings();
        let measured = settings.quantile.and_then(|share| self.latency.quantile(share, now));
        Self::bounded(settings, measured)
    }

    /// The same, as last measured. Never writes.
    pub(crate) fn last_delay(&self) -> Duration {
        let settings = self.settings();
        Self::bounded(settings, settings.quantile.and_then(|_| self.latency.last()))
    }

    fn bounded(Settings { min, max, .. }: Settings, measured: Option<Duration>) -> Duration {
        Duration::from_nanos(measured.map_or(max, |measured| nanos(measured).clamp(min, max)))
    }

    /// Is it asked how long calls take?
    pub(crate) fn measures(&self) -> bool {
        let [quantile] = self.settings.read([0]);
        quantile != FIXED
    }

    /// A call was answered well after so long. If a second call answered first, this is less than the
    /// first would have taken, but more than the delay: so it counts on the right side of the quantile.
    pub(crate) fn record(&self, took: Duration) {
        self.latency.record(took);
    }
}

/// Counted where a second call was due.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) hedges: Counter,
    pub(crate) won: Counter,
    pub(crate) budget_empty: Counter,
    pub(crate) too_late: Counter,
    pub(crate) not_ready: Counter,
    pub(crate) refused: Counter,
}

impl Default for Counts {
    fn default() -> Self {
        let new = || Counter(AtomicU64::new(0));
        Self {
            hedges: new(),
            won: new(),
            budget_empty: new(),
            too_late: new(),
            not_ready: new(),
            refused: new(),
        }
    }
}

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        // Relaxed: a counter nothing hangs on.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1 << 61);
    const MS: u64 = 1_000_000;

    #[test]
    fn the_delay_is_the_quantile_between_its_bounds_and_the_longest_while_nothing_is_known() {
        let settings = Settings { quantile: Ratio::percent(95), min: 5 * MS, max: 500 * MS };
        for (took, from, to) in [(1, 5, 5), (100, 100, 107), (5_000, 500, 500)] {
            let engine = Engine::new(settings, START);
            assert_eq!(engine.delay(START).as_millis(), 500);
            (0..200).for_each(|_| engine.record(Duration::from_millis(took)));
            let delay = engine.delay(START.plus(Duration::from_secs(1))).as_millis();
            assert!((from..=to).contains(&delay), "{took}: {delay}");
            assert_eq!(engine.last_delay().as_millis(), delay);
        }
    }

    #[test]
    fn a_fixed_delay_measures_nothing() {
        let engine = Engine::new(Settings { quantile: None, min: 0, max: 7 }, START);
        assert!(!engine.measures());
        assert_eq!(engine.delay(START).as_nanos(), 7);
        let live = Settings { quantile: Ratio::percent(50), min: 1, max: 2 };
        engine.set(live);
        assert!(engine.measures());
        assert_eq!(engine.settings(), live);
    }
}
