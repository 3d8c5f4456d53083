//! What callers got in the last minute, and since an incident began.
//!
//! # Orderings
//! Relaxed throughout: a call adds to its stripe's words, the clerk swaps them for zero, and each call is
//! in exactly one of those swaps. Nothing else is handed over.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;
use crate::event::Answered;
use crate::ratio::Ratio;
use crate::stripe::Striped;

/// A stripe looks at the clock once in so many calls.
const LOOK_EVERY: u64 = 256;
const SECOND: u64 = 1_000_000_000;
/// What severity goes by.
const MINUTE: u64 = 60;
/// From this share of calls without a fresh answer on, a second is part of the trouble: a twentieth.
const TROUBLE: Ratio = Ratio::percent(5).expect("at most 100");

/// What came of calls, for those who made them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Impact {
    /// Calls that ended.
    pub calls: u64,
    /// Those that failed, or were refused, without an answer.
    pub failed: u64,
    /// Those that got a stale answer, or another substitute.
    pub substitutes: u64,
}

impl Impact {
    /// The share that was failed, where a substitute weighs half; `None` without calls.
    pub const fn share(&self) -> Option<Ratio> {
        Ratio::of(self.failed * 2 + self.substitutes, self.calls * 2)
    }

    const fn is_trouble(self) -> bool {
        TROUBLE.is_met_by(self.failed + self.substitutes, self.calls)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.substitutes += other.substitutes;
    }
}

/// Counts calls as they end.
#[derive(Debug)]
pub(super) struct Meter {
    stripes: Striped<Words>,
    /// When the first call got no fresh answer since the words were last taken, in ns; 0: all did.
    first_failure: AtomicU64,
}

#[derive(Debug)]
struct Words {
    /// Calls (high 32 bits) and failed ones (low).
    calls: AtomicU64,
    substitutes: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Self {
        let words = || Words { calls: AtomicU64::new(0), substitutes: AtomicU64::new(0) };
        Self { stripes: Striped::new(words), first_failure: AtomicU64::new(0) }
    }

    /// Counts a call; the moment, if it was read, is one to look at what there is.
    #[inline]
    pub(super) fn count(&self, answered: Answered, now: impl FnOnce() -> Moment) -> Option<Moment> {
        let failed = match answered {
            Answered::Fresh => false,
            Answered::Nothing => true,
            Answered::Substitute => {
                self.stripes.mine().1.substitutes.fetch_add(1, Ordering::Relaxed);
                false
            }
            Answered::Left => return None,
        };
        let word = 1 << 32 | u64::from(failed);
        let before = self.stripes.mine().1.calls.fetch_add(word, Ordering::Relaxed);
        if answered != Answered::Fresh {
            let now = now();
            let (zero, at) = (0, now.as_nanos().max(1));
            let relaxed = Ordering::Relaxed;
            let _ = self.first_failure.compare_exchange(zero, at, relaxed, relaxed);
            return Some(now);
        }
        ((before >> 32) % LOOK_EVERY == LOOK_EVERY - 1).then(now)
    }

    /// Did all calls get fresh answers since it was last taken?
    pub(super) fn is_well(&self) -> bool {
        self.first_failure.load(Ordering::Relaxed) == 0
    }

    /// What came since it was last taken, and when the first of it failed.
    pub(super) fn take(&self) -> (Impact, Option<Moment>) {
        let mut sum = Impact::default();
        for words in self.stripes.iter() {
            let word = words.calls.swap(0, Ordering::Relaxed);
            sum.add(Impact {
                calls: word >> 32,
                failed: word & u64::from(u32::MAX),
                substitutes: words.substitutes.swap(0, Ordering::Relaxed),
            });
        }
        let first = self.first_failure.swap(0, Ordering::Relaxed);
        (sum, (first != 0).then(|| Moment::from_nanos(first)))
    }
}

/// The last minute, by the second; a second in which trouble begins is cut there, once.
#[derive(Debug, Default)]
pub(super) struct Minute {
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct Second {
    number: u64,
    impact: Impact,
    first_failure: Option<Moment>,
    /// It is what came after the cut.
    is_cut: bool,
}

impl Second {
    /// Was it well, and is what comes now not?
    fn is_cut_by(&self, next: Impact) -> bool {
        !self.impact.is_trouble() && next.is_trouble()
    }
}

impl Minute {
    /// Adds what was taken at `now`; a clock that goes back adds to the newest second.
    pub(super) fn add(&mut self, now: Moment, taken: (Impact, Option<Moment>)) {
        let newest = self.seconds.back().map_or(0, |second| second.number);
        let number = (now.as_nanos() / SECOND).max(newest);
        while self.seconds.front().is_some_and(|second| second.number + MINUTE <= number) {
            self.seconds.pop_front();
        }
        let (impact, first_failure) = taken;
        match self.seconds.back_mut() {
            Some(second)
                if second.number == number
                    && (second.is_cut || second.impact.calls == 0 || !second.is_cut_by(impact)) =>
            {
                second.impact.add(impact);
                second.first_failure = second.first_failure.or(first_failure);
            }
            newest => {
                let is_cut = newest.is_some_and(|second| second.number == number);
                self.seconds.push_back(Second { number, impact, first_failure, is_cut });
            }
        }
    }

    pub(super) fn sum(&self) -> Impact {
        self.seconds.iter().fold(Impact::default(), |mut sum, second| {
            sum.add(second.impact);
            sum
        })
    }

    /// When the trouble began that goes on now: the first failure of an unbroken run of seconds with
    /// calls in which a twentieth or more got no fresh answer. And what came since.
    pub(super) fn trouble(&self) -> (Option<Moment>, Impact) {
        let mut since = Impact::default();
        let mut began = None;
        for second in self.seconds.iter().rev().filter(|second| second.impact.calls > 0) {
            if !second.impact.is_trouble() {
                break;
            }
            since.add(second.impact);
            began = second.first_failure.or(began);
        }
        (began, since)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(1 << 40).plus(Duration::from_millis(ms))
    }

    fn of(calls: u64, failed: u64, substitutes: u64) -> Impact {
        Impact { calls, failed, substitutes }
    }

    #[test]
    fn a_substitute_weighs_half() {
        assert_eq!(of(10, 5, 0).share(), Ratio::percent(50));
        assert_eq!(of(10, 0, 10).share(), Ratio::percent(50));
        assert_eq!(of(10, 2, 6).share(), Ratio::percent(50));
        assert_eq!(of(0, 0, 0).share(), None);
    }

    #[test]
    fn each_call_is_taken_once_and_who_left_is_none() {
        let meter = Meter::new();
        for (n, answered) in [
            Answered::Fresh,
            Answered::Nothing,
            Answered::Substitute,
            Answered::Left,
            Answered::Nothing,
        ]
        .into_iter()
        .enumerate()
        {
            meter.count(answered, || at(n as u64));
        }
        assert_eq!(meter.take(), (of(4, 2, 1), Some(at(1))));
        assert!(meter.is_well());
        assert_eq!(meter.take(), (of(0, 0, 0), None));
    }

    #[test]
    fn a_minute_forgets_what_is_older() {
        let mut minute = Minute::default();
        minute.add(at(0), (of(10, 10, 0), Some(at(0))));
        minute.add(at(59_000), (of(10, 0, 0), None));
        assert_eq!(minute.sum(), of(20, 10, 0));
        minute.add(at(61_000), (of(10, 0, 1), None));
        assert_eq!(minute.sum(), of(20, 0, 1));
        minute.add(at(3_000), (of(1, 0, 0), None));
        assert_eq!(minute.sum(), of(21, 0, 1), "the clock went back");
    }

    #[test]
    fn a_second_is_cut_where_trouble_begins_and_only_once() {
        let mut minute = Minute::default();
        minute.add(at(500), (of(100, 0, 0), None));
        minute.add(at(600), (of(1, 1, 0), Some(at(600))));
        assert_eq!(minute.trouble(), (Some(at(600)), of(1, 1, 0)));
        for ms in 601..700 {
            minute.add(at(ms), (of(50, 0, 0), None));
            minute.add(at(ms), (of(1, 1, 0), Some(at(ms))));
        }
        assert_eq!(minute.seconds.len(), 2);
        assert_eq!(minute.trouble().0, None, "one in fifty is no trouble");
    }

    #[test]
    fn trouble_began_with_the_first_failure_of_the_run_that_goes_on() {
        let mut minute = Minute::default();
        minute.add(at(1_000), (of(10, 5, 0), Some(at(700))));
        minute.add(at(2_000), (of(100, 1, 0), Some(at(1_900))));
        assert_eq!(minute.trouble(), (None, of(0, 0, 0)), "one in a hundred is no trouble");
        minute.add(at(3_100), (of(10, 9, 0), Some(at(2_950))));
        minute.add(at(5_000), (of(10, 10, 0), Some(at(4_100))));
        assert_eq!(
            minute.trouble(),
            (Some(at(2_950)), of(20, 19, 0)),
            "a second without calls breaks nothing"
        );
    }
}
