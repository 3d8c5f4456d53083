//! What somebody should be told of.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Gravity, Severity, Turn};
use crate::clock::Moment;

/// Something that somebody may have to be told: the beginning or the end of something wrong, or something
/// that happened once.
///
/// ```
/// use seawall::event::{Gravity, Notice, Turn};
///
/// let mut full = Notice::new("disk/ledger", Turn::Begins, Gravity::Critical, "no space is left");
/// full.runbook = "https://wiki.example.com/disk-full";
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// What it is about: what begins with one notice ends with another of the same subject. Of an event it
    /// is the layer, the instance and the symptom, `breaker/payments/circuit`; of an incident its number,
    /// `incident/3`.
    pub subject: Arc<str>,
    /// Which end of it.
    pub turn: Turn,
    /// How much it is worth somebody's attention.
    pub gravity: Gravity,
    /// Of an incident, how bad it is.
    pub severity: Option<Severity>,
    /// In a sentence.
    pub text: String,
    /// The page of the runbook that says what to do: below the root of the rendered documentation, or an
    /// address of your own; may be empty.
    pub runbook: &'static str,
    /// When, on the clock of whoever tells it; `None`: when it is heard. Of two about one subject that
    /// come in the wrong order, within a minute, the later one counts.
    pub at: Option<Moment>,
}

impl Notice {
    /// A notice, without a runbook's page.
    pub fn new(
        subject: impl Into<Arc<str>>,
        turn: Turn,
        gravity: Gravity,
        text: impl Into<String>,
    ) -> Self {
        let (subject, text) = (subject.into(), text.into());
        Self { subject, turn, gravity, severity: None, text, runbook: "", at: None }
    }

    /// What there is to tell of an event: its symptom, or else itself.
    pub fn of(event: &Event) -> Self {
        let kind = &event.kind;
        let (what, turn) = match kind.symptom() {
            Some(symptom) => (symptom.name, symptom.turn),
            None => (kind.as_str(), Turn::Once),
        };
        let subject = format!("{}/{}/{what}", event.room.as_str(), event.name);
        Self {
            runbook: kind.runbook(),
            ..Self::new(subject, turn, kind.gravity(), event.to_string())
        }
    }

    /// Orders notices by how grave they are.
    pub(crate) fn weight(&self) -> Weight {
        (self.gravity, self.severity.map(Reverse))
    }
}

/// Reports come from many threads, and may overtake each other by so much; what is further apart is a clock
/// that went back.
const OVERTAKEN: Duration = Duration::from_secs(60);

/// Is what happened at `known` later than what is told only now?
pub(crate) fn overtakes(known: Moment, told: Moment) -> bool {
    known > told && known.since(told) < OVERTAKEN
}

/// How grave something is: by gravity, then by severity.
pub(crate) type Weight = (Gravity, Option<Reverse<Severity>>);
