//! What is told of a rollout: each step, what decided it, and who ordered it.
//!
//! A rollback that nobody can explain is as bad as none. So each step of a rollout is one
//! [`Audit`], told to all observers as [`Kind::Rollout`](crate::event::Kind::Rollout), and the one that
//! decides a rollback holds all that decided it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::Moment;
use crate::ratio::Ratio;
use crate::verdict::{Arm, Cause, Evidence, Tally, Totals};

/// One step of one rollout.
///
/// ```
/// use seawall::audit::{Order, Step};
///
/// let step = Step::Ordered(Order {
///     action: "abort",
///     who: "alice".into(),
///     reason: "balances look wrong".into(),
/// });
/// assert_eq!(step.as_str(), "ordered");
/// assert_eq!(step.to_string(), "alice ordered: abort (balances look wrong)");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Audit {
    /// Which rollout.
    pub rollout: Arc<str>,
    /// How many decisions (to promote, or to roll back) were made in it so far, this one included. The
    /// id and this number are a hook's idempotency key.
    pub seq: u64,
    /// When, by the wall clock. For whoever reads it: nothing is decided by it.
    pub wall: SystemTime,
    /// It was only decided, and nothing was done.
    pub dry_run: bool,
    /// What happened.
    pub step: Step,
}

impl Audit {
    /// A step of this rollout that was really taken.
    pub fn new(rollout: Arc<str>, seq: u64, wall: SystemTime, step: Step) -> Self {
        Self { rollout, seq, wall, dry_run: false, step }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.rollout, self.seq, self.step)?;
        if self.dry_run { f.write_str(" [dry run]") } else { Ok(()) }
    }
}

/// What happened in a rollout.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// It began, for this version: the baseline is watched before the canary gets its first call.
    Started {
        /// The version on trial.
        version: Arc<str>,
    },
    /// The process came back, and the rollout goes on where the store says it was: with evidence of its
    /// own, gathered anew.
    Resumed {
        /// At which stage, from 0 on.
        stage: u32,
    },
    /// The process was restarted between a rollback's decision and its end: its hooks are called again,
    /// with the same key.
    Recovered,
    /// The canary has this share of the calls now.
    StageEntered {
        /// Which, from 0 on.
        stage: u32,
        /// The share.
        weight: Ratio,
    },
    /// The evidence crossed the line; nothing is promoted. A rollback is decided if it is still across one
    /// block later.
    Suspected(Cause),
    /// The baseline fails, too: nothing is promoted, and nobody is rolled back for it.
    Held,
    /// One version had no calls for too long: nothing is promoted, and nobody is rolled back for it.
    NoData(Arm),
    /// The stage lasted its longest time, and nothing speaks for or against the canary. Somebody should
    /// look.
    Inconclusive(Duration),
    /// What stood against a promotion (suspicion, an outage, no data) is gone.
    Cleared,
    /// It was decided to roll back; what was done comes after this.
    RollbackDecided(Box<Decision>),
    /// The canary gets no calls any more.
    WeightZeroed,
    /// A hook is called.
    HookAttempted(HookStep),
    /// A hook did its work.
    HookSucceeded(HookStep),
    /// A hook failed, or took too long.
    HookFailed(HookStep),
    /// A hook panicked. It counts as failed.
    HookPanicked(HookStep),
    /// The rollback is over.
    RolledBack {
        /// How many hooks did not do their work. The canary gets no calls all the same.
        failed_hooks: u32,
    },
    /// It was decided to give the canary more calls.
    PromoteDecided(Box<Promotion>),
    /// The canary is the version now; final.
    Promoted,
    /// An operator gave an order.
    Ordered(Order),
    /// What was rolled back or promoted is over: another rollout may begin.
    Rearmed {
        /// The version was rolled back a short while ago, and somebody insisted.
        forced: bool,
    },
    /// The decision store could not be read or written.
    StoreFailed(Box<str>),
}

impl Step {
    /// The name in metrics: `started`, `stage_entered`, ...
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Resumed { .. } => "resumed",
            Self::Recovered => "recovered",
            Self::StageEntered { .. } => "stage_entered",
            Self::Suspected(_) => "suspected",
            Self::Held => "held",
            Self::NoData(_) => "no_data",
            Self::Inconclusive(_) => "inconclusive",
            Self::Cleared => "cleared",
            Self::RollbackDecided(_) => "rollback_decided",
            Self::WeightZeroed => "weight_zeroed",
            Self::HookAttempted(_) => "hook_attempted",
            Self::HookSucceeded(_) => "hook_succeeded",
            Self::HookFailed(_) => "hook_failed",
            Self::HookPanicked(_) => "hook_panicked",
            Self::RolledBack { .. } => "rolled_back",
            Self::PromoteDecided(_) => "promote_decided",
            Self::Promoted => "promoted",
            Self::Ordered(_) => "ordered",
            Self::Rearmed { .. } => "rearmed",
            Self::StoreFailed(_) => "store_failed",
        }
    }

    /// Must somebody look at it at once? A rollback, a hook that gave up, a store that fails, a rollout
    /// that doesn't come to an end.
    pub const fn is_alarming(&self) -> bool {
        match self {
            Self::HookFailed(hook) | Self::HookPanicked(hook) => hook.gave_up,
            Self::RollbackDecided(_) | Self::StoreFailed(_) | Self::Inconclusive(_) => true,
            Self::RolledBack { failed_hooks } => *failed_hooks > 0,
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { version } => write!(f, "started, of version {version}"),
            Self::Resumed { stage } => write!(f, "resumed at stage {stage}"),
            Self::Recovered => f.write_str("recovered: its hooks are called again"),
            Self::StageEntered { stage, weight } => write!(f, "entered stage {stage}, {weight}"),
            Self::Suspected(cause) => write!(f, "suspected ({})", cause.as_str()),
            Self::Held => f.write_str("held: the baseline fails, too"),
            Self::NoData(arm) => write!(f, "no data: the {arm} has no calls"),
            Self::Inconclusive(after) => write!(f, "inconclusive after {after:?}"),
            Self::Cleared => f.write_str("cleared"),
            Self::RollbackDecided(decision) => write!(f, "rollback decided: {decision}"),
            Self::WeightZeroed => f.write_str("the canary gets no calls any more"),
            Self::HookAttempted(hook) => write!(f, "calling {hook}"),
            Self::HookSucceeded(hook) => write!(f, "done: {hook}"),
            Self::HookFailed(hook) => write!(f, "failed: {hook}"),
            Self::HookPanicked(hook) => write!(f, "panicked: {hook}"),
            Self::RolledBack { failed_hooks: 0 } => f.write_str("rolled back"),
            Self::RolledBack { failed_hooks } => {
                write!(f, "rolled back, but {failed_hooks} hooks failed")
            }
            Self::PromoteDecided(promotion) => write!(f, "promotion decided: {promotion}"),
            Self::Promoted => f.write_str("promoted"),
            Self::Ordered(order) => order.fmt(f),
            Self::Rearmed { forced: false } => f.write_str("armed again"),
            Self::Rearmed { forced: true } => f.write_str("armed again, by force"),
            Self::StoreFailed(what) => write!(f, "the decision store failed: {what}"),
        }
    }
}

/// Why a canary is rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RollbackCause {
    /// The comparison says so.
    Judged(Cause),
    /// An operator says so.
    Manual {
        /// Who.
        who: Box<str>,
        /// Why, in their words.
        reason: Box<str>,
    },
}

impl RollbackCause {
    /// The name in metrics: `errors`, `slow`, `bad_data`, `absolute_guard`, `breaker_open`, `manual`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Judged(cause) => cause.as_str(),
            Self::Manual { .. } => "manual",
        }
    }
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judged(cause) => f.write_str(cause.as_str()),
            Self::Manual { who, reason } => write!(f, "{who}: {reason}"),
        }
    }
}

/// A decision to roll back, and all that it was decided by.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// Why.
    pub cause: RollbackCause,
    /// The evidence, stream by stream, and the lines that it is held to. The line is ln(1/alpha).
    pub evidence: Evidence,
    /// What both versions did.
    pub totals: Totals,
    /// At which stage; `None` before the first.
    pub stage: Option<u32>,
    /// The canary's share of the calls then.
    pub weight: Ratio,
    /// When the first bad call of the canary was seen, to a tick.
    pub first_bad_at: Option<Moment>,
    /// When it was decided.
    pub decided_at: Moment,
}

impl Decision {
    /// A decision by this alone: without evidence, counts or a stage.
    pub fn new(cause: RollbackCause, decided_at: Moment) -> Self {
        Self {
            cause,
            evidence: Evidence::default(),
            totals: Totals::default(),
            stage: None,
            weight: Ratio::ZERO,
            first_bad_at: None,
            decided_at,
        }
    }

    /// What is evidence by the [cause](Self::cause), and its line; `None` where it isn't evidence that
    /// decided.
    pub fn evidence_over_line(&self) -> Option<(f64, f64)> {
        let of = |nats: crate::verdict::Nats| f64::from(nats);
        match self.cause {
            RollbackCause::Judged(Cause::Worse(_)) => {
                Some((of(self.evidence.worse), of(self.evidence.line)))
            }
            RollbackCause::Judged(Cause::AbsoluteGuard) => {
                Some((of(self.evidence.guard), of(self.evidence.line)))
            }
            _ => None,
        }
    }

    /// How sure one had to be: the chance of ever rolling back a canary that is no worse.
    pub fn alpha(&self) -> f64 {
        (-f64::from(self.evidence.line)).exp()
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        if let Some((evidence, line)) = self.evidence_over_line() {
            write!(f, "; evidence {evidence:.1} nats over {line:.1} (alpha {:.1e})", self.alpha())?;
        }
        let mut told = |what: &str, canary: Tally, baseline: Tally| {
            if canary.calls + baseline.calls == 0 {
                return Ok(());
            }
            write!(f, "; {what}: canary {} of {}", canary.bad, canary.calls)?;
            write!(f, ", baseline {} of {}", baseline.bad, baseline.calls)
        };
        let Totals { errors, slow, bad_data } = self.totals;
        told("failed", errors.canary, errors.baseline)?;
        told("slow", slow.canary, slow.baseline)?;
        told("wrong", bad_data.canary, bad_data.baseline)?;
        write!(f, "; at {}", self.weight)
    }
}

/// A decision to give the canary more calls, and what it was decided by.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Promotion {
    /// The share it has.
    pub from: Ratio,
    /// The share it gets.
    pub to: Ratio,
    /// The evidence.
    pub evidence: Evidence,
    /// What both versions did.
    pub totals: Totals,
    /// An operator insisted, whatever the evidence.
    pub forced: bool,
}

impl Promotion {
    /// A promotion from one share to another, without evidence.
    pub fn new(from: Ratio, to: Ratio) -> Self {
        let (evidence, totals) = (Evidence::default(), Totals::default());
        Self { from, to, evidence, totals, forced: false }
    }
}

impl fmt::Display for Promotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { not_worse, promotion_line, .. } = self.evidence;
        write!(f, "from {} to {}; ", self.from, self.to)?;
        if self.forced {
            f.write_str("forced; ")?;
        }
        write!(f, "evidence {not_worse} nats of {promotion_line} that it is not worse")
    }
}

/// One attempt of one hook.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookStep {
    /// The hook's name.
    pub hook: Arc<str>,
    /// Which attempt, from 1 on.
    pub attempt: u32,
    /// The same on each attempt, and after a restart: who is called can tell that it was called before.
    pub key: Arc<str>,
    /// What went wrong, if anything.
    pub error: Option<Box<str>>,
    /// It won't be tried again.
    pub gave_up: bool,
}

impl HookStep {
    /// An attempt that has nothing to report yet.
    pub fn new(hook: Arc<str>, attempt: u32, key: Arc<str>) -> Self {
        Self { hook, attempt, key, error: None, gave_up: false }
    }
}

impl fmt::Display for HookStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (attempt {}, key {})", self.hook, self.attempt, self.key)?;
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        if self.gave_up { f.write_str("; given up") } else { Ok(()) }
    }
}

/// What an operator ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// `abort`, `promote`, `force_promote`, `hold`, `resume`, `force_start`.
    pub action: &'static str,
    /// Who.
    pub who: Box<str>,
    /// Why, in their words.
    pub reason: Box<str>,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ordered: {} ({})", self.who, self.action, self.reason)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::verdict::{Arms, Nats, Stream};

    fn decision(cause: RollbackCause) -> Decision {
        let evidence = Evidence {
            worse: Nats::new(13.0),
            line: Nats::new(1000_f64.ln()),
            guard: Nats::new(8.0),
            ..Evidence::default()
        };
        let totals = Totals { errors: Arms::new(20, 19, 380, 4), ..Totals::default() };
        let weight = Ratio::percent(5).unwrap();
        let stage = Some(1);
        Decision { evidence, totals, stage, weight, ..Decision::new(cause, Moment::from_nanos(1)) }
    }

    #[test]
    fn a_rollback_is_told_with_its_evidence_in_one_line() {
        let judged = decision(RollbackCause::Judged(Cause::Worse(Stream::Errors)));
        assert_eq!(
            judged.to_string(),
            "errors; evidence 13.0 nats over 6.9 (alpha 1.0e-3); failed: canary 19 of 20, baseline 4 of \
             380; at 5%"
        );
        assert!((judged.alpha() - 0.001).abs() < 1e-8);
        let guard = decision(RollbackCause::Judged(Cause::AbsoluteGuard));
        assert_eq!(guard.evidence_over_line().map(|(evidence, _)| evidence), Some(8.0));
        let manual = RollbackCause::Manual { who: "alice".into(), reason: "wrong".into() };
        assert_eq!(decision(manual).evidence_over_line(), None);
    }

    #[test]
    fn what_alarms_is_what_needs_somebody() {
        let mut hook = HookStep::new("argo".into(), 1, "r:1".into());
        assert!(!Step::HookFailed(hook.clone()).is_alarming(), "it is tried again");
        hook.gave_up = true;
        assert!(Step::HookFailed(hook).is_alarming());
        assert!(!Step::RolledBack { failed_hooks: 0 }.is_alarming());
        assert!(Step::RolledBack { failed_hooks: 1 }.is_alarming());
        assert!(!Step::Held.is_alarming());
    }
}
