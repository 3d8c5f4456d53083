//! The future of a [`CircuitBreaker`](super::CircuitBreaker), and what its call owes the circuit.

use std::time::Duration;

use super::engine::{Ending, Ticket};
use super::layer::Shared;
use crate::error::Carry;
use crate::event::{Answered, Call};
use crate::guarded::{Guarded, Settle, SettleWith, Unfinished};
use crate::local::Local;
use crate::outcome::{Classify, Outcome, judge};

/// The response future of a [`CircuitBreaker`](super::CircuitBreaker).
///
/// Dropping it is safe at any point: a probe goes to the next caller, and a call older than
/// [`cancel_counts_after`](super::CircuitBreakerConfig::cancel_counts_after) counts as a slow failure.
pub type ResponseFuture<F, C> = Guarded<F, Admitted<C>>;

/// The ticket of one call; taken back when the call ends.
#[derive(Debug)]
pub struct Admitted<C> {
    local: Local<Shared<C>>,
    ticket: Ticket,
}

impl<C> Admitted<C> {
    #[inline(always)]
    pub(super) fn new(local: Local<Shared<C>>, ticket: Ticket) -> Self {
        Self { local, ticket }
    }

    /// The call ended so.
    fn settle(&self, outcome: Outcome, answered: Answered, advice: Option<Duration>) {
        let circuit = &self.local.circuit;
        let mut slow = false;
        if outcome == Outcome::Ignored {
            circuit.tell(circuit.engine.give_back(self.ticket, || circuit.clock.now()));
        } else {
            let ending = Ending { failed: outcome.is_failure(), slow, advice };
            let (was_slow, transition) =
                circuit.engine.record(self.ticket, ending, || circuit.clock.now());
            slow = was_slow;
            circuit.tell(transition);
        }
        self.report(Call::new(outcome, answered), slow);
    }

    #[inline]
    fn report(&self, call: Call, slow: bool) {
        let circuit = &self.local.circuit;
        if circuit.sinks.wants_calls() {
            let time = || self.ticket.elapsed(circuit.clock.now());
            let elapsed = if circuit.sinks.wants_times() { time() } else { None };
            circuit.sinks.called(&call.timed(slow, elapsed));
        }
    }
}

impl<C> Settle for Admitted<C> {
    #[inline]
    fn pending(&mut self) {
        self.ticket.time(|| self.local.circuit.clock.now());
    }

    fn unfinished(self, how: Unfinished) {
        if how == Unfinished::Panicked {
            return self.settle(Outcome::Failure, Answered::Nothing, None);
        }
        let circuit = &self.local.circuit;
        let (counted, transition) = circuit.engine.abandon(self.ticket, || circuit.clock.now());
        circuit.tell(transition);
        let outcome = if counted { Outcome::InDoubt } else { Outcome::Ignored };
        self.report(Call::new(outcome, Answered::Left), counted);
    }
}

impl<C, Res, E> SettleWith<Res, E> for Admitted<C>
where
    C: Classify<Res, E>,
    E: Carry,
{
    #[inline(always)]
    fn finished_quickly(&mut self, result: Result<&Res, &E>) -> bool {
        let Shared { circuit, classify } = &*self.local;
        let counted = !circuit.sinks.wants_times()
            && judge(&**classify, result) == Outcome::Success
            && circuit.engine.record_quickly(&mut self.ticket, || circuit.clock.now());
        if counted {
            circuit.sinks.called(&Call::new(Outcome::Success, Answered::with(result.is_ok())));
        }
        counted
    }

    fn finished(&mut self, result: Result<&Res, &E>) {
        let classify = &*self.local.classify;
        let outcome = judge(classify, result);
        let advice = if outcome.is_failure() { classify.retry_after(result) } else { None };
        self.settle(outcome, Answered::with(result.is_ok()), advice);
    }
}
