//! The circuit itself: admits a call and takes its outcome.
//!
//! # The path of one call
//! [`admit`](Engine::admit) reads the gate. Closed: the call gets a [`Ticket`] of the current
//! generation, and where slow calls count, a place in its cohort. Open: it is refused, or, from the
//! end of the cool-down on, it begins the round of probes and is the first. Half-open: it takes a seat
//! or is refused. Ramping: it takes its chance. When it ends, [`record`](Engine::record) takes the
//! ticket back: an older generation changes nothing; a probe decides its seat; any other outcome goes
//! into the window, and the rules are asked about the counts that this record made.
//!
//! What follows from a verdict is in [`transitions`](super::transitions). Time is passed in, and
//! transitions are returned for the service to report: the engine calls nothing and waits for nothing.

use std::time::Duration;

use super::gate::{AtomicGate, Gate};
use super::probes::{Probes, Seat};
use super::run::{Lengths, Run};
use super::settings::{LiveSettings, Settings};
use crate::clock::{Moment, nanos};
use crate::error::Reason;
use crate::event::{Circuit, Counts, Transition};
use crate::rng;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::window::{Cohorts, End, Entry, Place, Window};

/// The right of one admitted call to say how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u32,
    role: Role,
    /// When it was admitted, or first seen pending, in ns; 0 if it wasn't timed.
    since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Its outcome goes into the window; until then it may have a place in a cohort.
    Counted(Option<Place>),
    /// As `Counted`, and it has been found that the call was entered while it hung.
    Hung,
    /// Its outcome decides a seat.
    Probe(Seat),
    /// Its outcome is nobody's business: the breaker is disabled, or only a shadow.
    Uncounted,
}

impl Ticket {
    pub(super) fn probe(generation: u32, seat: Seat, now: Moment) -> Self {
        Self { generation, role: Role::Probe(seat), since: now.as_nanos() }
    }

    /// Times the call from now on, unless it is timed.
    #[inline]
    pub(crate) fn time(&mut self, now: impl FnOnce() -> Moment) {
        if self.since == 0 {
            self.since = now().as_nanos();
        }
    }

    /// How long the call has taken, if it was timed.
    #[inline]
    pub(crate) fn elapsed(&self, now: Moment) -> Option<Duration> {
        (self.since != 0).then(|| now.since(Moment::from_nanos(self.since)))
    }
}

/// What a call gets that isn't admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) retry_after: Option<Duration>,
}

/// An answer to a call, and the transition that the call caused, if any.
pub(crate) type Admission = (Result<Ticket, Refusal>, Option<Transition>);

/// How a call ended, as the circuit counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) failed: bool,
    /// Slow whatever it took: a call dropped when it was old.
    pub(crate) slow: bool,
    /// When the service asked to be left alone until.
    pub(crate) advice: Option<Duration>,
}

/// One circuit.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) gate: AtomicGate,
    pub(super) window: Window,
    pub(super) cohorts: Cohorts,
    pub(super) run: Run,
    pub(super) probes: Probes,
    /// When the cool-down, or the ramp's step, ends, in ns; written under the gate's claim.
    pub(super) until: AtomicU64,
    /// Tries to recover that failed, since the circuit was last closed; under the gate's claim.
    pub(super) attempt: AtomicU32,
    /// The calls that the window had when the circuit was last opened from closed; under the gate's claim.
    pub(super) came: AtomicU64,
    /// Until when the service asked to be left alone, at the latest, in ns.
    pub(super) advised: AtomicU64,
    /// Outcomes that came too late to count.
    stale: AtomicU64,
    /// Calls that would have been refused, were the breaker not a shadow.
    shadowed: AtomicU64,
    pub(super) live: LiveSettings,
    pub(super) seed: u64,
}

impl Engine {
    pub(crate) fn new(settings: &Settings, window: Window, seed: u64) -> Self {
        let cohorts = Cohorts::new();
        cohorts.set_threshold(settings.slow_after);
        Self {
            gate: AtomicGate::new(Gate::new(Circuit::Closed, 0)),
            window,
            cohorts,
            run: Run::new(0),
            probes: Probes::new(),
            until: AtomicU64::new(0),
            attempt: AtomicU32::new(0),
            came: AtomicU64::new(0),
            advised: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            shadowed: AtomicU64::new(0),
            live: LiveSettings::new(settings),
            seed,
        }
    }

    /// Admits a call, or refuses it: as the service does.
    #[cfg(all(test, seawall_loom))]
    pub(crate) fn admit(&self, now: impl Fn() -> Moment) -> Admission {
        match self.admit_quickly(&now) {
            Some(ticket) => (Ok(ticket), None),
            None => self.admit_slowly(now),
        }
    }

    /// Admits a call to a closed circuit, if that changes nothing but a count; else `None`, and nothing
    /// was done.
    #[inline(always)]
    pub(crate) fn admit_quickly(&self, now: impl FnOnce() -> Moment) -> Option<Ticket> {
        let gate = self.gate.load();
        if !gate.is_closed() {
            return None;
        }
        let (mut place, mut since) = (None, 0);
        if self.cohorts.is_on() {
            let now = now();
            place = Some(self.join(now)?);
            since = now.as_nanos();
        }
        Some(Ticket { generation: gate.generation(), role: Role::Counted(place), since })
    }

    fn join(&self, now: Moment) -> Option<Place> {
        if self.cohorts.is_due(now) { None } else { self.cohorts.join(now) }
    }

    /// Admits a call, or refuses it, in whatever state.
    pub(crate) fn admit_slowly(&self, now: impl FnOnce() -> Moment) -> Admission {
        self.admit_at(self.gate.load(), now())
    }

    fn admit_at(&self, gate: Gate, now: Moment) -> Admission {
        let settled = self.settle(gate, now);
        let gate = if settled.is_some() { self.gate.load() } else { gate };
        let (admission, transition) = self.admit_settled(gate, now);
        let admission = match admission {
            Err(_) if self.live.shadow() => {
                // Relaxed: a counter nothing hangs on.
                self.shadowed.fetch_add(1, Ordering::Relaxed);
                Ok(Ticket { generation: gate.generation(), role: Role::Uncounted, since: 0 })
            }
            admission => admission,
        };
        // Both at once can't be: what was settled opened the circuit, and its wait isn't zero.
        (admission, settled.or(transition))
    }

    fn admit_settled(&self, gate: Gate, now: Moment) -> Admission {
        match gate.state() {
            Circuit::Closed | Circuit::ForcedClosed => self.admit_counted(gate, now),
            Circuit::Disabled => {
                let role = Role::Uncounted;
                (Ok(Ticket { generation: gate.generation(), role, since: 0 }), None)
            }
            Circuit::ForcedOpen => {
                (Err(Refusal { reason: Reason::ForcedOpen, retry_after: None }), None)
            }
            Circuit::Open => match self.wait_left(now) {
                None => match self.begin_probes(gate, now) {
                    Some((ticket, transition)) => (Ok(ticket), Some(transition)),
                    // Someone else is just beginning: this caller came a moment too late.
                    None => (Err(refusal(Some(Duration::ZERO))), None),
                },
                left => (Err(refusal(left)), None),
            },
            Circuit::HalfOpen => self.admit_probe(gate, now),
            Circuit::Ramping => self.admit_ramped(gate, now),
        }
    }

    /// A ticket whose outcome goes into the window; with a place in a cohort, if slow calls count.
    #[inline]
    fn admit_counted(&self, gate: Gate, now: Moment) -> Admission {
        let (place, hung) = self.cohorts.start(now);
        let transition = if hung == 0 { None } else { self.enter_hung(gate, hung, now) };
        let since = if self.cohorts.is_on() { now.as_nanos() } else { 0 };
        let (generation, role) = (gate.generation(), Role::Counted(place));
        (Ok(Ticket { generation, role, since }), transition)
    }

    fn admit_probe(&self, gate: Gate, now: Moment) -> Admission {
        let generation = gate.generation();
        if let Some(transition) = self.expire(gate, now) {
            // It is open again, unless it has moved on since.
            let (admission, _) = self.admit_settled(self.gate.load(), now);
            return (admission, Some(transition));
        }
        match self.probes.take(generation, now, self.live.lease()) {
            Some(seat) => (Ok(Ticket::probe(generation, seat, now)), None),
            None => {
                let left = self.probes.next_end(generation, now);
                (Err(refusal(left.map(Duration::from_nanos))), None)
            }
        }
    }

    fn admit_ramped(&self, gate: Gate, now: Moment) -> Admission {
        let left = self.wait_left(now);
        if left.is_none() {
            if let Some(transition) = self.end_step(gate, now) {
                let (admission, _) = self.admit_settled(self.gate.load(), now);
                return (admission, Some(transition));
            }
        }
        let share = self.live.ramp().share(gate.step()).map_or(1_000_000, |share| share.ppm());
        if rng::below(rng::next(), 1_000_000) < u64::from(share) {
            self.admit_counted(gate, now)
        } else {
            (Err(refusal(left)), None)
        }
    }

    /// Refuses a call to an open circuit whose wait isn't over; else `None`, and nothing was done.
    #[inline]
    pub(crate) fn refuse_quickly(&self, now: impl FnOnce() -> Moment) -> Option<Refusal> {
        if !self.gate.load().is_open() || self.live.shadow() {
            return None;
        }
        self.wait_left(now()).map(|left| refusal(Some(left)))
    }

    /// Would a call be refused now, for all that can be known? Changes nothing.
    pub(crate) fn would_refuse(&self, now: impl FnOnce() -> Moment) -> bool {
        let gate = self.gate.load();
        let refuses = match gate.state() {
            Circuit::ForcedOpen => true,
            Circuit::Open => self.wait_left(now()).is_some(),
            Circuit::HalfOpen => {
                !self.probes.has_free(gate.generation())
                    && self.probes.next_end(gate.generation(), now()) != Some(0)
            }
            _ => false,
        };
        refuses && !self.live.shadow()
    }

    /// Takes back the ticket of a call that says nothing: its probe goes to the next caller, unless
    /// its lease has run out, which says enough.
    pub(crate) fn give_back(&self, ticket: Ticket, now: impl Fn() -> Moment) -> Option<Transition> {
        match ticket.role {
            Role::Counted(Some(place)) => {
                self.cohorts.end(place);
            }
            Role::Probe(seat) => {
                let (gate, now) = (self.gate.load(), now());
                if gate.generation() == ticket.generation && self.probes.is_over(seat, now) {
                    return self.decide(gate, seat, Entry::default(), now);
                }
                self.probes.give_back(seat, ticket.generation);
            }
            _ => {}
        }
        None
    }

    /// Takes back the ticket of a call that was dropped: old enough, it counts as a slow failure.
    pub(crate) fn abandon(
        &self,
        ticket: Ticket,
        now: impl Fn() -> Moment,
    ) -> (bool, Option<Transition>) {
        let counts_after = self.live.cancel_counts_after().filter(|_| ticket.since != 0);
        if let Some(age) = counts_after {
            let now = now();
            if ticket.elapsed(now).is_some_and(|elapsed| elapsed >= age) {
                let ending = Ending { failed: true, slow: true, advice: None };
                return (true, self.record(ticket, ending, || now).1);
            }
        }
        (false, self.give_back(ticket, now))
    }

    /// Takes back the ticket of a call that succeeded, in a closed circuit that has nothing bad to tell,
    /// if that changes nothing but counts; else `false`, and [`record`](Self::record) it: what was done
    /// is noted in the ticket.
    #[inline(always)]
    pub(crate) fn record_quickly(&self, ticket: &mut Ticket, now: impl FnOnce() -> Moment) -> bool {
        let generation = ticket.generation;
        let Role::Counted(place) = ticket.role else { return false };
        if !self.gate.load().is_closed_in(generation) || !self.run.is_over(generation) {
            return false;
        }
        match &self.window {
            Window::Count(window) => {
                place.is_none() && !self.cohorts.is_on() && window.is_spotless(generation)
            }
            Window::Time(window) => {
                let now = now();
                if let Some(place) = place {
                    ticket.role = match self.end_in_time(place, ticket.since, now) {
                        None => return false,
                        Some(End::InTime | End::Forgotten) => Role::Counted(None),
                        Some(End::Hung) => Role::Hung,
                    };
                }
                ticket.role != Role::Hung && window.record_in_spotless(generation, now)
            }
        }
    }

    /// Takes a call out of its cohort if it ended in time, and none is to be settled.
    fn end_in_time(&self, place: Place, since: u64, now: Moment) -> Option<End> {
        let elapsed = now.as_nanos().saturating_sub(since);
        let in_time = self.cohorts.threshold().is_some_and(|threshold| elapsed < nanos(threshold));
        (in_time && !self.cohorts.is_due(now)).then(|| self.cohorts.end(place))
    }

    /// Takes back the ticket of a call that ended so; gives whether it was slow, and the transition
    /// that it caused.
    #[inline]
    pub(crate) fn record(
        &self,
        ticket: Ticket,
        ending: Ending,
        now: impl Fn() -> Moment,
    ) -> (bool, Option<Transition>) {
        let gate = self.gate.load();
        if self.cohorts.is_on() || self.window.is_timed() || !gate.is_closed() {
            return self.record_at(gate, ticket, ending, now());
        }
        if gate.generation() != ticket.generation || ticket.role != Role::Counted(None) {
            // Rare: a ticket of before the slow rule was switched off, or of an older generation.
            return self.record_at(gate, ticket, ending, now());
        }
        self.heed(ending.advice, &now);
        (ending.slow, self.enter(gate, Entry { failed: ending.failed, slow: ending.slow }, now))
    }

    fn record_at(
        &self,
        gate: Gate,
        ticket: Ticket,
        ending: Ending,
        now: Moment,
    ) -> (bool, Option<Transition>) {
        let slow = ending.slow
            || self.cohorts.threshold().is_some_and(|threshold| {
                ticket.elapsed(now).is_some_and(|elapsed| elapsed >= threshold)
            });
        let fresh = gate.generation() == ticket.generation;
        if fresh && ticket.role != Role::Uncounted {
            self.heed(ending.advice, || now);
        }
        let entry = Entry { failed: ending.failed, slow };
        let transition = match ticket.role {
            Role::Uncounted => None,
            Role::Counted(_) | Role::Hung => {
                // What others left hung is entered first, this call among them if it was one.
                let settled = self.settle(gate, now);
                let end = match ticket.role {
                    Role::Counted(Some(place)) => self.cohorts.end(place),
                    Role::Hung => End::Hung,
                    _ => End::InTime,
                };
                if end == End::Hung && fresh {
                    // It has been entered as slow.
                    settled.or_else(|| self.end_hung(gate, ticket, ending.failed, now))
                } else if settled.is_some() || !fresh {
                    self.count_stale();
                    settled
                } else {
                    self.enter(gate, entry, || now)
                }
            }
            Role::Probe(_) if !fresh => {
                self.count_stale();
                None
            }
            Role::Probe(seat) => self.decide(gate, seat, entry, now),
        };
        (slow, transition)
    }

    /// Keeps the service's wish to be left alone: whichever call opens the circuit, it is not undershot.
    #[inline]
    fn heed(&self, advice: Option<Duration>, now: impl Fn() -> Moment) {
        if let Some(advice) = advice {
            // Relaxed: read for itself, when the circuit opens.
            self.advised.fetch_max(now().plus(advice).as_nanos(), Ordering::Relaxed);
        }
    }

    /// One outcome into the window, and the verdict on what it made.
    #[inline]
    fn enter(&self, gate: Gate, entry: Entry, now: impl Fn() -> Moment) -> Option<Transition> {
        let generation = gate.generation();
        let Some(counts) = self.window.record(entry, 1, generation, &now) else {
            self.count_stale();
            return None;
        };
        let run = self.run.record(entry, generation);
        if counts.failures == 0 && counts.slow == 0 {
            return None;
        }
        self.judge(gate, counts, run, now)
    }

    /// Enters the calls of cohorts whose time has come.
    #[inline]
    fn settle(&self, gate: Gate, now: Moment) -> Option<Transition> {
        if !self.cohorts.is_on() || !self.cohorts.is_due(now) {
            return None;
        }
        match self.cohorts.settle(now) {
            0 => None,
            hung => self.enter_hung(gate, hung, now),
        }
    }

    /// Takes note of how a call ended that was entered while it hung: a failure counts as one of the
    /// window's, and is no other call.
    #[cold]
    fn end_hung(
        &self,
        gate: Gate,
        ticket: Ticket,
        failed: bool,
        now: Moment,
    ) -> Option<Transition> {
        let run = self.run.end_hung(failed, gate.generation());
        if !failed {
            return None;
        }
        // No sooner was it entered.
        let entered = Moment::from_nanos(ticket.since).plus(self.cohorts.threshold()?);
        let Some(counts) = self.window.fail(gate.generation(), entered, now) else {
            self.count_stale();
            return None;
        };
        self.judge(gate, counts, run, || now)
    }

    /// Enters calls that hang: slow, and not failed so far.
    #[cold]
    fn enter_hung(&self, gate: Gate, hung: u64, now: Moment) -> Option<Transition> {
        let entry = Entry { failed: false, slow: true };
        let counts = self.window.record(entry, hung, gate.generation(), || now)?;
        let run = self.run.hang(hung, gate.generation());
        self.judge(gate, counts, run, || now)
    }

    /// Changes the settings at once. One at a time.
    pub(crate) fn apply(&self, settings: &Settings) {
        self.live.publish(settings);
        if self.cohorts.threshold() != settings.slow_after {
            // Calls in flight are judged when they end.
            self.cohorts.set_threshold(settings.slow_after);
        }
    }

    /// What must happen even when nobody calls: hung calls count, leases and steps end.
    pub(crate) fn tick(&self, now: Moment) -> Option<Transition> {
        let gate = self.gate.load();
        match gate.state() {
            Circuit::HalfOpen => self.expire(gate, now),
            Circuit::Ramping => match self.settle(gate, now) {
                None if self.wait_left(now).is_none() => self.end_step(gate, now),
                settled => settled,
            },
            _ => self.settle(gate, now),
        }
    }

    /// What is left of the cool-down, or of a ramp's step; `None` when it is over, at exactly its end
    /// too.
    #[inline]
    pub(super) fn wait_left(&self, now: Moment) -> Option<Duration> {
        // Relaxed: the gate that said Open was read with Acquire. A later one's `until` may be seen
        // with an older gate; then the claim fails, or the wait is the newer and truer one.
        let until = Moment::from_nanos(self.until.load(Ordering::Relaxed));
        (now < until).then(|| until.since(now))
    }

    #[cold]
    pub(super) fn count_stale(&self) {
        // Relaxed: a counter nothing hangs on.
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// The ticket of a call of this moment, whatever share of calls is let through.
    #[cfg(all(test, seawall_loom))]
    pub(super) fn ticket_for_model(&self) -> Ticket {
        Ticket { generation: self.gate.load().generation(), role: Role::Counted(None), since: 0 }
    }

    // ---- reading ----

    /// The circuit as it is: never writes.
    pub(crate) fn view(&self, now: Moment) -> View {
        let gate = self.gate.load();
        let state = gate.state();
        let waits = matches!(state, Circuit::Open | Circuit::Ramping);
        View {
            state,
            generation: gate.generation(),
            counts: self.window.counts(|| now),
            probes: match state {
                Circuit::HalfOpen => self.probes.counts(),
                _ => Counts::default(),
            },
            run: self.run.lengths(),
            in_cohorts: self.cohorts.running(),
            wait: if waits { self.wait_left(now) } else { None },
            // Relaxed, both: counters nothing hangs on.
            stale: self.stale.load(Ordering::Relaxed),
            shadowed: self.shadowed.load(Ordering::Relaxed),
        }
    }
}

/// A circuit as it is at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) state: Circuit,
    pub(crate) generation: u32,
    pub(crate) counts: Counts,
    pub(crate) probes: Counts,
    pub(crate) run: Lengths,
    pub(crate) in_cohorts: u64,
    pub(crate) wait: Option<Duration>,
    pub(crate) stale: u64,
    pub(crate) shadowed: u64,
}

fn refusal(retry_after: Option<Duration>) -> Refusal {
    Refusal { reason: Reason::CircuitOpen, retry_after }
}
