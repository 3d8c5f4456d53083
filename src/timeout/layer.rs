//! Makes services that share one limit.

use std::sync::Arc;
use tower_layer::Layer;

use parking_lot::Mutex;

use super::config::TimeoutConfig;
use super::engine::Engine;
use super::handle::TimeoutHandle;
use super::service::Timeout;
use crate::clock::Stopwatch;
use crate::error::{ConfigError, Room};
use crate::event::Sinks;
use crate::local::Owner;
use crate::request::{InRequest, NoDeadline};

/// Bounds how long a call may take: one layer value is one limit and one count, shared by every
/// service it makes and every clone of them.
///
/// The services' error type must be able to [`Carry`](crate::error::Carry) a refusal. `D` says whether
/// requests have deadlines of their own: see [`with_deadline`](Self::with_deadline).
#[derive(Clone, Debug)]
pub struct TimeoutLayer<D = NoDeadline> {
    shared: Arc<Shared>,
    deadlines: D,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) sinks: Sinks,
    /// Judges deadlines, and stamps events.
    pub(super) clock: Stopwatch,
    /// As last set; changed through the handle.
    pub(super) config: Mutex<TimeoutConfig>,
}

impl TimeoutLayer {
    /// A timeout with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if the limit is zero or above 365 days.
    pub fn new(config: TimeoutConfig) -> Result<Self, ConfigError> {
        let engine = Engine::new(config.checked_limit()?);
        let sinks = config.observers.attach(Room::Timeout, config.name);
        let clock = Stopwatch::new(config.clock.clone(), config.limit);
        let shared = Shared { engine, sinks, clock, config: Mutex::new(config) };
        Ok(Self { shared: Arc::new(shared), deadlines: NoDeadline })
    }

    /// The same limit, for requests that carry a deadline ([`Marked`](crate::request::Marked)).
    ///
    /// A call whose deadline has passed is refused, and nothing is sent. Others are given what is left,
    /// or the limit where that is less, and carry the earlier of the two inwards: so, around a retry, the
    /// limit becomes the deadline of the whole call, which no attempt outlives. Reads the clock once a
    /// call, and once more if it is pending.
    ///
    /// ```
    /// use seawall::clock::Clock;
    /// use seawall::error::{BoxError, Carry, Reason};
    /// use seawall::request::Ask;
    /// use seawall::timeout::{TimeoutConfig, TimeoutLayer};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let client = TimeoutLayer::new(TimeoutConfig::new("payments"))?
    ///     .with_deadline()
    ///     .layer(service_fn(|_: Ask<u32>| async { Ok::<_, BoxError>("sent") }));
    /// let late = Ask::read(7).by(Clock::default().now());
    /// let refused = client.oneshot(late).await.unwrap_err();
    /// assert_eq!(refused.rejected().unwrap().reason, Reason::DeadlinePassed);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_deadline(self) -> TimeoutLayer<InRequest> {
        TimeoutLayer { shared: self.shared, deadlines: InRequest }
    }
}

impl<D> TimeoutLayer<D> {
    /// Reads it, and changes its limit while calls run.
    pub fn handle(&self) -> TimeoutHandle {
        TimeoutHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, D: Copy> Layer<S> for TimeoutLayer<D> {
    type Service = Timeout<S, D>;

    fn layer(&self, inner: S) -> Timeout<S, D> {
        Timeout::new(inner, Owner::new(Arc::clone(&self.shared)), self.deadlines)
    }
}
