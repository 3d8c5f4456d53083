//! An incident as JSON, one object a line.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::record::{Entry, Incident};
use crate::clock::Moment;
use crate::quoted::Quoted;
use crate::wall::Utc;

impl Incident {
    /// The incident as JSON lines: one line for the incident itself (`"type":"incident"`), then one an
    /// entry of its timeline (`"type":"entry"`), oldest first. Times are UTC, by the wall clock of whoever
    /// made the timeline; spans are in seconds.
    ///
    /// Fields of the incident: `incident`, `severity`, `over`, `began_at`, `detected_at`, `mitigated_at`,
    /// `recovered_at` (null where it isn't known), `time_to_detect`, `time_to_mitigate`,
    /// `time_to_recover`, `worst_minute_ratio`, `calls`, `failed`, `substitutes`, `left_out`. Of an entry:
    /// `incident`, `at`, `after`, `times`, `until`, `layer`, `name`, `event`, `gravity`, `text`, `runbook`.
    pub fn json_lines(&self) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        let time = |at: Option<Moment>| Json::time(at.map(|at| Utc(self.wall(at))));
        write!(out, r#"{{"type":"incident","incident":{}"#, self.number)?;
        write!(out, r#","severity":"{}","over":{}"#, self.severity, self.over)?;
        write!(out, r#","began_at":{}"#, time(self.began_at))?;
        write!(out, r#","detected_at":{}"#, time(Some(self.detected_at)))?;
        write!(out, r#","mitigated_at":{}"#, time(self.mitigated_at))?;
        write!(out, r#","recovered_at":{}"#, time(self.recovered_at))?;
        write!(out, r#","time_to_detect":{}"#, Json::span(Some(self.time_to_detect())))?;
        write!(out, r#","time_to_mitigate":{}"#, Json::span(self.time_to_mitigate()))?;
        write!(out, r#","time_to_recover":{}"#, Json::span(self.time_to_recover()))?;
        write!(out, r#","worst_minute_ratio":{}"#, f64::from(self.worst_minute))?;
        let impact = self.impact;
        write!(out, r#","calls":{},"failed":{}"#, impact.calls, impact.failed)?;
        write!(out, r#","substitutes":{},"left_out":{}}}"#, impact.substitutes, self.left_out())?;
        out.push('\n');
        self.entries().try_for_each(|entry| self.write_entry(entry, out))
    }

    fn write_entry(&self, entry: &Entry, out: &mut String) -> fmt::Result {
        let sign = if entry.at < self.beginning() { "-" } else { "" };
        let span = entry.at.since(self.beginning()) + self.beginning().since(entry.at);
        let after = Json::span(Some(span));
        let layer = entry.layer.map_or("operator", |room| room.as_str());
        write!(out, r#"{{"type":"entry","incident":{}"#, self.number)?;
        write!(out, r#","at":"{}","after":{sign}{after}"#, Utc(self.wall(entry.at)))?;
        write!(out, r#","times":{},"until":"{}""#, entry.times, Utc(self.wall(entry.until)))?;
        write!(out, r#","layer":"{layer}","name":{}"#, Json::text(&entry.name))?;
        write!(out, r#","event":"{}","gravity":"{}""#, entry.event, entry.gravity)?;
        write!(out, r#","text":{}"#, Json::text(&entry.text))?;
        writeln!(out, r#","runbook":"{}"}}"#, entry.runbook)
    }
}

/// A value, as JSON writes it.
enum Json<'a> {
    Null,
    Time(Utc),
    Seconds(Duration),
    Text(&'a str),
}

impl<'a> Json<'a> {
    fn time(at: Option<Utc>) -> Self {
        at.map_or(Self::Null, Self::Time)
    }

    fn span(span: Option<Duration>) -> Self {
        span.map_or(Self::Null, Self::Seconds)
    }

    fn text(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Time(at) => write!(f, "\"{at}\""),
            Self::Seconds(span) => write!(f, "{}.{:03}", span.as_secs(), span.subsec_millis()),
            Self::Text(text) => Quoted(text).fmt(f),
        }
    }
}
