//! The recorder: usable alone, and behind every layer of one objective.

use std::sync::Arc;
use std::time::Duration;

use super::config::Objective;
use super::engine::Engine;
use super::rules::Snapshot;
use crate::clock::{Moment, Stopwatch};
use crate::error::{ConfigError, Room};
use crate::event::{BurnAlert, Kind, Sinks};
use crate::measure::{Level, Measure, Measurement};
use crate::tick::Tick;

/// Records calls against an [`Objective`]. Clones record against the same one.
#[derive(Clone, Debug)]
pub struct Slo(pub(super) Arc<Core>);

#[derive(Debug)]
pub(super) struct Core {
    engine: Engine,
    pub(super) clock: Stopwatch,
    pub(super) sinks: Sinks,
    pub(super) within: Option<Duration>,
}

impl Slo {
    /// A recorder.
    ///
    /// # Errors
    /// [`ConfigError`] if the target, a factor, a window or the time is out of range.
    pub fn new(objective: Objective) -> Result<Self, ConfigError> {
        let rules = objective.checked()?;
        let engine = Engine::new(rules, objective.clock.now());
        let sinks = objective.observers.attach(Room::Slo, objective.name);
        let within = objective.within;
        let clock = Stopwatch::new(objective.clock, within.unwrap_or(Duration::MAX));
        Ok(Self(Arc::new(Core { engine, clock, sinks, within })))
    }

    /// Counts a call: one add; once in a few hundred calls a look at the clock.
    #[inline]
    pub fn record(&self, good: bool) {
        self.0.record(good);
    }

    /// Takes stock, if five seconds have passed: alerts fire and end here.
    ///
    /// Calls do it too, but rarely, and not at all where none come: call it every few seconds, or give this
    /// to a [`Drive`](crate::drive::Drive).
    pub fn tick(&self) {
        self.0.tick();
    }

    /// The objective as of the last tick.
    pub fn snapshot(&self) -> Snapshot {
        self.0.engine.snapshot(self.0.clock.now())
    }

    /// Panics caught in this objective's observers.
    pub fn observer_panics(&self) -> u64 {
        self.0.sinks.panics()
    }
}

impl Tick for Slo {
    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn tick(&self) {
        self.tick();
    }
}

impl Core {
    /// The time, where the objective is about it: out of the way of those that aren't.
    #[inline(never)]
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    #[inline(always)]
    pub(super) fn record(&self, good: bool) {
        if self.engine.record(good) {
            self.tick();
        }
    }

    #[cold]
    fn tick(&self) {
        let now = self.clock.now();
        for change in self.engine.tick(now) {
            self.sinks.event(
                now,
                Kind::Burn(BurnAlert {
                    alert: change.alert.as_str(),
                    fires: change.fires,
                    long_burn: change.burns.0,
                    short_burn: change.burns.1,
                    budget_left: change.budget_left,
                }),
            );
        }
    }
}

impl Measure for Slo {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let seen = self.snapshot();
        let name = self.0.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Slo, name, level));
        for burn in seen.burns {
            // No calls, no burn.
            show(Level::Burn { window: burn.window, rate: burn.rate.unwrap_or(0.0) });
        }
        show(Level::BudgetLeft(seen.budget_left.unwrap_or(1.0)));
        show(Level::Target(self.0.engine.target()));
        show(Level::Recorded { total: seen.total, bad: seen.bad });
        show(Level::HookPanics(self.observer_panics()));
    }
}
