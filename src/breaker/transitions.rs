//! From verdict to state: what the engine does when a rule fires, a probe decides, a wait ends, or an
//! operator orders.
//!
//! Each transition claims the gate it judged, writes what belongs to the next state, and publishes.
//! Where the claim fails, someone else has moved the gate, and the verdict was on a state that is
//! past. So an automatic transition can't override an operator's.

use std::time::Duration;

use super::engine::{Engine, Ticket};
use super::gate::{Claim, Gate};
use super::probes::{EXPIRED, Seat};
use super::rules::Rules;
use super::run::Lengths;
use crate::clock::Moment;
use crate::event::{Circuit, Counts, Transition, Why};
use crate::ratio::Ratio;
use crate::rng;
use crate::sync::{Ordering, pause};
use crate::window::Entry;

impl Engine {
    /// Asks the rules about what a record made of the window.
    pub(super) fn judge(
        &self,
        judged: Gate,
        counts: Counts,
        run: Lengths,
        now: impl FnOnce() -> Moment,
    ) -> Option<Transition> {
        let why = self.live.rules().fired(counts, run)?;
        self.trip(judged, why, counts, now())
    }

    /// A rule fired.
    #[cold]
    fn trip(&self, judged: Gate, why: Why, counts: Counts, now: Moment) -> Option<Transition> {
        let mut gate = judged;
        // Within a generation, the verdict is on what the gate is now too.
        while gate.generation() == judged.generation() {
            if gate.is_busy() {
                if self.gate.ask(gate) {
                    return None;
                }
            } else if !matches!(gate.state(), Circuit::Closed | Circuit::Ramping) {
                // Before the claim: one that isn't published shuts the gate for ever.
                return None;
            } else if let Some(claim) = self.gate.claim(gate) {
                return Some(match gate.state() {
                    Circuit::Ramping => self.step_back(claim, why, counts, now),
                    _ => self.open(claim, why, counts, 0, now),
                });
            }
            gate = self.gate.load();
        }
        None
    }

    /// A probe ended: decides its seat, and asks the rules about all that are decided.
    pub(super) fn decide(
        &self,
        gate: Gate,
        seat: Seat,
        entry: Entry,
        now: Moment,
    ) -> Option<Transition> {
        let late = self.probes.is_over(seat, now);
        let entry = if late { EXPIRED } else { entry };
        let Some(counts) = self.probes.decide(seat, gate.generation(), entry) else {
            self.count_stale();
            return None;
        };
        self.judge_probes(gate, counts, entry, now)
    }

    /// Decides the seats whose leases ran out.
    pub(super) fn expire(&self, gate: Gate, now: Moment) -> Option<Transition> {
        while let Some(counts) = self.probes.expire_one(gate.generation(), now) {
            if let Some(transition) = self.judge_probes(gate, counts, EXPIRED, now) {
                return Some(transition);
            }
        }
        None
    }

    fn judge_probes(
        &self,
        gate: Gate,
        counts: Counts,
        last: Entry,
        now: Moment,
    ) -> Option<Transition> {
        let well = self.live.rules().probed(counts, last, self.probes.seats() as u64)?;
        let claim = self.gate.claim(gate)?;
        if !well {
            return Some(self.open_again(claim, Why::Probes, counts, now));
        }
        Some(match self.live.ramp().share(0) {
            Some(_) => {
                let next = gate.next(Circuit::Ramping);
                self.start_afresh(next.generation());
                let wait = self.begin_step(now);
                self.publish(claim, next, Why::Probes, counts, Some(wait))
            }
            None => {
                let next = gate.next(Circuit::Closed);
                self.start_afresh(next.generation());
                self.publish(claim, next, Why::Probes, counts, None)
            }
        })
    }

    /// A step of the ramp is over: on to the next one or to closed, if what it saw allows.
    pub(super) fn end_step(&self, gate: Gate, now: Moment) -> Option<Transition> {
        let mut claim = self.gate.claim(gate)?;
        loop {
            let counts = self.window.counts(|| now);
            // A step may see few calls; those it saw must do.
            let rules = Rules { min_calls: 1, ..self.live.rules() };
            if let Some(why) = rules.fired(counts, self.run.lengths()) {
                return Some(self.step_back(claim, why, counts, now));
            }
            let step = gate.step() + 1;
            let (next, wait) = match self.live.ramp().share(step) {
                Some(_) => (gate.ramped(Circuit::Ramping, step), Some(self.begin_step(now))),
                None => (gate.ramped(Circuit::Closed, 0), None),
            };
            let told = self.told(gate, next, Why::RampHeld, counts, wait);
            match claim.publish_unless_asked(next) {
                Ok(()) => return Some(told),
                Err(asked) => claim = asked,
            }
        }
    }

    /// A rule fired on the ramp: one step down, or open again.
    fn step_back(&self, claim: Claim<'_>, why: Why, counts: Counts, now: Moment) -> Transition {
        let gate = claim.from();
        // The ramp may have been shortened meanwhile: to a step that there is.
        let ramp = self.live.ramp();
        let Some(step) = (0..gate.step()).rev().find(|&step| ramp.share(step).is_some()) else {
            return self.open_again(claim, why, counts, now);
        };
        let next = gate.next(Circuit::Ramping);
        self.start_afresh(next.generation());
        let wait = self.begin_step(now);
        self.publish(claim, next.ramped(Circuit::Ramping, step), why, counts, Some(wait))
    }

    /// Sets the end of a step that begins now, and gives its length.
    fn begin_step(&self, now: Moment) -> Duration {
        let wait = Duration::from_nanos(self.live.ramp().step);
        // Relaxed: under the claim, handed on by its publication.
        self.until.store(now.plus(wait).as_nanos(), Ordering::Relaxed);
        wait
    }

    fn open_again(&self, claim: Claim<'_>, why: Why, counts: Counts, now: Moment) -> Transition {
        // Relaxed: under the claim.
        let attempt = self.attempt.load(Ordering::Relaxed).saturating_add(1);
        self.open(claim, why, counts, attempt, now)
    }

    fn open(
        &self,
        claim: Claim<'_>,
        why: Why,
        counts: Counts,
        attempt: u32,
        now: Moment,
    ) -> Transition {
        let next = claim.from().next(Circuit::Open);
        let bits = rng::mix(self.seed ^ u64::from(next.generation()));
        // Relaxed: as it was last heard.
        let advised = Moment::from_nanos(self.advised.load(Ordering::Relaxed));
        let calls = match attempt {
            0 => counts.total,
            // Relaxed: under the claim.
            _ => self.came.load(Ordering::Relaxed),
        };
        let wait = self.live.cool_down().wait(attempt, calls, bits, advised.since(now));
        self.cohorts.forget();
        // Relaxed, all: under the claim, handed on by its publication.
        self.attempt.store(attempt, Ordering::Relaxed);
        self.came.store(calls, Ordering::Relaxed);
        self.until.store(now.plus(wait).as_nanos(), Ordering::Relaxed);
        self.publish(claim, next, why, counts, Some(wait))
    }

    /// The cool-down is over: begins a round of probes, the caller being the first.
    pub(super) fn begin_probes(&self, gate: Gate, now: Moment) -> Option<(Ticket, Transition)> {
        let claim = self.gate.claim(gate)?;
        let next = gate.next(Circuit::HalfOpen);
        let generation = next.generation();
        self.probes.begin(generation, self.live.probes(), now);
        let seat = self.probes.take(generation, now, self.live.lease());
        let seat = seat.expect("a fresh round has a free seat, and nobody else can see it yet");
        let counts = self.window.counts(|| now);
        let transition = self.publish(claim, next, Why::CoolDownOver, counts, None);
        Some((Ticket::probe(generation, seat, now), transition))
    }

    /// An operator's transition: from whatever state, once no other is under way. `None` if the
    /// circuit is held there already; closing always clears.
    pub(crate) fn force(&self, to: Circuit, now: Moment) -> Option<Transition> {
        loop {
            let gate = self.gate.load();
            if gate.state() == to && !gate.is_busy() && to != Circuit::Closed {
                return None;
            }
            let Some(claim) = self.gate.claim(gate) else {
                pause();
                continue;
            };
            let counts = match gate.state() {
                Circuit::HalfOpen => self.probes.counts(),
                _ => self.window.counts(|| now),
            };
            let next = gate.next(to);
            self.start_afresh(next.generation());
            return Some(self.publish(claim, next, Why::Operator, counts, None));
        }
    }

    /// Nothing of the past counts from here on, but the failed tries of a recovery that isn't over: a
    /// circuit that opens from closed counts them anew.
    fn start_afresh(&self, generation: u32) {
        self.window.reset(generation);
        self.cohorts.forget();
        self.run.reset(generation);
        // Relaxed: as above, a word that is read for itself.
        self.advised.store(0, Ordering::Relaxed);
    }

    fn publish(
        &self,
        claim: Claim<'_>,
        next: Gate,
        why: Why,
        counts: Counts,
        wait: Option<Duration>,
    ) -> Transition {
        let told = self.told(claim.from(), next, why, counts, wait);
        claim.publish(next);
        told
    }

    /// A transition as it is told.
    fn told(
        &self,
        from: Gate,
        next: Gate,
        why: Why,
        counts: Counts,
        wait: Option<Duration>,
    ) -> Transition {
        let share = match next.state() {
            Circuit::Open | Circuit::HalfOpen | Circuit::ForcedOpen => Ratio::ZERO,
            Circuit::Ramping => self.live.ramp().share(next.step()).unwrap_or(Ratio::ONE),
            _ => Ratio::ONE,
        };
        Transition {
            from: from.state(),
            to: next.state(),
            why,
            counts,
            generation: next.generation(),
            share,
            wait,
            enforced: !self.live.shadow(),
        }
    }
}
