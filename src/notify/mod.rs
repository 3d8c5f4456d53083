//! Tells people what goes wrong, and that it is over: by a log, a webhook, a command, or a function.
//!
//! An alert that comes a thousand times is read by nobody; one that is lost in a storm of others, or never
//! says that it is over, is worse than none. A [`Notifier`] is an observer: it hears what all layers tell,
//! keeps for each subject how it stands and what its channels weren't told yet, and sends one message when
//! one may go, with the newest state in it.
//!
//! ```text
//!   breaker  ─┐                     for each channel                 ┌─▶ log      (feature `tracing`)
//!   bulkhead ─┤            subject ─▶ news since the last message ──┤─▶ Webhook  (feature `webhook`)
//!   slo      ─┼─▶ Notifier    ▲        │ gap of the subject         ├─▶ Command
//!   canary   ─┤               │        │ rate of the channel        └─▶ your function
//!   rollout  ─┤               │        ▼
//!   incident ─┘               └── not sent: again, as it stands then
//! ```
//!
//! ```
//! use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
//! use seawall::event::Gravity;
//! use seawall::notify::{Message, Notifier, NotifierConfig};
//! use seawall::work::Command;
//! # use seawall::error::BoxError;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let notifier = Notifier::new(
//!     NotifierConfig::new()
//!         .channel_from(Gravity::Critical, Command::new("page-the-one-on-call"))
//!         .on_message("console", |message: &Message| {
//!             eprintln!("{message}");
//!             Ok::<_, std::io::Error>(())
//!         }),
//! )?;
//! tokio::spawn(notifier.drive());
//! let config = CircuitBreakerConfig::new("payments").observe(notifier.clone());
//! let layer = CircuitBreakerLayer::new(config)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is told
//! A [symptom](crate::event::Kind::symptom) when it begins and when it ends; and once, what has no end but is
//! at least a [warning](crate::event::Gravity): a flipped switch, a hook that gave up, a held comparison.
//! Each message has its severity, one sentence, and the runbook's page. Incidents are told by
//! [`TimelineConfig::on_change`](crate::incident::TimelineConfig::on_change): see [`Notifier::tell`]. For a
//! pager they are enough, one for all that belongs together; tell single symptoms to a log or a chat.
//!
//! # How often
//! - What was told is not told again while it lasts, unless it becomes graver; then it is told at once.
//! - Two messages about one subject are a minute apart, then two, four, up to fifteen; when nothing changed
//!   for fifteen minutes, the next is told at once again. So a thousand flaps within a minute are two
//!   messages, and a thousand in half an hour seven: the first, and then how it stands and how often it
//!   flapped.
//! - A channel gets ten messages at once, and then one a minute, whatever they are about: the gravest
//!   first.
//!
//! # What is not lost
//! The last state. A message that may not go yet, or that could not be sent, waits, and what it says when it
//! goes is how its subject stands then; an attempt that failed is made again after one second, two, four, up
//! to five minutes, until it is told. That something is over is told whenever its beginning was. What
//! lasted so shortly that it was over before its turn is one message that says both. Not kept are more than
//! 256 subjects open at once (how many were left out is told), and what was not sent when the process ends.
//!
//! # Channels may fail
//! Nothing here is on the path of a call: a layer's event is written down under a short lock, once a
//! transition. Each channel is served by itself, one message at a time, under a time limit. One that panics
//! has failed. One that blocks for ever blocks one thread of its own, is sent nothing more, and shows as
//! [hanging](Standing::hangs). Of one that hangs, or failed three times in a row, the other channels are told,
//! and that it works again.
//!
//! # When not
//! Where an Alertmanager gathers the fleet's alerts: let it tell people, from
//! [metrics](crate::telemetry::CATALOGUE), once for all processes. This one tells them for its own process:
//! within a second, and when the metrics' path itself is down.

mod channel;
mod config;
mod ledger;
#[cfg(feature = "tracing")]
mod log;
mod message;
mod notifier;
mod subject;

pub use channel::Channel;
pub use config::NotifierConfig;
#[cfg(feature = "tracing")]
pub use log::Log;
pub use message::{Message, State};
pub use notifier::{Notifier, Standing};
