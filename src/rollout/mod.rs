//! Gives a new version its calls step by step, and takes them back, for certain, when it is worse.
//!
//! A detector is worth what its rollback is worth. What users of rollout tools complain of is aborts that
//! were ignored, rollbacks that nobody heard of, hooks that ran twice or never, and stages that passed
//! because there were no data. Here a rollback is decided once, takes effect with the next call and can't
//! fail; then hooks tell the rest of the world, with retries and one key; each step is an event; and what
//! was decided survives a crash.
//!
//! ```text
//!                ┌─── hold, suspicion, an outage of both, no data: nothing is promoted ───┐
//!                │                                                                        │
//!   start ──▶ learning ──▶ 1 % ──▶ 5 % ──▶ 25 % ──▶ 50 % ──▶ 100 % ──▶ promoted  (final)
//!                │          │       │        │        │         │
//!                └──────────┴───────┴───┬────┴────────┴─────────┘
//!                                       ▼  the comparison, the breaker, or an operator
//!                                 rolling back:  1. weight := 0, at once
//!                                       │        2. the intent is saved
//!                                       │        3. hooks, in order, retried, one key
//!                                       ▼        4. the acknowledgement is saved
//!                                 rolled back  (final)
//! ```
//!
//! ```
//! use seawall::canary::{Canary, CanaryConfig};
//! use seawall::clock::Clock;
//! use seawall::error::BoxError;
//! use seawall::rollout::{Command, Phase, Rollout, RolloutConfig};
//! use std::time::Duration;
//! use tower::{Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let (clock, hand) = Clock::manual();
//! let canary = Canary::new(
//!     CanaryConfig::new("payments").clock(clock.clone()).learn(Duration::ZERO).no_warm_up(),
//! )?;
//! let rollout = Rollout::new(
//!     RolloutConfig::new("payments")
//!         .clock(clock)
//!         .hook(Command::new("kubectl").args(["argo", "rollouts", "abort", "payments"])),
//!     canary.handle(),
//! )?;
//! // In your service: tokio::spawn(rollout.drive());
//! rollout.start("deploy-117", "v2.4.1")?;
//!
//! let old = service_fn(|_: ()| async { Ok::<_, BoxError>("old") });
//! let new = service_fn(|_: ()| async { Err::<&str, BoxError>("500".into()) });
//! let mut client = canary.split(old, new);
//! for _ in 0..10_000 {
//!     hand.advance(Duration::from_millis(5));
//!     let _ = client.ready().await?.call(()).await;
//!     rollout.tick();
//! }
//! assert_eq!(rollout.snapshot().phase, Phase::RollingBack, "and the command runs");
//! # Ok(())
//! # }
//! ```
//!
//! # Why it is a room of its own
//! It knows nothing of how calls are shared or compared: what it steers is any
//! [`Steer`](crate::steer::Steer). So it rolls out what a [`Canary`](crate::canary::Canary) splits, and as
//! well what a mesh splits and a canary only watches.
//!
//! # When to use it
//! Where a canary gets calls by itself, without somebody who watches it.
//!
//! # When not
//! Where another tool steers the steps, such as Argo Rollouts: let it, let a canary
//! [watch](crate::canary::Canary::watch), use one stage, and have the rollback's hook abort there.

mod advance;
mod back;
mod begin;
mod circuits;
mod command;
mod config;
mod core;
mod future;
mod handle;
mod hook;
mod record;
mod refused;
mod rules;
mod state;
mod store;
#[cfg(feature = "webhook")]
mod webhook;

pub use config::RolloutConfig;
pub use handle::{Rollout, Snapshot};
pub use hook::{Hook, HookContext};
pub use record::{NoRecord, Record, Saved};
pub use refused::Refused;
pub use rules::Obstacle;
pub use state::Phase;
pub use store::{DecisionStore, FileStore};

pub use crate::work::Command;
#[cfg(feature = "webhook")]
pub use crate::work::Webhook;
