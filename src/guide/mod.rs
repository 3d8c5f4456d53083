//! Guides: how things work, and how to choose.
//!
//! | guide | for whom |
//! | --- | --- |
//! | [`alerts`] | who must be told, and not too often |
//! | [`architecture`] | who wants to see how the pieces fit, or to change one |
//! | [`breaker`] | who wants to know why a circuit opened, or to tune one |
//! | [`concurrency`] | who must say how many calls may be in flight, and which go first |
//! | [`canary`] | who wants to know why a canary was rolled back, or why it can be trusted that it wasn't |
//! | [`drills`] | who asks what all this is worth: incidents replayed beside every alternative |
//! | [`metrics`] | who reads or draws metrics: each name, type, unit and label |
//! | [`retry`] | who repeats calls, and must not double a charge or an outage |
//! | [`rollout`] | who rolls out versions, and must be able to take one back at 3 am |
//! | [`runbook`] | who is woken: for each failure mode what it means and what to do |
//! | [`testing`] | who tests a service that uses these layers |
//! | [`tuning`] | who must choose the numbers of a whole stack |
//! | [`terms`] | who comes from another library of this kind |

pub mod alerts;
pub mod architecture;
pub mod breaker;
pub mod canary;
pub mod concurrency;
pub mod drills;
pub mod metrics;
pub mod retry;
pub mod rollout;
pub mod runbook;
pub mod terms;
pub mod testing;
pub mod tuning;
