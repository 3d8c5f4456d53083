//! The runbook: for each failure mode what it means, how to confirm it, what to do now, how to prevent it.
//!
//! Each [event](crate::event::Kind::runbook) and each [reason of a refusal](crate::error::Reason::runbook)
//! carries the page that is its own.
//!
//! | page | what happened |
//! | --- | --- |
//! | [`circuit_open`] | The circuit is open, or on its way back. |
//! | [`circuit_held`] | An operator holds the circuit. |
//! | [`stale_share`] | Many answers are stale. |
//! | [`budget_burn`] | An objective's error budget burns too fast. |
//! | [`saturation`] | A pool or bulkhead is nearly used up. |
//! | [`exhaustion`] | A pool or bulkhead is used up. |
//! | [`bulkhead_full`] | A call was refused because the bulkhead is full. |
//! | [`waited_too_long`] | A call was refused after it waited for a place. |
//! | [`not_ready`] | A call was refused because the service was not ready. |
//! | [`timed_out`] | A call was given up because it took too long. |
//! | [`deadline_passed`] | A call was refused because its deadline had passed. |
//! | [`retry_budget_empty`] | A call was not repeated because the budget is empty. |
//! | [`in_doubt`] | A call was not repeated because it may have been carried out. |
//! | [`kill_switch`] | A kill switch was flipped, or is on halt. |
//! | [`kill_switch_source`] | A kill switch's source can't be read. |
//! | [`canary_suspect`] | A canary is suspected, or judged anew. |
//! | [`canary_held`] | The comparison is held: the baseline fails, too. |
//! | [`canary_no_data`] | One version has no calls. |
//! | [`canary_weight`] | The canary's share of the calls was set. |
//! | [`rollback`] | A canary is taken out. |
//! | [`rollback_hook`] | A hook of a rollback was called, or failed. |
//! | [`decision_store`] | The decision store failed. |
//! | [`rollout_inconclusive`] | A stage lasted its longest time without a result. |
//! | [`rollout`] | A rollout took a step. |
//! | [`check_panicked`] | A check on a canary's answers panicked. |
//! | [`reconfigured`] | A layer's settings were changed. |

#[doc = include_str!("circuit_open.md")]
pub mod circuit_open {}

#[doc = include_str!("circuit_held.md")]
pub mod circuit_held {}

#[doc = include_str!("stale_share.md")]
pub mod stale_share {}

#[doc = include_str!("budget_burn.md")]
pub mod budget_burn {}

#[doc = include_str!("saturation.md")]
pub mod saturation {}

#[doc = include_str!("exhaustion.md")]
pub mod exhaustion {}

#[doc = include_str!("bulkhead_full.md")]
pub mod bulkhead_full {}

#[doc = include_str!("waited_too_long.md")]
pub mod waited_too_long {}

#[doc = include_str!("not_ready.md")]
pub mod not_ready {}

#[doc = include_str!("timed_out.md")]
pub mod timed_out {}

#[doc = include_str!("deadline_passed.md")]
pub mod deadline_passed {}

#[doc = include_str!("retry_budget_empty.md")]
pub mod retry_budget_empty {}

#[doc = include_str!("in_doubt.md")]
pub mod in_doubt {}

#[doc = include_str!("kill_switch.md")]
pub mod kill_switch {}

#[doc = include_str!("kill_switch_source.md")]
pub mod kill_switch_source {}

#[doc = include_str!("canary_suspect.md")]
pub mod canary_suspect {}

#[doc = include_str!("canary_held.md")]
pub mod canary_held {}

#[doc = include_str!("canary_no_data.md")]
pub mod canary_no_data {}

#[doc = include_str!("canary_weight.md")]
pub mod canary_weight {}

#[doc = include_str!("rollback.md")]
pub mod rollback {}

#[doc = include_str!("rollback_hook.md")]
pub mod rollback_hook {}

#[doc = include_str!("decision_store.md")]
pub mod decision_store {}

#[doc = include_str!("rollout_inconclusive.md")]
pub mod rollout_inconclusive {}

#[doc = include_str!("rollout.md")]
pub mod rollout {}

#[doc = include_str!("check_panicked.md")]
pub mod check_panicked {}

#[doc = include_str!("reconfigured.md")]
pub mod reconfigured {}
