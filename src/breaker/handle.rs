//! The operator's reach into a running circuit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::config::CircuitBreakerConfig;
use super::layer::Circuitry;
use crate::error::{ConfigError, Room};
use crate::event::{Circuit, Counts, Kind};
use crate::measure::{Level, Measure, Measurement};
use crate::ratio::Ratio;
use crate::tick::Tick;

/// Reads a circuit and steers it. Clones reach the same one.
///
/// ```
/// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
/// use seawall::event::Circuit;
///
/// let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
/// let handle = layer.handle();
/// handle.force_open();
/// assert_eq!(handle.snapshot().state, Circuit::ForcedOpen);
/// handle.reset();
/// assert_eq!(handle.snapshot().state, Circuit::Closed);
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreakerHandle {
    circuit: Arc<Circuitry>,
    changed: watch::Receiver<u32>,
}

/// A circuit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its state.
    pub state: Circuit,
    /// One more with each transition; wraps.
    pub generation: u32,
    /// What the window holds. While open and half-open nothing is added: of a count window it is what
    /// opened the circuit, of a time window what is left of that.
    pub counts: Counts,
    /// What the probes of a half-open circuit have come to so far.
    pub probes: Counts,
    /// Failures in a row.
    pub consecutive_failures: u16,
    /// Slow calls in a row, hung ones included.
    pub consecutive_slow_calls: u16,
    /// Calls in flight that haven't hung so far, where there is a slow rule: those that this generation
    /// admitted, since the threshold last changed.
    pub in_time: u64,
    /// What is left of the cool-down, while open, or of the ramp's step.
    pub retry_after: Option<Duration>,
    /// Calls that were let through though they would have been refused, in shadow mode.
    pub shadowed: u64,
    /// Outcomes that came after the state they were admitted in, and changed nothing.
    pub stale: u64,
}

impl Circuit {
    /// Are ordinary calls refused?
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::HalfOpen | Self::ForcedOpen)
    }
}

impl CircuitBreakerHandle {
    pub(super) fn new(circuit: Arc<Circuitry>) -> Self {
        let changed = circuit.changed.subscribe();
        Self { circuit, changed }
    }

    /// The circuit as it is. Never writes.
    pub fn snapshot(&self) -> Snapshot {
        let view = self.circuit.engine.view(self.circuit.clock.now());
        Snapshot {
            state: view.state,
            generation: view.generation,
            counts: view.counts,
            probes: view.probes,
            consecutive_failures: view.run.failed,
            consecutive_slow_calls: view.run.slow,
            in_time: view.in_cohorts,
            shadowed: view.shadowed,
            retry_after: view.wait,
            stale: view.stale,
        }
    }

    /// Refuses every call until [`reset`](Self::reset) or another order: no automatic transition
    /// overrides it.
    pub fn force_open(&self) {
        self.order(Circuit::ForcedOpen);
    }

    /// Lets every call pass, and counts them, until [`reset`](Self::reset) or another order: no rule
    /// fires.
    pub fn force_close(&self) {
        self.order(Circuit::ForcedClosed);
    }

    /// Lets every call pass and counts nothing, until [`reset`](Self::reset) or another order.
    pub fn disable(&self) {
        self.order(Circuit::Disabled);
    }

    /// Closes the circuit and really clears it: the window, the run of failures and the length of the
    /// next cool-down; automatic from here on.
    pub fn reset(&self) {
        self.order(Circuit::Closed);
    }

    fn order(&self, to: Circuit) {
        self.circuit.tell(self.circuit.engine.force(to, self.circuit.clock.now()));
    }

    /// Waits for the next transition after those this handle has seen, and gives the circuit then.
    ///
    /// Cancel-safe: a transition that comes meanwhile is seen by the next call.
    ///
    /// ```
    /// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    /// let mut handle = layer.handle();
    /// layer.handle().force_open();
    /// assert!(handle.changed().await.state.is_open());
    /// # }
    /// ```
    pub async fn changed(&mut self) -> Snapshot {
        // The sender lives in `circuit`, which this handle holds: it can't be gone.
        let _ = self.changed.changed().await;
        self.snapshot()
    }

    /// Does what must be done even when nobody calls: calls that hang are counted, a probe's lease and a
    /// ramp's step end.
    pub fn tick(&self) {
        self.circuit.tell(self.circuit.engine.tick(self.circuit.clock.now()));
    }

    /// Changes live settings at once: no call sees half of them, and no counts are lost.
    ///
    /// ```
    /// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
    ///
    /// let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments")).unwrap();
    /// let handle = layer.handle();
    /// handle.reconfigure(|config| config.failure_ratio(0.8)).unwrap();
    ///
    /// let error = handle.reconfigure(|config| config.count_window(7)).unwrap_err();
    /// assert_eq!(error.field(), "window");
    /// ```
    ///
    /// `change` runs while other changes wait: it must not call `reconfigure` itself. What the layer
    /// was built with for good (name, observers, clock) it can't change.
    ///
    /// # Errors
    /// [`ConfigError`] as at construction, or if the window's shape would change; then nothing is
    /// changed.
    pub fn reconfigure(
        &self,
        change: impl FnOnce(CircuitBreakerConfig) -> CircuitBreakerConfig,
    ) -> Result<(), ConfigError> {
        {
            let mut config = self.circuit.config.lock();
            let changed = change(config.clone());
            let settings = changed.settings_over(&config)?;
            self.circuit.clock.measure(changed.shortest(&settings));
            self.circuit.engine.apply(&settings);
            *config = changed;
        }
        self.circuit.sinks.event(self.circuit.clock.now(), Kind::Reconfigured);
        Ok(())
    }

    /// Panics caught in this breaker's observers.
    pub fn observer_panics(&self) -> u64 {
        self.circuit.sinks.panics()
    }
}

impl Tick for CircuitBreakerHandle {
    fn every(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn tick(&self) {
        self.tick();
    }
}

impl Measure for CircuitBreakerHandle {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let counts = self.snapshot().counts;
        let name = self.circuit.sinks.name();
        let mut show = |level| show(Measurement::new(Room::Breaker, name, level));
        show(Level::FailureRatio(counts.failure_ratio().unwrap_or(Ratio::ZERO)));
        show(Level::SlowRatio(counts.slow_ratio().unwrap_or(Ratio::ZERO)));
        show(Level::HookPanics(self.observer_panics()));
    }
}
