//! How many of the recent answers were stale, and whether that is worth an alert.

use crate::event::Counts;
use crate::ratio::Ratio;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::window::{CountWindow, Entry};

/// The window's one generation: it is never reset.
const GENERATION: u32 = 0;

/// The share of stale answers among the last *n*, and the totals.
///
/// In the window a "failure" is a stale answer. Once it is full of fresh ones, one more writes
/// nothing: health costs two reads.
#[derive(Debug)]
pub(super) struct Share {
    window: CountWindow,
    /// From how many answers on the share is judged: a tenth of the window.
    enough: u64,
    /// 1 while the alert is up.
    alert: AtomicU32,
    stale: AtomicU64,
    missed: AtomicU64,
}

impl Share {
    pub(super) fn new(window: usize) -> Self {
        Self {
            window: CountWindow::new(window, GENERATION),
            enough: (window as u64).div_ceil(10),
            alert: AtomicU32::new(0),
            stale: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// Counts a fresh answer; says so if that ends the alert.
    #[inline]
    pub(super) fn fresh(&self, threshold: impl FnOnce() -> Option<Ratio>) -> Option<bool> {
        let counts = self.window.record(Entry::default(), GENERATION)?;
        // Relaxed: a flag nothing hangs on; who changes it swaps.
        if self.alert.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.judge(counts, threshold())
    }

    /// Counts a stale answer; says so if that raises the alert.
    pub(super) fn stale(&self, threshold: Option<Ratio>) -> Option<bool> {
        // Relaxed: a counter nothing hangs on.
        self.stale.fetch_add(1, Ordering::Relaxed);
        let stale = Entry { failed: true, slow: false };
        let counts = self.window.record(stale, GENERATION)?;
        self.judge(counts, threshold)
    }

    /// Counts a read that failed and had no answer kept.
    pub(super) fn missed(&self) {
        // Relaxed: a counter nothing hangs on.
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// Raises the alert at the threshold, and ends it below half of it, so that it doesn't flutter.
    fn judge(&self, counts: Counts, threshold: Option<Ratio>) -> Option<bool> {
        let (stale, total) = (counts.failures, counts.total);
        let up = threshold.is_some_and(|t| total >= self.enough && t.is_met_by(stale, total));
        let down = threshold.is_none_or(|t| !t.is_met_by(stale.saturating_mul(2), total));
        let (from, to) = match (up, down) {
            (true, _) => (0, 1),
            (_, true) => (1, 0),
            _ => return None,
        };
        // Relaxed: one of those who see it changes it, and tells.
        self.alert
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
            .then_some(up)
    }

    /// Fresh and stale answers in the window, and stale and missed ones in all.
    pub(super) fn read(&self) -> (Counts, u64, u64) {
        // Relaxed: counters nothing hangs on.
        (
            self.window.counts(),
            self.stale.load(Ordering::Relaxed),
            self.missed.load(Ordering::Relaxed),
        )
    }

    /// Is the alert up?
    pub(super) fn is_alerting(&self) -> bool {
        // Relaxed: read for itself.
        self.alert.load(Ordering::Relaxed) == 1
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_alert_goes_up_once_at_the_threshold_and_down_once_below_half_of_it() {
        let share = Share::new(100);
        let threshold = Ratio::percent(20);
        for _ in 0..100 {
            assert_eq!(share.fresh(|| threshold), None);
        }
        for i in 1..=50 {
            let said = share.stale(threshold);
            assert_eq!(said, (i == 20).then_some(true), "{i} of 100 are stale");
        }
        // The ring turns: the stale ones leave after 50 more fresh ones.
        let said: Vec<_> = (0..100).filter_map(|_| share.fresh(|| threshold)).collect();
        assert_eq!(said, [false]);
        assert!(!share.is_alerting());
    }

    #[test]
    fn the_first_call_ever_raises_no_alert() {
        let share = Share::new(100);
        let threshold = Ratio::percent(10);
        for _ in 0..9 {
            assert_eq!(share.stale(threshold), None);
        }
        assert_eq!(share.stale(threshold), Some(true), "a tenth of the window is there");
    }

    #[test]
    fn without_a_threshold_nothing_alerts() {
        let share = Share::new(1);
        assert_eq!(share.stale(None), None);
        assert_eq!(share.read().1, 1);
    }
}
