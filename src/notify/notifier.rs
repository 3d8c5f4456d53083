//! The observer that has people told.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::channel::Channel;
use super::config::NotifierConfig;
use super::ledger::{Ledger, Next, Rules};
use super::message::Message;
use crate::attempt::{self, Boxed, Failure};
use crate::clock::Clock;
use crate::error::{ConfigError, Room};
use crate::event::{Event, Notice, Observe, Sink};
use crate::rng;

/// Has people told what goes wrong, and that it is over: an [`Observe`] for every layer.
///
/// Clones are one notifier. What it hears it writes down, on the thread that tells it; messages are sent
/// by whoever [drives](Self::drive) it.
#[derive(Clone)]
pub struct Notifier(Arc<Shared>);

struct Shared {
    desks: Vec<Arc<Desk>>,
    clock: Clock,
}

/// One channel, and what it is told.
struct Desk {
    channel: Arc<dyn Channel>,
    books: Mutex<Books>,
    /// There may be something to send.
    news: Notify,
    /// One at a time sends; another waits to take over.
    turn: tokio::sync::Mutex<()>,
    clock: Clock,
    limit: Duration,
}

struct Books {
    ledger: Ledger,
    sent: u64,
    failed: u64,
    hangs: bool,
    last_error: Option<Arc<str>>,
}

/// How it stands with one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The channel's name.
    pub channel: String,
    /// Messages that were sent.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Subjects that it has yet to be told of.
    pub waiting: usize,
    /// It took too long and goes on still; nothing is sent to it until that ends.
    pub hangs: bool,
    /// Why the last attempt that failed did.
    pub last_error: Option<Arc<str>>,
}

impl Notifier {
    /// A notifier.
    ///
    /// # Errors
    /// [`ConfigError`] without a channel, or if a setting is out of range.
    pub fn new(config: NotifierConfig) -> Result<Self, ConfigError> {
        let (rules, limit) = config.checked()?;
        let NotifierConfig { channels, clock, .. } = config;
        let desk = |(from, channel)| {
            let ledger = Ledger::new(Rules { from, ..rules }, rng::entropy());
            let books = Books { ledger, sent: 0, failed: 0, hangs: false, last_error: None };
            Arc::new(Desk {
                channel,
                books: Mutex::new(books),
                news: Notify::new(),
                turn: tokio::sync::Mutex::new(()),
                clock: clock.clone(),
                limit,
            })
        };
        let desks = channels.into_iter().map(desk).collect();
        Ok(Self(Arc::new(Shared { desks, clock })))
    }

    /// Takes a notice: of an incident, or one of your own. Nothing is sent here.
    ///
    /// ```
    /// use seawall::incident::{Timeline, TimelineConfig};
    /// use seawall::notify::{Message, Notifier, NotifierConfig};
    /// # fn page(_: &Message) -> Result<(), std::io::Error> { Ok(()) }
    ///
    /// let notifier = Notifier::new(NotifierConfig::new().on_message("pager", page))?;
    /// let timeline = Timeline::new(
    ///     TimelineConfig::new().on_change(move |incident| notifier.tell(&incident.notice())),
    /// );
    /// # Ok::<_, seawall::ConfigError>(())
    /// ```
    pub fn tell(&self, notice: &Notice) {
        let (now, wall) = (self.0.clock.now(), self.0.clock.wall());
        for desk in &self.0.desks {
            if desk.books.lock().ledger.hear(notice, now, wall) {
                desk.news.notify_one();
            }
        }
    }

    /// Sends what there is to be sent, for as long as it is polled: spawn it.
    ///
    /// Without it nothing is sent. It needs tokio's timer. Each channel is served by itself, so one that
    /// fails or hangs holds up no other. Dropping it is safe at any point: what it was sending is sent again,
    /// with the same key, by the next one. Of two, one works and the other waits.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        let serve = |desk: &Arc<Desk>| -> Boxed<()> { Box::pin(Arc::clone(desk).serve()) };
        let all = attempt::all(self.0.desks.iter().map(serve).collect());
        async move { _ = all.await }
    }

    /// How it stands with each channel, in the order they were given.
    pub fn standing(&self) -> Vec<Standing> {
        self.0.desks.iter().map(|desk| desk.standing()).collect()
    }
}

impl Observe for Notifier {
    fn attach(self: Arc<Self>, _: Room, _: &'static str) -> Option<Box<dyn Sink>> {
        Some(Box::new(Ear(self)))
    }
}

struct Ear(Arc<Notifier>);

impl Sink for Ear {
    fn event(&self, event: &Event) {
        self.0.tell(&Notice::of(event));
    }
}

impl Desk {
    async fn serve(self: Arc<Self>) {
        let _turn = self.turn.lock().await;
        loop {
            let next = self.books.lock().ledger.next(self.clock.now());
            match next {
                Next::Nothing => self.news.notified().await,
                Next::Wait(span) => _ = timeout(span, self.news.notified()).await,
                Next::Send(message) => self.send(message).await,
            }
        }
    }

    async fn send(&self, message: Message) {
        let sending = Sending { desk: self, is_over: false };
        let outcome = match attempt::once(|| self.channel.send(message), self.limit).await {
            Err(Failure::TookTooLong(limit, Some(still))) => {
                self.hangs(&Failure::TookTooLong(limit, None));
                still.ended().await
            }
            outcome => outcome,
        };
        sending.over(outcome);
    }

    fn hangs(&self, failure: &Failure) {
        let mut books = self.books.lock();
        books.hangs = true;
        books.last_error = Some(failure.to_string().into());
    }

    fn standing(&self) -> Standing {
        let books = self.books.lock();
        Standing {
            channel: self.channel.name().to_owned(),
            sent: books.sent,
            failed: books.failed,
            waiting: books.ledger.waiting(),
            hangs: books.hangs,
            last_error: books.last_error.clone(),
        }
    }
}

/// A message that is being sent; if whoever sends it is dropped, it wasn't.
struct Sending<'a> {
    desk: &'a Desk,
    is_over: bool,
}

impl Sending<'_> {
    fn over(mut self, outcome: Result<(), Failure>) {
        self.is_over = true;
        let mut books = self.desk.books.lock();
        books.hangs = false;
        match &outcome {
            Ok(()) => books.sent += 1,
            Err(failure) => {
                books.failed += 1;
                books.last_error = Some(failure.to_string().into());
            }
        }
        books.ledger.sent(outcome.is_ok(), self.desk.clock.now());
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut books = self.desk.books.lock();
            books.hangs = false;
            books.ledger.sent(false, self.desk.clock.now());
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<&str> = self.0.desks.iter().map(|desk| desk.channel.name()).collect();
        f.debug_struct("Notifier").field("channels", &channels).finish()
    }
}
