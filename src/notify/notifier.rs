//! The observer that has people told.

use std::fmt;
use std::future::Future;
use std::ptr;
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
use crate::event::{Event, Gravity, Notice, Observe, Sink, Turn};
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
    /// Since the last that was sent.
    failed_in_a_row: u32,
    /// The other channels were told that this one doesn't work.
    sick: bool,
    hangs: bool,
    last_error: Option<Arc<str>>,
}

/// After so many failed attempts in a row, the other channels are told.
const SICK: u32 = 3;

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
            let books = Books {
                ledger,
                sent: 0,
                failed: 0,
                failed_in_a_row: 0,
                sick: false,
                hangs: false,
                last_error: None,
            };
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
        self.0.tell(notice, |_| true);
    }

    /// Sends what there is to be sent, for as long as it is polled: spawn it.
    ///
    /// Without it nothing is sent. It needs tokio's timer. Each channel is served by itself, so one that
    /// fails or hangs holds up no other. Dropping it is safe at any point: what it was sending is sent again,
    /// with the same key, by the next one. Of two, one works and the other waits.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        let serve = |desk: &Arc<Desk>| -> Boxed<()> {
            let (shared, desk) = (Arc::clone(&self.0), Arc::clone(desk));
            Box::pin(async move { desk.serve(&shared).await })
        };
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

impl Shared {
    fn tell(&self, notice: &Notice, whom: impl Fn(&Desk) -> bool) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        for desk in self.desks.iter().filter(|desk| whom(desk)) {
            if desk.books.lock().ledger.hear(notice, now, wall) {
                desk.news.notify_one();
            }
        }
    }

    /// Tells the other channels that one doesn't work, or works again.
    fn tell_of(&self, sick: &Desk, turn: Turn, text: &str) {
        let name = sick.channel.name();
        let text = format!("the alert channel {name} {text}");
        let subject = format!("notify/{name}/unsent");
        let mut notice = Notice::new(subject, turn, Gravity::Critical, text);
        notice.runbook = RUNBOOK;
        self.tell(&notice, |desk| !ptr::eq(desk, sick));
    }
}

/// The page that says what to do about a channel.
const RUNBOOK: &str = "guide/alerts/index.html";

struct Ear(Arc<Notifier>);

impl Sink for Ear {
    fn event(&self, event: &Event) {
        self.0.tell(&Notice::of(event));
    }
}

impl Desk {
    async fn serve(&self, shared: &Shared) {
        let _turn = self.turn.lock().await;
        loop {
            let next = self.books.lock().ledger.next(self.clock.now());
            match next {
                Next::Nothing => self.news.notified().await,
                Next::Wait(span) => _ = timeout(span, self.news.notified()).await,
                Next::Send(message) => self.send(message, shared).await,
            }
        }
    }

    async fn send(&self, message: Message, shared: &Shared) {
        let sending = Sending { desk: self, is_over: false };
        let outcome = match attempt::once(|| self.channel.send(message), self.limit).await {
            Err(Failure::TookTooLong(limit, Some(still))) => {
                let failure = Failure::TookTooLong(limit, None).to_string();
                self.hangs(&failure);
                shared.tell_of(self, Turn::Begins, &format!("hangs: {failure}"));
                still.ended().await
            }
            outcome => outcome,
        };
        match (sending.over(&outcome), outcome) {
            (Some(Turn::Begins), Err(failure)) => {
                let text = format!("failed {SICK} times in a row: {failure}");
                shared.tell_of(self, Turn::Begins, &text);
            }
            (Some(turn), _) => shared.tell_of(self, turn, "works again"),
            (None, _) => {}
        }
    }

    fn hangs(&self, failure: &str) {
        let mut books = self.books.lock();
        (books.hangs, books.sick) = (true, true);
        books.last_error = Some(failure.into());
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
    /// Books it; gives what the others are to be told of the channel.
    fn over(mut self, outcome: &Result<(), Failure>) -> Option<Turn> {
        self.is_over = true;
        let mut books = self.desk.books.lock();
        let was_sick = books.sick;
        match outcome {
            Ok(()) => {
                books.sent += 1;
                (books.failed_in_a_row, books.sick) = (0, false);
            }
            Err(failure) => {
                books.failed += 1;
                books.failed_in_a_row = books.failed_in_a_row.saturating_add(1);
                books.sick |= books.failed_in_a_row == SICK;
                books.last_error = Some(failure.to_string().into());
            }
        }
        books.hangs = false;
        books.ledger.sent(outcome.is_ok(), self.desk.clock.now());
        (books.sick != was_sick).then_some(if was_sick { Turn::Ends } else { Turn::Begins })
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
