//! Keeps a limiter within bounds and within reason.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::window::{Limiter, Window};
use crate::error::{ConfigError, check};

/// Windows after which the latency without a queue is measured anew.
const MEASURE_EVERY: u32 = 100;
/// Windows after which it is measured for the first time: what the first window said was a guess.
const MEASURE_FIRST: u32 = 15;
/// Windows in a row, far from the baseline, after which it is measured at once.
const STRANGE_WINDOWS: u32 = 2;
/// When half as many calls are in flight and there are still more than this share of the answers a
/// second, then calls were waiting in a queue. (Were it all queue, there would be as many; without one,
/// half.)
const QUEUED_RATE: f64 = 0.75;
/// Below this share nobody else was in the queue either. (Of two clients that share one, the one that
/// halves its part still gets two thirds of its answers.)
const ALONE_RATE: f64 = 0.58;

/// No answer takes longer: so that there is no overflow when latencies are multiplied.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

/// A limit that a [`Limiter`] moves.
///
/// What holds whatever the limiter says:
/// - the limit stays within its bounds;
/// - it doesn't move while less than half of it is used, unless calls are given up: then nothing is
///   learnt about a higher one, and what is slow isn't slow because of us;
/// - a window without answers moves nothing, nor does a latency of zero, nor an update that isn't a
///   number.
///
/// The baseline, how long an answer takes without a queue, is *measured*: every hundred windows, or when
/// answers take more than twice as long as it says, or less than two thirds, the limit is halved for one
/// window of calls that all began after that. If only half as many answers come a second, nothing was
/// queued up: that is how slow the service is now, and the baseline follows. If as many come as before,
/// there was a queue. A service that became ten times slower is thus told from a limit that is ten times
/// too high.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limiter: Box<dyn Limiter>,
    limit: f64,
    bounds: (u32, u32),
    /// Windows since the last measurement.
    since: u32,
    /// Windows in a row that were far from the baseline, and the limit before them.
    strange: u32,
    familiar: f64,
    /// Answers a second, lately.
    rate: Option<f64>,
    measuring: Option<Measuring>,
}

/// The limit is halved, to see.
#[derive(Clone, Copy, Debug)]
struct Measuring {
    /// The latency before, and the answers a second.
    before: Duration,
    rate: Option<f64>,
    /// Because answers were slow, not because it was time.
    alarmed: bool,
}

impl AdaptiveLimit {
    /// A limit that begins at `initial` and stays within `bounds`.
    ///
    /// # Errors
    /// [`ConfigError`] if `initial` isn't within the bounds, the bounds are empty or begin at zero, or
    /// a setting of the limiter can't be.
    pub fn new(
        limiter: impl Limiter,
        initial: u32,
        bounds: RangeInclusive<u32>,
    ) -> Result<Self, ConfigError> {
        let range = "a range of limits that begins at 1 or more";
        let bounds = check("limits", bounds, range, |b| *b.start() >= 1 && !b.is_empty())?;
        check("limit", initial, "within `limits`", |limit| bounds.contains(limit))?;
        limiter.check()?;
        let (limiter, bounds) = (Box::new(limiter), bounds.into_inner());
        let (limit, since) = (f64::from(initial), MEASURE_EVERY - MEASURE_FIRST);
        Ok(Self {
            limiter,
            limit,
            bounds,
            since,
            strange: 0,
            familiar: limit,
            rate: None,
            measuring: None,
        })
    }

    /// The limit as it is.
    pub fn limit(&self) -> u32 {
        let limit = match self.measuring {
            None => self.limit,
            Some(Measuring { alarmed: false, .. }) => self.limit / 2.0,
            Some(_) => self.familiar / 2.0,
        };
        (limit as u32).clamp(self.bounds.0, self.bounds.1)
    }

    /// How long an answer takes without a queue, as far as is known.
    pub fn baseline(&self) -> Option<Duration> {
        self.limiter.baseline()
    }

    /// Is the baseline being measured? Then the next window must be made of calls that began after
    /// the limit was lowered.
    pub fn is_measuring(&self) -> bool {
        self.measuring.is_some()
    }

    /// Sets the limit, as an operator may; it goes on from there, within its bounds.
    pub fn set(&mut self, limit: u32) {
        self.limit = f64::from(limit.clamp(self.bounds.0, self.bounds.1));
        (self.strange, self.measuring) = (0, None);
    }

    /// Learns from a window, and gives the limit from here on.
    pub fn learn(&mut self, window: &Window) -> u32 {
        let silent = window.answered == 0;
        if (silent && window.given_up == 0) || (!silent && window.latency.is_zero()) {
            return self.limit();
        }
        let window = &Window { latency: window.latency.min(LONGEST), ..*window };
        match self.measuring.take() {
            Some(measuring) if !silent => self.measured(measuring, window),
            _ if self.is_idle(window) => self.idle(window),
            _ => self.update(window),
        }
        self.limit()
    }

    fn is_idle(&self, window: &Window) -> bool {
        f64::from(window.in_flight) * 2.0 < self.limit && !window.is_overload()
    }

    /// Far from the limit. That is no proof that nothing queues up, if the limit is far too high; but what
    /// is faster than the baseline is news.
    fn idle(&mut self, window: &Window) {
        self.strange = 0;
        match self.limiter.baseline() {
            None => self.limiter.rebase(window.latency),
            Some(baseline) if window.latency < baseline => {
                self.limiter.rebase((baseline * 7 + window.latency) / 8);
            }
            Some(_) => {}
        }
    }

    fn update(&mut self, window: &Window) {
        let before = self.limit;
        let next = self.limiter.update(before, window);
        if next.is_finite() {
            self.limit = next.clamp(self.bounds.0.into(), self.bounds.1.into());
        }
        if window.answered == 0 {
            // Nothing was answered: that says nothing about how long answers take, or how many come.
            return;
        }
        self.rate = match (self.rate, window.rate()) {
            (Some(lately), Some(rate)) => Some((lately + rate) / 2.0),
            (known, rate) => rate.or(known),
        };
        let Some(baseline) = self.limiter.baseline() else {
            return;
        };
        if window.latency > baseline * 2 || window.latency * 3 < baseline * 2 {
            if self.strange == 0 {
                // Of a limit that isn't reached, half would tell nothing.
                self.familiar = before.min(window.in_flight.into());
            }
            self.strange += 1;
        } else {
            self.strange = 0;
        }
        self.since += 1;
        let alarmed = self.strange >= STRANGE_WINDOWS;
        if alarmed || self.since >= MEASURE_EVERY {
            (self.strange, self.since) = (0, 0);
            let (before, rate) = (window.latency, self.rate);
            self.measuring = Some(Measuring { before, rate, alarmed });
        }
    }

    fn measured(&mut self, measuring: Measuring, window: &Window) {
        let baseline = self.limiter.baseline().unwrap_or(window.latency);
        let ratio = match (measuring.rate, window.rate()) {
            (Some(before), Some(rate)) => rate / before,
            // As many answers a second come of half as many calls if each takes half the time.
            _ => measuring.before.as_secs_f64() / window.latency.as_secs_f64() / 2.0,
        };
        let queued = ratio > QUEUED_RATE;
        let alone = ratio < ALONE_RATE;
        if measuring.alarmed {
            if alone || window.latency <= baseline {
                self.limiter.rebase(window.latency);
            }
            // It was our queue: go on from where it is shorter. Or the service changed, and what the
            // limit was before still holds. Between the two, it takes another look.
            let limit = if queued { self.familiar / 2.0 } else { self.familiar };
            self.limit = limit.max(self.bounds.0.into());
        } else if window.latency < baseline * 9 / 10 {
            // So much lower isn't luck: somebody else's queue was taken for the service.
            self.limiter.rebase(window.latency);
        } else if window.latency <= baseline {
            // As good a guess as the last one.
            self.limiter.rebase((baseline + window.latency) / 2);
        } else if alone {
            // Up by small steps: if others share the service, it may be their queue.
            self.limiter.rebase(window.latency.min(baseline * 21 / 20));
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::bulkhead::{Aimd, Gradient, Vegas};
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn settled(initial: u32) -> AdaptiveLimit {
        let mut limit = AdaptiveLimit::new(Vegas::new(), initial, 1..=1_000).unwrap();
        limit.learn(&busy(initial));
        limit.learn(&busy(initial));
        assert!(!limit.is_measuring());
        limit
    }

    /// A window in which all of the limit was used, of a hundred milliseconds a call.
    fn busy(in_flight: u32) -> Window {
        Window::new(MS * 100, in_flight).calls(in_flight, 0).over(MS * 100)
    }

    #[test]
    fn windows_without_answers_tell_nothing_about_how_fast_the_service_is() {
        let mut limit = settled(50);
        let (baseline, rate) = (limit.baseline(), limit.rate);
        for _ in 0..10 {
            limit.learn(&Window::new(Duration::ZERO, 50).calls(0, 50).over(MS * 100));
            assert!(!limit.is_measuring(), "a latency of zero isn't a fast answer");
        }
        assert!(limit.limit() < 30, "but calls that are given up are too many");
        assert_eq!((limit.baseline(), limit.rate), (baseline, rate));
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        for limiter in [
            Box::new(Vegas::new()) as Box<dyn Limiter>,
            Box::new(Gradient::new()),
            Box::new(Aimd::new()),
        ] {
            let mut limit = AdaptiveLimit::new(limiter, 50, 1..=1_000).unwrap();
            for _ in 0..200 {
                assert_eq!(limit.learn(&busy(24)), 50);
            }
            limit.learn(&busy(25));
            assert!(limit.learn(&busy(25)) > 50, "half is used");
        }
    }

    #[test]
    fn the_baseline_is_measured_again_and_again_at_half_the_limit() {
        let mut limit = AdaptiveLimit::new(Vegas::new(), 50, 1..=50).unwrap();
        let mut measured = Vec::new();
        for window in 0..250 {
            let before = limit.limit();
            if limit.learn(&busy(before)) == 25 {
                measured.push(window);
            }
        }
        assert_eq!(measured, [14, 115, 216], "for the first time soon, then every hundred windows");
    }

    #[test]
    fn a_service_that_became_slower_is_told_from_a_queue() {
        // Ten times slower, and half as many calls get half as many answers: it is the service.
        let mut limit = settled(50);
        let slow = |limit: u32| {
            let latency = MS * 1_000;
            Window::new(latency, limit).calls(limit, 0).over(latency)
        };
        let mut last = 0;
        for _ in 0..40 {
            last = limit.learn(&slow(limit.limit()));
        }
        assert!(limit.baseline().unwrap() >= MS * 900, "{:?}", limit.baseline());
        assert!(last >= 40, "{last}: the same calls fit into it as before");

        // Ten times too many, and half as many get as many answers: it is a queue.
        let mut limit = settled(50);
        limit.set(500);
        let queue = |limit: u32| {
            let latency = MS * 2 * limit.max(50);
            Window::new(latency, limit).calls(50, 0).over(MS * 100)
        };
        for _ in 0..60 {
            limit.learn(&queue(limit.limit()));
        }
        assert!(limit.baseline().unwrap() <= MS * 110, "{:?}", limit.baseline());
        assert!((40..100).contains(&limit.limit()), "{}", limit.limit());
    }

    #[test]
    fn an_operator_s_limit_ends_a_measurement_and_stays_within_the_bounds() {
        let mut limit = settled(50);
        while !limit.is_measuring() {
            limit.learn(&busy(limit.limit()));
        }
        limit.set(70);
        assert_eq!((limit.limit(), limit.is_measuring()), (70, false));
        limit.set(5_000);
        assert_eq!(limit.limit(), 1_000);
    }

    #[test]
    fn a_limiter_that_says_nonsense_moves_nothing() {
        #[derive(Debug)]
        struct Says(f64);
        impl Limiter for Says {
            fn update(&mut self, _: f64, _: &Window) -> f64 {
                self.0
            }
        }
        for (says, is) in [(f64::NAN, 50), (f64::INFINITY, 50), (-3.0, 2), (0.0, 2), (1e300, 900)] {
            let mut limit = AdaptiveLimit::new(Says(says), 50, 2..=900).unwrap();
            assert_eq!(limit.learn(&busy(50)), is, "{says}");
        }
    }

    fn windows() -> impl Strategy<Value = Window> {
        let nanos = prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::from_nanos(1)),
            Just(Duration::MAX),
            (0..10_000_u64).prop_map(Duration::from_millis),
        ];
        let count = prop_oneof![Just(0), Just(1), Just(u32::MAX), 0..2_000_u32];
        (nanos.clone(), count.clone(), count.clone(), count, nanos).prop_map(
            |(latency, in_flight, answered, given_up, span)| {
                Window::new(latency, in_flight).calls(answered, given_up).over(span)
            },
        )
    }

    /// Two that are alike.
    fn limiters() -> impl Strategy<Value = (Box<dyn Limiter>, Box<dyn Limiter>)> {
        let make = |which| -> Box<dyn Limiter> {
            match which {
                0 => Box::new(Vegas::new()),
                1 => Box::new(Gradient::new()),
                _ => Box::new(Aimd::new().slow_after(MS * 200)),
            }
        };
        (0..3).prop_map(move |which| (make(which), make(which)))
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_windows_lead_it_out_of_its_bounds(
            limiter in limiters(),
            windows in prop::collection::vec(windows(), 0..60),
        ) {
            let mut limit = AdaptiveLimit::new(limiter.0, 10, 3..=700).unwrap();
            let mut again = AdaptiveLimit::new(limiter.1, 10, 3..=700).unwrap();
            for window in windows {
                let (before, measured) = (limit.limit(), limit.is_measuring());
                let after = limit.learn(&window);
                prop_assert!((3..=700).contains(&after));
                prop_assert_eq!(after, limit.limit());
                prop_assert_eq!(after, again.learn(&window), "the same windows, the same limits");
                let idle = u64::from(window.in_flight) * 2 < u64::from(before);
                if idle && !window.is_overload() && !measured {
                    prop_assert!(after <= before, "it grew unused");
                }
            }
        }
    }
}
