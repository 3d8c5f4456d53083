//! What rooms tell, and who listens.
//!
//! A room tells three kinds of things: *events* (rare: a circuit opened, a limit changed),
//! *refusals*, and *calls*. An [`Observe`] is attached once per layer and gives a [`Sink`] that
//! says which of them it [`wants`](Sink::wants); what nobody wants costs nothing. Sinks run outside
//! any lock; a panic in one is caught, counted, and touches nothing else.

mod describe;
mod notice;
mod runbook;
mod severity;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::audit::Audit;
use crate::clock::Moment;
use crate::error::{Rejected, Room};
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::verdict::Judgement;

pub use describe::{Gravity, Symptom, Turn};
pub use notice::Notice;
pub(crate) use notice::{Weight, overtakes};
pub use severity::Severity;

/// Something that happened in one layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The kind of layer.
    pub room: Room,
    /// The instance's name.
    pub name: &'static str,
    /// When, on that layer's clock.
    pub at: Moment,
    /// What.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// A circuit went from one state to another: one event a transition.
    Transition(Transition),
    /// A layer's live settings were changed through its handle.
    Reconfigured,
    /// The share of answers given from the cache reached its alert threshold (`true`), or fell back
    /// below half of it.
    StaleShare(bool),
    /// An objective's budget began to burn too fast, or ceased to.
    Burn(BurnAlert),
    /// More than 80 % of a pool were in use, on average over ten seconds: soon it is used up.
    Saturated(PoolUse),
    /// Nothing is left of a pool, and somebody was turned away or had to wait.
    Exhausted(PoolUse),
    /// A pool that was saturated isn't any more.
    Cleared(PoolUse),
    /// A kill switch was flipped.
    Flipped(Flip),
    /// A kill switch's source can't be read: which, and why. The switch keeps its position.
    SourceUnreadable(Box<str>),
    /// The verdict on a canary changed.
    Judged(Judgement),
    /// The share of the calls that a canary gets was set, by an operator or because it was rolled back.
    Weighted(Ratio),
    /// A check on a canary's answers panicked, so many times by now; told at 1, 2, 4, 8, ...
    CheckPanicked(u64),
    /// A step of a rollout.
    Rollout(Box<Audit>),
}

/// An alert on an objective's burn rate that fires, or ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnAlert {
    /// Which: `page_fast`, `page_slow`, `ticket`.
    pub alert: &'static str,
    /// Did it begin to fire (`true`), or end?
    pub fires: bool,
    /// The burn rate over its long window.
    pub long_burn: f64,
    /// The burn rate over its short window.
    pub short_burn: f64,
    /// What is left of the budget: 1 is all of it, negative is overspent.
    pub budget_left: f64,
}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolUse {
    /// In use now.
    pub used: u32,
    /// How many there are.
    pub size: u32,
    /// The share in use, on average over the last ten seconds.
    pub mean: Ratio,
    /// The most that were seen in use since the mean was last below 70 %.
    pub peak: u32,
}

/// One flip of a kill switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The position it left: `run`, `bypass`, `halt`.
    pub from: &'static str,
    /// The position it came to.
    pub to: &'static str,
    /// Who flipped it.
    pub actor: Box<str>,
    /// Why, in the actor's words.
    pub reason: Box<str>,
}

/// One step of a circuit, with all that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The state it left.
    pub from: Circuit,
    /// The state it came to.
    pub to: Circuit,
    /// What decided.
    pub why: Why,
    /// The counts at that moment: the window's, or the probes' when half-open.
    pub counts: Counts,
    /// The generation that begins with it; outcomes of older ones change nothing any more.
    pub generation: u32,
    /// The share of calls that is let through from here on (none, of a half-open circuit, but its
    /// probes).
    pub share: Ratio,
    /// How long it will stay open, or on this step of the ramp.
    pub wait: Option<Duration>,
    /// `false` in shadow mode: the breaker says so, and refuses nothing.
    pub enforced: bool,
}

/// The state of a circuit, as the outside sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Circuit {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused until the cool-down ends.
    Open,
    /// A few probes pass; they decide.
    HalfOpen,
    /// A growing share of calls passes.
    Ramping,
    /// An operator holds it open.
    ForcedOpen,
    /// An operator holds it closed: calls pass and are counted, no rule fires.
    ForcedClosed,
    /// Calls pass, nothing is counted.
    Disabled,
}

impl Circuit {
    /// The name in metrics: `closed`, `open`, `half_open`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Ramping => "ramping",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The share of failures reached the threshold.
    FailureRatio(Ratio),
    /// The share of slow calls, hung ones included, reached the threshold.
    SlowRatio(Ratio),
    /// So many failures came in a row.
    ConsecutiveFailures(u16),
    /// So many slow calls, hung ones included, came in a row.
    ConsecutiveSlow(u16),
    /// So many failures lay in the window.
    Failures(u32),
    /// The cool-down ended, and a caller came.
    CoolDownOver,
    /// The probes decided.
    Probes,
    /// A step of the ramp held: the next one lets more calls through, or closes.
    RampHeld,
    /// An operator did it through the handle.
    Operator,
}

impl Why {
    /// The name in metrics: `failure_ratio`, `probes`, `operator`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureRatio(_) => "failure_ratio",
            Self::SlowRatio(_) => "slow_ratio",
            Self::ConsecutiveFailures(_) => "consecutive_failures",
            Self::ConsecutiveSlow(_) => "consecutive_slow",
            Self::Failures(_) => "failures",
            Self::CoolDownOver => "cool_down_over",
            Self::Probes => "probes",
            Self::RampHeld => "ramp_held",
            Self::Operator => "operator",
        }
    }
}

/// Calls, and how many of them failed or were slow.
///
/// ```
/// use seawall::event::Counts;
///
/// let none = Counts::default();
/// assert_eq!(none.failure_ratio(), None, "no data is no ratio");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that ended (or hung).
    pub total: u64,
    /// Those that failed; never more than `total`.
    pub failures: u64,
    /// Those that were slow, failed or not; never more than `total`.
    pub slow: u64,
}

impl Counts {
    /// The share of failures; `None` without data.
    pub const fn failure_ratio(self) -> Option<Ratio> {
        Ratio::of(self.failures, self.total)
    }

    /// The share of slow calls; `None` without data.
    pub const fn slow_ratio(self) -> Option<Ratio> {
        Ratio::of(self.slow, self.total)
    }
}

/// One call that ended, for sinks that asked for calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// How it ended.
    pub outcome: Outcome,
    /// Was it slow, by the layer's own threshold?
    pub slow: bool,
    /// How long it took, where the layer measured it and somebody wanted [times](Wants::times).
    pub elapsed: Option<Duration>,
    /// What the caller got.
    pub answered: Answered,
}

impl Call {
    pub(crate) const fn new(outcome: Outcome, answered: Answered) -> Self {
        Self { outcome, slow: false, elapsed: None, answered }
    }

    /// The same, with what the layer's clock said of it.
    pub(crate) const fn timed(mut self, slow: bool, elapsed: Option<Duration>) -> Self {
        (self.slow, self.elapsed) = (slow, elapsed);
        self
    }
}

/// What came of a call, for whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answered {
    /// An answer of the service.
    Fresh,
    /// An answer in its place: a kept one, a value, another service's.
    Substitute,
    /// No answer: an error, or a refusal further in.
    Nothing,
    /// Nobody waits for one any more: the call was dropped.
    Left,
}

impl Answered {
    /// What a layer that passes results on gives.
    pub(crate) const fn with(result_is_ok: bool) -> Self {
        if result_is_ok { Self::Fresh } else { Self::Nothing }
    }

    /// The name in metrics: `fresh`, `substitute`, `nothing`, `left`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Substitute => "substitute",
            Self::Nothing => "nothing",
            Self::Left => "left",
        }
    }
}

/// Which of a room's reports a [`Sink`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    /// Events: rare.
    pub events: bool,
    /// One report a refused call.
    pub refusals: bool,
    /// One report a finished call.
    pub calls: bool,
    /// With these reports, how long each call took: a reading of the clock a call.
    pub times: bool,
}

impl Wants {
    /// Events alone.
    pub const EVENTS: Self = Self { events: true, refusals: false, calls: false, times: false };
    /// Everything.
    pub const ALL: Self = Self { events: true, refusals: true, calls: true, times: true };
    const NOTHING: Self = Self { events: false, refusals: false, calls: false, times: false };

    /// Without [`times`](Self::times).
    #[must_use]
    pub const fn untimed(mut self) -> Self {
        self.times = false;
        self
    }

    const fn or(self, other: Self) -> Self {
        Self {
            events: self.events | other.events,
            refusals: self.refusals | other.refusals,
            calls: self.calls | other.calls,
            times: self.times | (other.calls & other.times),
        }
    }
}

/// Listens to layers: attached once to each, when the layer is built.
///
/// `()` listens to nothing; a closure over [`Event`] hears events.
///
/// ```
/// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
/// use seawall::event::{Event, Kind};
/// use std::sync::{Arc, Mutex};
///
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let seen = Arc::clone(&log);
/// let config = CircuitBreakerConfig::new("payments").observe(move |event: &Event| {
///     if let Kind::Transition(step) = &event.kind {
///         seen.lock().unwrap().push(step.to.as_str());
///     }
/// });
/// let layer = CircuitBreakerLayer::new(config).unwrap();
/// layer.handle().force_open();
/// assert_eq!(*log.lock().unwrap(), ["forced_open"]);
/// ```
pub trait Observe: Send + Sync + 'static {
    /// The sink for one layer, or `None` if it has nothing of interest.
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>>;
}

impl Observe for () {
    fn attach(self: Arc<Self>, _: Room, _: &'static str) -> Option<Box<dyn Sink>> {
        None
    }
}

impl<F> Observe for F
where
    F: Fn(&Event) + Send + Sync + 'static,
{
    fn attach(self: Arc<Self>, _: Room, _: &'static str) -> Option<Box<dyn Sink>> {
        Some(Box::new(OnEvent(self)))
    }
}

/// Takes the reports of one layer.
///
/// Called on the thread of the call that caused the report, outside any lock: be quick, or hand the
/// work on. A panic is caught and counted.
pub trait Sink: Send + Sync {
    /// What to send here; asked once, when the layer is built.
    fn wants(&self) -> Wants {
        Wants::EVENTS
    }
    /// Something happened.
    fn event(&self, _event: &Event) {}
    /// A call was refused, or given up.
    fn refused(&self, _rejected: &Rejected) {}
    /// A call ended.
    fn called(&self, _call: &Call) {}
}

struct OnEvent<F>(Arc<F>);

impl<F: Fn(&Event) + Send + Sync> Sink for OnEvent<F> {
    fn event(&self, event: &Event) {
        (self.0)(event);
    }
}

/// A configuration's list of observers, not yet attached.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<AttachFn>);

type AttachFn = Arc<dyn Fn(Room, &'static str) -> Option<Box<dyn Sink>> + Send + Sync>;

impl Observers {
    pub(crate) fn add<O: Observe>(&mut self, observer: O) {
        let observer = Arc::new(observer);
        self.0.push(Arc::new(move |room, name| Arc::clone(&observer).attach(room, name)));
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().cloned());
    }

    pub(crate) fn attach(&self, room: Room, name: &'static str) -> Sinks {
        let mut panics = 0;
        let mut attached = |attach: &AttachFn| {
            let sink = || attach(room, name).map(|sink| (sink.wants(), sink));
            // One that panics hears nothing; the layer is built all the same.
            catch_unwind(AssertUnwindSafe(sink)).unwrap_or_else(|_| {
                panics += 1;
                None
            })
        };
        let all: Box<[_]> = self.0.iter().filter_map(&mut attached).collect();
        let wants = all.iter().fold(Wants::NOTHING, |sum, (one, _)| sum.or(*one));
        Sinks { room, name, wants, all, panics: AtomicU64::new(panics) }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

/// The attached sinks of one layer.
pub(crate) struct Sinks {
    room: Room,
    name: &'static str,
    wants: Wants,
    all: Box<[(Wants, Box<dyn Sink>)]>,
    panics: AtomicU64,
}

impl Sinks {
    /// The instance's name.
    #[inline]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Does anyone want a report of each call?
    #[inline]
    pub(crate) fn wants_calls(&self) -> bool {
        self.wants.calls
    }

    /// ... and how long each took?
    #[inline]
    pub(crate) fn wants_times(&self) -> bool {
        self.wants.times
    }

    /// Panics caught in sinks so far.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed: a counter nothing hangs on.
        self.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn event(&self, at: Moment, kind: Kind) {
        if self.wants.events {
            let event = Event { room: self.room, name: self.name, at, kind };
            self.each(|wants| wants.events, |sink| sink.event(&event));
        }
    }

    /// Reports a refusal, and gives it back to be returned.
    #[inline]
    pub(crate) fn refused(&self, rejected: Rejected) -> Rejected {
        if self.wants.refusals {
            self.each_refused(rejected);
        }
        rejected
    }

    // A copy, which may be in memory: then what is given back need not be.
    #[inline(never)]
    fn each_refused(&self, rejected: Rejected) {
        self.each(|wants| wants.refusals, |sink| sink.refused(&rejected));
    }

    #[inline]
    pub(crate) fn called(&self, call: &Call) {
        if self.wants.calls {
            self.each_called(call);
        }
    }

    #[inline(never)]
    fn each_called(&self, call: &Call) {
        self.each(|wants| wants.calls, |sink| sink.called(call));
    }

    fn each(&self, wanted: impl Fn(Wants) -> bool, report: impl Fn(&dyn Sink)) {
        for (_, sink) in self.all.iter().filter(|(wants, _)| wanted(*wants)) {
            if catch_unwind(AssertUnwindSafe(|| report(&**sink))).is_err() {
                // Relaxed: a counter nothing hangs on.
                self.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks")
            .field("name", &self.name)
            .field("sinks", &self.all.len())
            .finish_non_exhaustive()
    }
}
