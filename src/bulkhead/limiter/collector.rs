//! Gathers calls into windows, and lets the limiter learn from each.

use std::time::Duration;

use super::governor::AdaptiveLimit;
use super::window::Window;
use crate::clock::{Moment, nanos};
use crate::stripe::Striped;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// How long a window lasts, at the least.
const SPAN: Duration = Duration::from_millis(100);

/// What a stripe has gathered.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    nanos: u64,
    answered: u32,
    given_up: u32,
    in_flight: u32,
    /// Calls that ended, whether they count or not: this is about how many do in a second.
    ended: u32,
    /// When the first of them ended, in ns; 0 if there is none.
    first: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.nanos = self.nanos.saturating_add(other.nanos);
        self.answered = self.answered.saturating_add(other.answered);
        self.given_up = self.given_up.saturating_add(other.given_up);
        self.in_flight = self.in_flight.max(other.in_flight);
        self.ended = self.ended.saturating_add(other.ended);
        if self.first == 0 || (other.first != 0 && other.first < self.first) {
            self.first = other.first;
        }
    }

    fn calls(self) -> u32 {
        self.answered.saturating_add(self.given_up)
    }
}

/// The window that is being filled, and the limit that learns from it.
///
/// Each thread adds to a stripe of its own; who finds the window's time over, and enough calls in it,
/// closes it. A lock a call, of the thread's own stripe, and one more a window.
#[derive(Debug)]
pub(crate) struct Collector {
    stripes: Striped<Mutex<Sums>>,
    /// When the window's time is over, in ns.
    ends: AtomicU64,
    /// Calls that began before don't count, in ns.
    from: AtomicU64,
    /// Nor do calls that end before, in ns.
    until: AtomicU64,
    limit: Mutex<Learning>,
}

#[derive(Debug)]
struct Learning {
    limit: AdaptiveLimit,
    first: bool,
}

impl Learning {
    /// How many calls the window needs. Those that say what fast is need more, or it is chance that
    /// says it; and the first to come back are the short ones.
    fn needs(&self) -> u32 {
        let limit = self.limit.limit();
        match (self.first, self.limit.is_measuring()) {
            (true, _) => limit.saturating_mul(2).clamp(20, 100),
            (_, true) => limit.saturating_mul(2).clamp(8, 50),
            _ => limit.clamp(4, 20),
        }
    }
}

impl Collector {
    pub(crate) fn new(limit: AdaptiveLimit) -> Self {
        Self {
            stripes: Striped::new(|| Mutex::new(Sums::default())),
            ends: AtomicU64::new(0),
            from: AtomicU64::new(0),
            until: AtomicU64::new(0),
            limit: Mutex::new(Learning { limit, first: true }),
        }
    }

    /// A call that began at `since` was answered, or given up; `in_flight` were under way. If that
    /// closes a window, `publish` is given the new limit, under the lock: so no limit that is set
    /// meanwhile is overwritten by an older one. Gives what `publish` gives.
    pub(crate) fn record<T>(
        &self,
        since: Moment,
        now: Moment,
        in_flight: u32,
        answered: bool,
        publish: impl FnOnce(u32) -> T,
    ) -> Option<T> {
        // Relaxed, here and below: which window a call that ends just now falls into is nobody's
        // concern.
        if now.as_nanos() < self.from.load(Ordering::Relaxed) {
            // The clock went back; nothing that begins now would count for as long.
            self.from.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
        if now.as_nanos() < self.until.load(Ordering::Relaxed) {
            return None;
        }
        let taken = nanos(now.since(since));
        if answered && taken == 0 {
            return None;
        }
        let mut one = Sums { ended: 1, first: now.as_nanos(), ..Sums::default() };
        if since.as_nanos() >= self.from.load(Ordering::Relaxed) {
            one.in_flight = in_flight;
            if answered {
                (one.nanos, one.answered) = (taken, 1);
            } else {
                one.given_up = 1;
            }
        }
        self.stripes.mine().1.lock().add(one);
        let ends = self.ends.load(Ordering::Relaxed);
        if now.as_nanos() < ends && ends - now.as_nanos() <= nanos(SPAN) {
            return None;
        }
        self.close(now, publish)
    }

    #[cold]
    fn close<T>(&self, now: Moment, publish: impl FnOnce(u32) -> T) -> Option<T> {
        let mut learning = self.limit.lock();
        let mut sums = Sums::default();
        self.stripes.iter().for_each(|stripe| sums.add(*stripe.lock()));
        let empty = self.ends.load(Ordering::Relaxed) == 0;
        if empty {
            self.ends.store(now.plus(SPAN).as_nanos(), Ordering::Relaxed);
        }
        if empty || sums.calls() < learning.needs() {
            return None;
        }
        self.clear();
        self.ends.store(now.plus(SPAN).as_nanos(), Ordering::Relaxed);
        learning.first = false;
        let latency = Duration::from_nanos(sums.nanos / u64::from(sums.answered.max(1)));
        let window = Window::new(latency, sums.in_flight).calls(sums.answered, sums.given_up);
        // From the first to the last there is one gap less than there are calls; and of those that
        // ended, this is the part that is answers which count.
        let gaps = f64::from(sums.ended - 1).max(1.0);
        let span =
            now.since(Moment::from_nanos(sums.first)).mul_f64(f64::from(sums.answered) / gaps);
        let window = window.over(span);
        let limit = learning.limit.learn(&window);
        if learning.limit.is_measuring() {
            // Calls that began under the higher limit don't count; nor do those that end until the
            // rest of them are gone too, lest the short ones alone be counted.
            self.from.store(now.as_nanos(), Ordering::Relaxed);
            self.until.store(now.plus(latency * 2).as_nanos(), Ordering::Relaxed);
        } else {
            self.from.store(0, Ordering::Relaxed);
        }
        Some(publish(limit))
    }

    fn clear(&self) {
        self.stripes.iter().for_each(|stripe| *stripe.lock() = Sums::default());
    }

    /// An operator sets the limit; `publish` is given it as it is within its bounds.
    pub(crate) fn set<T>(&self, limit: u32, publish: impl FnOnce(u32) -> T) -> T {
        let mut learning = self.limit.lock();
        self.clear();
        self.from.store(0, Ordering::Relaxed);
        self.until.store(0, Ordering::Relaxed);
        learning.limit.set(limit);
        publish(learning.limit.limit())
    }

    /// Is the limit lowered for a moment, to measure the baseline?
    pub(crate) fn is_measuring(&self) -> bool {
        self.limit.lock().limit.is_measuring()
    }

    pub(crate) fn baseline(&self) -> Option<Duration> {
        self.limit.lock().limit.baseline()
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::bulkhead::Vegas;

    /// As many calls at a time as may be, on a clock of its own.
    struct Calls {
        collector: Collector,
        now: u64,
    }

    impl Calls {
        fn new() -> Self {
            let limit = AdaptiveLimit::new(Vegas::new(), 50, 1..=1_000).unwrap();
            Self { collector: Collector::new(limit), now: 3_600 * 1_000_000_000 * 10 }
        }

        /// Calls of 100 ms, 500 a second, until `done`.
        fn until(&mut self, what: &str, done: impl Fn(&Collector) -> bool) {
            for _ in 0..100_000 {
                if done(&self.collector) {
                    return;
                }
                self.now += 2_000_000;
                let (since, now) = (self.now - 100_000_000, self.now);
                let at = Moment::from_nanos;
                let limit = self.collector.limit.lock().limit.limit();
                self.collector.record(at(since), at(now), limit, true, |_| ());
            }
            panic!("never: {what}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_holds_up_nothing() {
        let mut calls = Calls::new();
        calls.until("it measures", Collector::is_measuring);
        calls.now -= 3_600 * 1_000_000_000;
        let from = calls.now;
        calls.until("it has measured", |collector| !collector.is_measuring());
        assert!(calls.now - from < 1_000_000_000, "a second is enough for what it needs");
    }

    #[test]
    fn a_limit_is_published_while_no_other_can_be_set() {
        let mut calls = Calls::new();
        let mut published = 0;
        for _ in 0..1_000 {
            calls.now += 2_000_000;
            let (since, now) = (calls.now - 100_000_000, calls.now);
            let at = Moment::from_nanos;
            let collector = &calls.collector;
            collector.record(at(since), at(now), 50, true, |_| {
                assert!(collector.limit.try_lock().is_none());
                published += 1;
            });
        }
        assert!(published > 10);
        calls.collector.set(70, |limit| {
            assert_eq!(limit, 70);
            assert!(calls.collector.limit.try_lock().is_none());
        });
    }
}
