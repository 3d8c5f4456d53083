//! The state of a circuit in one word, and the claim by which it changes.
//!
//! Every call reads the gate; transitions are rare. A transition has more to say than fits a word
//! (until when, how many probes), so it goes in three steps: *claim* the gate by setting its busy
//! bit, for which the gate must still be the one that was judged; write the rest; *publish* the next
//! gate. Two threads that reach the same verdict both try to claim, and one wins. Nobody waits for
//! the winner but an operator: calls go by what the gate said before.
//!
//! # Orderings
//! Claim is Acquire, publish is Release: what the last transition wrote is seen by the next, and by
//! every call that reads the gate (Acquire) after it.

use crate::event::Circuit;
use crate::sync::{AtomicU64, Ordering};

/// A circuit's state and generation, the step of its ramp, and whether a transition is under way.
///
/// ```text
///  63        32 31    24 23  16 15    8 7     1 0
/// +------------+--------+------+-------+-------+------+
/// | generation | (zero) | step | state | (zero)| busy |
/// +------------+--------+------+-------+-------+------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate(u64);

impl Gate {
    const BUSY: u64 = 1;

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
}

/// The right to make one transition.
#[must_use = "a claim that isn't published shuts the gate for ever"]
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
        // Release: pairs with the Acquire of `load` and `claim`.
        self.gate.0.store(to.0, Ordering::Release);
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

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
