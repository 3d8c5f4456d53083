//! Makes services that share one comparison.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tower_layer::Layer;

use super::check::{Check, Data, Kept, NoCheck, Whole};
use super::config::CanaryConfig;
use super::engine::{Due, Engine, Ticket};
use super::handle::CanaryHandle;
use super::keys::{Drawn, Sticky};
use super::service::{Split, Watch};
use super::tell::{ByCaller, Routed};
use crate::clock::Clock;
use crate::error::{ConfigError, Reason, Rejected, Room};
use crate::event::{Kind, Sinks};
use crate::local::Owner;
use crate::outcome::ByResult;
use crate::ratio::Ratio;
use crate::rng;
use crate::steer::Listener;
use crate::verdict::{Arm, Judgement};

/// A comparison of two versions: one value is one comparison, shared by every service it makes and
/// every clone of them.
///
/// `C` tells how calls ended ([`Classify`](crate::outcome::Classify)), `K` whether answers are right
/// ([`Check`]), `U` whether each call is drawn, or callers stick to a version ([`Unit`](super::Unit)).
#[derive(Debug)]
pub struct Canary<C = ByResult, K = NoCheck, U = Routed> {
    shared: Arc<Shared<C, K, U>>,
}

/// What one canary owns: the comparison, who classifies and who checks for it, and who tells the arms
/// apart where it doesn't route itself.
#[derive(Debug)]
pub(super) struct Shared<C, K, T = Routed> {
    pub(super) trial: Arc<Trial>,
    pub(super) classify: Arc<C>,
    pub(super) check: Arc<K>,
    pub(super) tell: Arc<T>,
}

/// The comparison, and who hears of it.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    pub(super) sinks: Sinks,
    /// One more with each judgement; wakes those who wait for one.
    pub(super) changed: watch::Sender<u64>,
    /// Who steers by the judgements.
    pub(super) listeners: Mutex<Vec<Listener>>,
    /// The share of answers that is checked; zero without a check.
    check_rate: AtomicU64,
    set_rate: Ratio,
    check_panics: AtomicU64,
    unready: AtomicU64,
    only_watch: bool,
}

impl Trial {
    /// A call that was drawn for `arm` starts; `None`: it doesn't count.
    #[inline(always)]
    pub(super) fn start(&self, arm: Arm, drawn: Option<Drawn>) -> Option<Ticket> {
        let ticket = self.engine.start_drawn(arm, drawn, || self.clock.now());
        if ticket.is_none() {
            self.look();
        }
        ticket
    }

    /// Calls that don't count look whether it is time to judge, lest nobody does.
    fn look(&self) {
        if let Some(due) = self.engine.look(self.clock.now()) {
            self.judge(due);
        }
    }

    /// A call ended: counts it, and judges, if it is time to.
    #[inline(always)]
    pub(super) fn end(&self, ticket: Ticket, failed: bool) {
        if let Some(due) = self.engine.count(ticket, failed, || self.clock.now()) {
            self.judge(due);
        }
    }

    #[cold]
    fn judge(&self, due: Due) {
        self.tell(self.engine.tick_due(due));
    }

    /// Tells of a judgement, if there was one.
    pub(super) fn tell(&self, judgement: Option<Judgement>) {
        if let Some(judgement) = judgement {
            self.tell_of(judgement);
        }
    }

    #[cold]
    fn tell_of(&self, judgement: Judgement) {
        let at = self.clock.now();
        self.changed.send_modify(|n| *n += 1);
        self.sinks.event(at, Kind::Judged(judgement));
        if judgement.to.is_roll_back() && !self.only_watch {
            self.sinks.event(at, Kind::Weighted(Ratio::ZERO));
        }
        // A copy: a listener may set the weight, which judges, and comes here again.
        let listeners = self.listeners.lock().clone();
        listeners.iter().for_each(|listener| listener.hear(&judgement));
    }

    /// Is the answer of this call to be checked?
    #[inline]
    pub(super) fn is_to_be_checked(&self) -> bool {
        // Relaxed: set before the first call.
        match self.check_rate.load(Ordering::Relaxed) {
            0 => false,
            1_000_000 => true,
            rate => rng::below(rng::next(), 1_000_000) < rate,
        }
    }

    /// Counts what a check finds.
    pub(super) fn check(&self, ticket: &Ticket, check: impl FnOnce() -> Data) {
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(Data::Ok) => self.engine.checked(ticket, false),
            Ok(Data::Bad) => self.engine.checked(ticket, true),
            Ok(Data::Skip) => {}
            Err(_) => self.check_panicked(),
        }
    }

    #[cold]
    fn check_panicked(&self) {
        // Relaxed: a counter nothing hangs on.
        let panics = self.check_panics.fetch_add(1, Ordering::Relaxed) + 1;
        if panics.is_power_of_two() {
            self.sinks.event(self.clock.now(), Kind::CheckPanicked(panics));
        }
    }

    /// Neither version can take a call.
    #[cold]
    pub(super) fn refuse(&self) -> Rejected {
        self.sinks.refused(Rejected::new(Room::Canary, Reason::NotReady, self.sinks.name()))
    }

    /// A call that was the canary's went to the baseline, because the canary wasn't ready.
    #[cold]
    pub(super) fn count_unready(&self) {
        // Relaxed: a counter nothing hangs on.
        self.unready.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics of checks, and calls that the canary wasn't ready for.
    pub(super) fn counters(&self) -> (u64, u64) {
        // Relaxed: counters nothing hangs on.
        (self.check_panics.load(Ordering::Relaxed), self.unready.load(Ordering::Relaxed))
    }
}

impl Canary {
    /// A comparison with these settings: `Ok` is success, `Err` is failure, and answers are believed.
    ///
    /// The canary gets no calls until it is [given a share](CanaryHandle::set_weight).
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: CanaryConfig) -> Result<Self, ConfigError> {
        let rules = config.rules(false)?;
        let trial = Trial {
            engine: Engine::new(rules, config.latency, config.slow_threshold, config.only_watch),
            set_rate: config.checked_rate()?,
            check_rate: AtomicU64::new(0),
            clock: config.clock,
            sinks: config.observers.attach(Room::Canary, config.name),
            changed: watch::Sender::new(0),
            listeners: Mutex::default(),
            check_panics: AtomicU64::new(0),
            unready: AtomicU64::new(0),
            only_watch: config.only_watch,
        };
        let (classify, check) = (Arc::new(ByResult), Arc::new(NoCheck));
        let shared = Shared { trial: Arc::new(trial), classify, check, tell: Arc::new(Routed) };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl<C, K, U> Canary<C, K, U> {
    /// The same comparison, with `classify` to tell how calls ended.
    #[must_use]
    pub fn classify<N>(self, classify: N) -> Canary<N, K, U> {
        let Shared { trial, check, tell, .. } = &*self.shared;
        let (trial, check, tell) = (Arc::clone(trial), Arc::clone(check), Arc::clone(tell));
        let shared = Shared { trial, classify: Arc::new(classify), check, tell };
        Canary { shared: Arc::new(shared) }
    }

    /// The same comparison, with `check` to tell whether an answer is right. Requests that are checked
    /// are cloned; [`check_kept`](Self::check_kept) keeps less.
    ///
    /// ```
    /// use seawall::canary::{Canary, CanaryConfig, Data};
    ///
    /// #[derive(Clone)]
    /// struct Transfer { amount: i64 }
    /// struct Receipt { before: i64, after: i64 }
    ///
    /// let canary = Canary::new(CanaryConfig::new("ledger"))?.check(
    ///     |transfer: &Transfer, receipt: &Receipt| {
    ///         if receipt.after == receipt.before - transfer.amount { Data::Ok } else { Data::Bad }
    ///     },
    /// );
    /// # let _ = canary;
    /// # Ok::<_, seawall::ConfigError>(())
    /// ```
    #[must_use]
    pub fn check<Req, Res, F>(self, check: F) -> Canary<C, Whole<F>, U>
    where
        F: Fn(&Req, &Res) -> Data,
    {
        self.check_by(Whole(check))
    }

    /// The same comparison, with `check` to tell whether an answer is right, by what `keep` keeps of the
    /// request.
    #[must_use]
    pub fn check_kept<Req, Res, T, G, F>(self, keep: G, check: F) -> Canary<C, Kept<G, F>, U>
    where
        G: Fn(&Req) -> T,
        F: Fn(&T, &Res) -> Data,
    {
        self.check_by(Kept(keep, check))
    }

    /// The same comparison, with a [`Check`] written by hand.
    #[must_use]
    pub fn check_by<N>(self, check: N) -> Canary<C, N, U> {
        let Shared { trial, classify, tell, .. } = &*self.shared;
        // Relaxed: read by calls, of which there are none yet.
        trial.check_rate.store(u64::from(trial.set_rate.ppm()), Ordering::Relaxed);
        trial.engine.expect_checks();
        let (trial, classify, tell) = (Arc::clone(trial), Arc::clone(classify), Arc::clone(tell));
        let shared = Shared { trial, classify, check: Arc::new(check), tell };
        Canary { shared: Arc::new(shared) }
    }

    /// The same comparison, where callers stick to a version: `caller` says whose call it is. As the canary's
    /// share grows, who is the canary's stays that. Who is drawn hangs on the rollout's id, and is the
    /// same in every process. A call that is nobody's (`None`) is drawn by itself, and counts.
    ///
    /// What is compared are callers, then, so that no caller can blame a version by calling often: each
    /// counts by one call in a period of 30 s (half of [`no_data_after`], if that is shorter), for its
    /// latency by one call a stage; and once that call has failed, or was answered wrongly, not again in the
    /// same stage (but when an outage of both versions is over). So evidence comes by callers and not
    /// by calls: a fault that only they meet who failed before isn't seen, and one that begins late, up to a
    /// period later. Totals count the calls that counted. 256 KiB a comparison, in which callers are told
    /// apart by 65,536 cells: those that share one count as one, which costs evidence and adds none.
    ///
    /// ```
    /// use seawall::canary::{Canary, CanaryConfig, Sticky};
    ///
    /// struct Transfer { account: String }
    ///
    /// let canary = Canary::new(CanaryConfig::new("ledger"))?
    ///     .sticky(|transfer: &Transfer| Some(Sticky::of(&transfer.account)));
    /// # let _ = canary;
    /// # Ok::<_, seawall::ConfigError>(())
    /// ```
    ///
    /// [`no_data_after`]: CanaryConfig::no_data_after
    #[must_use]
    pub fn sticky<Req, F>(self, caller: F) -> Canary<C, K, ByCaller<F>>
    where
        F: Fn(&Req) -> Option<Sticky>,
    {
        let Shared { trial, classify, check, .. } = &*self.shared;
        trial.engine.stick(trial.sinks.name());
        let (trial, classify, check) = (Arc::clone(trial), Arc::clone(classify), Arc::clone(check));
        let tell = Arc::new(ByCaller(caller));
        Canary { shared: Arc::new(Shared { trial, classify, check, tell }) }
    }

    /// Reads the comparison, and sets the canary's share.
    pub fn handle(&self) -> CanaryHandle {
        CanaryHandle::new(Arc::clone(&self.shared.trial))
    }

    /// A service that shares its calls between the two versions.
    pub fn split<B, N>(&self, baseline: B, canary: N) -> Split<B, N, C, K, U> {
        Split::new(baseline, canary, Owner::new(Arc::clone(&self.shared)))
    }

    /// A layer that doesn't route, but compares: `tell` says which version serves a call
    /// ([`ByRequest`](super::ByRequest), [`ByResponse`](super::ByResponse)).
    pub fn watch<T>(&self, tell: T) -> WatchLayer<T, C, K> {
        self.shared.trial.engine.only_listen();
        let Shared { trial, classify, check, .. } = &*self.shared;
        let (trial, classify, check) = (Arc::clone(trial), Arc::clone(classify), Arc::clone(check));
        let tell = Arc::new(tell);
        WatchLayer { shared: Arc::new(Shared { trial, classify, check, tell }) }
    }
}

impl<C, K, U> Clone for Canary<C, K, U> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// Compares two versions behind one service; made by [`Canary::watch`].
pub struct WatchLayer<T, C = ByResult, K = NoCheck> {
    shared: Arc<Shared<C, K, T>>,
}

impl<T, C, K> Clone for WatchLayer<T, C, K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T, C, K> fmt::Debug for WatchLayer<T, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchLayer").field("trial", &self.shared.trial).finish_non_exhaustive()
    }
}

impl<S, T, C, K> Layer<S> for WatchLayer<T, C, K> {
    type Service = Watch<S, T, C, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Watch::new(inner, Owner::new(Arc::clone(&self.shared)))
    }
}

/// Keeps of the request what the check will need, if this call's answer is checked.
pub(super) fn keep<Req, Res, C, K, T>(shared: &Shared<C, K, T>, request: &Req) -> Option<K::Kept>
where
    K: Check<Req, Res>,
{
    if !shared.trial.is_to_be_checked() {
        return None;
    }
    match catch_unwind(AssertUnwindSafe(|| shared.check.keep(request))) {
        Ok(kept) => Some(kept),
        Err(_) => {
            shared.trial.check_panicked();
            None
        }
    }
}
