//! One subject's news, and what becomes of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::message::{Message, State};
use crate::clock::Moment;
use crate::event::{Gravity, Notice, Turn, Weight, overtakes};

/// The waits after failed attempts.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
const LONGEST_TEXT: usize = 1_000;

/// One subject, of which one channel is told.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: Arc<str>,
    /// Has it begun, and not ended?
    pub(super) holds: bool,
    /// Something that ends, not something that happens once.
    ends: bool,
    news: News,
    /// What is being sent just now.
    sending: Option<News>,
    told_at: Option<Moment>,
    /// The gravest that was told since it was last quiet.
    gravest: Option<Weight>,
    gap: Duration,
    pub(super) changed_at: Moment,
    /// When what was heard last happened, on the clock of whoever tells it.
    heard: Moment,
    /// Failed attempts since one that didn't fail, and when to try again.
    failures: u32,
    again_at: Option<Moment>,
}

/// What the channel wasn't told yet.
#[derive(Clone, Debug, Default)]
struct News {
    times: u64,
    begun: Option<Notice>,
    ended: Option<Notice>,
    at: Option<SystemTime>,
    key: Option<Arc<str>>,
    attempts: u32,
}

impl News {
    fn is_none(&self) -> bool {
        self.begun.is_none() && self.ended.is_none()
    }

    fn weight(&self) -> Option<Weight> {
        self.begun.as_ref().map(Notice::weight)
    }

    /// Takes the beginning, unless a graver one is there to be told; any change makes another message of it.
    fn begin(&mut self, notice: &Notice, at: SystemTime) {
        if self.weight().is_none_or(|weight| weight <= notice.weight()) {
            self.begun = Some(notice.clone());
        }
        self.ended = None;
        self.change(at);
    }

    fn change(&mut self, at: SystemTime) {
        (self.at, self.key, self.attempts) = (Some(at), None, 0);
    }

    /// The same, after older news that could not be told.
    fn after(self, older: Self) -> Self {
        if self.is_none() {
            return older;
        }
        let graver = older.weight() > self.weight();
        Self {
            times: older.times + self.times,
            begun: if graver { older.begun } else { self.begun },
            ..self
        }
    }
}

impl Subject {
    pub(super) fn new(notice: &Notice, gap: Duration, now: Moment) -> Self {
        Self {
            name: Arc::clone(&notice.subject),
            holds: false,
            ends: false,
            news: News::default(),
            sending: None,
            told_at: None,
            gravest: None,
            gap,
            changed_at: now,
            heard: notice.at.unwrap_or(now),
            failures: 0,
            again_at: None,
        }
    }

    /// Takes a notice; `true` if there is something new to tell.
    pub(super) fn hear(
        &mut self,
        notice: &Notice,
        gap: (Duration, Duration),
        now: Moment,
        wall: SystemTime,
    ) -> bool {
        let at = notice.at.unwrap_or(now);
        let late = overtakes(self.heard, at);
        let changed = match notice.turn {
            Turn::Ends => self.holds && !late,
            Turn::Once => true,
            Turn::Begins => !self.holds || self.is_graver(notice),
        };
        if changed {
            self.change(notice, late, gap, now, wall);
        }
        if !late {
            self.heard = at;
        }
        changed
    }

    /// Is it graver than what was told, or is to be?
    fn is_graver(&self, notice: &Notice) -> bool {
        Some(notice.weight()) > self.weight()
    }

    /// How grave it is, of all that was told and is to be.
    pub(super) fn weight(&self) -> Option<Weight> {
        let sending = self.sending.as_ref().and_then(News::weight);
        self.gravest.max(sending).max(self.news.weight())
    }

    fn change(
        &mut self,
        notice: &Notice,
        late: bool,
        (least, most): (Duration, Duration),
        now: Moment,
        wall: SystemTime,
    ) {
        let calm =
            self.news.is_none() && self.sending.is_none() && now.since(self.changed_at) >= most;
        if calm {
            self.gap = least;
            if !self.holds {
                self.gravest = None;
            }
        }
        self.changed_at = now;
        self.ends = notice.turn != Turn::Once;
        match notice.turn {
            Turn::Ends => {
                self.holds = false;
                self.news.ended = Some(notice.clone());
                self.news.change(wall);
            }
            Turn::Begins | Turn::Once => {
                // What holds already became graver: it did not begin once more.
                self.news.times += u64::from(!self.holds);
                // What comes late and isn't there any more was there for a moment.
                self.holds = notice.turn == Turn::Begins && (self.holds || !late);
                self.news.begin(notice, wall);
            }
        }
    }

    /// When its news may be told; `None` without news.
    pub(super) fn due(&self) -> Option<Moment> {
        if self.news.is_none() {
            return None;
        }
        let graver = self.news.weight() > self.gravest;
        let after_the_gap = match self.told_at {
            Some(told) if !graver => told.plus(self.gap),
            _ => self.changed_at,
        };
        Some(self.again_at.map_or(after_the_gap, |again| again.max(after_the_gap)))
    }

    pub(super) fn begin_to_send(
        &mut self,
        key: impl FnOnce() -> Arc<str>,
        left_out: u64,
    ) -> Message {
        let mut news = std::mem::take(&mut self.news);
        news.attempts += 1;
        let key = Arc::clone(news.key.get_or_insert_with(key));
        let state = match (self.ends, self.holds) {
            (false, _) => State::Happened,
            (true, true) => State::Firing,
            (true, false) => State::Cleared,
        };
        let told = [&news.begun, &news.ended];
        let texts: Vec<&str> =
            told.iter().filter_map(|one| one.as_ref()).map(|one| &*one.text).collect();
        let runbook = told.iter().find_map(|one| one.as_ref()).map_or("", |one| one.runbook);
        let (gravity, severity) = news.weight().max(self.gravest).unwrap_or((Gravity::Note, None));
        let message = Message {
            key,
            subject: Arc::clone(&self.name),
            state,
            gravity,
            severity: severity.map_or(gravity.as_str(), |severity| severity.0.as_str()),
            text: one_line(&texts.join("; then: ")),
            runbook,
            at: news.at.unwrap_or(SystemTime::UNIX_EPOCH),
            times: news.times,
            left_out,
            attempt: news.attempts,
        };
        self.sending = Some(news);
        message
    }

    pub(super) fn sent(&mut self, well: bool, most: Duration, now: Moment) {
        let Some(news) = self.sending.take() else { return };
        if well {
            if self.told_at.is_some() {
                self.gap = self.gap.saturating_mul(2).min(most);
            }
            self.gravest = self.gravest.max(news.weight());
            self.told_at = Some(now);
            (self.failures, self.again_at) = (0, None);
        } else {
            let wait = AGAIN.0.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
            self.again_at = Some(now.plus(wait.min(AGAIN.1)));
            self.failures = self.failures.saturating_add(1);
            self.news = std::mem::take(&mut self.news).after(news);
        }
    }

    /// Is it over, and was the channel told?
    pub(super) fn is_settled(&self) -> bool {
        !self.holds && !self.waits()
    }

    /// Has the channel yet to be told?
    pub(super) fn waits(&self) -> bool {
        self.is_being_sent() || !self.news.is_none()
    }

    pub(super) fn is_being_sent(&self) -> bool {
        self.sending.is_some()
    }
}

/// No line breaks and the like, and not too long: what operators typed may be in it.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST_TEXT).map(plain).collect()
}
