//! Where messages go.

use std::future::Future;
use std::sync::Arc;

use super::message::Message;
use crate::error::BoxError;
use crate::work::{Async, Closure, Command, Work};

/// Somewhere to tell people: a pager, a chat, a log.
///
/// Called off the path of any call, one message at a time. An `Err`, a panic, or taking longer than the time
/// limit is a failure, and the subject is told again after a while, as it stands then. What is built in:
/// [`Command`], `Webhook` (feature `webhook`), `Log` (feature `tracing`), and closures
/// ([`NotifierConfig::on_message`](super::NotifierConfig::on_message)).
pub trait Channel: Send + Sync + 'static {
    /// Its name, in what is shown of it.
    fn name(&self) -> &str;

    /// The work of sending one message. Called on the task that drives the notifier: be quick, and leave
    /// the work to what is returned.
    fn send(&self, message: Message) -> Work;
}

impl<F, E> Channel for Closure<F>
where
    F: Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    E: Into<BoxError>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn send(&self, message: Message) -> Work {
        let work = Arc::clone(&self.work);
        Work::blocking(move || work(&message))
    }
}

impl<F, Fut, E> Channel for Async<F>
where
    F: Fn(Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn send(&self, message: Message) -> Work {
        Work::future((self.work)(message))
    }
}

impl Channel for Command {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn send(&self, message: Message) -> Work {
        self.with(vec![
            ("SEAWALL_KEY", message.key.to_string()),
            ("SEAWALL_SUBJECT", message.subject.to_string()),
            ("SEAWALL_STATE", message.state.to_string()),
            ("SEAWALL_SEVERITY", message.severity.to_owned()),
            ("SEAWALL_TEXT", message.text),
            ("SEAWALL_RUNBOOK", message.runbook.to_owned()),
            ("SEAWALL_TIMES", message.times.to_string()),
            ("SEAWALL_ATTEMPT", message.attempt.to_string()),
        ])
    }
}

#[cfg(feature = "webhook")]
impl Channel for crate::work::Webhook {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn send(&self, message: Message) -> Work {
        self.with(Arc::clone(&message.key), message.json())
    }
}
