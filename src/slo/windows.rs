//! The windows that an objective's alerts look at: which there are, how they are cut, what they are called.

use std::time::Duration;

use parking_lot::Mutex;

use super::ring::Ring;
use super::rules::Rules;

const HOUR: Duration = Duration::from_secs(3_600);
/// Stock is taken so often: no bucket is narrower.
const NARROWEST: u64 = 5;
/// No window has more buckets.
pub(super) const MOST_BUCKETS: u64 = 72;

/// The windows of all alerts, each once, shortest first.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) names: Box<[&'static str]>,
    pub(super) rings: Box<[Ring]>,
    /// Of each alert the place of its long window, and of its short one.
    pub(super) places: [(usize, usize); 3],
}

impl Windows {
    /// Those of checked rules.
    pub(super) fn of(rules: &Rules) -> Self {
        let mut spans: Vec<Duration> =
            rules.alerts.iter().flat_map(|alert| [alert.long, alert.short]).collect();
        spans.sort_unstable();
        spans.dedup();
        let place = |span| spans.binary_search(&span).unwrap_or_default();
        Self {
            names: spans.iter().map(|span| name(*span)).collect(),
            rings: spans.iter().map(|span| ring(*span)).collect(),
            places: rules.alerts.map(|alert| (place(alert.long), place(alert.short))),
        }
    }
}

/// A ring of whole buckets: 60 up to an hour, 72 above, fewer where they would be narrower than a stock.
fn ring(span: Duration) -> Ring {
    let most = if span > HOUR { MOST_BUCKETS } else { 60 };
    let n = (span.as_secs() / NARROWEST).clamp(1, most);
    Ring::new(n as usize, span / n as u32)
}

/// `90s`, `5m`, `1h`, `3d`: by the largest unit that divides it.
fn name(span: Duration) -> &'static str {
    // Labels of metrics are static, and there are as many as different windows were ever set.
    static NAMES: Mutex<Vec<(Duration, &'static str)>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock();
    if let Some((_, name)) = names.iter().find(|(of, _)| *of == span) {
        return name;
    }
    let seconds = span.as_secs();
    let (unit, letter) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
        .into_iter()
        .find(|(unit, _)| seconds % unit == 0)
        .unwrap_or((1, 's'));
    let name: &'static str = Box::leak(format!("{}{letter}", seconds / unit).into_boxed_str());
    names.push((span, name));
    name
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_are_called_as_prometheus_writes_them_and_each_name_is_made_once() {
        let named = [90, 60, 300, 1_800, 3_600, 21_600, 86_400, 259_200, 7 * 86_400, 25 * 3_600];
        let names = named.map(|seconds| name(Duration::from_secs(seconds)));
        assert_eq!(names, ["90s", "1m", "5m", "30m", "1h", "6h", "1d", "3d", "7d", "25h"]);
        let again = name(Duration::from_secs(90));
        assert!(std::ptr::eq(again, names[0]));
    }

    proptest! {
        #[test]
        fn a_ring_is_as_long_as_its_window_and_bounded(seconds in 60_u64..=30 * 86_400) {
            let ring = ring(Duration::from_secs(seconds));
            let span = seconds * 1_000_000_000;
            // Whole nanoseconds a bucket.
            prop_assert!(ring.span() <= span && span - ring.span() < MOST_BUCKETS);
            prop_assert!((12..=MOST_BUCKETS).contains(&ring.buckets()));
            prop_assert!(ring.span() / ring.buckets() >= NARROWEST * 1_000_000_000);
        }
    }
}
