//! This library's detector, as its layers have it inside.

use std::time::Duration;

use seawall::canary::{CanaryConfig, Detector, Interval, Share};
use seawall::clock::Moment;

use super::{ALPHA, Judge};
use crate::canary::tick::Tick;

pub(in crate::canary) const TICK: Duration = Duration::from_millis(250);

/// One stream, in blocks of a tick.
#[derive(Debug)]
pub(in crate::canary) struct Seawall {
    detector: Detector,
    now: Moment,
}

impl Seawall {
    pub(in crate::canary) fn new() -> Self {
        let config = CanaryConfig::new("canary").alpha(ALPHA).errors_only(TICK).no_warm_up();
        // The learning ends with the ticks that are learned, not after a time.
        let detector = Detector::new(&config.learn(Duration::ZERO)).expect("valid settings");
        Self { detector, now: Moment::from_nanos(1 << 61) }
    }

    pub(in crate::canary) fn log_evidence(&self) -> f64 {
        self.detector.log_evidence()
    }

    fn see(&mut self, interval: &Interval) -> bool {
        self.now = self.now.plus(TICK);
        self.detector.tick(self.now, interval);
        self.detector.verdict().is_roll_back()
    }
}

impl Judge for Seawall {
    fn learn(&mut self, tick: &Tick) {
        self.see(&Interval::of_errors(tick.arms()).share(Share::Baseline));
    }

    fn new_stage(&mut self) {
        self.detector.new_stage(self.now);
    }

    fn rolls_back(&mut self, tick: &Tick) -> bool {
        self.see(&Interval::of_errors(tick.arms()))
    }
}
