//! The log as a channel.

use std::convert::Infallible;
use std::fmt;

use tracing::{Dispatch, Level, dispatcher, event};

use super::channel::Channel;
use super::message::{Message, State};
use crate::event::Gravity;
use crate::work::Work;

/// Tells the subscriber of the crate `tracing`. Feature `tracing`.
///
/// One event a message, of target `seawall::notify`: an error or a warning by its gravity, and information
/// when it is cleared. Fields: `subject`, `state`, `severity`, `runbook`, `times`. A subscriber that hangs or
/// panics does so on a thread of its own.
///
/// [`Tracing`](crate::telemetry::Tracing) writes each event down; this writes what is worth telling, not
/// twice, and not a thousand times when it flaps.
#[derive(Clone)]
pub struct Log(Dispatch);

impl Log {
    /// To the subscriber that is current where it is made.
    pub fn new() -> Self {
        Self(dispatcher::get_default(Clone::clone))
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel for Log {
    fn name(&self) -> &str {
        "log"
    }

    fn send(&self, message: Message) -> Work {
        let Self(dispatch) = self.clone();
        Work::blocking(move || {
            dispatcher::with_default(&dispatch, || write(&message));
            Ok::<_, Infallible>(())
        })
    }
}

fn write(message: &Message) {
    macro_rules! tell {
        ($level:expr) => {
            event!(
                target: "seawall::notify",
                $level,
                subject = &*message.subject,
                state = message.state.as_str(),
                severity = message.severity,
                runbook = message.runbook,
                times = message.times,
                "{}",
                message.text
            )
        };
    }
    match (message.state, message.gravity) {
        (State::Cleared, _) | (_, Gravity::Note) => tell!(Level::INFO),
        (_, Gravity::Warning) => tell!(Level::WARN),
        (_, Gravity::Critical) => tell!(Level::ERROR),
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}
