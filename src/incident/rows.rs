//! The timeline as rows, for whoever draws it.

use super::record::{Entry, Incident};
use crate::clock::Moment;
use crate::wall::Span;

/// One row of a drawn timeline.
pub(super) struct Row {
    /// When; `None` of the row that says what is missing.
    pub(super) at: Option<Moment>,
    /// Since the incident began: `-15.0 s`, `400 ms`.
    pub(super) after: String,
    pub(super) who: String,
    /// On one line.
    pub(super) what: String,
}

impl Incident {
    /// The entries and the first failing call, in order of time, each on one line.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.first.iter().map(|entry| self.row(entry)).collect();
        if self.left_out > 0 {
            let what = format!("{} entries were not kept", self.left_out);
            rows.push(Row { at: None, after: String::new(), who: String::new(), what });
        }
        rows.extend(self.rest.iter().map(|entry| self.row(entry)));
        if let Some(began) = self.began_at {
            let first = |row: &Row| row.at.is_none_or(|at| at >= began);
            let at = rows.iter().position(first).unwrap_or(rows.len());
            let what = "the first call of the trouble failed".to_owned();
            let (after, who) = (self.after(began), "calls".to_owned());
            rows.insert(at, Row { at: Some(began), after, who, what });
        }
        rows
    }

    fn row(&self, entry: &Entry) -> Row {
        let who = match entry.layer {
            Some(room) => format!("{} {room}", entry.name),
            None => one_line(&entry.name),
        };
        let mut what = one_line(&entry.text);
        if entry.times > 1 {
            what += &format!(" ({} times, until {})", entry.times, self.after(entry.until));
        }
        Row { at: Some(entry.at), after: self.after(entry.at), who, what }
    }

    fn after(&self, at: Moment) -> String {
        let began = self.beginning();
        if at < began {
            format!("-{}", Span(began.since(at)))
        } else {
            Span(at.since(began)).to_string()
        }
    }
}

/// No line breaks: what somebody typed must not begin a heading.
pub(super) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
