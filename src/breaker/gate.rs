//! The state of a circuit in one word, and the claim by which it changes.
//!
//! Every call reads the gate; transitions are rare. A transition has more to say than fits a word
//! (until when, how many probes), so it goes in three steps: *claim* the gate by setting its busy
//! bit, for which the gate must still be the one that was judged; write the rest; *publish* the next
//! gate. Two threads that reach the same verdict both try to claim, and one wins. Nobody waits for
//! the winner but an operator: calls go by what the gate said before.
//!
//! Most transitions begin a generation, and what is found out meanwhile is past with it. One that
//! doesn't, to the next step of a ramp, could pass over a verdict that was reached while it was under
//! way: so who finds the gate busy [*asks*](AtomicGate::ask) its holder to look again before he
//! publishes.
//!
//! # Orderings
//! Claim is Acquire, publish is Release: what the last transition wrote is seen by the next, and by
//! every call that reads the gate (Acquire) after it. To ask is Release, to find oneself asked is Acquire:
//! what the asker counted is seen.

use std::mem;

use crate::event::Circuit;
use crate::sync::{AtomicU64, Ordering};

/// A circuit's state and generation, the step of its ramp, and whether a transition is under way.
///
/// ```text
///  63        32 31    24 23  16 15    8   1      0
/// +------------+--------+------+-------+-------+------+
/// | generation | (zero) | step | state | asked | busy |
/// +------------+--------+------+-------+-------+------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate(u64);

impl Gate {
    const BUSY: u64 = 1;
    const ASKED: u64 = 2;

    pub(crate) const fn new(state: Circuit, generation: u32) -> Self {
        Self((generation as u64) << 32 | (state as u64) << 8)
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn is_busy(self) -> bool {
        self.0 & Self::BUSY != 0
    }

    /// Closed and steady: the common case, one comparison.
    #[inline]
    pub(crate) const fn is_closed(self) -> bool {
        self.0 as u32 == (Circuit::Closed as u32) << 8
    }

    /// Open and steady: the common case of a bad time.
    #[inline]
    pub(crate) const fn is_open(self) -> bool {
        self.0 as u32 == (Circuit::Open as u32) << 8
    }

    /// Closed and steady, in this generation.
    #[inline]
    pub(crate) const fn is_closed_in(self, generation: u32) -> bool {
        self.0 == Self::new(Circuit::Closed, generation).0
    }

    pub(crate) const fn state(self) -> Circuit {
        const ALL: [Circuit; 7] = [
            Circuit::Closed,
            Circuit::Open,
            Circuit::HalfOpen,
            Circuit::Ramping,
            Circuit::ForcedOpen,
            Circuit::ForcedClosed,
            Circuit::Disabled,
        ];
        ALL[(self.0 >> 8 & 0xff) as usize]
    }

    /// The step of the ramp, from 0; 0 in other states.
    pub(crate) const fn step(self) -> usize {
        (self.0 >> 16 & 0xff) as usize
    }

    /// Another step, or closed at the end of the ramp, in the same generation: the calls of earlier
    /// steps go on counting.
    pub(crate) const fn ramped(self, state: Circuit, step: usize) -> Self {
        Self(Self::new(state, self.generation()).0 | (step as u64) << 16)
    }

    /// The next state; its generation wraps.
    pub(crate) const fn next(self, state: Circuit) -> Self {
        Self::new(state, self.generation().wrapping_add(1))
    }
}

/// The gate that calls read.
#[derive(Debug)]
pub(crate) struct AtomicGate(AtomicU64);

impl AtomicGate {
    pub(crate) fn new(gate: Gate) -> Self {
        Self(AtomicU64::new(gate.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Gate {
        // Acquire: pairs with the Release of `publish`.
        Gate(self.0.load(Ordering::Acquire))
    }

    /// Begins a transition from `judged`; `None` if the gate has moved on or is being moved.
    pub(crate) fn claim(&self, judged: Gate) -> Option<Claim<'_>> {
        if judged.is_busy() {
            return None;
        }
        // Acquire: pairs with the Release of `publish`, so the last transition's words are there.
        self.0
            .compare_exchange(judged.0, judged.0 | Gate::BUSY, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Claim { gate: self, from: judged })
    }

    /// Asks the holder of a `busy` gate to look again; `false` if the gate has moved on meanwhile.
    pub(crate) fn ask(&self, busy: Gate) -> bool {
        debug_assert!(busy.is_busy());
        let asked = busy.0 | Gate::ASKED;
        // Release: pairs with the Acquire of `publish_unless_asked`.
        self.0.compare_exchange(busy.0, asked, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

/// The right to make one transition; given up when it is dropped.
#[must_use = "who claims the gate publishes the next"]
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    gate: &'a AtomicGate,
    from: Gate,
}

impl Claim<'_> {
    pub(crate) fn from(&self) -> Gate {
        self.from
    }

    /// Ends the transition.
    pub(crate) fn publish(self, to: Gate) {
        // Release: pairs with the Acquire of `load` and `claim`. A swap, so that it stays in one line
        // with those who ask.
        self.gate.0.swap(to.0, Ordering::Release);
        mem::forget(self);
    }

    /// Ends the transition, unless somebody asked to look again: then the claim still stands.
    pub(crate) fn publish_unless_asked(self, to: Gate) -> Result<(), Self> {
        let busy = self.from.0 | Gate::BUSY;
        // Release: as in `publish`.
        match self.gate.0.compare_exchange(busy, to.0, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => {
                mem::forget(self);
                Ok(())
            }
            Err(_) => {
                // Acquire: pairs with the Release of `ask`.
                self.gate.0.swap(busy, Ordering::Acquire);
                Err(self)
            }
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // Release: as in `publish`. Nobody does this, unless he panics: the gate is as it was.
        self.gate.0.swap(self.from.0, Ordering::Release);
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_dropped_leaves_the_gate_as_it_was() {
        let gate = AtomicGate::new(Gate::new(Circuit::Closed, 3));
        let judged = gate.load();
        drop(gate.claim(judged).unwrap());
        assert_eq!(gate.load(), judged);
        assert!(gate.claim(judged).is_some());
    }

    #[test]
    fn who_is_asked_looks_again_before_he_publishes() {
        let gate = AtomicGate::new(Gate::new(Circuit::Ramping, 3));
        let next = gate.load().ramped(Circuit::Closed, 0);
        let claim = gate.claim(gate.load()).unwrap();
        let busy = gate.load();
        assert!(gate.ask(busy));
        assert!(!gate.ask(busy), "another has asked: look at the gate again, and ask again");
        assert!(gate.ask(gate.load()));
        let claim = claim.publish_unless_asked(next).unwrap_err();
        claim.publish_unless_asked(next).unwrap();
        assert_eq!(gate.load(), next);
        assert!(!gate.ask(busy));
    }

    #[test]
    fn who_is_not_asked_publishes_at_once() {
        let gate = AtomicGate::new(Gate::new(Circuit::Ramping, 3));
        let (judged, next) = (gate.load(), gate.load().ramped(Circuit::Ramping, 1));
        gate.claim(judged).unwrap().publish_unless_asked(next).unwrap();
        assert_eq!(gate.load(), next);
        let claim = gate.claim(next).unwrap();
        assert!(gate.ask(gate.load()));
        let claim = claim.publish_unless_asked(judged).unwrap_err();
        assert_eq!((gate.load().state(), gate.load().step()), (Circuit::Ramping, 1), "as before");
        assert!(gate.load().is_busy() && gate.claim(gate.load()).is_none());
        claim.publish(judged);
    }

    #[test]
    fn every_state_survives_the_word() {
        let mut gate = Gate::new(Circuit::Closed, u32::MAX);
        assert!(gate.is_closed());
        for state in [
            Circuit::Open,
            Circuit::HalfOpen,
            Circuit::Ramping,
            Circuit::ForcedOpen,
            Circuit::ForcedClosed,
            Circuit::Disabled,
            Circuit::Closed,
        ] {
            gate = gate.next(state);
            assert_eq!(gate.state(), state);
            assert_eq!(gate.is_closed(), state == Circuit::Closed);
        }
        assert_eq!(gate.generation(), 6, "it wrapped");
    }
}
