//! The beginnings of a post-mortem, in Markdown.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::actions;
use super::record::{Entry, Incident};
use super::rows::one_line;
use crate::error::Room;
use crate::event::Gravity;
use crate::wall::{Span, Utc};

/// Where people have to go on.
const TO_ANSWER: &str = "_to be answered by those who know the system_";

impl Incident {
    /// A post-mortem in Markdown, filled with what is known: summary, impact, timeline, detection,
    /// response, five whys, contributing factors, action items. It names no culprit, and asks for none.
    ///
    /// What is left to people stands in italics.
    pub fn post_mortem(&self) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write_post_mortem(&mut out);
        out
    }

    fn write_post_mortem(&self, out: &mut String) -> fmt::Result {
        let began = Utc(self.wall(self.beginning())).to_string();
        let day = &began[..10];
        writeln!(out, "# Post-mortem: {}, incident {} of {day}\n", self.severity, self.number)?;
        writeln!(out, "Blameless: it looks for what in the system let this happen.\n")?;
        self.write_summary(out, &began)?;
        self.write_impact(out)?;
        self.write_timeline(out)?;
        self.write_detection(out)?;
        self.write_response(out)?;
        self.write_whys(out)?;
        self.write_factors(out)?;
        self.write_actions(out)
    }

    fn write_summary(&self, out: &mut String, began: &str) -> fmt::Result {
        writeln!(out, "## Summary\n")?;
        let first = self.first_symptom();
        let told = first.map_or("a symptom was told".into(), |entry| one_line(&entry.text));
        let name = first.map_or("a layer", |entry| &entry.name);
        writeln!(out, "On {began} {name} showed: {told}.")?;
        match self.time_to_recover() {
            Some(span) => writeln!(out, "It had recovered {} after it began.", Span(span))?,
            None => writeln!(out, "It had not recovered when this was written.")?,
        }
        writeln!(out, "\n| | |\n| --- | --- |")?;
        let known = |span| match span {
            Some(span) => Span(span).to_string(),
            None => "not yet".to_owned(),
        };
        writeln!(out, "| severity | {} |", self.severity)?;
        writeln!(out, "| time to detect | {} |", Span(self.time_to_detect()))?;
        writeln!(out, "| time to mitigate | {} |", known(self.time_to_mitigate()))?;
        writeln!(out, "| time to recover | {} |\n", known(self.time_to_recover()))
    }

    fn write_impact(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Impact\n")?;
        let impact = self.impact;
        if impact.calls == 0 {
            writeln!(
                out,
                "No layer that reports calls was watched, so the impact in calls isn't known."
            )?;
        } else {
            let fresh = impact.calls - (impact.failed + impact.substitutes).min(impact.calls);
            writeln!(out, "- calls: {}", impact.calls)?;
            writeln!(out, "- answered by the service: {fresh}")?;
            writeln!(
                out,
                "- answered by a stale answer or another substitute: {}",
                impact.substitutes
            )?;
            writeln!(out, "- failed, or refused without an answer: {}", impact.failed)?;
            let worst = f64::from(self.worst_minute) * 100.0;
            writeln!(out, "- worst minute: {worst:.1} % failed, where a substitute weighs half")?;
        }
        writeln!(out, "- users, regions and revenue: {TO_ANSWER}\n")
    }

    fn write_timeline(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Timeline\n\n| UTC | after | who | what |\n| --- | --- | --- | --- |")?;
        for row in self.rows() {
            let at = row.at.map_or(String::new(), |at| Utc(self.wall(at)).to_string());
            writeln!(out, "| {at} | {} | {} | {} |", row.after, cell(&row.who), cell(&row.what))?;
        }
        out.push('\n');
        Ok(())
    }

    fn write_detection(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Detection\n")?;
        let span = Span(self.time_to_detect());
        match (self.began_at, self.first_symptom()) {
            (Some(_), Some(entry)) => {
                writeln!(out, "The {} found it {span} after the first failing call.", who(entry))?;
            }
            (_, Some(entry)) => {
                writeln!(out, "The {} found it; no failing call was seen before.", who(entry))?;
            }
            _ => writeln!(out, "It isn't known what found it.")?,
        }
        let burn = self.entries().find(|entry| entry.event == "budget_burns");
        match burn {
            Some(entry) => {
                let after = Span(entry.at.since(self.beginning()));
                writeln!(
                    out,
                    "An objective's burn alert came after {after}: {}.",
                    one_line(&entry.text)
                )?;
            }
            None => writeln!(out, "No objective's burn alert came.")?,
        }
        writeln!(out, "Did a person or a user notice before the alerts did? {TO_ANSWER}\n")
    }

    fn write_response(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Response\n")?;
        writeln!(out, "{}: {}", self.severity, self.severity.asks_for())?;
        match self.severity.update_every() {
            Some(every) => writeln!(out, "An update is due every {}.\n", Span(every))?,
            None => writeln!(out, "No updates are due.\n")?,
        }
        match (self.mitigated_at, self.time_to_mitigate()) {
            (Some(at), Some(after)) => {
                let by =
                    self.entries().find(|entry| entry.at == at && entry.gravity > Gravity::Note);
                let by = by.or_else(|| self.entries().find(|entry| entry.at == at));
                let what = by
                    .map_or("harm was taken off the callers".into(), |entry| one_line(&entry.text));
                writeln!(out, "- mitigated after {}: {what}", Span(after))?;
            }
            _ => writeln!(out, "- mitigated: not by anything the library saw")?,
        }
        for entry in self.entries().filter(|entry| by_people(entry)) {
            let after = Span(entry.at.since(self.beginning()));
            let (name, text) = (one_line(&entry.name), one_line(&entry.text));
            writeln!(out, "- after {after}, {name}: {text}")?;
        }
        writeln!(out, "- who coordinated, who investigated, who told stakeholders: {TO_ANSWER}\n")
    }

    fn write_whys(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Five whys\n")?;
        let symptom =
            self.first_symptom().map_or("the first symptom".into(), |entry| one_line(&entry.text));
        writeln!(
            out,
            "From the symptom to the gap in the system; a person's mistake is never the answer.\n"
        )?;
        writeln!(out, "1. Why did this happen: {symptom}? {TO_ANSWER}")?;
        writeln!(out, "2. Why was that possible? {TO_ANSWER}")?;
        writeln!(out, "3. Why did no test, review or canary stop it? {TO_ANSWER}")?;
        writeln!(out, "4. Why did it take {} to detect? {TO_ANSWER}", Span(self.time_to_detect()))?;
        let recover = match self.time_to_recover() {
            Some(span) => format!("Why did it take {} to recover?", Span(span)),
            None => "Why has it not recovered?".to_owned(),
        };
        writeln!(out, "5. {recover} {TO_ANSWER}\n")
    }

    fn write_factors(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Contributing factors\n\nSeldom is it one thing alone.\n")?;
        let mut layers = BTreeMap::new();
        for entry in self.entries().filter(|entry| entry.gravity > Gravity::Note) {
            if let Some(room) = entry.layer {
                layers.entry((entry.name.clone(), room.as_str())).or_insert(one_line(&entry.text));
            }
        }
        writeln!(out, "- technical:")?;
        for ((name, room), text) in &layers {
            writeln!(out, "  - {name} {room}: {text}")?;
        }
        if layers.is_empty() {
            writeln!(out, "  - nothing graver than a note was told")?;
        }
        let mut changes = self.entries().filter(|entry| entry.at < self.detected_at).peekable();
        writeln!(out, "- changes in the ten minutes before:")?;
        if changes.peek().is_none() {
            writeln!(out, "  - none that the library saw; deployments and data: {TO_ANSWER}")?;
        }
        for entry in changes {
            writeln!(out, "  - {} {}", entry.name, one_line(&entry.text))?;
        }
        writeln!(out, "- process: {TO_ANSWER}")?;
        writeln!(out, "- what monitoring did not see: {TO_ANSWER}\n")
    }

    fn write_actions(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "## Action items\n\n| what | who | until | runbook |\n| --- | --- | --- | --- |"
        )?;
        let mut pages: Vec<&str> = Vec::new();
        for entry in self.entries() {
            if let Some(what) = actions::prevents(entry.runbook) {
                if !pages.contains(&entry.runbook) {
                    pages.push(entry.runbook);
                    writeln!(out, "| {what} | _name_ | _date_ | {} |", entry.runbook)?;
                }
            }
        }
        let what = "Add what helped this time to the runbook.";
        writeln!(out, "| {what} | _name_ | _date_ | guide/runbook/index.html |")
    }
}

/// Did a person do it?
fn by_people(entry: &Entry) -> bool {
    let forced = ["circuit_forced_open", "circuit_forced_closed", "circuit_disabled", "ordered"];
    entry.layer.is_none() || entry.layer == Some(Room::KillSwitch) || forced.contains(&entry.event)
}

fn who(entry: &Entry) -> String {
    let layer = entry.layer.map_or("operator", |room| room.as_str());
    format!("{layer} {}", entry.name)
}

/// Text in a cell of a table: no bars.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
