//! Decides what is an incident: which event opens one, what joins it, when it is over.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::impact::{Impact, Minute};
use super::record::{Entry, Incident};
use crate::clock::Moment;
use crate::error::Room;
use crate::event::Severity;
use crate::event::{Event, Turn};
use crate::ratio::Ratio;

/// What happened shortly before an incident belongs to its timeline: the change that caused it, maybe.
const LEAD_UP: Duration = Duration::from_secs(600);
const MOST_RECENT: usize = 32;

/// Keeps the books of one timeline.
#[derive(Debug)]
pub(super) struct Clerk {
    calm: Duration,
    keep: usize,
    anchor: (Moment, SystemTime),
    minute: Minute,
    /// Events of no incident.
    recent: VecDeque<Entry>,
    current: Option<Incident>,
    past: VecDeque<Incident>,
    opened: u64,
}

/// What changed about an incident, for those who are told.
pub(super) type Changed = Option<Incident>;

impl Clerk {
    pub(super) fn new(calm: Duration, keep: usize, anchor: (Moment, SystemTime)) -> Self {
        Self {
            calm,
            keep,
            anchor,
            minute: Minute::default(),
            recent: VecDeque::new(),
            current: None,
            past: VecDeque::new(),
            opened: 0,
        }
    }

    /// Takes what came of calls up to `now`.
    pub(super) fn look(&mut self, now: Moment, taken: (Impact, Option<Moment>)) -> Changed {
        self.minute.add(now, taken);
        let share = self.minute.sum().share().unwrap_or(Ratio::ZERO);
        let incident = self.current.as_mut()?;
        incident.impact.add(taken.0);
        let before = incident.severity;
        incident.worst_minute = incident.worst_minute.max(share);
        incident.severity = Severity::of(incident.worst_minute);
        let calm = incident.recovered_at.is_some() && now.since(incident.touched) >= self.calm;
        if calm {
            return self.close();
        }
        (incident.severity != before).then(|| incident.clone())
    }

    fn close(&mut self) -> Changed {
        let mut incident = self.current.take()?;
        incident.over = true;
        self.past.push_back(incident.clone());
        if self.past.len() > self.keep {
            self.past.pop_front();
        }
        Some(incident)
    }

    /// Takes an event. What came of calls up to then was [looked at](Self::look) before.
    pub(super) fn hear(&mut self, event: &Event) -> Changed {
        let entry = Entry::of(event);
        let symptom = event.kind.symptom();
        let key = symptom.map(|symptom| (event.room, event.name, symptom.name));
        let opens = symptom.is_some_and(|symptom| symptom.turn != Turn::Ends);
        if self.current.is_none() {
            if !opens {
                return self.join_a_past_one(key, entry);
            }
            self.open(event.at);
        }
        let incident = self.current.as_mut()?;
        let was_mitigated = incident.mitigated_at.is_some();
        let fresh = incident.first.iter().all(|entry| entry.at < incident.detected_at);
        incident.push(entry);
        if event.kind.mitigates() {
            incident.mitigated_at.get_or_insert(event.at);
        }
        let recovered = incident.recovered_at.is_some();
        if let (Some(symptom), Some(key)) = (symptom, key) {
            incident.touched = event.at;
            incident.is_direct |= opens && !lags(&key);
            incident.open.retain(|open| *open != key);
            if symptom.turn == Turn::Begins {
                incident.open.push(key);
            }
            incident.recovered_at = match incident.recovered_at {
                _ if incident.is_ill() => None,
                // What ends late, or ends what wasn't there, tells of no trouble since.
                Some(before) if !opens || lags(&key) => Some(before),
                _ => Some(event.at),
            };
        }
        let changed = fresh
            || was_mitigated != incident.mitigated_at.is_some()
            || recovered != incident.recovered_at.is_some();
        changed.then(|| incident.clone())
    }

    /// Adds what somebody wrote; `false` if there is no incident to add it to.
    pub(super) fn note(&mut self, entry: Entry) -> bool {
        let incident = self.current.as_mut().or(self.past.back_mut());
        incident.map(|incident| incident.push(entry)).is_some()
    }

    fn open(&mut self, at: Moment) {
        self.opened += 1;
        let (began_at, impact) = self.minute.trouble();
        let share = self.minute.sum().share().unwrap_or(Ratio::ZERO);
        let mut incident = Incident {
            number: self.opened,
            began_at,
            detected_at: at,
            mitigated_at: None,
            recovered_at: None,
            over: false,
            severity: Severity::of(share),
            worst_minute: share,
            impact,
            first: Vec::new(),
            rest: VecDeque::new(),
            left_out: 0,
            open: Vec::new(),
            is_direct: false,
            touched: at,
            anchor: self.anchor,
        };
        let lead_up = self.recent.drain(..).filter(|entry| at.since(entry.at) <= LEAD_UP);
        lead_up.for_each(|entry| incident.push(entry));
        self.current = Some(incident);
    }

    /// A symptom that lags ends long after what it told of: it belongs to that incident.
    fn join_a_past_one(&mut self, key: Option<Key>, entry: Entry) -> Changed {
        let its = key.and_then(|key| {
            self.past.iter_mut().rev().find_map(|incident| {
                let at = incident.open.iter().position(|open| *open == key)?;
                incident.open.remove(at);
                Some(incident)
            })
        });
        if let Some(incident) = its {
            incident.push(entry);
            return Some(incident.clone());
        }
        if self.recent.len() >= MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
        None
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.past.iter().chain(&self.current)
    }
}

type Key = (Room, &'static str, &'static str);

impl Incident {
    /// Is a symptom there that says that the trouble goes on?
    fn is_ill(&self) -> bool {
        self.open.iter().any(|key| !self.is_direct || !lags(key))
    }
}

/// Does this symptom end long after the trouble did? A burn alert by its windows, a share of stale answers
/// by the answers it is taken over.
fn lags((room, _, symptom): &Key) -> bool {
    *room == Room::Slo || *symptom == "stale_share"
}
