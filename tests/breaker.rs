//! The circuit breaker as its users see it: through tower, in virtual time, rule by rule.

#[path = "breaker/clocks.rs"]
mod clocks;
#[path = "breaker/config.rs"]
mod config;
#[path = "breaker/events.rs"]
mod events;
#[path = "breaker/hung.rs"]
mod hung;
#[path = "breaker/operators.rs"]
mod operators;
#[path = "breaker/outcomes.rs"]
mod outcomes;
#[path = "breaker/ramp.rs"]
mod ramp;
#[path = "breaker/readiness.rs"]
mod readiness;
#[path = "breaker/recovery.rs"]
mod recovery;
#[path = "breaker/rig.rs"]
mod rig;
#[path = "breaker/rules.rs"]
mod rules;
#[path = "breaker/threads.rs"]
mod threads;
