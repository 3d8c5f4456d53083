//! Calls of a canary that is exactly as good as its baseline: whatever rolls it back is wrong.

use super::dice::Dice;
use super::tick::{CALLS, SECOND, Tick};

/// What both arms go through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Null {
    /// Each call fails by itself.
    Even { p: f64 },
    /// What both call fails for so many seconds, from the 60th on; 1 % before and after.
    Outage { seconds: u64, p: f64 },
    /// From 0.1 % to 20 % and back every minute.
    Sinusoid,
    /// All calls of 20 ms fail, in both arms, every 2 s on average.
    Bursts,
    /// Every 50th call fails, whoever serves it.
    EveryFiftieth,
    /// The share grows from 1 % over 5 % and 25 % to 50 %.
    Ramp,
    /// 1 % of an arm's calls fail, so many in a row: a host drops what is in flight.
    Clumps { size: u32 },
    /// 2,000 users, some busy and most not, keep to their arm; one in a hundred always fails.
    Users { each_once: bool },
}

const USERS: usize = 2_000;

/// The traffic of one run.
#[derive(Debug)]
pub(super) struct Traffic {
    null: Null,
    w: f64,
    /// Ticks of the whole run.
    ticks: u64,
    dice: Dice,
    /// Ticks and calls since the canary got its share.
    now: u64,
    calls: u64,
    /// Calls of a burst, or of a clump of the canary and of the baseline, that are still to fail.
    left: [u32; 2],
    users: Vec<User>,
    /// How much the users up to each make of the calls.
    busy: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    canary: bool,
    fails: bool,
    seen: bool,
}

impl Traffic {
    pub(super) fn new(null: Null, w: f64, ticks: u64, mut dice: Dice) -> Self {
        let (mut users, mut busy) = (Vec::new(), Vec::new());
        if matches!(null, Null::Users { .. }) {
            let mut sum = 0.0;
            for rank in 1..=USERS {
                sum += 1.0 / rank as f64;
                busy.push(sum);
                users.push(User { canary: dice.is(w), fails: dice.is(0.01), seen: false });
            }
        }
        Self { null, w, ticks, dice, now: 0, calls: 0, left: [0; 2], users, busy }
    }

    /// The baseline alone, before the canary gets calls.
    pub(super) fn before(&mut self) -> Tick {
        let w = std::mem::replace(&mut self.w, 0.0);
        let tick = self.draw(0.0);
        self.w = w;
        tick
    }

    /// The canary gets its share.
    pub(super) fn begin(&mut self) {
        (self.now, self.calls, self.left) = (0, 0, [0; 2]);
        self.users.iter_mut().for_each(|user| user.seen = false);
    }

    /// One tick, and whether the share changes with it.
    pub(super) fn tick(&mut self) -> (Tick, bool) {
        let stage = 4 * self.now / self.ticks;
        let ramped = self.null == Null::Ramp;
        let new_stage = ramped && self.now > 0 && 4 * (self.now - 1) / self.ticks != stage;
        let w = if ramped { [0.01, 0.05, 0.25, 0.5][stage as usize % 4] } else { self.w };
        let tick = self.draw(w);
        self.now += 1;
        (tick, new_stage)
    }

    fn draw(&mut self, w: f64) -> Tick {
        let mut tick = Tick::default();
        let p = self.rate();
        for _ in 0..CALLS {
            self.calls += 1;
            if !self.users.is_empty() {
                self.draw_user(w > 0.0, &mut tick);
                continue;
            }
            let (canary, fails) = self.dice.both(w, |_| p);
            let failed = match self.null {
                Null::EveryFiftieth => self.calls % 50 == 0,
                Null::Bursts => self.in_a_row(0, 4, 1.0 / 400.0) || fails,
                Null::Clumps { size } => {
                    self.in_a_row(usize::from(canary), size, 0.01 / f64::from(size))
                }
                _ => fails,
            };
            tick.add(canary, failed);
        }
        tick
    }

    /// The chance of a failure that both arms share in this tick.
    fn rate(&self) -> f64 {
        let second = self.now / SECOND;
        match self.null {
            Null::Even { p } => p,
            Null::Outage { seconds, p } if (60..60 + seconds).contains(&second) => p,
            Null::Sinusoid => {
                let turn = self.now as f64 / (60 * SECOND) as f64;
                0.1005 - 0.0995 * (std::f64::consts::TAU * turn).cos()
            }
            Null::Bursts => 0.001,
            _ => 0.01,
        }
    }

    fn in_a_row(&mut self, which: usize, size: u32, begins: f64) -> bool {
        if self.left[which] == 0 && self.dice.is(begins) {
            self.left[which] = size;
        }
        let fails = self.left[which] > 0;
        self.left[which] -= u32::from(fails);
        fails
    }

    fn draw_user(&mut self, shared: bool, tick: &mut Tick) {
        let at = self.dice.unit() * self.busy[USERS - 1];
        let user = &mut self.users[self.busy.partition_point(|sum| *sum <= at)];
        let counts = self.null != Null::Users { each_once: true } || !user.seen;
        user.seen = true;
        if counts {
            tick.add(shared && user.canary, user.fails);
        }
    }

    /// How often calls usually fail, as someone who knows the service would say.
    pub(super) fn usual(null: Null) -> f64 {
        match null {
            Null::Even { p } => p,
            Null::Sinusoid => 0.1,
            Null::EveryFiftieth => 0.02,
            _ => 0.01,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_arms_fail_as_often_and_get_their_shares() {
        for null in [
            Null::Even { p: 0.05 },
            Null::Outage { seconds: 5, p: 1.0 },
            Null::Sinusoid,
            Null::Bursts,
            Null::EveryFiftieth,
            Null::Clumps { size: 5 },
        ] {
            let (mut calls, mut bad) = ([0.0; 2], [0.0; 2]);
            for run in 0..20 {
                let mut traffic = Traffic::new(null, 0.5, 2_400, Dice::new(7, run));
                assert_eq!(traffic.before().canary.calls, 0);
                traffic.begin();
                for _ in 0..2_400 {
                    let arms = traffic.tick().0.arms();
                    for (i, arm) in [arms.canary, arms.baseline].into_iter().enumerate() {
                        calls[i] += arm.calls as f64;
                        bad[i] += arm.bad as f64;
                    }
                }
            }
            let [c, b] = [bad[0] / calls[0], bad[1] / calls[1]];
            assert!((c / b - 1.0).abs() < 0.05, "{null:?}: {c} {b}");
            assert!((calls[0] / calls[1] - 1.0).abs() < 0.01, "{null:?}");
            let usual = Traffic::usual(null);
            assert!(b > 0.8 * usual && b < 2.0 * usual, "{null:?}: {b}");
        }
    }

    #[test]
    fn a_user_keeps_to_an_arm_and_may_count_once() {
        let null = Null::Users { each_once: true };
        let mut traffic = Traffic::new(null, 0.5, 2_400, Dice::new(7, 7));
        let calls: u64 = (0..2_400)
            .map(|_| {
                let arms = traffic.tick().0.arms();
                arms.canary.calls + arms.baseline.calls
            })
            .sum();
        assert!((1_500..=USERS as u64).contains(&calls), "{calls}");
    }
}
