//! Watches any pool of things that can run out.

use std::sync::Arc;

use super::saturation::Watch;
use crate::clock::Clock;
use crate::error::Room;
use crate::event::{Observe, Observers, Sinks};
use crate::measure::{Level, Measure, Measurement};
use crate::ratio::Ratio;

/// The settings of a [`Gauge`].
#[derive(Clone, Debug)]
pub struct GaugeConfig {
    name: &'static str,
    clock: Clock,
    observers: Observers,
}

impl GaugeConfig {
    /// Of the pool called `name` in events.
    pub fn new(name: &'static str) -> Self {
        Self { name, clock: Clock::default(), observers: Observers::default() }
    }

    /// The clock. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the gauge is built.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }
}

/// Tells when a pool is nearly used up: database connections, threads, file handles.
///
/// Tell it how many are used whenever that changes, or every 100 ms. It tells its observers
/// [`Saturated`](crate::event::Kind::Saturated) when more than 80 % were used on average in the last
/// ten seconds, [`Cleared`](crate::event::Kind::Cleared) when it is less than 70 % again, 30 s later at
/// the earliest, and [`Exhausted`](crate::event::Kind::Exhausted), at most every 30 s, when none are
/// left and somebody was turned away. Clones watch the same pool.
///
/// ```
/// use seawall::bulkhead::{Gauge, GaugeConfig};
/// use seawall::clock::Clock;
/// use seawall::event::Event;
/// use std::time::Duration;
///
/// let (clock, hand) = Clock::manual();
/// let database = Gauge::new(
///     GaugeConfig::new("database")
///         .clock(clock)
///         .observe(|event: &Event| println!("{}: {:?}", event.name, event.kind)),
/// );
/// for _ in 0..=100 {
///     database.read(9, 10);
///     hand.advance(Duration::from_millis(100));
/// }
/// assert!(database.is_saturated());
/// ```
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    watch: Watch,
    sinks: Sinks,
    clock: Clock,
}

impl Gauge {
    /// A gauge.
    pub fn new(config: GaugeConfig) -> Self {
        let sinks = config.observers.attach(Room::Pool, config.name);
        Self(Arc::new(Watched { watch: Watch::new(), sinks, clock: config.clock }))
    }

    /// So many of so many are used now. Of size 0, a pool without a limit, nothing is told.
    pub fn read(&self, used: u32, size: u32) {
        let pool = &self.0;
        pool.watch.read(pool.clock.now(), &pool.sinks, used, |reading| {
            (reading.used, reading.size) = (used, size);
        });
    }

    /// Somebody was turned away, or had to wait.
    pub fn turned_away(&self) {
        let pool = &self.0;
        pool.watch.read(pool.clock.now(), &pool.sinks, 0, |reading| reading.turned_away += 1);
    }

    /// Was it told saturated, and not yet cleared?
    pub fn is_saturated(&self) -> bool {
        self.0.watch.is_raised()
    }

    /// The share used in the last ten seconds; `None` before there are ten.
    pub fn mean(&self) -> Option<Ratio> {
        self.0.watch.mean()
    }

    /// Panics caught in this gauge's observers.
    pub fn observer_panics(&self) -> u64 {
        self.0.sinks.panics()
    }
}

impl Measure for Gauge {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let (used, size) = self.0.watch.last();
        let share = Ratio::of(used.into(), size.into()).unwrap_or(Ratio::ZERO);
        let name = self.0.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Pool, name, level));
        show(Level::InFlight(used));
        show(Level::Limit(size));
        show(Level::Utilization(share));
        show(Level::HookPanics(self.observer_panics()));
    }
}
