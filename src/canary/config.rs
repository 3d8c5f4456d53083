//! What can be set, and checked once.

use std::time::Duration;

use super::evidence::Margin;
use super::interval::THRESHOLDS;
use super::rules::{Rules, Weights};
use super::starts::MOST_THRESHOLD;
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};
use crate::ratio::Ratio;

/// The settings of a [`Canary`](super::Canary), and of a [`Detector`](super::Detector) by itself.
///
/// ```
/// use seawall::canary::{Canary, CanaryConfig};
/// use std::time::Duration;
///
/// let config = CanaryConfig::new("payments")
///     .alpha(0.0001)
///     .slow_threshold(Duration::from_millis(800))
///     .absolute_guard(0.2);
/// assert!(Canary::new(config).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct CanaryConfig {
    pub(super) name: &'static str,
    alpha: f64,
    beta: f64,
    tick: Duration,
    block: Option<Duration>,
    pub(super) latency: bool,
    pub(super) slow_threshold: Option<Duration>,
    learn: Duration,
    warm_up: Option<(Duration, u64)>,
    guard: Option<f64>,
    margin: (f64, f64),
    tolerate: Option<(f64, f64)>,
    dwell: Duration,
    no_data_after: Duration,
    check_rate: f64,
    pub(super) only_watch: bool,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

impl CanaryConfig {
    /// A canary called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            alpha: 0.001,
            beta: 0.05,
            tick: Duration::from_millis(250),
            block: None,
            latency: true,
            slow_threshold: None,
            learn: Duration::from_secs(30),
            warm_up: Some((Duration::from_secs(10), 100)),
            guard: Some(0.5),
            margin: (1.5, 0.005),
            tolerate: None,
            dwell: Duration::from_secs(60),
            no_data_after: Duration::from_secs(60),
            check_rate: 1.0,
            only_watch: false,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// The probability that a canary no worse than its baseline is rolled back, *ever*, however long
    /// the comparison runs. Default 0.001; above 0, at most 0.5.
    ///
    /// The [absolute guard](Self::absolute_guard) has as much for itself. Of `n` processes that each
    /// judge by themselves, give each the `n`th part.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// How often the counts are weighed. Default 250 ms; 10 ms ..= 10 s.
    #[must_use]
    pub fn tick(mut self, every: Duration) -> Self {
        self.tick = every;
        self
    }

    /// Weighs errors and wrong answers in blocks of this length. Default: as long as the slow calls of
    /// one arm take longer than those of the other, between 250 ms and 5 s; 250 ms ..= 60 s.
    ///
    /// What hits both arms at once shows later in the one that takes longer to fail. A block must hold
    /// both, or an outage looks like a bad canary.
    #[must_use]
    pub fn block(mut self, length: Duration) -> Self {
        self.block = Some(length);
        self
    }

    /// Doesn't look at latency: no clock is read for a call, slow calls are no evidence, and blocks are
    /// `block` long, which must be longer than the arms' latencies can differ by.
    #[must_use]
    pub fn errors_only(mut self, block: Duration) -> Self {
        (self.latency, self.block) = (false, Some(block));
        self
    }

    /// Calls that take so long are slow, beside those slower than the baseline's quantiles. Default:
    /// those alone; 1 ms ..= 10 s.
    #[must_use]
    pub fn slow_threshold(mut self, threshold: Duration) -> Self {
        self.slow_threshold = Some(threshold);
        self
    }

    /// Watches the baseline for so long, from its first call on, before anything speaks against a
    /// canary. Default 30 s; up to a day.
    ///
    /// That is how it is known how often the baseline fails and in what clumps. Without it, a baseline
    /// whose hosts fail by the dozen makes a canary suspect that does the same.
    #[must_use]
    pub fn learn(mut self, time: Duration) -> Self {
        self.learn = time;
        self
    }

    /// A canary warms up for so long, or for so many calls, whichever ends first: in that time it is
    /// held to failing less than nine calls in ten, and compared with nobody. Default 10 s and 100
    /// calls; the time up to a day.
    #[must_use]
    pub fn warm_up(mut self, time: Duration, calls: u64) -> Self {
        self.warm_up = Some((time, calls));
        self
    }

    /// Compares a canary from its first call on: for services that start warm, this finds out the worst
    /// of them ten seconds sooner.
    #[must_use]
    pub fn no_warm_up(mut self) -> Self {
        self.warm_up = None;
        self
    }

    /// No canary may fail more often than this, whatever the baseline does, unless the baseline fails,
    /// too. Default 0.5; above 0, below 1.
    #[must_use]
    pub fn absolute_guard(mut self, ratio: impl Into<f64>) -> Self {
        self.guard = Some(ratio.into());
        self
    }

    /// No absolute guard: a canary without a baseline is then judged by nobody.
    #[must_use]
    pub fn no_absolute_guard(mut self) -> Self {
        self.guard = None;
        self
    }

    /// A canary is promotable once it is shown not to fail more than `times` as often as the baseline,
    /// and `plus` more. Default 1.5 times and 0.005; times 0.5 ..= 100, plus 0 ..= 0.5.
    #[must_use]
    pub fn margin(mut self, times: f64, plus: f64) -> Self {
        self.margin = (times, plus);
        self
    }

    /// The probability that a canary beyond the [margin](Self::margin) is found promotable, in one
    /// stage. Default 0.05; above 0, at most 0.5.
    #[must_use]
    pub fn beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    /// Lets a canary be worse than its baseline, by up to `times` its failures and `plus` more, before
    /// anything speaks against it. Default: no worse at all; times 1 ..= 100, plus 0 ..= 0.5.
    ///
    /// Also without this, up to 1.4 times the failures never add up.
    #[must_use]
    pub fn tolerate(mut self, times: f64, plus: f64) -> Self {
        self.tolerate = Some((times, plus));
        self
    }

    /// A canary is promotable at the earliest so long after its share last changed. Default 60 s; up to
    /// a day.
    #[must_use]
    pub fn dwell(mut self, time: Duration) -> Self {
        self.dwell = time;
        self
    }

    /// Without a call of one arm for so long the verdict is that there is no data. Default 60 s; above
    /// zero, up to a day.
    #[must_use]
    pub fn no_data_after(mut self, time: Duration) -> Self {
        self.no_data_after = time;
        self
    }

    /// This share of the answers of both arms is checked, where there is a
    /// [check](super::Canary::check). Default 1; above 0, at most 1.
    #[must_use]
    pub fn check_rate(mut self, share: impl Into<f64>) -> Self {
        self.check_rate = share.into();
        self
    }

    /// Only watch: judge and report as ever, but leave the canary its calls when it is to be rolled back.
    /// Default `false`.
    #[must_use]
    pub fn only_watch(mut self, only_watch: bool) -> Self {
        self.only_watch = only_watch;
        self
    }

    /// The clock. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the canary is made.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Where other rooms' settings come from, too.
    pub(crate) fn share(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    /// The share of answers to check.
    pub(super) fn checked_rate(&self) -> Result<Ratio, ConfigError> {
        Ratio::new(self.check_rate)
            .filter(|rate| *rate > Ratio::ZERO)
            .ok_or_else(|| ConfigError::new("check_rate", self.check_rate, "above 0 and at most 1"))
    }

    /// The detector's rules, checked; `bad_data` if there is a check on answers.
    pub(super) fn rules(&self, bad_data: bool) -> Result<Rules, ConfigError> {
        let thresholds = match (self.latency, self.slow_threshold) {
            (true, Some(_)) => THRESHOLDS,
            (true, None) => THRESHOLDS - 1,
            (false, None) => 0,
            (false, Some(set)) => {
                let range = "unset, where latency isn't looked at";
                return Err(ConfigError::new("slow_threshold", set, range));
            }
        };
        self.slow_threshold.map(slow_threshold).transpose()?;
        let line = |field, chance: f64| {
            check(field, chance, "above 0 and at most 0.5", |x| *x >= 1e-300 && *x <= 0.5)
                .map(|chance| -chance.ln())
        };
        Ok(Rules {
            line: line("alpha", self.alpha)?,
            promotion_line: line("beta", self.beta)?,
            tick: between("tick", self.tick, 10, 10_000, "from 10ms to 10s")?,
            block: self
                .block
                .map(|length| between("block", length, 250, 60_000, "from 250ms to a minute"))
                .transpose()?,
            learn: up_to_a_day("learn", self.learn)?,
            warm_up: self
                .warm_up
                .map(|(time, calls)| up_to_a_day("warm_up", time).map(|time| (time, calls)))
                .transpose()?,
            guard: self
                .guard
                .map(|limit| {
                    check("absolute_guard", limit, "above 0 and below 1", |x| *x > 0.0 && *x < 1.0)
                })
                .transpose()?,
            margin: margin("margin", self.margin, 0.5)?,
            tolerated: self.tolerate.map(|set| margin("tolerate", set, 1.0)).transpose()?,
            dwell: up_to_a_day("dwell", self.dwell)?,
            no_data_after: {
                check("no_data_after", self.no_data_after, "above zero", |time| !time.is_zero())?;
                up_to_a_day("no_data_after", self.no_data_after)?
            },
            weights: Weights::new(thresholds, bad_data),
        })
    }
}

fn up_to_a_day(field: &'static str, time: Duration) -> Result<u64, ConfigError> {
    let day = Duration::from_secs(86_400);
    check(field, time, "at most a day", |time| *time <= day).map(nanos)
}

fn between(
    field: &'static str,
    time: Duration,
    least_ms: u64,
    most_ms: u64,
    range: &'static str,
) -> Result<u64, ConfigError> {
    let fits = Duration::from_millis(least_ms)..=Duration::from_millis(most_ms);
    check(field, time, range, |time| fits.contains(time)).map(nanos)
}

fn slow_threshold(threshold: Duration) -> Result<Duration, ConfigError> {
    let least = Duration::from_millis(1);
    check("slow_threshold", threshold, "from 1ms to 10s", |threshold| {
        (least..=MOST_THRESHOLD).contains(threshold)
    })
}

fn margin(
    field: &'static str,
    (rho, delta): (f64, f64),
    least: f64,
) -> Result<Margin, ConfigError> {
    let range = if least < 1.0 {
        "times from 0.5 to 100, and plus from 0 to 0.5"
    } else {
        "times from 1 to 100, and plus from 0 to 0.5"
    };
    check(field, (rho, delta), range, |(rho, delta)| {
        (least..=100.0).contains(rho) && (0.0..=0.5).contains(delta)
    })
    .map(|(rho, delta)| Margin { rho, delta })
}
