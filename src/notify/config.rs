//! What can be set, and checked once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::channel::Channel;
use super::ledger::Rules;
use super::message::Message;
use crate::clock::Clock;
use crate::error::{BoxError, ConfigError, check};
use crate::event::Gravity;
use crate::work::{Async, Closure};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// The settings of a [`Notifier`](super::Notifier).
#[derive(Clone)]
pub struct NotifierConfig {
    pub(super) channels: Vec<(Gravity, Arc<dyn Channel>)>,
    gap: (Duration, Duration),
    rate: (u32, Duration),
    time_limit: Duration,
    pub(super) clock: Clock,
}

impl NotifierConfig {
    /// No channel yet; of the rest the defaults.
    pub fn new() -> Self {
        Self {
            channels: Vec::new(),
            gap: (Duration::from_secs(60), Duration::from_secs(15 * 60)),
            rate: (10, Duration::from_secs(60)),
            time_limit: Duration::from_secs(10),
            clock: Clock::default(),
        }
    }

    /// One more channel, for what is a [warning](Gravity::Warning) or graver. From 1 to 16 of them, best with
    /// a name each.
    #[must_use]
    pub fn channel(self, channel: impl Channel) -> Self {
        self.channel_from(Gravity::Warning, channel)
    }

    /// One more channel, for what is so grave, or graver: a pager takes what is
    /// [critical](Gravity::Critical).
    #[must_use]
    pub fn channel_from(mut self, from: Gravity, channel: impl Channel) -> Self {
        self.channels.push((from, Arc::new(channel)));
        self
    }

    /// Calls `work` with each message, on a thread of its own: it may block.
    ///
    /// ```
    /// use seawall::notify::{Message, NotifierConfig};
    ///
    /// let config = NotifierConfig::new().on_message("console", |message: &Message| {
    ///     println!("{message}");
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// ```
    #[must_use]
    pub fn on_message<F, E>(self, name: &'static str, work: F) -> Self
    where
        F: Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
        E: Into<BoxError> + 'static,
    {
        self.channel(Closure { name, work: Arc::new(work) })
    }

    /// Awaits what `work` gives for each message. It must not block.
    #[must_use]
    pub fn on_message_async<F, Fut, E>(self, name: &'static str, work: F) -> Self
    where
        F: Fn(Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.channel(Async { name, work })
    }

    /// Between two messages about one subject lies so much time: `least`, doubled with each message up to
    /// `most`, and back to `least` once nothing changed for `most`. Default 1 min and 15 min; least above
    /// zero, most from least to a day.
    #[must_use]
    pub fn gap(mut self, least: Duration, most: Duration) -> Self {
        self.gap = (least, most);
        self
    }

    /// A channel gets at most `burst` messages at once, and then one each `every`, whatever they are about;
    /// attempts that fail count, too. Default 10, and one a minute; burst from 1 to 1,000, every up to an
    /// hour.
    #[must_use]
    pub fn rate(mut self, burst: u32, every: Duration) -> Self {
        self.rate = (burst, every);
        self
    }

    /// One attempt to send may take so long. Default 10 s; above zero, up to an hour.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The clock. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The rules but for the gravity, which is each channel's own; and the time limit.
    pub(super) fn checked(&self) -> Result<(Rules, Duration), ConfigError> {
        check("channels", self.channels.len(), "from 1 to 16", |n| (1..=16).contains(n))?;
        let some = |time: &Duration| !time.is_zero();
        let range = "least above zero, most from least to a day";
        let gap = check("gap", self.gap, range, |(least, most)| {
            some(least) && least <= most && *most <= DAY
        })?;
        let range = "burst from 1 to 1000, every at most an hour";
        let (burst, every) = check("rate", self.rate, range, |(burst, every)| {
            (1..=1_000).contains(burst) && *every <= HOUR
        })?;
        let limit = check("time_limit", self.time_limit, "above zero, up to an hour", |limit| {
            some(limit) && *limit <= HOUR
        })?;
        Ok((Rules { from: Gravity::Warning, gap, burst, every }, limit))
    }
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NotifierConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<&str> = self.channels.iter().map(|(_, one)| one.name()).collect();
        f.debug_struct("NotifierConfig")
            .field("channels", &channels)
            .field("gap", &self.gap)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}
