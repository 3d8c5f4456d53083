//! The judge: weighs what both arms did, interval by interval, and says what to think of the canary.
//!
//! It is a pure function of what it is given, so the same intervals give the same verdicts, in
//! production, in a test, and in a simulation.

use std::time::Duration;

use super::config::CanaryConfig;
use super::guard::{Guard, GuardRules};
use super::interval::{Interval, Share, THRESHOLDS};
use super::mixture::add_logs;
use super::promotion::Promotion;
use super::rules::{Rules, Weights};
use super::stream::{Stream as Comparison, StreamRules};
use crate::clock::{Moment, nanos};
use crate::error::ConfigError;
use crate::verdict::{Arm, Arms, Cause, Evidence, Judgement, Nats, Stream, Tally, Totals, Verdict};

/// A canary is never suspected for fewer bad calls than this.
const LEAST_BAD: u64 = 3;
/// Over so many of its last seconds is the baseline asked whether it fails, too.
const RECENT: usize = 10;
/// With fewer calls in that time it isn't asked.
const LEAST_RECENT: u64 = 10;
/// While it warms up, a canary is held to this limit alone.
const WARM_UP_LIMIT: f64 = 0.9;

/// Calls of the last seconds, second by second.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    seconds: [(u64, Tally); RECENT],
}

impl Recent {
    fn add(&mut self, seen: Tally, now: u64) {
        let second = now / 1_000_000_000;
        let slot = &mut self.seconds[(second % RECENT as u64) as usize];
        let kept = if slot.0 == second { slot.1 } else { Tally::default() };
        *slot = (second, kept.plus(seen));
    }

    fn sum(&self, now: u64) -> Tally {
        let second = now / 1_000_000_000;
        self.seconds
            .iter()
            .filter(|(at, _)| second.wrapping_sub(*at) < RECENT as u64)
            .fold(Tally::default(), |sum, (_, seen)| sum.plus(*seen))
    }
}

/// Judges a canary against its baseline.
///
/// Made of a [`CanaryConfig`]; given [`Interval`]s in order of time, it says when its verdict changes.
/// The layers of this room have one inside; by itself it judges anything that comes in two arms.
///
/// ```
/// use seawall::canary::{CanaryConfig, Detector, Interval};
/// use seawall::clock::Clock;
/// use seawall::verdict::{Arms, Verdict};
/// use std::time::Duration;
///
/// let (clock, hand) = Clock::manual();
/// let tick = Duration::from_millis(250);
/// let config = CanaryConfig::new("payments").learn(Duration::ZERO).no_warm_up();
/// let mut detector = Detector::new(&config)?;
/// let mut intervals = 0;
/// while !detector.verdict().is_roll_back() {
///     hand.advance(tick);
///     detector.tick(clock.now(), &Interval::of_errors(Arms::new(5, 5, 95, 1)));
///     intervals += 1;
/// }
/// assert_eq!(intervals, 4, "a second, and twenty failed calls");
/// # Ok::<_, seawall::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    rules: Rules,
    errors: Comparison,
    bad_data: Comparison,
    slow: [Comparison; THRESHOLDS],
    guard: Guard,
    promotion: Promotion,
    recent: Recent,
    totals: Totals,
    verdict: Verdict,
    /// The last tick, in ns; nothing before the first.
    last: Option<u64>,
    /// When the baseline's first calls came.
    learning_since: Option<u64>,
    /// When the canary's first calls came, and how many they are.
    warming_since: Option<u64>,
    warmed: u64,
    /// Since when the evidence has been across the line.
    suspect_since: Option<u64>,
    /// When the share of the calls last changed.
    stage_since: u64,
    /// When each arm last had calls.
    last_canary: u64,
    last_baseline: u64,
}

impl Detector {
    /// A judge that has seen nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: &CanaryConfig) -> Result<Self, ConfigError> {
        Ok(Self::of(config.rules(false)?))
    }

    pub(crate) fn of(rules: Rules) -> Self {
        Self {
            rules,
            errors: Comparison::new(),
            bad_data: Comparison::new(),
            slow: [Comparison::new(); THRESHOLDS],
            guard: Guard::new(),
            promotion: Promotion::new(),
            recent: Recent::default(),
            totals: Totals::default(),
            verdict: Verdict::Idle,
            last: None,
            learning_since: None,
            warming_since: None,
            warmed: 0,
            suspect_since: None,
            stage_since: 0,
            last_canary: 0,
            last_baseline: 0,
        }
    }

    /// Wrong answers are looked for, too: gives them their weight.
    pub(crate) fn expect_checks(&mut self) {
        self.rules.weights = Weights::new(self.rules.weights.thresholds, true);
    }

    /// What is to be thought of the canary now.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What was counted since the comparison began.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The evidence now.
    pub fn evidence(&self) -> Evidence {
        let weights = &self.rules.weights;
        let slow = self.slow();
        Evidence {
            worse: Nats::new(self.log()),
            line: Nats::new(self.rules.line),
            errors: Nats::new(self.errors.log()),
            slow: Nats::new(slow.map_or(0.0, |log| log - (weights.thresholds as f64).ln())),
            bad_data: Nats::new(if weights.bad_data > 0.0 { self.bad_data.log() } else { 0.0 }),
            guard: Nats::new(if self.rules.guard.is_some() { self.guard.log() } else { 0.0 }),
            not_worse: Nats::new(self.promotion.log()),
            promotion_line: Nats::new(self.rules.promotion_line),
        }
    }

    /// The log evidence that the canary is worse, unrounded: what to add up over processes that each
    /// judge the same rollout.
    pub fn log_evidence(&self) -> f64 {
        self.log()
    }

    /// How often a call of the baseline fails, as estimated, and how clumped its failures come: 1, if
    /// one by one.
    pub fn baseline(&self) -> (f64, f64) {
        (self.errors.baseline().rate(), self.errors.baseline().phi())
    }

    /// Was the baseline watched for as long as it must be before a canary gets calls?
    pub(crate) fn has_learned(&self) -> bool {
        self.last.is_some_and(|now| !self.is_learning(now))
    }

    /// A new comparison: evidence and verdict begin anew, what is known of the baseline stays.
    ///
    /// Each comparison may err with probability alpha; so this is for a new version, not for a second
    /// opinion on the same one.
    pub fn restart(&mut self, at: Moment) -> Option<Judgement> {
        let now = at.as_nanos();
        let from = self.verdict;
        self.comparisons().for_each(|stream| stream.restart(now));
        self.guard.restart(now);
        self.promotion = Promotion::new();
        self.totals = Totals::default();
        (self.warming_since, self.warmed, self.suspect_since) = (None, 0, None);
        (self.stage_since, self.last_canary, self.last_baseline) = (now, now, now);
        self.verdict = Verdict::Idle;
        self.judgement(from)
    }

    /// How the calls are shared is about to change: ends all blocks, and lets promotion begin anew. The
    /// evidence against the canary goes on.
    pub fn new_stage(&mut self, at: Moment) {
        let now = at.as_nanos();
        let rules = self.stream_rules();
        self.comparisons().for_each(|stream| _ = stream.close(now, &rules));
        self.promotion = Promotion::new();
        (self.stage_since, self.last_canary, self.last_baseline) = (now, now, now);
    }

    /// Weighs what came since the last tick; says so if the verdict changes.
    pub fn tick(&mut self, at: Moment, seen: &Interval) -> Option<Judgement> {
        // A clock that went back stands still here.
        let now = at.as_nanos().max(self.last.unwrap_or(0));
        let from = self.verdict;
        if self.last.replace(now).is_none() {
            self.begin(now);
        }
        self.count(seen, now);
        let length = self.block_length(seen.lag);
        let warming = self.is_warming(now);
        let learning = self.is_learning(now);
        let held = self.is_held(now);
        if learning || warming || seen.share == Share::Baseline {
            self.learn(seen, now);
        } else {
            self.compare(seen, now, length);
        }
        self.guard(seen, now, length, warming, held);
        if !from.is_roll_back() {
            self.verdict = match self.suspicion(now, length) {
                Some(verdict) => verdict,
                _ if learning => Verdict::Learning,
                _ if seen.share == Share::Baseline => Verdict::Idle,
                _ => self.without_suspicion(seen.share, now, warming, held),
            };
        }
        self.judgement(from)
    }

    fn judgement(&self, from: Verdict) -> Option<Judgement> {
        let to = self.verdict;
        (from != to).then(|| Judgement { from, to, evidence: self.evidence(), totals: self.totals })
    }

    fn comparisons(&mut self) -> impl Iterator<Item = &mut Comparison> {
        [&mut self.errors, &mut self.bad_data].into_iter().chain(&mut self.slow)
    }

    /// The first tick ends an interval that began one tick before.
    fn begin(&mut self, now: u64) {
        let began = now.saturating_sub(self.rules.tick);
        self.comparisons().for_each(|stream| stream.restart(began));
        self.guard.restart(began);
        (self.stage_since, self.last_canary, self.last_baseline) = (began, began, began);
    }

    fn count(&mut self, seen: &Interval, now: u64) {
        self.totals.errors = self.totals.errors.plus(seen.errors);
        self.totals.bad_data = self.totals.bad_data.plus(seen.bad_data);
        self.totals.slow = self.totals.slow.plus(seen.slow[0]);
        self.recent.add(seen.errors.baseline, now);
        let began = now.saturating_sub(self.rules.tick);
        let running = |arm: fn(&Arms) -> Tally| {
            arm(&seen.errors).calls > 0 || seen.slow.iter().any(|slow| arm(slow).calls > 0)
        };
        if running(|arms| arms.canary) {
            self.last_canary = now;
            if seen.share != Share::Baseline {
                self.warming_since.get_or_insert(began);
                self.warmed = self.warmed.saturating_add(seen.errors.canary.calls);
            }
        }
        if running(|arms| arms.baseline) {
            self.last_baseline = now;
            self.learning_since.get_or_insert(began);
        }
    }

    /// Blocks are as long as one arm's slow calls take longer than the other's: then what hits both at
    /// the same time lies in the same block, though it shows in one of them later.
    fn block_length(&self, lag: Duration) -> u64 {
        const LEAST: u64 = 250_000_000;
        const MOST: u64 = 5_000_000_000;
        self.rules.block.unwrap_or(nanos(lag).max(self.rules.tick).clamp(LEAST, MOST))
    }

    fn is_learning(&self, now: u64) -> bool {
        let learned = self.learning_since.map_or(0, |since| now.saturating_sub(since));
        // The interval that ends now began before the time was over.
        learned.saturating_sub(self.rules.tick) < self.rules.learn && self.rules.learn > 0
    }

    fn is_warming(&self, now: u64) -> bool {
        match (self.rules.warm_up, self.warming_since) {
            (Some((time, calls)), Some(since)) => {
                let warm = now.saturating_sub(since).saturating_sub(self.rules.tick);
                warm < time && self.warmed <= calls
            }
            _ => false,
        }
    }

    fn is_held(&self, now: u64) -> bool {
        let recent = self.recent.sum(now);
        let limit = self.rules.guard.unwrap_or(0.5);
        recent.calls >= LEAST_RECENT && recent.rate().is_some_and(|rate| rate >= 0.5 * limit)
    }

    fn stream_rules(&self) -> StreamRules {
        StreamRules { clip: 0.5 * self.rules.line, tolerated: self.rules.tolerated }
    }

    fn learn(&mut self, seen: &Interval, now: u64) {
        let rules = self.stream_rules();
        self.comparisons().for_each(|stream| _ = stream.close(now, &rules));
        self.errors.learn(seen.errors.baseline, now);
        self.bad_data.learn(seen.bad_data.baseline, now);
        for (stream, slow) in self.slow.iter_mut().zip(seen.slow) {
            stream.learn(slow.baseline, now);
        }
    }

    fn compare(&mut self, seen: &Interval, now: u64, length: u64) {
        let rules = self.stream_rules();
        if let Some(weighed) = self.errors.add(seen.errors, now, length, &rules) {
            self.promotion.add(&weighed, self.rules.margin);
        }
        self.bad_data.add(seen.bad_data, now, length, &rules);
        // Calls are entered here by when they started, not by when they ended: no lag between the arms.
        for (stream, slow) in self.slow.iter_mut().zip(seen.slow) {
            stream.add(slow, now, self.rules.tick, &rules);
        }
    }

    fn guard(&mut self, seen: &Interval, now: u64, length: u64, warming: bool, held: bool) {
        if let (Some(limit), true) = (self.rules.guard, seen.share != Share::Baseline) {
            let rules = GuardRules {
                limit: if warming { limit.max(WARM_UP_LIMIT) } else { limit },
                clip: 0.5 * self.rules.line,
                phi: self.errors.baseline().phi(),
                held,
            };
            // Where there is a baseline to be compared with, its share of an outage must have come in.
            let length = if seen.share == Share::Canary { self.rules.tick } else { length };
            self.guard.add(seen.errors, now, length, &rules);
        }
    }

    /// The sum of the slow streams' evidence, as if each weighed 1; `None` without any.
    fn slow(&self) -> Option<f64> {
        self.slow[..self.rules.weights.thresholds].iter().map(Comparison::log).reduce(add_logs)
    }

    /// The log of the weighted mean of all streams' evidence.
    fn log(&self) -> f64 {
        let weights = &self.rules.weights;
        let mut log = weights.errors.ln() + self.errors.log();
        if let Some(slow) = self.slow() {
            log = add_logs(log, weights.slow.ln() + slow);
        }
        if weights.bad_data > 0.0 {
            log = add_logs(log, weights.bad_data.ln() + self.bad_data.log());
        }
        log
    }

    /// What speaks against the canary, if it is enough; and the length of its blocks.
    fn accusation(&self, length: u64) -> Option<(Cause, u64)> {
        let line = self.rules.line;
        if self.log() >= line {
            let (stream, leader) = self.leader();
            if leader.bad() >= LEAST_BAD {
                let period = if stream == Stream::Slow { self.rules.tick } else { length };
                return Some((Cause::Worse(stream), period));
            }
        }
        let guarded = self.rules.guard.is_some();
        (guarded && self.guard.log() >= line && self.guard.bad() >= LEAST_BAD)
            .then_some((Cause::AbsoluteGuard, length))
    }

    /// The stream that says most that the canary is worse.
    fn leader(&self) -> (Stream, &Comparison) {
        let weights = &self.rules.weights;
        let weighed =
            |weight: f64, kind, stream| (weight.ln() + Comparison::log(stream), kind, stream);
        let (_, kind, stream) = self.slow[..weights.thresholds]
            .iter()
            .map(|slow| weighed(weights.slow, Stream::Slow, slow))
            .chain([weighed(weights.bad_data, Stream::BadData, &self.bad_data)])
            .fold(weighed(weights.errors, Stream::Errors, &self.errors), |leader, other| {
                if other.0 > leader.0 { other } else { leader }
            });
        (kind, stream)
    }

    /// Suspect when the evidence crosses the line; to be rolled back if it is still across one block
    /// later.
    fn suspicion(&mut self, now: u64, length: u64) -> Option<Verdict> {
        let Some((cause, period)) = self.accusation(length) else {
            self.suspect_since = None;
            return None;
        };
        let since = *self.suspect_since.get_or_insert(now);
        let confirmed = now > since && now - since >= period;
        Some(if confirmed { Verdict::RollBack(cause) } else { Verdict::Suspect(cause) })
    }

    fn without_suspicion(&self, share: Share, now: u64, warming: bool, held: bool) -> Verdict {
        let silent = |last: u64| now.saturating_sub(last) > self.rules.no_data_after;
        if silent(self.last_canary) {
            return Verdict::NoData(Arm::Canary);
        }
        if share == Share::Both && silent(self.last_baseline) {
            return Verdict::NoData(Arm::Baseline);
        }
        if held {
            return Verdict::Held;
        }
        if warming {
            return Verdict::WarmingUp;
        }
        let dwelt = now.saturating_sub(self.stage_since) >= self.rules.dwell;
        if dwelt && self.promotion.log() >= self.rules.promotion_line {
            return Verdict::Promotable;
        }
        Verdict::Healthy
    }
}
