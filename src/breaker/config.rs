//! What can be set, checked once, and kept as words that can change while calls run.

use std::time::Duration;

use super::cooldown::CoolDown;
use super::probes;
use super::rules::Rules;
use super::settings::{MAX_STEPS, Ramp, Settings};
use crate::clock::{Clock, nanos};
use crate::error::{ConfigError, check};
use crate::event::{Observe, Observers};
use crate::ratio::Ratio;
use crate::window::{CountWindow, TimeWindow, Window, cohort, count, time};

/// How long a probe may take, where nothing was said of it.
const LEASE: Duration = Duration::from_secs(10);

/// The settings of a [`CircuitBreakerLayer`](super::CircuitBreakerLayer).
///
/// The trip rules are independent; any that is set may open the circuit. What is marked *live* can
/// be changed through the [handle](super::CircuitBreakerHandle::reconfigure) while calls run; the
/// window's shape is fixed when the layer is built.
///
/// ```
/// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
/// use std::time::Duration;
///
/// let config = CircuitBreakerConfig::new("payments")
///     .count_window(200)
///     .failure_ratio(0.4)
///     .consecutive_failures(20)
///     .cool_down(Duration::from_millis(500));
/// assert!(CircuitBreakerLayer::new(config).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreakerConfig {
    pub(super) name: &'static str,
    shape: Shape,
    failure_ratio: Option<f64>,
    slow: Option<Slow>,
    consecutive: Option<u16>,
    consecutive_slow: Option<u16>,
    failures: Option<u32>,
    min_calls: Option<u32>,
    cancel_counts_after: Option<Cancels>,
    cool_down: Duration,
    cool_down_factor: f64,
    max_cool_down: Duration,
    calls_per_probe: Option<u32>,
    jitter: f64,
    probes: usize,
    probe_lease: Option<Duration>,
    ramp: Vec<f64>,
    ramp_step: Duration,
    shadow: bool,
    pub(super) seed: Option<u64>,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

/// The longest wait that can be set: beyond it, a mistake is likelier than a wish.
const DAY: Duration = Duration::from_secs(86_400);

/// The window, fixed when the layer is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Count(usize),
    Time(Duration),
}

/// The rule on slow calls, where something was said of it.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Off,
    On(Duration, f64),
}

/// What a dropped call says, where it was set.
#[derive(Clone, Copy, Debug)]
enum Cancels {
    CountAfter(Duration),
    NeverCount,
}

impl CircuitBreakerConfig {
    /// A breaker called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            shape: Shape::Count(100),
            failure_ratio: Some(0.5),
            slow: None,
            consecutive: None,
            consecutive_slow: None,
            failures: None,
            min_calls: None,
            cancel_counts_after: None,
            cool_down: Duration::from_secs(1),
            cool_down_factor: 2.0,
            max_cool_down: Duration::from_secs(30),
            calls_per_probe: None,
            jitter: 0.2,
            probes: 3,
            probe_lease: None,
            ramp: Vec::new(),
            ramp_step: Duration::from_secs(1),
            shadow: false,
            seed: None,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// Judge by exactly the last `calls` outcomes. Default: 100 calls; 1 ..= 4,095. Fixed.
    #[must_use]
    pub fn count_window(mut self, calls: usize) -> Self {
        self.shape = Shape::Count(calls);
        self
    }

    /// Judge by the outcomes of the last `span`, to a tenth of it: a sample exactly one span old is
    /// out, one younger than nine tenths is in. 100 ms ..= 1 day. Fixed.
    #[must_use]
    pub fn time_window(mut self, span: Duration) -> Self {
        self.shape = Shape::Time(span);
        self
    }

    /// Opens when this share of the window's calls failed or more, from
    /// [`min_calls`](Self::min_calls) on. Default 0.5; above 0, at most 1. Live.
    ///
    /// The probes of a half-open circuit are held to it too.
    #[must_use]
    pub fn failure_ratio(mut self, ratio: impl Into<f64>) -> Self {
        self.failure_ratio = Some(ratio.into());
        self
    }

    /// No rule on the share of failures. Then a single failing probe opens again.
    #[must_use]
    pub fn no_failure_ratio(mut self) -> Self {
        self.failure_ratio = None;
        self
    }

    /// Calls that take `threshold` or longer are slow, whether they succeed or not; opens when
    /// `ratio` of the window's calls are slow or more, from [`min_calls`](Self::min_calls) on.
    /// Default: no such rule; threshold 1 ms ..= 1 day, ratio above 0, at most 1. Live.
    ///
    /// A call that hangs doesn't wait to be counted: once it is `threshold` old it counts as slow, at
    /// the next call, outcome or [tick](super::CircuitBreakerHandle::tick), at most an eighth of
    /// `threshold` late; and not again when it ends. If it ends in failure, it has failed too, without
    /// being another call. A change of `threshold` forgets which calls hang: they are judged when they
    /// end. Slow and failed never add up.
    #[must_use]
    pub fn slow_calls(mut self, threshold: Duration, ratio: impl Into<f64>) -> Self {
        self.slow = Some(Slow::On(threshold, ratio.into()));
        self
    }

    /// No rule on slow calls. The default, but in a preset that has one.
    #[must_use]
    pub fn no_slow_calls(mut self) -> Self {
        (self.slow, self.consecutive_slow) = (Some(Slow::Off), None);
        self
    }

    /// Opens when so many calls in a row failed, whatever [`min_calls`](Self::min_calls) says.
    /// Default: no such rule; 1 or more. Live.
    #[must_use]
    pub fn consecutive_failures(mut self, calls: u16) -> Self {
        self.consecutive = Some(calls);
        self
    }

    /// Opens when so many calls in a row were slow or hang, by the threshold of
    /// [`slow_calls`](Self::slow_calls). Default: no such rule; 1 or more. Live.
    ///
    /// Where a window holds thousands of quick calls, a hang takes long to become half of them; a run
    /// shows it at the threshold. Set it well above the calls that one pause of the process, such as a
    /// page fault storm, can hold up at once.
    #[must_use]
    pub fn consecutive_slow_calls(mut self, calls: u16) -> Self {
        self.consecutive_slow = Some(calls);
        self
    }

    /// Opens when so many of the window's calls failed, whatever [`min_calls`](Self::min_calls)
    /// says. Default: no such rule; 1 or more, at most a count window's size. Live.
    #[must_use]
    pub fn failures(mut self, calls: u32) -> Self {
        self.failures = Some(calls);
        self
    }

    /// The ratio rules speak from so many calls in the window on. Default 10, or a count window's size
    /// if that is less; 1 or more, at most a count window's size. Live.
    #[must_use]
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = Some(calls);
        self
    }

    /// A call dropped by its caller at this age or later counts as a slow failure; a younger one
    /// says nothing, and a probe so cancelled goes to the next caller. Default: the threshold of
    /// [`slow_calls`](Self::slow_calls), or 1 s; above zero, at most a day. Live.
    ///
    /// So a time limit around the breaker can't blind it, and impatient users can't trip it. Without a
    /// slow rule the age is taken from the first time the call was pending: one that never was costs
    /// no clock read.
    #[must_use]
    pub fn cancel_counts_after(mut self, age: Duration) -> Self {
        self.cancel_counts_after = Some(Cancels::CountAfter(age));
        self
    }

    /// Dropped calls never say anything, whatever their age.
    #[must_use]
    pub fn cancels_never_count(mut self) -> Self {
        self.cancel_counts_after = Some(Cancels::NeverCount);
        self
    }

    /// How long the circuit stays open before the first probes. Default 1 s; above zero, at most a day.
    /// Live.
    ///
    /// Where the classifier finds that the service asked for more
    /// ([`Classify::retry_after`](crate::outcome::Classify::retry_after)), that is the floor, up to
    /// [`max_cool_down`](Self::max_cool_down).
    #[must_use]
    pub fn cool_down(mut self, wait: Duration) -> Self {
        self.cool_down = wait;
        self
    }

    /// Each time the probes fail, or the first step of the [`ramp`](Self::ramp), the next cool-down is
    /// this much longer. Default 2; 1 ..= 1,000. Live.
    #[must_use]
    pub fn cool_down_factor(mut self, factor: f64) -> Self {
        self.cool_down_factor = factor;
        self
    }

    /// No cool-down is longer. Default 30 s; from [`cool_down`](Self::cool_down) to a day. Live.
    #[must_use]
    pub fn max_cool_down(mut self, wait: Duration) -> Self {
        self.max_cool_down = wait;
        self
    }

    /// Who has many calls tries sooner: no cool-down is longer than it takes this many calls to come, by the
    /// calls that the window had when the circuit opened. Never below [`cool_down`](Self::cool_down), nor
    /// above [`max_cool_down`](Self::max_cool_down). Default: off; from 1. Live. Only with a
    /// [time window](Self::time_window): of the other kind nobody knows how long it took to fill.
    ///
    /// A wait that suits a fleet of small clients is long for a busy one: each second costs it hundreds of
    /// calls, and a probe is a smaller part of what it sends.
    #[must_use]
    pub fn calls_per_probe(mut self, calls: u32) -> Self {
        self.calls_per_probe = Some(calls);
        self
    }

    /// Up to this share is taken off each cool-down at random, so that a fleet of clients doesn't
    /// probe in step. Default 0.2; 0 ..= 1. Live.
    #[must_use]
    pub fn jitter(mut self, share: impl Into<f64>) -> Self {
        self.jitter = share.into();
        self
    }

    /// How many probes decide whether the circuit closes. Default 3; 1 ..= 32. Live.
    ///
    /// They decide as soon as the rest can't change it: of 3 at a failure ratio of 0.5, two that
    /// agree. A failing probe never closes: where all depends on the last one, it opens again.
    #[must_use]
    pub fn probes(mut self, calls: usize) -> Self {
        self.probes = calls;
        self
    }

    /// A probe that takes longer counts as a slow failure, and what it brings later as stale.
    /// Default 10 s; above zero, at most a day. Live.
    #[must_use]
    pub fn probe_lease(mut self, time: Duration) -> Self {
        self.probe_lease = Some(time);
        self
    }

    /// After the probes, lets through these shares of the calls, one after the other, before all: so
    /// closing is no stampede. Default: none, straight to closed; at most six, rising, from 0.001, below
    /// 1. Live.
    ///
    /// When a rule fires on a step, the step before it comes again; on the first, the circuit opens.
    /// At the end of a step the rules are asked whatever [`min_calls`](Self::min_calls) says: a step
    /// may see few calls.
    #[must_use]
    pub fn ramp(mut self, shares: impl IntoIterator<Item = f64>) -> Self {
        self.ramp = shares.into_iter().collect();
        self
    }

    /// How long each step of the [`ramp`](Self::ramp) lasts. Default 1 s; above zero, at most a
    /// day. Live.
    #[must_use]
    pub fn ramp_step(mut self, time: Duration) -> Self {
        self.ramp_step = time;
        self
    }

    /// Only watch: record, decide and report as ever, but refuse nothing. Default `false`. Live.
    ///
    /// Its transitions say [`enforced: false`](crate::event::Transition::enforced), and the snapshot
    /// counts the calls that would have been refused.
    #[must_use]
    pub fn shadow(mut self, shadow: bool) -> Self {
        self.shadow = shadow;
        self
    }

    /// Seeds the jitter, so that a test or a simulation repeats exactly. Default: random.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The clock. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the layer is built.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }

    /// The same settings under another name.
    pub(crate) fn rename(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// With the clock and the observers of a whole stack.
    pub(crate) fn share(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    /// Where nothing was said of slow calls: those of `threshold` and more, three in ten of the window or
    /// 50 in a row.
    pub(crate) fn slow_calls_by_default(mut self, threshold: Duration) -> Self {
        if self.slow.is_none() {
            self.slow = Some(Slow::On(threshold, 0.3));
            self.consecutive_slow = self.consecutive_slow.or(Some(50));
        }
        self
    }

    /// Where nothing was said of the lease: a probe that is slow has failed, so nothing is gained by
    /// waiting for it any longer.
    pub(crate) fn lease_by_slow_threshold(mut self) -> Self {
        self.probe_lease = self.probe_lease.or(self.slow_set().map(|(threshold, _)| threshold));
        self
    }

    /// Slow calls must be seen before they are cut off.
    pub(crate) fn check_slow_below(&self, limit: Duration) -> Result<(), ConfigError> {
        match self.slow_set() {
            Some((threshold, _)) => {
                check("slow_calls", threshold, "below the attempt timeout", |t| *t < limit)?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn slow_set(&self) -> Option<(Duration, f64)> {
        match self.slow {
            Some(Slow::On(threshold, ratio)) => Some((threshold, ratio)),
            Some(Slow::Off) | None => None,
        }
    }

    /// The window, empty.
    pub(super) fn window(&self) -> Window {
        match self.shape {
            Shape::Count(calls) => Window::Count(CountWindow::new(calls, 0)),
            Shape::Time(span) => Window::Time(TimeWindow::new(span, self.clock.now(), 0)),
        }
    }

    /// The settings, checked against a layer that was built with `built`.
    pub(super) fn settings_over(&self, built: &Self) -> Result<Settings, ConfigError> {
        if self.shape != built.shape {
            let (field, range) = ("window", "as it was when the layer was built");
            return Err(ConfigError::new(field, self.shape, range));
        }
        self.settings()
    }

    /// The shortest span that a circuit with these settings measures.
    pub(super) fn shortest(&self, settings: &Settings) -> Duration {
        match self.shape {
            Shape::Time(span) => settings.shortest().min(TimeWindow::width(span)),
            Shape::Count(_) => settings.shortest(),
        }
    }

    /// The settings, checked.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let cool_down = up_to_a_day("cool_down", self.cool_down)?;
        let cancels = self.cancel_counts_after.unwrap_or(Cancels::CountAfter(
            self.slow_set().map_or(Duration::from_secs(1), |(threshold, _)| threshold),
        ));
        Ok(Settings {
            rules: self.rules()?,
            slow_after: self.slow_set().map(|(threshold, _)| slow_after(threshold)).transpose()?,
            cancel_counts_after: match cancels {
                Cancels::CountAfter(age) => Some(up_to_a_day("cancel_counts_after", age)?),
                Cancels::NeverCount => None,
            },
            cool_down: CoolDown {
                base: nanos(cool_down),
                factor_ppm: check(
                    "cool_down_factor",
                    self.cool_down_factor,
                    "from 1 to 1000",
                    |factor| (1.0..=1000.0).contains(factor),
                )
                .map(|factor| (factor * 1e6) as u64)?,
                cap: check("max_cool_down", self.max_cool_down, "from cool_down to a day", |cap| {
                    (cool_down..=DAY).contains(cap)
                })
                .map(nanos)?,
                call_spans: self.call_spans()?,
                jitter: Ratio::new(self.jitter)
                    .ok_or_else(|| ConfigError::new("jitter", self.jitter, "from 0 to 1"))?,
            },
            probes: check("probes", self.probes, "from 1 to 32", |n| {
                (1..=probes::MAX).contains(n)
            })?,
            lease: nanos(up_to_a_day("probe_lease", self.probe_lease.unwrap_or(LEASE))?),
            ramp: self.checked_ramp()?,
            shadow: self.shadow,
        })
    }

    fn call_spans(&self) -> Result<u64, ConfigError> {
        let Some(calls) = self.calls_per_probe else { return Ok(u64::MAX) };
        let calls = check("calls_per_probe", calls, "from 1", |calls| *calls > 0)?;
        Ok(match self.shape {
            Shape::Time(span) => nanos(span).saturating_mul(calls.into()),
            Shape::Count(_) => u64::MAX,
        })
    }

    fn rules(&self) -> Result<Rules, ConfigError> {
        let in_window = match self.shape {
            Shape::Count(calls) => {
                check("count_window", calls, "from 1 to 4095", |n| (1..=count::MAX).contains(n))?
                    as u32
            }
            Shape::Time(span) => {
                check("time_window", span, "from 100ms to a day", |span| {
                    (time::MIN_SPAN..=time::MAX_SPAN).contains(span)
                })?;
                u32::MAX
            }
        };
        let calls = |field, calls, most| {
            let range = if most == u32::MAX { "1 or more" } else { "from 1 to the window's size" };
            check(field, calls, range, |n| (1..=most).contains(n))
        };
        let rules = Rules {
            failure_ratio: self.failure_ratio.map(|r| ratio("failure_ratio", r)).transpose()?,
            slow_ratio: self.slow_set().map(|(_, r)| ratio("slow_calls", r)).transpose()?,
            consecutive: run("consecutive_failures", self.consecutive)?,
            consecutive_slow: match self.slow_set() {
                Some(_) => run("consecutive_slow_calls", self.consecutive_slow)?,
                None if self.consecutive_slow.is_none() => None,
                None => {
                    let (field, range) = ("consecutive_slow_calls", "off, where slow_calls is");
                    return Err(ConfigError::new(field, self.consecutive_slow, range));
                }
            },
            failures: self.failures.map(|n| calls("failures", n, in_window)).transpose()?,
            min_calls: match self.min_calls {
                Some(n) => calls("min_calls", n, in_window)?,
                None => in_window.min(10),
            },
        };
        if rules.failure_ratio.is_none()
            && rules.slow_ratio.is_none()
            && rules.consecutive.is_none()
            && rules.failures.is_none()
        {
            return Err(ConfigError::new("failure_ratio", "off", "set, if no other rule is"));
        }
        Ok(rules)
    }

    fn checked_ramp(&self) -> Result<Ramp, ConfigError> {
        let step = up_to_a_day("ramp_step", self.ramp_step)?;
        let ramp =
            check("ramp", &self.ramp, "at most six rising shares from 0.001, below 1", |r| {
                let inside = r.iter().all(|share| (0.001..=0.999).contains(share));
                inside && r.len() <= MAX_STEPS && r.windows(2).all(|pair| pair[0] < pair[1])
            })?;
        Ok(Ramp::new(ramp.iter().map(|share| (share * 1_000.0).round() as u16), nanos(step)))
    }
}

fn run(field: &'static str, calls: Option<u16>) -> Result<Option<u16>, ConfigError> {
    check(field, calls, "1 or more", |calls| *calls != Some(0))
}

fn up_to_a_day(field: &'static str, span: Duration) -> Result<Duration, ConfigError> {
    check(field, span, "above zero and at most a day", |span| !span.is_zero() && *span <= DAY)
}

fn slow_after(threshold: Duration) -> Result<Duration, ConfigError> {
    check("slow_calls", threshold, "from 1ms to a day", |threshold| {
        (cohort::MIN_THRESHOLD..=DAY).contains(threshold)
    })
}

fn ratio(field: &'static str, value: f64) -> Result<Ratio, ConfigError> {
    Ratio::new(value)
        .filter(|ratio| *ratio > Ratio::ZERO)
        .ok_or_else(|| ConfigError::new(field, value, "above 0 and at most 1"))
}
