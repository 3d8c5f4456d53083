//! Which page of the runbook to open.

use super::{Circuit, Kind};
use crate::audit::Step;
use crate::error::Reason;
use crate::verdict::Verdict;

/// The anchor of a page: where it lies in the rendered documentation.
macro_rules! page {
    ($name:literal) => {
        concat!("guide/runbook/", $name, "/index.html")
    };
}

impl Kind {
    /// The page of the runbook that says what it means and what to do, below the root of the rendered
    /// documentation.
    ///
    /// ```
    /// use seawall::event::Kind;
    ///
    /// assert_eq!(Kind::StaleShare(true).runbook(), "guide/runbook/stale_share/index.html");
    /// ```
    pub fn runbook(&self) -> &'static str {
        match self {
            Self::Transition(step) => match step.to {
                Circuit::ForcedOpen | Circuit::ForcedClosed | Circuit::Disabled => {
                    page!("circuit_held")
                }
                _ => page!("circuit_open"),
            },
            Self::Reconfigured => page!("reconfigured"),
            Self::StaleShare(_) => page!("stale_share"),
            Self::Burn(_) => page!("budget_burn"),
            Self::Saturated(_) | Self::Cleared(_) => page!("saturation"),
            Self::Exhausted(_) => page!("exhaustion"),
            Self::Flipped(_) => page!("kill_switch"),
            Self::SourceUnreadable(_) => page!("kill_switch_source"),
            Self::Judged(judgement) => match judgement.to {
                Verdict::Held => page!("canary_held"),
                Verdict::NoData(_) => page!("canary_no_data"),
                Verdict::RollBack(_) => page!("rollback"),
                _ => page!("canary_suspect"),
            },
            Self::Weighted(_) => page!("canary_weight"),
            Self::CheckPanicked(_) => page!("check_panicked"),
            Self::Rollout(audit) => of_step(&audit.step),
        }
    }
}

const fn of_step(step: &Step) -> &'static str {
    match step {
        Step::Suspected(_) => page!("canary_suspect"),
        Step::Held => page!("canary_held"),
        Step::NoData(_) => page!("canary_no_data"),
        Step::Inconclusive(_) => page!("rollout_inconclusive"),
        Step::RollbackDecided(_) | Step::WeightZeroed => page!("rollback"),
        Step::RolledBack { failed_hooks: 0 } => page!("rollback"),
        Step::Recovered
        | Step::RolledBack { .. }
        | Step::HookAttempted(_)
        | Step::HookSucceeded(_)
        | Step::HookFailed(_)
        | Step::HookPanicked(_) => page!("rollback_hook"),
        Step::StoreFailed(_) => page!("decision_store"),
        Step::Started { .. }
        | Step::Resumed { .. }
        | Step::StageEntered { .. }
        | Step::Cleared
        | Step::PromoteDecided(_)
        | Step::Promoted
        | Step::Ordered(_)
        | Step::Rearmed { .. } => page!("rollout"),
    }
}

impl Reason {
    /// The page of the runbook that says what it means and what to do, below the root of the rendered
    /// documentation.
    ///
    /// ```
    /// use seawall::error::Reason;
    ///
    /// assert_eq!(Reason::TimedOut.runbook(), "guide/runbook/timed_out/index.html");
    /// ```
    pub const fn runbook(self) -> &'static str {
        match self {
            Self::CircuitOpen => page!("circuit_open"),
            Self::ForcedOpen => page!("circuit_held"),
            Self::BulkheadFull => page!("bulkhead_full"),
            Self::WaitedTooLong => page!("waited_too_long"),
            Self::NotReady => page!("not_ready"),
            Self::TimedOut => page!("timed_out"),
            Self::DeadlinePassed => page!("deadline_passed"),
            Self::BudgetEmpty => page!("retry_budget_empty"),
            Self::InDoubt => page!("in_doubt"),
            Self::Halted => page!("kill_switch"),
        }
    }
}
