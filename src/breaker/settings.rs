//! The settings that hold: checked once, and kept as words that can change while calls run.

use std::time::Duration;

use super::cooldown::CoolDown;
use super::rules::Rules;
use crate::live::Live;
use crate::ratio::Ratio;

/// The most steps of a ramp.
pub(crate) const MAX_STEPS: usize = 6;

/// Checked settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    /// From what age on a call is slow, where there is a slow rule.
    pub(crate) slow_after: Option<Duration>,
    pub(crate) cancel_counts_after: Option<Duration>,
    pub(crate) cool_down: CoolDown,
    pub(crate) probes: usize,
    /// In ns.
    pub(crate) lease: u64,
    pub(crate) ramp: Ramp,
    pub(crate) shadow: bool,
}

impl Settings {
    /// The shortest span that the circuit measures.
    pub(crate) fn shortest(&self) -> Duration {
        let ramp = (self.ramp.shares != 0).then_some(self.ramp.step);
        let waits = [Some(self.cool_down.base), Some(self.lease), ramp].into_iter().flatten();
        let ages = [self.slow_after, self.cancel_counts_after].into_iter().flatten();
        waits.map(Duration::from_nanos).chain(ages).min().unwrap_or_default()
    }
}

/// The shares of calls that are let through, step by step, after the probes succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ramp {
    /// In thousandths, ten bits a step, the first step lowest; zero ends it.
    pub(crate) shares: u64,
    /// How long a step lasts, in ns.
    pub(crate) step: u64,
}

impl Ramp {
    pub(crate) fn new(per_mille: impl IntoIterator<Item = u16>, step: u64) -> Self {
        let shares = per_mille
            .into_iter()
            .take(MAX_STEPS)
            .enumerate()
            .fold(0, |shares, (i, share)| shares | u64::from(share) << (10 * i));
        Self { shares, step }
    }

    /// The share of this step; `None` past the last.
    pub(crate) fn share(self, step: usize) -> Option<Ratio> {
        let per_mille = if step < MAX_STEPS { self.shares >> (10 * step) & 0x3ff } else { 0 };
        (per_mille > 0).then(|| Ratio::from_ppm(per_mille as u32 * 1_000))?
    }
}

/// Where each setting lies among the live words; `NONE` is a rule that is off.
mod word {
    pub(super) const NONE: u64 = u64::MAX;
    pub(super) const FAILURE_RATIO: usize = 0;
    pub(super) const SLOW_RATIO: usize = 1;
    pub(super) const CONSECUTIVE: usize = 2;
    pub(super) const FAILURES: usize = 3;
    pub(super) const MIN_CALLS: usize = 4;
    pub(super) const CANCEL_AFTER: usize = 5;
    pub(super) const BASE: usize = 6;
    pub(super) const FACTOR: usize = 7;
    pub(super) const CAP: usize = 8;
    pub(super) const JITTER: usize = 9;
    pub(super) const PROBES: usize = 10;
    pub(super) const LEASE: usize = 11;
    pub(super) const RAMP: usize = 12;
    pub(super) const RAMP_STEP: usize = 13;
    pub(super) const SHADOW: usize = 14;
    pub(super) const CONSECUTIVE_SLOW: usize = 15;
    pub(super) const CALL_SPANS: usize = 16;
    pub(super) const COUNT: usize = 17;
}

/// The settings as calls read them.
#[derive(Debug)]
pub(crate) struct LiveSettings(Live<{ word::COUNT }>);

impl LiveSettings {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(Live::new(words(settings)))
    }

    /// Changes all of them at once.
    pub(crate) fn publish(&self, settings: &Settings) {
        self.0.publish(words(settings));
    }

    pub(crate) fn rules(&self) -> Rules {
        let ratio = |w: u64| (w != word::NONE).then(|| Ratio::from_ppm(w as u32))?;
        let calls = |w: u64| (w != word::NONE).then_some(w as u32);
        let run = |w: u64| (w != word::NONE).then_some(w as u16);
        let [failure_ratio, slow_ratio, consecutive, consecutive_slow, failures, min_calls] =
            self.0.read([
                word::FAILURE_RATIO,
                word::SLOW_RATIO,
                word::CONSECUTIVE,
                word::CONSECUTIVE_SLOW,
                word::FAILURES,
                word::MIN_CALLS,
            ]);
        Rules {
            failure_ratio: ratio(failure_ratio),
            slow_ratio: ratio(slow_ratio),
            consecutive: run(consecutive),
            consecutive_slow: run(consecutive_slow),
            failures: calls(failures),
            min_calls: min_calls as u32,
        }
    }

    pub(crate) fn cool_down(&self) -> CoolDown {
        let [base, factor_ppm, cap, call_spans, jitter] =
            self.0.read([word::BASE, word::FACTOR, word::CAP, word::CALL_SPANS, word::JITTER]);
        let jitter = Ratio::from_ppm(jitter as u32).unwrap_or(Ratio::ZERO);
        CoolDown { base, factor_ppm, cap, call_spans, jitter }
    }

    pub(crate) fn probes(&self) -> usize {
        self.0.read([word::PROBES])[0] as usize
    }

    pub(crate) fn lease(&self) -> u64 {
        self.0.read([word::LEASE])[0]
    }

    pub(crate) fn ramp(&self) -> Ramp {
        let [shares, step] = self.0.read([word::RAMP, word::RAMP_STEP]);
        Ramp { shares, step }
    }

    pub(crate) fn shadow(&self) -> bool {
        self.0.read([word::SHADOW])[0] != 0
    }

    /// From what age on a dropped call counts; `None` never.
    pub(crate) fn cancel_counts_after(&self) -> Option<Duration> {
        let [age] = self.0.read([word::CANCEL_AFTER]);
        (age != word::NONE).then(|| Duration::from_nanos(age))
    }
}

fn words(settings: &Settings) -> [u64; word::COUNT] {
    let ratio = |ratio: Option<Ratio>| ratio.map_or(word::NONE, |r| r.ppm().into());
    let calls = |calls: Option<u32>| calls.map_or(word::NONE, u64::from);
    let age = |age: Option<Duration>| age.map_or(word::NONE, crate::clock::nanos);
    let mut words = [0; word::COUNT];
    words[word::FAILURE_RATIO] = ratio(settings.rules.failure_ratio);
    words[word::SLOW_RATIO] = ratio(settings.rules.slow_ratio);
    words[word::CONSECUTIVE] = calls(settings.rules.consecutive.map(u32::from));
    words[word::CONSECUTIVE_SLOW] = calls(settings.rules.consecutive_slow.map(u32::from));
    words[word::FAILURES] = calls(settings.rules.failures);
    words[word::MIN_CALLS] = settings.rules.min_calls.into();
    words[word::CANCEL_AFTER] = age(settings.cancel_counts_after);
    words[word::BASE] = settings.cool_down.base;
    words[word::FACTOR] = settings.cool_down.factor_ppm;
    words[word::CAP] = settings.cool_down.cap;
    words[word::CALL_SPANS] = settings.cool_down.call_spans;
    words[word::JITTER] = settings.cool_down.jitter.ppm().into();
    words[word::PROBES] = settings.probes as u64;
    words[word::LEASE] = settings.lease;
    words[word::RAMP] = settings.ramp.shares;
    words[word::RAMP_STEP] = settings.ramp.step;
    words[word::SHADOW] = settings.shadow.into();
    words
}
