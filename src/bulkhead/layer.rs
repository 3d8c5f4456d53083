//! Makes bulkheads that share one limit.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tower_layer::Layer;

use parking_lot::Mutex;

use super::config::BulkheadConfig;
use super::engine::Engine;
use super::handle::BulkheadHandle;
use super::limiter::Collector;
use super::rank::OneClass;
use super::saturation::Watch;
use super::service::{AtOnce, Bulkhead, Queued};
use crate::clock::{Clock, Moment, nanos};
use crate::criticality::Criticality;
use crate::error::{ConfigError, Reason, Rejected, Room};
use crate::event::Sinks;
use crate::local::Owner;
use crate::request::InRequest;

/// Bounds the calls in flight: one layer value is one limit, shared by every service it makes and
/// every clone of them.
///
/// `C` tells of which class a request is ([`Rank`](super::Rank)); `Q` is [`AtOnce`] or [`Queued`]. The
/// services' error type must be able to [`Carry`](crate::error::Carry) a refusal.
#[derive(Clone, Debug)]
pub struct BulkheadLayer<C = OneClass, Q = AtOnce> {
    pub(super) shared: Arc<Shared>,
    rank: C,
    queue: PhantomData<Q>,
}

/// What one layer value owns.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) adaptive: Option<Box<Collector>>,
    /// In ns; read by calls that find no place.
    max_wait: AtomicU64,
    /// Calls that were refused, or had to wait.
    turned_away: AtomicU64,
    refused: AtomicU64,
    /// The most in flight that a call found that got no place, since the last look.
    crowd: AtomicU32,
    pub(super) sinks: Sinks,
    pub(super) clock: Clock,
    pub(super) watch: Watch,
    pub(super) queued: bool,
    /// As last set; changed through the handle.
    pub(super) config: Mutex<BulkheadConfig>,
}

/// How long a call waits, and what ends its wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When it came.
    pub(super) since: Moment,
    pub(super) wait: Duration,
    /// Its own deadline, not `max_wait`.
    pub(super) by_deadline: bool,
}

impl Patience {
    /// Why a call is refused without having waited.
    pub(super) fn at_once(self) -> Reason {
        if self.by_deadline && self.wait.is_zero() {
            Reason::DeadlinePassed
        } else {
            Reason::BulkheadFull
        }
    }

    /// Why a call is refused that has waited so long.
    pub(super) fn over(self) -> Reason {
        if self.by_deadline { Reason::DeadlinePassed } else { Reason::WaitedTooLong }
    }
}

impl Shared {
    fn new(config: BulkheadConfig, queued: bool) -> Result<Self, ConfigError> {
        let settings = config.settings(queued)?;
        let adaptive = config.adaptive_limit(settings.limit)?;
        Ok(Self {
            engine: Engine::new(settings.shape, settings.limit, settings.shares, settings.order),
            adaptive: adaptive.map(|limit| Box::new(Collector::new(limit))),
            max_wait: AtomicU64::new(nanos(config.max_wait)),
            turned_away: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            crowd: AtomicU32::new(0),
            sinks: config.observers.attach(Room::Bulkhead, config.name),
            clock: config.clock.clone(),
            watch: Watch::new(),
            queued,
            config: Mutex::new(config),
        })
    }

    /// The moment at which a call begins, where that matters.
    #[inline(always)]
    pub(super) fn begin(&self) -> Option<Moment> {
        self.adaptive.as_ref().map(|_| self.clock.now())
    }

    /// Gives a place back.
    #[inline(always)]
    pub(super) fn release(&self, class: Criticality) {
        self.engine.release(class, || self.clock.now());
    }

    /// Gives the place of a call that was answered, or given up, back; then learns from it.
    pub(super) fn release_and_learn(&self, class: Criticality, since: Moment, answered: bool) {
        let in_flight = self.engine.places().in_flight();
        self.release(class);
        let now = self.clock.now();
        let Some(collector) = &self.adaptive else {
            return;
        };
        let publish = |limit| self.engine.change_limit(limit);
        if collector.record(since, now, in_flight, answered, publish) == Some(true) {
            self.engine.pass_on(now);
        }
    }

    /// An operator sets the limit.
    pub(super) fn set_limit(&self, limit: u32, now: Moment) {
        let publish = |limit| self.engine.change_limit(limit);
        let somebody_waits = match &self.adaptive {
            None => publish(limit),
            Some(collector) => collector.set(limit, publish),
        };
        if somebody_waits {
            self.engine.pass_on(now);
        }
    }

    /// How long a call that has this deadline may wait from now on.
    pub(super) fn patience(&self, deadline: Option<Moment>) -> Patience {
        let (since, wait) = (self.clock.now(), self.max_wait());
        let Some(deadline) = deadline else {
            return Patience { since, wait, by_deadline: false };
        };
        // It must be answered by then, too.
        let answer = self.adaptive.as_ref().and_then(|limit| limit.baseline()).unwrap_or_default();
        let left = deadline.since(since).saturating_sub(answer);
        Patience { since, wait: wait.min(left), by_deadline: left < wait }
    }

    /// How long a call may wait from now on.
    pub(super) fn max_wait(&self) -> Duration {
        // Relaxed: read for itself, here and below.
        Duration::from_nanos(self.max_wait.load(Ordering::Relaxed))
    }

    pub(super) fn set_max_wait(&self, wait: Duration) {
        self.max_wait.store(nanos(wait), Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A call has to wait, or was refused.
    pub(super) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        self.crowd.fetch_max(self.engine.places().in_flight(), Ordering::Relaxed);
    }

    /// Counts and reports a refusal.
    #[cold]
    pub(super) fn refuse(&self, reason: Reason, class: Option<Criticality>) -> Rejected {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if reason != Reason::NotReady {
            self.turned_away();
        }
        let rejected = Rejected::new(Room::Bulkhead, reason, self.sinks.name()).of_class(class);
        self.sinks.refused(rejected)
    }

    /// Takes a look at how much is in use.
    pub(super) fn look(&self) {
        let places = self.engine.places();
        if places.has_waiters() {
            // Who still waits counts as one who came to wait just now.
            self.turned_away();
        }
        let turned_away = self.turned_away.load(Ordering::Relaxed);
        let most = self.crowd.swap(0, Ordering::Relaxed).max(places.in_flight());
        // While the baseline is measured the limit is low for a moment, and says nothing.
        let measuring = self.adaptive.as_ref().is_some_and(|limit| limit.is_measuring());
        self.watch.read(self.clock.now(), &self.sinks, most, |reading| {
            reading.turned_away = turned_away;
            if !measuring {
                (reading.used, reading.size) = (places.in_flight(), places.limit());
            }
        });
    }
}

impl BulkheadLayer {
    /// A bulkhead that refuses at once when it is full.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range, or a queue is set.
    pub fn new(config: BulkheadConfig) -> Result<Self, ConfigError> {
        let shared = Arc::new(Shared::new(config, false)?);
        Ok(Self { shared, rank: OneClass, queue: PhantomData })
    }
}

impl BulkheadLayer<OneClass, Queued> {
    /// A bulkhead in which calls wait for a place: as many as the
    /// [queue](BulkheadConfig::queue) is long, each for at most [`max_wait`](BulkheadConfig::max_wait).
    ///
    /// A call that waits keeps the instance that was made ready for it, and the service takes a clone in
    /// its place: so services under it must be `Clone`.
    ///
    /// ```
    /// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
    /// use std::time::Duration;
    ///
    /// let config = BulkheadConfig::new("payments").limit(64).queue(16);
    /// assert!(BulkheadLayer::queued(config.clone().max_wait(Duration::from_millis(200))).is_ok());
    /// assert_eq!(BulkheadLayer::new(config).unwrap_err().field(), "queue");
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range, or no queue is set.
    pub fn queued(config: BulkheadConfig) -> Result<Self, ConfigError> {
        let shared = Arc::new(Shared::new(config, true)?);
        Ok(Self { shared, rank: OneClass, queue: PhantomData })
    }
}

impl<C> BulkheadLayer<C, Queued> {
    /// The same limit and queue, for requests that carry a deadline
    /// ([`Marked`](crate::request::Marked)).
    ///
    /// A call waits no longer than until its deadline, less the time that an answer takes, where an
    /// [adaptive](BulkheadConfig::adaptive) limit knows it; if that is past it is refused at once. It
    /// is only asked of a call that finds no place: a [`timeout`](crate::timeout) sees to the others.
    #[must_use]
    pub fn with_deadline(self) -> BulkheadLayer<C, Queued<InRequest>> {
        BulkheadLayer { shared: self.shared, rank: self.rank, queue: PhantomData }
    }
}

impl<C, Q> BulkheadLayer<C, Q> {
    /// The same limit, with `rank` to tell of which class a request is.
    ///
    /// ```
    /// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
    /// use seawall::criticality::Criticality;
    ///
    /// enum Request { Charge, Quote }
    ///
    /// let config = BulkheadConfig::new("payments")
    ///     .limit(64)
    ///     .share(Criticality::Critical, 0.7)
    ///     .share(Criticality::Normal, 0.3);
    /// let layer = BulkheadLayer::new(config).unwrap().rank(|request: &Request| match request {
    ///     Request::Charge => Criticality::Critical,
    ///     Request::Quote => Criticality::Normal,
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn rank<N>(self, rank: N) -> BulkheadLayer<N, Q> {
        BulkheadLayer { shared: self.shared, rank, queue: PhantomData }
    }

    /// Reads it, and changes its settings while calls run.
    pub fn handle(&self) -> BulkheadHandle {
        BulkheadHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, Q> Layer<S> for BulkheadLayer<C, Q> {
    type Service = Bulkhead<S, C, Q>;

    fn layer(&self, inner: S) -> Self::Service {
        let local = Owner::new(Arc::clone(&self.shared));
        Bulkhead::new(inner, local, self.rank.clone())
    }
}
