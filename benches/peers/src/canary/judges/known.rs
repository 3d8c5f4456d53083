//! Sequential tests of the canary alone, against a rate that is taken as known.

use super::{ALPHA, Judge};
use crate::canary::tick::Tick;

/// How much one call speaks for twice the known rate.
#[derive(Clone, Copy, Debug)]
struct Doubled {
    failed: f64,
    good: f64,
}

impl Doubled {
    fn new(usual: f64) -> Self {
        let usual = usual.clamp(1e-5, 0.45);
        Self { failed: 2_f64.ln(), good: ((1.0 - 2.0 * usual) / (1.0 - usual)).ln() }
    }
}

/// The sum of all calls' evidence.
#[derive(Debug)]
pub(super) struct Sprt {
    each: Doubled,
    sum: f64,
}

impl Sprt {
    pub(super) fn new(usual: f64) -> Self {
        Self { each: Doubled::new(usual), sum: 0.0 }
    }
}

impl Judge for Sprt {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        for failed in tick.canary.each() {
            self.sum += if failed { self.each.failed } else { self.each.good };
            if self.sum >= -ALPHA.ln() {
                return true;
            }
        }
        false
    }
}

/// The same, never below zero.
#[derive(Debug)]
pub(super) struct Cusum(Sprt);

impl Cusum {
    pub(super) fn new(usual: f64) -> Self {
        Self(Sprt::new(usual))
    }
}

impl Judge for Cusum {
    fn rolls_back(&mut self, tick: &Tick) -> bool {
        let Sprt { each, sum } = &mut self.0;
        for failed in tick.canary.each() {
            *sum = (*sum + if failed { each.failed } else { each.good }).max(0.0);
            if *sum >= -ALPHA.ln() {
                return true;
            }
        }
        false
    }
}
