//! What a case is made of: the settings of a breaker, and what is done to it.

use std::time::Duration;

use proptest::prelude::*;
use seawall::breaker::CircuitBreakerConfig;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const HOUR: u64 = 3_600 * SECOND;

/// The window, fixed for a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Count(usize),
    Time(u64),
}

/// What a breaker was told; times in ns, ratios in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) shape: Shape,
    pub(crate) failure_ratio: Option<u64>,
    pub(crate) slow: Option<(u64, u64)>,
    pub(crate) consecutive: Option<u16>,
    pub(crate) consecutive_slow: Option<u16>,
    pub(crate) failures: Option<u32>,
    pub(crate) min_calls: u32,
    pub(crate) cancels: Option<u64>,
    pub(crate) cool_down: u64,
    pub(crate) factor_percent: u64,
    pub(crate) cap: u64,
    pub(crate) probes: usize,
    pub(crate) lease: u64,
    pub(crate) ramp: Vec<u16>,
    pub(crate) ramp_step: u64,
    pub(crate) shadow: bool,
}

impl Settings {
    pub(crate) fn over(&self, config: CircuitBreakerConfig) -> CircuitBreakerConfig {
        let ns = Duration::from_nanos;
        let share = |ppm: u64| ppm as f64 / 1e6;
        let mut config = match self.shape {
            Shape::Count(calls) => config.count_window(calls),
            Shape::Time(span) => config.time_window(ns(span)),
        }
        .min_calls(self.min_calls)
        .cool_down(ns(self.cool_down))
        .cool_down_factor(self.factor_percent as f64 / 100.0)
        .max_cool_down(ns(self.cap))
        .jitter(0.0)
        .probes(self.probes)
        .probe_lease(ns(self.lease))
        .ramp(self.ramp.iter().map(|share| f64::from(*share) / 1e3))
        .ramp_step(ns(self.ramp_step))
        .shadow(self.shadow);
        config = match self.failure_ratio {
            Some(ppm) => config.failure_ratio(share(ppm)),
            None => config.no_failure_ratio(),
        };
        config = match self.cancels {
            Some(age) => config.cancel_counts_after(ns(age)),
            None => config.cancels_never_count(),
        };
        if let Some((threshold, ppm)) = self.slow {
            config = config.slow_calls(ns(threshold), share(ppm));
        }
        if let Some(calls) = self.consecutive {
            config = config.consecutive_failures(calls);
        }
        if let Some(calls) = self.consecutive_slow {
            config = config.consecutive_slow_calls(calls);
        }
        if let Some(calls) = self.failures {
            config = config.failures(calls);
        }
        config
    }

    /// May a breaker be told this?
    pub(crate) fn valid(&self) -> bool {
        let most = match self.shape {
            Shape::Count(calls) => calls as u32,
            Shape::Time(_) => u32::MAX,
        };
        let some_rule = self.failure_ratio.is_some()
            || self.slow.is_some()
            || self.consecutive.is_some()
            || self.failures.is_some();
        some_rule
            && (1..=most).contains(&self.min_calls)
            && self.failures.is_none_or(|calls| calls <= most)
            && self.cap >= self.cool_down
            && (self.slow.is_some() || self.consecutive_slow.is_none())
    }

    pub(crate) fn with(&self, change: Change) -> Self {
        let mut next = self.clone();
        match change {
            Change::Shadow(on) => next.shadow = on,
            Change::FailureRatio(ppm) => next.failure_ratio = ppm,
            Change::Slow(rule) => next.slow = rule,
            Change::Consecutive(calls) => next.consecutive = calls,
            Change::ConsecutiveSlow(calls) => next.consecutive_slow = calls,
            Change::Failures(calls) => next.failures = calls,
            Change::MinCalls(calls) => next.min_calls = calls,
            Change::Cancels(age) => next.cancels = age,
            Change::CoolDown(wait, cap) => (next.cool_down, next.cap) = (wait, cap),
            Change::Factor(percent) => next.factor_percent = percent,
            Change::Probes(calls) => next.probes = calls,
            Change::Lease(time) => next.lease = time,
            Change::RampStep(time) => next.ramp_step = time,
        }
        next
    }
}

/// A live change of one setting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Shadow(bool),
    FailureRatio(Option<u64>),
    Slow(Option<(u64, u64)>),
    Consecutive(Option<u16>),
    ConsecutiveSlow(Option<u16>),
    Failures(Option<u32>),
    MinCalls(u32),
    Cancels(Option<u64>),
    CoolDown(u64, u64),
    Factor(u64),
    Probes(usize),
    Lease(u64),
    RampStep(u64),
}

/// How a call comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Err,
    /// Failed, and asked to be left alone for so long.
    ErrAfter(u64),
    /// An inner layer gave up on it after sending.
    Sent,
    /// An inner layer refused it.
    NotSent,
    /// The classifier says that it says nothing.
    Ignored,
    Panic,
}

/// A moment worth going to, a ns before it, or a ns after.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    /// The end of the cool-down or of the ramp's step.
    Wait,
    /// When a call in flight becomes slow.
    Slow(u8),
    /// When a call in flight is so old that its cancellation counts.
    Cancel(u8),
    /// When a call's lease would end, were it a probe.
    Lease(u8),
    /// Where the time window turns to its next bucket.
    Bucket,
}

/// One thing done. Calls in flight are picked by a number that is taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Burst(u8, End),
    Start(u8),
    Finish(u8, End),
    Cancel(u8),
    Poll(u8),
    StartPanics,
    StartUnready,
    On(u64),
    Back(u64),
    To(Mark, i64),
    Tick,
    ForceOpen,
    ForceClose,
    Disable,
    Reset,
    Change(Change),
}

const RATIOS: [u64; 8] = [500_000, 1_000_000, 1, 100_000, 333_333, 333_334, 666_667, 250_000];
const SLOW: [u64; 5] = [8 * MS, MS, 80 * MS, 7_777_777, SECOND];
const CANCELS: [u64; 4] = [8 * MS, 1, 50 * MS, SECOND];
const WAITS: [u64; 4] = [100 * MS, 1, 10 * MS, SECOND];
const LEASES: [u64; 4] = [50 * MS, 5 * MS, 1, 10 * SECOND];
const STEPS: [u64; 16] = [
    1,
    MS,
    10 * MS,
    MS / 8,
    5 * MS,
    2 * MS,
    100 * MS,
    8 * MS,
    9 * MS,
    SECOND,
    30 * MS,
    50 * MS,
    99 * MS,
    3 * SECOND,
    30 * SECOND,
    HOUR,
];
const BACK: [u64; 6] = [1, MS, 3 * MS, 20 * MS, 150 * MS, HOUR];

fn pick<T: Copy>(from: &[T], by: u8) -> T {
    from[usize::from(by) % from.len()]
}

fn maybe<T: Copy>(from: &[T], by: u8) -> Option<T> {
    let at = usize::from(by) % (from.len() + 1);
    from.get(at).copied()
}

fn end(by: u8) -> End {
    match by {
        0..=89 => End::Ok,
        90..=179 => End::Err,
        180..=194 => End::Sent,
        195..=210 => End::NotSent,
        211..=222 => End::Ignored,
        223..=238 => End::Panic,
        _ => End::ErrAfter(pick(&[5 * MS, 400 * MS, HOUR], by)),
    }
}

fn change(a: u8, b: u8) -> Change {
    match a % 14 {
        0 | 1 => Change::Shadow(b & 1 == 1),
        2 => Change::FailureRatio(maybe(&RATIOS, b)),
        3 => Change::Slow(maybe(&SLOW, b).map(|threshold| (threshold, pick(&RATIOS, b / 16)))),
        4 => Change::Consecutive(maybe(&[1, 2, 4], b)),
        5 => Change::Failures(maybe(&[1, 2, 4, 9], b)),
        6 => Change::MinCalls(pick(&[1, 2, 3, 5, 20], b)),
        7 => Change::Cancels(maybe(&CANCELS, b)),
        8 => {
            let wait = pick(&WAITS, b);
            Change::CoolDown(wait, wait * pick(&[10, 1, 3], b / 16))
        }
        9 => Change::Factor(pick(&[200, 100, 150, 300], b)),
        10 => Change::Probes(usize::from(b % 4) + 1),
        12 => Change::ConsecutiveSlow(maybe(&[1, 2, 4], b)),
        11 => Change::Lease(pick(&LEASES, b)),
        _ => Change::RampStep(pick(&WAITS, b)),
    }
}

fn op((kind, a, b): (u8, u8, u8)) -> Op {
    match kind {
        0..=45 => Op::Burst(1 + a % 4, end(b)),
        46..=95 => Op::Start(a),
        96..=130 => Op::Finish(a, end(b)),
        131..=148 => Op::Cancel(a),
        149..=156 => Op::Poll(a),
        157..=160 => Op::StartPanics,
        161..=165 => Op::StartUnready,
        166..=193 => Op::On(pick(&STEPS, a) * if b < 100 { 1 } else { u64::from(b % 8) + 1 }),
        194..=199 => Op::Back(pick(&BACK, a)),
        200..=226 => {
            let mark = match a % 8 {
                0..=2 => Mark::Wait,
                3 | 4 => Mark::Slow(a / 8),
                5 => Mark::Cancel(a / 8),
                6 => Mark::Lease(a / 8),
                _ => Mark::Bucket,
            };
            Op::To(mark, i64::from(b % 3) - 1)
        }
        227..=235 => Op::Tick,
        236..=237 => Op::ForceOpen,
        238..=239 => Op::ForceClose,
        240..=241 => Op::Disable,
        242..=244 => Op::Reset,
        _ => Op::Change(change(a, b)),
    }
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any::<(u8, u8, u8)>().prop_map(op), 1..60)
}

fn settings(shape: impl Strategy<Value = Shape>, ramp: bool) -> impl Strategy<Value = Settings> {
    (shape, any::<[u8; 16]>()).prop_map(move |(shape, by)| {
        let most = match shape {
            Shape::Count(calls) => calls as u32,
            Shape::Time(_) => 12,
        };
        let cool_down = pick(&WAITS, by[7]);
        let mut settings = Settings {
            shape,
            failure_ratio: (by[0] % 4 < 3).then(|| pick(&RATIOS, by[0] / 4)),
            slow: (by[1] % 2 == 1).then(|| (pick(&SLOW, by[1] / 2), pick(&RATIOS, by[2]))),
            consecutive: (by[3] % 4 == 1).then(|| pick(&[2, 3, 5], by[3] / 4)),
            consecutive_slow: (by[1] % 2 == 1 && by[15] % 4 == 1)
                .then(|| pick(&[2, 3, 5], by[15] / 4)),
            failures: (by[4] % 4 == 1).then(|| pick(&[2, 3, 5], by[4] / 4).min(most)),
            min_calls: u32::from(by[5]) % most.min(6) + 1,
            cancels: (by[6] % 5 > 0).then(|| pick(&CANCELS, by[6] / 5)),
            cool_down,
            factor_percent: pick(&[200, 100, 150, 300], by[8]),
            cap: cool_down * pick(&[10, 1, 3, 36_000], by[9]),
            probes: usize::from(by[10] % 4) + 1,
            lease: pick(&LEASES, by[11]),
            ramp: Vec::new(),
            ramp_step: pick(&WAITS, by[12]),
            shadow: by[13] > 230,
        };
        if ramp {
            settings.ramp = [100, 300, 600, 900][..usize::from(by[14] % 4) + 1].to_vec();
        }
        if !settings.valid() {
            settings.failure_ratio = Some(500_000);
        }
        settings
    })
}

pub(crate) fn count_windows() -> impl Strategy<Value = Settings> {
    settings((1..=12_usize).prop_map(Shape::Count), false)
}

pub(crate) fn time_windows() -> impl Strategy<Value = Settings> {
    let spans = [SECOND, 100 * MS, 250 * MS, 10 * SECOND];
    settings((0..4_usize).prop_map(move |i| Shape::Time(spans[i])), false)
}

pub(crate) fn ramps() -> impl Strategy<Value = Settings> {
    settings((1..=12_usize).prop_map(Shape::Count), true)
}
