//! What the evidence does over time, in three rollouts: for the eye.

use super::dice::Dice;
use super::judges::{Judge, Seawall};
use super::tick::{CALLS, SECOND, Tick};

/// The length of each.
pub(super) const SECONDS: u64 = 240;
/// From then on something is wrong, and until then.
const WRONG: std::ops::Range<u64> = 60..180;
const SHARE: f64 = 0.1;

/// What is wrong, and how often calls of the canary and of the baseline then fail.
const ROLLOUTS: [(&str, f64, f64); 3] = [
    ("all is well", 0.01, 0.01),
    ("every other call of both fails, from 60 s to 180 s", 0.5, 0.5),
    ("the canary fails in 4 %, from 60 s on", 0.04, 0.01),
];

/// The evidence after each tick; until the roll-back, if there is one.
pub(super) fn lines() -> Vec<(&'static str, Vec<f64>)> {
    let of = |(name, p_c, p_b)| {
        let (mut judge, mut dice) = (Seawall::new(), Dice::new(3_000, 1));
        let mut draw = |w: f64, p_c: f64, p_b: f64| {
            let mut tick = Tick::default();
            for _ in 0..CALLS {
                let canary = dice.is(w);
                tick.add(canary, dice.is(if canary { p_c } else { p_b }));
            }
            tick
        };
        (0..30 * SECOND).for_each(|_| judge.learn(&draw(0.0, 0.0, 0.01)));
        let mut logs = Vec::new();
        for tick in 0..SECONDS * SECOND {
            let wrong = WRONG.contains(&(tick / SECOND));
            let (p_c, p_b) = if wrong { (p_c, p_b) } else { (0.01, 0.01) };
            let rolled_back = judge.rolls_back(&draw(SHARE, p_c, p_b));
            logs.push(judge.log_evidence());
            if rolled_back {
                break;
            }
        }
        (name, logs)
    };
    ROLLOUTS.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bad_canary_crosses_the_line() {
        let most = |logs: &[f64]| logs.iter().copied().fold(f64::MIN, f64::max);
        let lines = lines();
        assert!(most(&lines[0].1) < 3.0 && most(&lines[1].1) < 3.0);
        assert!(most(&lines[2].1) > 1000_f64.ln());
        assert!(lines[2].1.len() < lines[1].1.len());
    }
}
