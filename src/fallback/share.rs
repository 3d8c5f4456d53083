//! How many of the recent answers were stale, and whether that is worth an alert.
//!
//! Two counts in one word, of stale answers and of all; when the word holds *n* answers both are
//! halved, so old answers fade, the faster the more come. While no stale answer is left in it, a
//! fresh one can't change the share, and writes nothing: health costs two reads of one line. One stale
//! answer costs one addition.

use crate::event::Counts;
use crate::ratio::Ratio;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The word.
///
/// ```text
///  63    32 31     0
/// +--------+--------+
/// | stale  |  all   |
/// +--------+--------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answers(u64);

impl Answers {
    const FRESH: Self = Self(1);
    const STALE: Self = Self(1 << 32 | 1);

    const fn stale(self) -> u64 {
        self.0 >> 32
    }

    const fn all(self) -> u64 {
        self.0 & 0xFFFF_FFFF
    }

    const fn plus(self, one: Self) -> Self {
        Self(self.0.wrapping_add(one.0))
    }

    const fn halved(self) -> Self {
        Self(((self.stale() / 2) << 32) | (self.all() / 2))
    }
}

/// The share of stale answers among the recent ones.
#[derive(Debug)]
pub(super) struct Share {
    answers: AtomicU64,
    /// At how many answers they are halved.
    window: u64,
    /// 1 while the alert is up.
    alert: AtomicU32,
    missed: AtomicU64,
}

impl Share {
    pub(super) fn new(window: u32) -> Self {
        Self {
            answers: AtomicU64::new(0),
            window: window.into(),
            alert: AtomicU32::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// Counts a fresh answer; says so if that ends the alert.
    #[inline]
    pub(super) fn fresh(&self, threshold: impl FnOnce() -> Option<Ratio>) -> Option<bool> {
        // Relaxed, here and below: the word is read for itself, nothing is published behind it.
        let now = Answers(self.answers.load(Ordering::Relaxed));
        if now.stale() > 0 {
            return self.count(Answers::FRESH, threshold());
        }
        // The last stale answer may have faded with the alert still up.
        if self.is_alerting() { self.judge(now, threshold()) } else { None }
    }

    /// Counts a stale answer; says so if that raises the alert.
    #[inline]
    pub(super) fn stale(&self, threshold: Option<Ratio>) -> Option<bool> {
        self.count(Answers::STALE, threshold)
    }

    /// Counts a read that failed and had no answer kept.
    pub(super) fn missed(&self) {
        // Relaxed: a counter nothing hangs on.
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, one: Answers, threshold: Option<Ratio>) -> Option<bool> {
        let before = Answers(self.answers.fetch_add(one.0, Ordering::Relaxed));
        let now = before.plus(one);
        if now.all() >= self.window {
            self.fade();
        }
        self.judge(now, threshold)
    }

    #[cold]
    fn fade(&self) {
        let halve = |word: u64| {
            let answers = Answers(word);
            (answers.all() >= self.window).then(|| answers.halved().0)
        };
        // `Err`: someone else did it.
        let _ = self.answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, halve);
    }

    /// Raises the alert at the threshold, and ends it below half of it, so that it doesn't flutter.
    fn judge(&self, now: Answers, threshold: Option<Ratio>) -> Option<bool> {
        let (stale, all) = (now.stale(), now.all());
        // A tenth of the window is enough to judge by.
        let up = threshold.is_some_and(|t| all * 10 >= self.window && t.is_met_by(stale, all));
        let down = threshold.is_none_or(|t| !t.is_met_by(stale * 2, all));
        let is_up = self.is_alerting();
        if up == is_up || !(up || down) {
            return None;
        }
        // Relaxed: one of those who see it changes it, and tells.
        self.alert
            .compare_exchange(is_up.into(), up.into(), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
            .then_some(up)
    }

    /// The recent answers (`failures` are the stale ones), and the reads missed in all.
    pub(super) fn read(&self) -> (Counts, u64) {
        let now = Answers(self.answers.load(Ordering::Relaxed));
        let recent = Counts { total: now.all(), failures: now.stale(), slow: 0 };
        (recent, self.missed.load(Ordering::Relaxed))
    }

    /// Is the alert up?
    pub(super) fn is_alerting(&self) -> bool {
        self.alert.load(Ordering::Relaxed) == 1
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    /// A share that has seen `stale` and then `fresh` answers, of a window of 100.
    fn seen(stale: usize, fresh: usize) -> Share {
        let share = Share::new(100);
        for _ in 0..stale {
            share.stale(None);
        }
        for _ in 0..fresh {
            share.fresh(|| None);
        }
        share
    }

    #[test]
    fn the_alert_goes_up_once_at_the_threshold_and_down_once_below_half_of_it() {
        let threshold = Ratio::percent(20);
        let share = seen(1, 79);
        let up: Vec<_> = (0..50).filter_map(|_| share.stale(threshold)).collect();
        assert_eq!(up, [true]);
        assert!(share.is_alerting());
        let down: Vec<_> = (0..500).filter_map(|_| share.fresh(|| threshold)).collect();
        assert_eq!(down, [false]);
        assert!(!share.is_alerting());
    }

    #[test]
    fn an_alert_ends_though_its_last_stale_answer_has_faded() {
        for (window, ppm) in [(1, 100_000), (2, 500_000), (20, 100_000), (1_000, 1_000)] {
            let (share, threshold) = (Share::new(window), Ratio::from_ppm(ppm));
            while !share.is_alerting() {
                share.stale(threshold);
            }
            let down: Vec<_> =
                (0..10 * window + 10).filter_map(|_| share.fresh(|| threshold)).collect();
            assert_eq!(down, [false], "a window of {window} and {ppm} ppm");
        }
    }

    #[test]
    fn it_is_raised_at_exactly_the_threshold() {
        let threshold = Ratio::percent(20);
        let share = seen(1, 63);
        let at = (2..).find(|_| share.stale(threshold).is_some());
        assert_eq!(at, Some(16), "16 of 79 are 20.25 %, 15 of 78 are 19.2 %");
    }

    #[test]
    fn the_first_call_ever_raises_no_alert() {
        let share = Share::new(100);
        for _ in 0..9 {
            assert_eq!(share.stale(Ratio::percent(10)), None);
        }
        let tenth = share.stale(Ratio::percent(10));
        assert_eq!(tenth, Some(true), "a tenth of the window is there");
    }

    #[test]
    fn without_a_threshold_nothing_alerts() {
        let share = seen(1000, 0);
        assert!(!share.is_alerting());
    }

    #[test]
    fn health_writes_nothing_once_stale_answers_have_faded() {
        let share = seen(90, 1000);
        let word = share.answers.load(Ordering::Relaxed);
        assert_eq!(Answers(word).stale(), 0);
        share.fresh(|| None);
        assert_eq!(share.answers.load(Ordering::Relaxed), word);
    }

    #[test]
    fn a_steady_mix_is_told_as_it_is() {
        let share = Share::new(1000);
        for i in 0..10_000 {
            match i % 4 {
                0 => share.stale(None),
                _ => share.fresh(|| None),
            };
        }
        let (recent, _) = share.read();
        let share = recent.failure_ratio().unwrap();
        assert!((245_000..=255_000).contains(&share.ppm()), "{share}");
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// However records overlap, none is lost but to fading, and one of them tells the alert.
    #[test]
    fn one_transition_is_told_once() {
        loom::model(|| {
            let share = Arc::new(Share::new(10));
            let other = {
                let share = Arc::clone(&share);
                thread::spawn(move || share.stale(Ratio::percent(50)))
            };
            let mine = share.stale(Ratio::percent(50));
            let other = other.join().unwrap();
            let told = [mine, other].into_iter().flatten().count();
            assert_eq!(told, 1);
            assert_eq!(share.read().0.failures, 2);
        });
    }
}
