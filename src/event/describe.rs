//! What an event is called, how grave it is, and how it reads.

use std::fmt;

use super::{BurnAlert, Circuit, Counts, Event, Kind, PoolUse, Transition, Why};
use crate::audit::{Audit, Step};
use crate::ratio::Ratio;
use crate::verdict::{Judgement, Verdict};

/// How much an event is worth somebody's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gravity {
    /// For the record.
    Note,
    /// Something is wrong, or is being dealt with: look at it today.
    Warning,
    /// Users are being failed: get up.
    Critical,
}

impl Gravity {
    /// `note`, `warning`, `critical`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Gravity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something wrong with an instance, that begins and ends.
///
/// Of one room and name, an event that begins a symptom is answered by one that ends it, of the same
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Symptom {
    /// `circuit`, `saturation`, `exhaustion`, `stale_share`, `canary`, `rollback_hook`, or the name of a burn alert.
    pub name: &'static str,
    /// Which end of it.
    pub turn: Turn,
}

/// Which end of a [`Symptom`] an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// It begins, or is still there.
    Begins,
    /// It ends.
    Ends,
    /// It was there for a moment; nothing will tell its end.
    Once,
}

impl Kind {
    /// The name in logs and exports: `circuit_opened`, `saturated`, `canary_roll_back`, ...; of a
    /// rollout, its step's.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Transition(step) => match step.to {
                Circuit::Open => "circuit_opened",
                Circuit::HalfOpen => "circuit_half_opened",
                Circuit::Ramping => "circuit_ramping",
                Circuit::Closed => "circuit_closed",
                Circuit::ForcedOpen => "circuit_forced_open",
                Circuit::ForcedClosed => "circuit_forced_closed",
                Circuit::Disabled => "circuit_disabled",
            },
            Self::Reconfigured => "reconfigured",
            Self::StaleShare(true) => "stale_share_high",
            Self::StaleShare(false) => "stale_share_normal",
            Self::Burn(burn) if burn.fires => "budget_burns",
            Self::Burn(_) => "budget_burn_ended",
            Self::Saturated(_) => "saturated",
            Self::Exhausted(_) => "exhausted",
            Self::Cleared(_) => "saturation_cleared",
            Self::Flipped(_) => "kill_switch_flipped",
            Self::SourceUnreadable(_) => "kill_switch_source_unreadable",
            Self::Judged(judgement) => match judgement.to {
                Verdict::Suspect(_) => "canary_suspect",
                Verdict::Held => "canary_held",
                Verdict::NoData(_) => "canary_no_data",
                Verdict::RollBack(_) => "canary_roll_back",
                _ => "canary_judged",
            },
            Self::Weighted(_) => "canary_weighted",
            Self::CheckPanicked(_) => "check_panicked",
            Self::Rollout(audit) => audit.step.as_str(),
        }
    }

    /// How much it is worth somebody's attention.
    pub fn gravity(&self) -> Gravity {
        match self {
            Self::Rollout(audit) => of_step(audit),
            Self::Exhausted(_) => Gravity::Critical,
            Self::Burn(burn) if burn.fires && burn.alert != "ticket" => Gravity::Critical,
            Self::Judged(Judgement { to: Verdict::RollBack(_), .. }) => Gravity::Critical,
            Self::Transition(step) => match step.to {
                Circuit::Open | Circuit::ForcedOpen | Circuit::Disabled => Gravity::Warning,
                _ => Gravity::Note,
            },
            Self::Judged(judgement) => match judgement.to {
                Verdict::Suspect(_) | Verdict::Held | Verdict::NoData(_) => Gravity::Warning,
                _ => Gravity::Note,
            },
            Self::Burn(burn) if burn.fires => Gravity::Warning,
            Self::StaleShare(true)
            | Self::Saturated(_)
            | Self::Flipped(_)
            | Self::SourceUnreadable(_)
            | Self::CheckPanicked(_) => Gravity::Warning,
            Self::Burn(_)
            | Self::StaleShare(false)
            | Self::Cleared(_)
            | Self::Reconfigured
            | Self::Weighted(_) => Gravity::Note,
        }
    }

    /// Which symptom begins or ends with it, if one does.
    pub fn symptom(&self) -> Option<Symptom> {
        let (name, turn) = match self {
            Self::Transition(step) => match step.to {
                Circuit::Open => ("circuit", Turn::Begins),
                Circuit::Closed | Circuit::ForcedClosed | Circuit::Disabled => {
                    ("circuit", Turn::Ends)
                }
                // On its way; or by an operator, who knows.
                Circuit::HalfOpen | Circuit::Ramping | Circuit::ForcedOpen => return None,
            },
            Self::StaleShare(high) => ("stale_share", Turn::of(*high)),
            Self::Burn(burn) => (burn.alert, Turn::of(burn.fires)),
            Self::Saturated(_) => ("saturation", Turn::Begins),
            Self::Cleared(_) => ("saturation", Turn::Ends),
            Self::Exhausted(_) => ("exhaustion", Turn::Once),
            Self::Judged(judgement) => match (judgement.from, judgement.to) {
                (_, Verdict::Suspect(_) | Verdict::RollBack(_)) => ("canary", Turn::Begins),
                (Verdict::Suspect(_) | Verdict::RollBack(_), _) => ("canary", Turn::Ends),
                _ => return None,
            },
            // What was only decided is not done, and nothing will end it.
            Self::Rollout(audit) if audit.dry_run => return None,
            Self::Rollout(audit) => return of_rollout(&audit.step),
            // Without calls it harms nobody.
            Self::Weighted(Ratio::ZERO) => ("canary", Turn::Ends),
            _ => return None,
        };
        Some(Symptom { name, turn })
    }

    /// Does it take harm off users: a circuit that opens, a switch that is flipped, a canary that is
    /// taken out?
    pub fn mitigates(&self) -> bool {
        match self {
            Self::Transition(step) => {
                matches!(step.to, Circuit::Open | Circuit::ForcedOpen) && step.enforced
            }
            Self::Flipped(flip) => flip.to != "run",
            Self::Weighted(weight) => *weight == Ratio::ZERO,
            Self::Rollout(audit) => matches!(audit.step, Step::WeightZeroed) && !audit.dry_run,
            _ => false,
        }
    }
}

fn of_step(audit: &Audit) -> Gravity {
    match &audit.step {
        _ if audit.dry_run => Gravity::Note,
        // Nobody is harmed by these.
        Step::Inconclusive(_) | Step::StoreFailed(_) => Gravity::Warning,
        step if step.is_alarming() => Gravity::Critical,
        Step::Suspected(_) | Step::Held | Step::NoData(_) => Gravity::Warning,
        Step::HookFailed(_) | Step::HookPanicked(_) => Gravity::Warning,
        _ => Gravity::Note,
    }
}

fn of_rollout(step: &Step) -> Option<Symptom> {
    let (name, turn) = match step {
        Step::Suspected(_) | Step::RollbackDecided(_) => ("canary", Turn::Begins),
        Step::Cleared | Step::WeightZeroed => ("canary", Turn::Ends),
        Step::HookFailed(hook) | Step::HookPanicked(hook) if hook.gave_up => {
            ("rollback_hook", Turn::Once)
        }
        _ => return None,
    };
    Some(Symptom { name, turn })
}

impl Turn {
    const fn of(begins: bool) -> Self {
        if begins { Self::Begins } else { Self::Ends }
    }
}

/// One sentence: who, and what happened.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition(step) => step.fmt(f),
            Self::Reconfigured => f.write_str("its settings were changed"),
            Self::StaleShare(true) => f.write_str("many answers are stale"),
            Self::StaleShare(false) => f.write_str("few answers are stale any more"),
            Self::Burn(burn) => burn.fmt(f),
            Self::Saturated(pool) => write!(f, "nearly used up, {pool}"),
            Self::Exhausted(pool) => write!(f, "used up, and callers are turned away, {pool}"),
            Self::Cleared(pool) => write!(f, "no longer nearly used up, {pool}"),
            Self::Flipped(flip) => write!(
                f,
                "the kill switch went from {} to {} by {}: {}",
                flip.from, flip.to, flip.actor, flip.reason
            ),
            Self::SourceUnreadable(why) => {
                write!(f, "the kill switch's source can't be read, so it stays: {why}")
            }
            Self::Judged(judgement) => judgement.fmt(f),
            Self::Weighted(weight) => write!(f, "the canary gets {weight} of the calls"),
            Self::CheckPanicked(times) => {
                write!(f, "the check on answers panicked, {times} times by now")
            }
            Self::Rollout(audit) => write!(f, "rollout {audit}"),
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Circuit::Open => write!(f, "the circuit opened, {}", Because(self.why, self.counts))?,
            Circuit::Closed => write!(f, "the circuit closed")?,
            Circuit::HalfOpen => write!(f, "the circuit is half-open, probes decide")?,
            Circuit::Ramping => write!(f, "the circuit lets {} of the calls through", self.share)?,
            Circuit::ForcedOpen => f.write_str("the circuit is held open by an operator")?,
            Circuit::ForcedClosed => f.write_str("the circuit is held closed by an operator")?,
            Circuit::Disabled => f.write_str("the circuit is disabled by an operator")?,
        }
        if self.enforced { Ok(()) } else { f.write_str(" (shadow mode: nothing is refused)") }
    }
}

/// Why a circuit opened, in words.
struct Because(Why, Counts);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(why, counts) = self;
        let total = counts.total;
        match why {
            Why::FailureRatio(_) => write!(f, "{} of {total} calls failed", counts.failures),
            Why::SlowRatio(_) => write!(f, "{} of {total} calls were slow", counts.slow),
            Why::ConsecutiveFailures(n) => write!(f, "{n} calls in a row failed"),
            Why::ConsecutiveSlow(n) => write!(f, "{n} calls in a row were slow"),
            Why::Failures(n) => write!(f, "{n} calls failed"),
            Why::Probes => write!(f, "{} of {total} probes failed", counts.failures),
            Why::CoolDownOver => f.write_str("the cool-down is over"),
            Why::RampHeld => f.write_str("the ramp held"),
            Why::Operator => f.write_str("an operator did it"),
        }
    }
}

impl fmt::Display for BurnAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.fires { "burns too fast" } else { "no longer burns too fast" };
        if !(self.long_burn.is_finite() && self.budget_left.is_finite()) {
            // Of an objective of 100 %, whose budget is nothing.
            return write!(f, "the error budget {verb} ({}): no call may be bad", self.alert);
        }
        write!(
            f,
            "the error budget {verb} ({}): {:.1} times over the long window, {:.1} over the short; \
             {:.1}% of the budget is left",
            self.alert,
            self.long_burn,
            self.short_burn,
            self.budget_left * 100.0
        )
    }
}

impl fmt::Display for PoolUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = f64::from(self.mean) * 100.0;
        write!(
            f,
            "{} of {} in use, {mean:.1}% in the last 10 s, {} at most",
            self.used, self.size, self.peak
        )
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.totals.errors;
        write!(
            f,
            "the canary is {}: {} of its {} calls failed, and {} of the baseline's {}",
            self.to,
            errors.canary.bad,
            errors.canary.calls,
            errors.baseline.bad,
            errors.baseline.calls
        )
    }
}
