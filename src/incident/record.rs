//! What is known of one incident.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::impact::Impact;
use crate::clock::Moment;
use crate::error::Room;
use crate::event::{Event, Gravity, Notice, Severity, Turn};
use crate::ratio::Ratio;
use crate::wall::Span;

/// How many entries of an incident are kept: the first half of them from its beginning, the rest the
/// newest.
pub(super) const MOST_ENTRIES: usize = 256;
const LONGEST_TEXT: usize = 2_000;

/// A symptom: room, instance, name.
pub(super) type Key = (Room, &'static str, &'static str);

/// One incident: from its first symptom to its end, with everything that was told meanwhile.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Incident {
    /// 1 for the first of the process.
    pub number: u64,
    /// When the first call of the trouble failed; `None` if no failing calls were seen before the first
    /// symptom.
    pub began_at: Option<Moment>,
    /// When the first symptom was told: the incident was detected.
    pub detected_at: Moment,
    /// When something first took harm off the callers: a circuit opened, a switch was flipped, a canary
    /// was taken out.
    pub mitigated_at: Option<Moment>,
    /// When the last symptom ended; `None` while one is there.
    pub recovered_at: Option<Moment>,
    /// Is it over: recovered, and calm since?
    pub over: bool,
    /// By the worst minute so far.
    pub severity: Severity,
    /// The share that was failed in the worst minute; a substitute weighs half.
    pub worst_minute: Ratio,
    /// What came of calls since it began.
    pub impact: Impact,
    pub(super) first: Vec<Entry>,
    pub(super) rest: VecDeque<Entry>,
    pub(super) left_out: u64,
    /// Symptoms that haven't ended, and when each began.
    pub(super) open: Vec<(Key, Moment)>,
    /// It has, or had, a symptom that doesn't lag: such ones alone say when it ended.
    pub(super) is_direct: bool,
    /// When a symptom last came or went.
    pub(super) touched: Moment,
    /// As of when it was last told.
    pub(super) changed_at: Moment,
    /// The wall clock at a moment, for whoever reads it.
    pub(super) anchor: (Moment, SystemTime),
}

/// One line of an incident's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// When; of what repeated itself, when first.
    pub at: Moment,
    /// How often: a circuit whose probes fail again and again is one entry.
    pub times: u64,
    /// When last.
    pub until: Moment,
    /// The kind of layer that told it; `None` for a [note](super::Timeline::note).
    pub layer: Option<Room>,
    /// The instance that told it, or who wrote the note.
    pub name: Box<str>,
    /// What: the event's name, or `note`.
    pub event: &'static str,
    /// How grave it is.
    pub gravity: Gravity,
    /// In a sentence.
    pub text: Box<str>,
    /// The page of the runbook that says what to do; empty for a note.
    pub runbook: &'static str,
}

impl Entry {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            at: event.at,
            times: 1,
            until: event.at,
            layer: Some(event.room),
            name: event.name.into(),
            event: event.kind.as_str(),
            gravity: event.kind.gravity(),
            text: bounded(&event.kind.to_string()),
            runbook: event.kind.runbook(),
        }
    }

    /// Is it of the same teller?
    fn is_beside(&self, other: &Self) -> bool {
        self.layer.is_some() && (self.layer, &self.name) == (other.layer, &other.name)
    }
}

/// Not more than the first 2,000 characters: what operators and remote services say is in it.
pub(super) fn bounded(text: &str) -> Box<str> {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// Does `entry` repeat what the last ones tell: of one teller, b, a, b, and now a? Then the a that is there
/// takes it in.
fn again(entries: &mut [Entry], entry: &Entry) -> bool {
    let [.., before, told, between] = entries else { return false };
    // An operator's words are never the same twice, and nothing of them is lost.
    let repeats = before.event != told.event
        && (before.event, &before.text) == (between.event, &between.text)
        && told.event == entry.event;
    let beside = [&*before, told, between].iter().all(|one| one.is_beside(entry));
    if repeats && beside {
        told.times += 1;
        (told.until, told.text) = (entry.at, entry.text.clone());
    }
    repeats && beside
}

impl Incident {
    /// From the first failing call to the first symptom told: zero if no failing call was seen before.
    pub fn time_to_detect(&self) -> Duration {
        self.detected_at.since(self.beginning())
    }

    /// From the first failing call until something took harm off the callers.
    pub fn time_to_mitigate(&self) -> Option<Duration> {
        self.mitigated_at.map(|at| at.since(self.beginning()))
    }

    /// From the first failing call until the last symptom ended.
    pub fn time_to_recover(&self) -> Option<Duration> {
        self.recovered_at.map(|at| at.since(self.beginning()))
    }

    /// The timeline, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.first.iter().chain(&self.rest)
    }

    /// What there is to tell of it: that it goes on, or that it has recovered, its severity, what it did
    /// to callers, and its first symptom.
    pub fn notice(&self) -> Notice {
        let turn = if self.recovered_at.is_some() { Turn::Ends } else { Turn::Begins };
        let gravity = match self.severity {
            Severity::P1 | Severity::P2 => Gravity::Critical,
            Severity::P3 | Severity::P4 => Gravity::Warning,
        };
        let Impact { calls, failed, substitutes, .. } = self.impact;
        let stands = match (self.time_to_recover(), self.mitigated_at) {
            (Some(after), _) => format!("recovered after {}", Span(after)),
            (None, Some(_)) => "goes on, mitigated".to_owned(),
            (None, None) => "goes on".to_owned(),
        };
        let text = format!(
            "incident {} {stands}: of {calls} calls {failed} failed and {substitutes} got a substitute",
            self.number
        );
        let mut notice = Notice::new(format!("incident/{}", self.number), turn, gravity, text);
        notice.severity = Some(self.severity);
        notice.at = Some(self.changed_at);
        if let Some(first) = self.first_symptom() {
            notice.text += &format!("; first symptom: {} {}", first.name, first.text);
            notice.runbook = first.runbook;
        }
        notice
    }

    /// The entry that opened it; `None` if its middle was left out.
    pub(super) fn first_symptom(&self) -> Option<&Entry> {
        self.entries().find(|entry| entry.at >= self.detected_at && entry.layer.is_some())
    }

    /// How many entries of its middle weren't kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The first symptom or failing call, whichever came first.
    pub fn beginning(&self) -> Moment {
        self.began_at.map_or(self.detected_at, |began| began.min(self.detected_at))
    }

    /// A moment by the wall clock.
    pub fn wall(&self, at: Moment) -> SystemTime {
        let (anchor, wall) = self.anchor;
        let shifted = if at >= anchor {
            wall.checked_add(at.since(anchor))
        } else {
            wall.checked_sub(anchor.since(at))
        };
        shifted.unwrap_or(wall)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let tail = if self.rest.is_empty() {
            again(&mut self.first, &entry)
        } else {
            again(self.rest.make_contiguous(), &entry)
        };
        match tail {
            // What lay between says nothing new either.
            true if self.rest.is_empty() => _ = self.first.pop(),
            true => _ = self.rest.pop_back(),
            false => self.keep(entry),
        }
    }

    fn keep(&mut self, entry: Entry) {
        if self.first.len() < MOST_ENTRIES / 2 {
            return self.first.push(entry);
        }
        if self.rest.len() >= MOST_ENTRIES / 2 {
            self.rest.pop_front();
            self.left_out += 1;
        }
        self.rest.push_back(entry);
    }
}
