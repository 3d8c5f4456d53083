//! The observer that keeps the timeline.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::clerk::{Changed, Clerk};
use super::impact::Meter;
use super::record::{Entry, Incident, bounded};
use crate::clock::Clock;
use crate::error::{Rejected, Room};
use crate::event::{Answered, Call, Event, Gravity, Observe, Sink, Wants};

/// The settings of a [`Timeline`].
#[derive(Clone)]
pub struct TimelineConfig {
    clock: Clock,
    wall: SystemTime,
    calm: Duration,
    keep: usize,
    on_change: Option<OnChange>,
}

type OnChange = Arc<dyn Fn(&Incident) + Send + Sync>;

impl TimelineConfig {
    /// The defaults.
    #[allow(clippy::disallowed_methods)] // for whoever reads it: nothing is decided by it
    pub fn new() -> Self {
        Self {
            clock: Clock::default(),
            wall: SystemTime::now(),
            calm: Duration::from_secs(60),
            keep: 16,
            on_change: None,
        }
    }

    /// The clock: the layers' own. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What the wall clock says now, for the times in exports. Default: what it says.
    #[must_use]
    pub fn wall(mut self, now: SystemTime) -> Self {
        self.wall = now;
        self
    }

    /// An incident is over when it has recovered and nothing came for so long. Default 60 s.
    #[must_use]
    pub fn calm(mut self, calm: Duration) -> Self {
        self.calm = calm;
        self
    }

    /// How many incidents that are over are kept. Default 16; at least 1.
    #[must_use]
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep.max(1);
        self
    }

    /// Is called with the incident when one opens, becomes graver, is mitigated, recovers, relapses or
    /// is over: outside any lock, on the thread that caused it. A panic in it is caught.
    #[must_use]
    pub fn on_change(mut self, tell: impl Fn(&Incident) + Send + Sync + 'static) -> Self {
        self.on_change = Some(Arc::new(tell));
        self
    }
}

impl Default for TimelineConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TimelineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, wall, calm, keep, .. } = self;
        f.debug_struct("TimelineConfig")
            .field("clock", clock)
            .field("wall", wall)
            .field("calm", calm)
            .field("keep", keep)
            .finish_non_exhaustive()
    }
}

/// Turns what layers tell into incidents: give a clone to every layer that fails together.
///
/// Calls are counted for the outermost kind of layer that reports them (fallback, canary, retry,
/// breaker): what the caller got. So stacks of different depth that fail apart want a timeline each. Where no
/// layer reports calls, severity isn't known and stays [`P4`](super::Severity::P4).
#[derive(Clone, Debug)]
pub struct Timeline(Arc<Book>);

struct Book {
    clock: Clock,
    meter: Meter,
    clerk: Mutex<Clerk>,
    /// The highest [`rank`] attached.
    outermost: AtomicU8,
    on_change: Option<OnChange>,
    panics: AtomicU64,
}

impl Timeline {
    /// A timeline with these settings.
    pub fn new(config: TimelineConfig) -> Self {
        let TimelineConfig { clock, wall, calm, keep, on_change } = config;
        let clerk = Clerk::new(calm, keep, (clock.now(), wall));
        Self(Arc::new(Book {
            clock,
            meter: Meter::new(),
            clerk: Mutex::new(clerk),
            outermost: AtomicU8::new(0),
            on_change,
            panics: AtomicU64::new(0),
        }))
    }

    /// The incidents that are kept, oldest first; the last one may still go on.
    pub fn incidents(&self) -> Vec<Incident> {
        self.0.clerk.lock().incidents().cloned().collect()
    }

    /// Adds what somebody found, did or decided to the incident that goes on, or else to the last one.
    /// `false`: there was none yet.
    pub fn note(&self, who: &str, text: &str) -> bool {
        let at = self.0.clock.now();
        let entry = Entry {
            at,
            times: 1,
            until: at,
            layer: None,
            name: bounded(who),
            event: "note",
            gravity: Gravity::Note,
            text: bounded(text),
            runbook: "",
        };
        self.0.clerk.lock().note(entry)
    }

    /// Looks at what came of calls; incidents become graver, and end, here. Calls do it too while there
    /// are many or they fail: call it every second, or spawn [`run`](Self::run).
    pub fn tick(&self) {
        self.0.look(true);
    }

    /// Looks every second, for as long as it is polled. Dropping it is safe at any point.
    pub async fn run(self) {
        loop {
            self.tick();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Panics caught in [`on_change`](TimelineConfig::on_change).
    pub fn hook_panics(&self) -> u64 {
        // Relaxed: a counter nothing hangs on.
        self.0.panics.load(Ordering::Relaxed)
    }
}

impl Book {
    /// Counts one call.
    fn count(&self, answered: Answered) {
        // What went well before is not part of the trouble that may begin here.
        if answered != Answered::Fresh && self.meter.is_well() {
            self.look(false);
        }
        if self.meter.count(answered, || self.clock.now()).is_some() {
            self.look(false);
        }
    }

    /// Looks; if somebody else does just now, only who must waits for that.
    fn look(&self, must: bool) {
        let now = self.clock.now();
        let clerk = if must { Some(self.clerk.lock()) } else { self.clerk.try_lock() };
        if let Some(mut clerk) = clerk {
            let changed = clerk.look(now, self.meter.take());
            drop(clerk);
            self.tell(changed);
        }
    }

    fn hear(&self, event: &Event) {
        let (looked, heard) = {
            let mut clerk = self.clerk.lock();
            (clerk.look(event.at, self.meter.take()), clerk.hear(event))
        };
        self.tell(looked);
        self.tell(heard);
    }

    fn tell(&self, changed: Changed) {
        let (Some(on_change), Some(incident)) = (&self.on_change, changed) else { return };
        if catch_unwind(AssertUnwindSafe(|| on_change(&incident))).is_err() {
            // Relaxed: a counter nothing hangs on.
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// How far out a room stands that reports calls; 0: it reports none.
const fn rank(room: Room) -> u8 {
    match room {
        Room::Fallback => 4,
        Room::Canary => 3,
        Room::Retry => 2,
        Room::Breaker => 1,
        _ => 0,
    }
}

impl Observe for Timeline {
    fn attach(self: Arc<Self>, room: Room, _: &'static str) -> Option<Box<dyn Sink>> {
        // Relaxed: a level that calls read for itself.
        self.0.outermost.fetch_max(rank(room), Ordering::Relaxed);
        Some(Box::new(Page { book: Arc::clone(&self.0), room }))
    }
}

/// The sink of one layer.
struct Page {
    book: Arc<Book>,
    room: Room,
}

impl Page {
    fn outermost(&self) -> u8 {
        // Relaxed: as in `attach`.
        self.book.outermost.load(Ordering::Relaxed)
    }
}

impl Sink for Page {
    fn wants(&self) -> Wants {
        let mut wants = Wants::ALL.untimed();
        wants.calls = rank(self.room) > 0;
        // Those that no layer further out sees as a call: see `refused`.
        wants.refusals = matches!(self.room, Room::Breaker | Room::KillSwitch);
        wants
    }

    fn event(&self, event: &Event) {
        self.book.hear(event);
    }

    fn refused(&self, rejected: &Rejected) {
        // A layer further out sees a breaker's refusals as calls; a fallback those of a switch, too.
        let unseen = match self.room {
            Room::Breaker => self.outermost() == rank(Room::Breaker),
            _ => self.outermost() < rank(Room::Fallback),
        };
        if unseen && !rejected.sent() {
            self.book.count(Answered::Nothing);
        }
    }

    fn called(&self, call: &Call) {
        if rank(self.room) == self.outermost() {
            self.book.count(call.answered);
        }
    }
}
