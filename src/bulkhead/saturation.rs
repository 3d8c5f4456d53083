//! Tells when a pool is nearly used up, and when it is.
//!
//! How much of the pool is in use is looked at every 100 ms; what is judged is the mean of the last
//! hundred looks, ten seconds. Above 80 % the pool is *saturated*, until the mean is below 70 % and at
//! least 30 s have passed: a pool that swings around the threshold raises one alert, not fifty. It is
//! *exhausted* when nothing is left and somebody was turned away or had to wait within the last second;
//! that is told at most every 30 s. A pool whose size changes by a fifth begins a new window: what was
//! much of the old one says nothing about the new.

use std::time::Duration;

use crate::clock::{Moment, nanos};
use crate::event::{Kind, PoolUse, Sinks};
use crate::ratio::Ratio;
use crate::sync::Mutex;

/// Between two looks.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
/// Looks in the window.
const LOOKS: usize = 100;
/// Sums of `LOOKS` shares, in millionths.
const RAISE_ABOVE: u64 = 800_000 * LOOKS as u64;
const CLEAR_BELOW: u64 = 700_000 * LOOKS as u64;
/// How long a pool stays saturated, and exhaustion isn't repeated.
const HOLD: Duration = Duration::from_secs(30);
/// How long a turned-away caller counts.
const RECENT: Duration = Duration::from_secs(1);

/// The pool as it is, told at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) used: u32,
    /// Zero: there is no limit, and nothing to watch.
    pub(crate) size: u32,
    /// Who was turned away, or began to wait, since the pool was made.
    pub(crate) turned_away: u64,
}

impl Reading {
    fn share(self) -> u64 {
        let (used, size) = (u64::from(self.used), u64::from(self.size));
        (used * 1_000_000).checked_div(size).map_or(0, |ppm| ppm.min(1_000_000))
    }
}

/// A pool that is watched: readings go in, events come out.
#[derive(Debug)]
pub(crate) struct Watch(Mutex<Saturation>);

impl Watch {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Saturation::new()))
    }

    /// Takes what changed, and the most in use since the last reading; tells what follows, outside the
    /// lock.
    pub(crate) fn read(
        &self,
        now: Moment,
        sinks: &Sinks,
        most: u32,
        change: impl FnOnce(&mut Reading),
    ) {
        // In a window's time there can't be more than one of saturated and cleared, and one exhausted.
        let mut told: [Option<Kind>; 2] = [None, None];
        {
            let mut saturation = self.0.lock();
            let mut reading = saturation.last;
            change(&mut reading);
            saturation.since_look = saturation.since_look.max(most);
            saturation.read(reading, now, |kind| {
                if let Some(slot) = told.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some(kind);
                }
            });
        }
        told.into_iter().flatten().for_each(|kind| sinks.event(now, kind));
    }

    /// What was read last: used, and size.
    pub(crate) fn last(&self) -> (u32, u32) {
        let last = self.0.lock().last;
        (last.used, last.size)
    }

    /// Was it saturated, and isn't clear yet?
    pub(crate) fn is_raised(&self) -> bool {
        self.0.lock().raised.is_some()
    }

    /// The share in use in the last ten seconds; `None` until there are ten.
    pub(crate) fn mean(&self) -> Option<Ratio> {
        self.0.lock().mean()
    }
}

/// The window and what was told of it.
#[derive(Debug)]
struct Saturation {
    shares: [u32; LOOKS],
    next: usize,
    filled: usize,
    sum: u64,
    /// What was told last; it holds until the next is.
    last: Reading,
    /// The size that the window began with.
    size: u32,
    /// The most in use since the last look, and since the pool was last calm.
    since_look: u32,
    peak: u32,
    /// When the last look was.
    looked: Option<Moment>,
    /// When somebody was last found turned away, and how many there were by then.
    away_at: Option<Moment>,
    away: u64,
    raised: Option<Moment>,
    exhausted: Option<Moment>,
}

impl Saturation {
    fn new() -> Self {
        Self {
            shares: [0; LOOKS],
            next: 0,
            filled: 0,
            sum: 0,
            last: Reading::default(),
            size: 0,
            since_look: 0,
            peak: 0,
            looked: None,
            away_at: None,
            away: 0,
            raised: None,
            exhausted: None,
        }
    }

    /// The mean of the window; `None` until it is full.
    fn mean(&self) -> Option<Ratio> {
        let full = self.filled == LOOKS;
        full.then(|| Ratio::from_ppm((self.sum / LOOKS as u64) as u32))?
    }

    /// Takes a reading. Every 100 ms that passed since the last look counts as a look at the reading
    /// before, which held until now. `tell` hears what follows.
    fn read(&mut self, reading: Reading, now: Moment, mut tell: impl FnMut(Kind)) {
        let every = nanos(EVERY);
        let looked = *self.looked.get_or_insert(now);
        let due = nanos(now.since(looked)) / every;
        // After a long silence a window of looks says all there is to say; the clock of the last ones
        // is kept.
        let missed = due.min(LOOKS as u64 + 1);
        for look in 0..missed {
            let at = looked.plus(Duration::from_nanos((due - missed + look + 1) * every));
            self.looked = Some(at);
            self.look(at, &mut tell);
        }
        if now < looked {
            // The clock went back.
            self.looked = Some(now);
        }
        if changed_by_a_fifth(self.size, reading.size) {
            self.restart(reading.size);
        }
        self.last = reading;
        self.since_look = self.since_look.max(reading.used);
    }

    fn restart(&mut self, size: u32) {
        (self.size, self.filled, self.sum, self.next) = (size, 0, 0, 0);
    }

    fn look(&mut self, now: Moment, tell: &mut impl FnMut(Kind)) {
        let reading = self.last;
        self.peak = self.peak.max(self.since_look);
        self.since_look = reading.used;
        if reading.turned_away != self.away {
            (self.away, self.away_at) = (reading.turned_away, Some(now));
        }
        if reading.size == 0 {
            // Nothing is nearly used up that has no limit.
            if self.raised.take().is_some() {
                tell(Kind::Cleared(self.usage(reading)));
                self.peak = 0;
            }
            return;
        }
        self.push(reading.share());
        let full = self.filled == LOOKS;
        match self.raised {
            None if full && self.sum > RAISE_ABOVE => {
                self.raised = Some(now);
                tell(Kind::Saturated(self.usage(reading)));
            }
            Some(at) if full && self.sum < CLEAR_BELOW && now.since(at) >= HOLD => {
                self.raised = None;
                tell(Kind::Cleared(self.usage(reading)));
                self.peak = 0;
            }
            None if self.sum < CLEAR_BELOW => self.peak = self.since_look,
            _ => {}
        }
        let recent = self.away_at.is_some_and(|at| now.since(at) < RECENT);
        let told = self.exhausted.is_some_and(|at| now.since(at) < HOLD);
        if reading.used >= reading.size && recent && !told {
            self.exhausted = Some(now);
            tell(Kind::Exhausted(self.usage(reading)));
        }
    }

    fn push(&mut self, share: u64) {
        if self.filled == LOOKS {
            self.sum -= u64::from(self.shares[self.next]);
        } else {
            self.filled += 1;
        }
        self.shares[self.next] = share as u32;
        self.sum += share;
        self.next = (self.next + 1) % LOOKS;
    }

    fn usage(&self, reading: Reading) -> PoolUse {
        let mean = Ratio::from_ppm((self.sum / self.filled.max(1) as u64) as u32);
        PoolUse {
            used: reading.used,
            size: reading.size,
            mean: mean.unwrap_or(Ratio::ONE),
            peak: self.peak,
        }
    }
}

fn changed_by_a_fifth(from: u32, to: u32) -> bool {
    u64::from(from.abs_diff(to)) * 5 >= u64::from(from) && from != to
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    /// Drives a pool look by look; tells what was heard and after how many looks.
    struct Pool {
        engine: Saturation,
        looks: u64,
        turned_away: u64,
        heard: Vec<(u64, &'static str)>,
    }

    impl Pool {
        fn new() -> Self {
            Self { engine: Saturation::new(), looks: 0, turned_away: 0, heard: Vec::new() }
        }

        /// So many of ten in use, or of another size, for so many looks.
        fn use_of(&mut self, used: u32, size: u32, looks: u64) -> &mut Self {
            for _ in 0..looks {
                self.read(used, size);
                self.looks += 1;
                self.read(used, size);
            }
            self
        }

        fn read(&mut self, used: u32, size: u32) {
            let now = Moment::from_nanos(1_000_000_000 + self.looks * 100_000_000);
            let reading = Reading { used, size, turned_away: self.turned_away };
            let (looks, heard) = (self.looks, &mut self.heard);
            self.engine.read(reading, now, |kind| {
                let name = match kind {
                    Kind::Saturated(_) => "saturated",
                    Kind::Exhausted(_) => "exhausted",
                    Kind::Cleared(_) => "cleared",
                    other => panic!("{other:?}"),
                };
                heard.push((looks, name));
            });
        }

        fn heard_after(&mut self, begin: u64) -> Vec<(u64, &'static str)> {
            self.heard.drain(..).map(|(at, what)| (at - begin, what)).collect()
        }
    }

    #[test]
    fn a_step_from_half_to_full_is_told_after_6_1_seconds() {
        let mut pool = Pool::new();
        pool.use_of(5, 10, 100).use_of(10, 10, 100);
        assert_eq!(pool.heard_after(100), [(61, "saturated")]);
    }

    #[test]
    fn a_step_from_nothing_to_nine_of_ten_is_told_after_8_9_seconds() {
        let mut pool = Pool::new();
        pool.use_of(0, 10, 100).use_of(9, 10, 200);
        assert_eq!(pool.heard_after(100), [(89, "saturated")]);
    }

    #[test]
    fn eight_of_ten_for_ever_is_not_saturated() {
        let mut pool = Pool::new();
        assert_eq!(pool.use_of(8, 10, 1_000).heard_after(0), []);
        assert_eq!(pool.engine.mean(), Ratio::percent(80));
    }

    #[test]
    fn a_second_of_full_use_in_ten_is_not_saturated_and_every_other_second_is() {
        let mut pool = Pool::new();
        for _ in 0..20 {
            pool.use_of(10, 10, 10).use_of(5, 10, 90);
        }
        assert_eq!(pool.heard_after(0), []);
        let mut pool = Pool::new();
        for _ in 0..20 {
            pool.use_of(10, 10, 10).use_of(7, 10, 10);
        }
        assert_eq!(pool.heard_after(0), [(100, "saturated")], "when the window is full");
    }

    #[test]
    fn it_stays_saturated_for_thirty_seconds_and_until_below_seventy_percent() {
        // Dropped 20 s after it was raised: cleared at 30 s.
        let mut pool = Pool::new();
        pool.use_of(5, 10, 100).use_of(10, 10, 61 + 200).use_of(5, 10, 200);
        assert_eq!(pool.heard_after(161), [(0, "saturated"), (300, "cleared")]);
        // Dropped at 40 s: cleared 6.1 s later.
        let mut pool = Pool::new();
        pool.use_of(5, 10, 100).use_of(10, 10, 61 + 400).use_of(5, 10, 200);
        assert_eq!(pool.heard_after(161), [(0, "saturated"), (461, "cleared")]);
        // Between 72 and 79 %: stays raised, and nothing is told.
        let mut pool = Pool::new();
        pool.use_of(50, 100, 100).use_of(100, 100, 61);
        assert_eq!(pool.heard_after(161), [(0, "saturated")]);
        for _ in 0..50 {
            pool.use_of(72, 100, 20).use_of(79, 100, 20);
        }
        assert_eq!(pool.heard_after(161), []);
        assert!(pool.engine.raised.is_some());
    }

    #[test]
    fn it_is_told_again_as_soon_as_it_is_so_again() {
        let mut pool = Pool::new();
        pool.use_of(10, 10, 100).use_of(0, 10, 300);
        assert_eq!(pool.heard_after(0), [(100, "saturated"), (400, "cleared")]);
        pool.use_of(10, 10, 81);
        assert_eq!(pool.heard_after(400), [(81, "saturated")]);
    }

    #[test]
    fn exhausted_means_full_and_somebody_was_turned_away_within_a_second() {
        let mut pool = Pool::new();
        pool.use_of(10, 10, 50);
        assert_eq!(pool.heard_after(0), [], "full, and nobody came");
        pool.turned_away = 1;
        pool.use_of(10, 10, 20);
        assert_eq!(pool.heard_after(50), [(1, "exhausted")]);
        pool.turned_away = 2;
        pool.use_of(9, 10, 20).use_of(10, 10, 50);
        assert_eq!(pool.heard_after(70), [(30, "saturated")], "that was more than a second ago");
        for _ in 0..600 {
            pool.turned_away += 1;
            pool.use_of(10, 10, 1);
        }
        let told = pool.heard_after(50);
        assert_eq!(told, [(301, "exhausted"), (601, "exhausted")], "every 30 s, no oftener");
    }

    #[test]
    fn a_size_that_changes_by_a_fifth_begins_a_new_window() {
        let mut pool = Pool::new();
        pool.use_of(81, 100, 99).use_of(81, 81, 99);
        assert_eq!(pool.heard_after(0), [(100, "saturated")], "19 % is no new pool");
        let mut pool = Pool::new();
        pool.use_of(90, 100, 99).use_of(90, 80, 99);
        assert_eq!(pool.heard_after(0), []);
        pool.use_of(90, 80, 1);
        assert_eq!(pool.heard_after(99), [(100, "saturated")]);
    }

    #[test]
    fn a_pool_without_a_limit_is_never_saturated() {
        let mut pool = Pool::new();
        pool.turned_away = 1;
        assert_eq!(pool.use_of(7, 0, 300).heard_after(0), []);
        assert_eq!(pool.engine.mean(), None);
    }

    #[test]
    fn a_pool_that_loses_its_limit_is_saturated_no_more() {
        let mut pool = Pool::new();
        pool.use_of(10, 10, 100).use_of(10, 0, 100);
        assert_eq!(pool.heard_after(0), [(100, "saturated"), (101, "cleared")]);
        assert!(pool.engine.raised.is_none());
        pool.use_of(10, 10, 100);
        assert_eq!(pool.heard_after(200), [(100, "saturated")], "and may be so again");
    }

    #[test]
    fn what_was_in_use_holds_until_the_next_reading_and_the_clock_may_do_as_it_likes() {
        let mut pool = Pool::new();
        pool.read(10, 10);
        pool.looks = 150;
        pool.read(0, 10);
        assert_eq!(pool.heard, [(150, "saturated")]);
        pool.looks = 0;
        pool.read(0, 10);
        pool.use_of(0, 10, 500);
        assert!(pool.engine.raised.is_none());
        pool.looks = 10_000_000_000;
        pool.read(10, 10);
    }
}
