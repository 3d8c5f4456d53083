//! Rollouts: what is promoted, what is rolled back, what is told; hooks, stores, and restarts.

#[path = "rollout/common.rs"]
mod common;
#[path = "rollout/hooks.rs"]
mod hooks;
#[cfg(feature = "webhook")]
#[path = "rollout/loopback.rs"]
mod loopback;
#[path = "rollout/orders.rs"]
mod orders;
#[path = "rollout/restart.rs"]
mod restart;
#[path = "rollout/stages.rs"]
mod stages;
#[cfg(feature = "webhook")]
#[path = "rollout/webhook.rs"]
mod webhook;
