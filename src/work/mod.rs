//! Work that is done beside all calls: a rollback's hooks, an alert's channels.
//!
//! What a hook or a channel does is a [`Work`]: a future, or a function that may block and gets a thread
//! of its own. It may fail, panic or hang, and no call waits for it. Built in are a [`Command`], which runs
//! a program, and `Webhook` (feature `webhook`), which posts to an address; each is a
//! [`Hook`](crate::rollout::Hook) as well as a [`Channel`](crate::notify::Channel).

mod command;
mod kinds;
#[cfg(feature = "webhook")]
mod webhook;

pub use command::Command;
pub use kinds::{Abandoned, BlockingWork, Work, WorkFuture};
pub(crate) use kinds::{Async, Closure};
#[cfg(feature = "webhook")]
pub use webhook::Webhook;
