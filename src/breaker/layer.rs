//! Makes breakers that share one circuit.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tower_layer::Layer;

use super::config::CircuitBreakerConfig;
use super::engine::{Engine, Refusal, Ticket};
use super::handle::CircuitBreakerHandle;
use super::service::CircuitBreaker;
use crate::clock::{Moment, Stopwatch};
use crate::error::{ConfigError, Reason, Rejected, Room};
use crate::event::{Kind, Sinks, Transition};
use crate::local::Owner;
use crate::outcome::ByResult;
use crate::rng;

/// Breaks the circuit to a service that fails: one layer value is one circuit, shared by every
/// service it makes and every clone of them.
///
/// `C` tells how calls ended ([`Classify`](crate::outcome::Classify)); the services' error type must
/// be able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Debug)]
pub struct CircuitBreakerLayer<C = ByResult> {
    shared: Shared<C>,
}

/// What one layer value owns: the circuit, and who classifies for it.
#[derive(Debug)]
pub(super) struct Shared<C> {
    pub(super) circuit: Arc<Circuitry>,
    pub(super) classify: Arc<C>,
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        Self { circuit: Arc::clone(&self.circuit), classify: Arc::clone(&self.classify) }
    }
}

/// The circuit, and who hears of it.
#[derive(Debug)]
pub(super) struct Circuitry {
    pub(super) engine: Engine,
    pub(super) clock: Stopwatch,
    pub(super) sinks: Sinks,
    /// The generation last reported; wakes those who wait for a change.
    pub(super) changed: watch::Sender<u32>,
    /// As last set; changed through the handle.
    pub(super) config: Mutex<CircuitBreakerConfig>,
}

impl Circuitry {
    /// Tells of a transition, if there was one.
    #[inline]
    pub(super) fn tell(&self, transition: Option<Transition>) {
        if let Some(transition) = transition {
            self.tell_of(transition, self.clock.now());
        }
    }

    /// Admits a call, or refuses it, in whatever state.
    pub(super) fn admit_slowly(&self) -> Result<Ticket, Rejected> {
        let (admission, transition) = self.engine.admit_slowly(|| self.clock.now());
        self.tell(transition);
        admission.map_err(|refusal| self.refuse(refusal))
    }

    /// Refuses a call that can't be made: for the circuit's reasons, if it has some.
    pub(super) fn refuse_unready(&self) -> Rejected {
        match self.admit_slowly() {
            Ok(ticket) => {
                self.tell(self.engine.give_back(ticket, || self.clock.now()));
                self.refuse(Refusal { reason: Reason::NotReady, retry_after: None })
            }
            Err(rejected) => rejected,
        }
    }

    #[inline]
    pub(super) fn refuse(&self, Refusal { reason, retry_after }: Refusal) -> Rejected {
        let rejected = Rejected::new(Room::Breaker, reason, self.sinks.name());
        self.sinks.refused(rejected.retry_after(retry_after))
    }

    #[cold]
    fn tell_of(&self, transition: Transition, at: Moment) {
        // Who subscribes only now has not seen the state before, and need not hear that it is over.
        if self.changed.receiver_count() > 0 {
            self.changed.send_replace(transition.generation);
        }
        self.sinks.event(at, Kind::Transition(transition));
    }
}

impl CircuitBreakerLayer {
    /// A circuit with these settings: `Ok` is success, `Err` is failure.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range, or no trip rule is set.
    pub fn new(config: CircuitBreakerConfig) -> Result<Self, ConfigError> {
        let settings = config.settings()?;
        let seed = config.seed.unwrap_or_else(rng::entropy);
        let circuit = Circuitry {
            engine: Engine::new(&settings, config.window(), seed),
            clock: Stopwatch::new(config.clock.clone(), config.shortest(&settings)),
            sinks: config.observers.attach(Room::Breaker, config.name),
            changed: watch::Sender::new(0),
            config: Mutex::new(config),
        };
        let (circuit, classify) = (Arc::new(circuit), Arc::new(ByResult));
        Ok(Self { shared: Shared { circuit, classify } })
    }
}

impl<C> CircuitBreakerLayer<C> {
    /// The same circuit, with `classify` to tell how calls ended.
    ///
    /// ```
    /// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
    /// use seawall::error::BoxError;
    /// use seawall::outcome::Outcome;
    ///
    /// let layer = CircuitBreakerLayer::new(CircuitBreakerConfig::new("payments"))
    ///     .unwrap()
    ///     .classify(|result: Result<&u16, &BoxError>| match result {
    ///         Ok(status) if *status < 500 => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify<N>(self, classify: N) -> CircuitBreakerLayer<N> {
        let shared = Shared { circuit: self.shared.circuit, classify: Arc::new(classify) };
        CircuitBreakerLayer { shared }
    }

    /// Reads the circuit, and reaches into it while calls run.
    pub fn handle(&self) -> CircuitBreakerHandle {
        CircuitBreakerHandle::new(Arc::clone(&self.shared.circuit))
    }
}

impl<C> Clone for CircuitBreakerLayer<C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S, C> Layer<S> for CircuitBreakerLayer<C> {
    type Service = CircuitBreaker<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreaker::new(inner, Owner::new(self.shared.clone()))
    }
}
