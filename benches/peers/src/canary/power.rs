//! How many calls it takes to find a bad canary.

use seawall::canary::limit;

use super::dice::Dice;
use super::judges::{ALPHA, JUDGES, Judge, Seawall};
use super::spread::spread;
use super::tick::{CALLS, Tick};

/// Ticks that the baseline is alone.
const LEARN: u64 = 240;
/// After so many times the limit a canary counts as missed.
const MOST: f64 = 40.0;

/// One case: how the arms fail, how the calls are shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) p_b: f64,
    pub(super) p_c: f64,
    pub(super) w: f64,
}

/// How soon one case was found, in calls of both arms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) limit: f64,
    /// `None`: half of the runs, or one in twenty, didn't find it.
    pub(super) median: Option<u64>,
    pub(super) p95: Option<u64>,
}

impl Row {
    pub(super) fn ratio(&self) -> Option<f64> {
        self.median.map(|median| median as f64 / self.limit)
    }
}

/// What it is called, and how often a canary then fails.
type Spike = (&'static str, fn(f64) -> f64);

/// Twice the failures, 5 points more, 50 points more, and nothing but failures.
pub(super) const SPIKES: [Spike; 4] =
    [("x2", |p| 2.0 * p), ("+5 pt", |p| p + 0.05), ("+50 pt", |p| p + 0.5), ("100 %", |_| 1.0)];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for p_b in [0.001, 0.01, 0.05] {
        for (_, spike) in SPIKES {
            for w in [0.01, 0.05, 0.5] {
                let case = Case { p_b, p_c: spike(p_b), w };
                // From 5 %, twice the failures are 5 points more.
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
        }
    }
    cases
}

fn draw(case: &Case, dice: &mut Dice) -> Tick {
    let mut tick = Tick::default();
    for _ in 0..CALLS {
        let (canary, failed) = dice.both(case.w, |canary| if canary { case.p_c } else { case.p_b });
        tick.add(canary, failed);
    }
    tick
}

/// Calls until `judge` rolls back, of `most` at most.
fn calls(judge: &mut dyn Judge, case: &Case, most: u64, mut dice: Dice) -> Option<u64> {
    let before = Case { w: 0.0, ..*case };
    (0..LEARN).for_each(|_| judge.learn(&draw(&before, &mut dice)));
    (1..=most / CALLS).find(|_| judge.rolls_back(&draw(case, &mut dice))).map(|ticks| ticks * CALLS)
}

/// The quantile `q` of what was found, what wasn't being last.
fn quantile(found: &mut [Option<u64>], q: f64) -> Option<u64> {
    found.sort_by_key(|calls| calls.unwrap_or(u64::MAX));
    found[(found.len() as f64 * q) as usize]
}

/// This library in every case, `runs` times.
pub(super) fn run(runs: u64) -> Vec<Row> {
    let cases = cases();
    let per = runs as usize;
    let done = spread(cases.len() * per, |job| {
        let case = &cases[job / per];
        let most = (MOST * limit(ALPHA, case.p_b, case.p_c, case.w)).max(20_000.0) as u64;
        let dice = Dice::new(1_000 + (job / per) as u64, (job % per) as u64);
        calls(&mut Seawall::new(), case, most, dice)
    });
    let rows = cases.iter().zip(done.chunks(per)).map(|(case, found)| {
        let mut found = found.to_vec();
        Row {
            case: *case,
            limit: limit(ALPHA, case.p_b, case.p_c, case.w),
            median: quantile(&mut found, 0.5),
            p95: quantile(&mut found, 0.95),
        }
    });
    rows.collect()
}

/// What everyone's delay is compared in: a share of 5 %, and 1 % of failures.
pub(super) const COMMON: (f64, f64) = (0.05, 0.01);
/// Forty minutes.
const MOST_COMMON: u64 = 40 * 60 * 200;

/// The median calls of every detector, spike by spike; `None` where it takes more than forty minutes.
pub(super) fn beside(runs: u64) -> Vec<(&'static str, [Option<u64>; SPIKES.len()])> {
    let per = runs as usize;
    let (w, p_b) = COMMON;
    let done = spread(JUDGES.len() * SPIKES.len() * per, |job| {
        let (judge, spike) = (job / per / SPIKES.len(), job / per % SPIKES.len());
        let case = Case { p_b, p_c: SPIKES[spike].1(p_b), w };
        let dice = Dice::new(2_000 + spike as u64, (job % per) as u64);
        calls(&mut *(JUDGES[judge].make)(p_b), &case, MOST_COMMON, dice)
    });
    let mut medians = done.chunks(per).map(|found| quantile(&mut found.to_vec(), 0.5));
    let mut row = || std::array::from_fn(|_| medians.next().expect("one a spike"));
    JUDGES.iter().map(|judge| (judge.name, row())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_cases_as_spikes_and_shares() {
        assert_eq!(cases().len(), 33);
    }

    #[test]
    fn what_was_not_found_comes_last() {
        let mut found = [Some(3), None, Some(1), Some(2)];
        assert_eq!(quantile(&mut found, 0.5), Some(3));
        assert_eq!(quantile(&mut found, 0.95), None);
    }
}
