//! What a channel is told.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::Gravity;
use crate::quoted::Quoted;
use crate::wall::Utc;

/// Whether something is wrong now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is.
    Firing,
    /// It was, and isn't any more.
    Cleared,
    /// It happened; nothing will tell its end.
    Happened,
}

impl State {
    /// `firing`, `cleared`, `happened`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Cleared => "cleared",
            Self::Happened => "happened",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message about one subject: how it stands now.
///
/// It reads as one line: `[P1] firing: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The same when the same message is sent again because an attempt failed; unlike that of any other,
    /// of other processes, too. Who is told can tell that it was told before.
    pub key: Arc<str>,
    /// What it is about: `breaker/payments/circuit`, `incident/3`. A later message about the same
    /// subject takes this one's place.
    pub subject: Arc<str>,
    /// How it stands.
    pub state: State,
    /// How grave it is; of what is cleared, how grave it was.
    pub gravity: Gravity,
    /// `P1` to `P4` of an incident; of all else the gravity: `critical`, `warning`, `note`.
    pub severity: &'static str,
    /// In a sentence or two, on one line, of at most 1,000 characters.
    pub text: String,
    /// The page of the runbook that says what to do; may be empty.
    pub runbook: &'static str,
    /// When the newest of it happened, by the wall clock.
    pub at: SystemTime,
    /// How often it began since the last message about it: more than once, it flaps.
    pub times: u64,
    /// About how many subjects nobody was told since the start, because too many others were open.
    pub left_out: u64,
    /// Which attempt to send it, from 1 on.
    pub attempt: u32,
}

impl Message {
    /// As a JSON object, on one line: all fields by their names; `at` in UTC, by RFC 3339.
    pub fn json(&self) -> String {
        format!(
            concat!(
                r#"{{"key":{},"subject":{},"state":"{}","gravity":"{}","severity":"{}","#,
                r#""text":{},"runbook":{},"at":"{}","times":{},"left_out":{},"attempt":{}}}"#,
            ),
            Quoted(&self.key),
            Quoted(&self.subject),
            self.state,
            self.gravity,
            self.severity,
            Quoted(&self.text),
            Quoted(self.runbook),
            Utc(self.at),
            self.times,
            self.left_out,
            self.attempt,
        )
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.severity, self.state, self.text)?;
        if self.times > 1 {
            write!(f, " ({} times since the last message)", self.times)?;
        }
        if self.left_out > 0 {
            write!(f, " ({} other subjects were left out)", self.left_out)?;
        }
        if self.runbook.is_empty() { Ok(()) } else { write!(f, "; see {}", self.runbook) }
    }
}
