//! An incident as plain text, for a terminal or a chat.

use std::fmt;

use super::record::Incident;
use crate::wall::Span;

/// What happened to callers, how soon it was noticed and over, and the timeline: plain text of several
/// lines.
impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |span| match span {
            Some(span) => format!("after {}", Span(span)),
            None => "not yet".to_owned(),
        };
        write!(f, "Incident {}, {}: ", self.number, self.severity)?;
        write!(f, "detected {}", known(Some(self.time_to_detect())))?;
        write!(f, ", mitigated {}", known(self.time_to_mitigate()))?;
        writeln!(f, ", recovered {}", known(self.time_to_recover()))?;
        let impact = self.impact;
        if impact.calls > 0 {
            let worst = f64::from(self.worst_minute) * 100.0;
            writeln!(
                f,
                "Of {} calls {} failed and {} got a substitute; {worst:.1} % in the worst minute, where \
                 a substitute weighs half",
                impact.calls, impact.failed, impact.substitutes
            )?;
        }
        let rows = self.rows();
        let width = |of: fn(&super::rows::Row) -> &str| {
            rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let (after, who) = (width(|row| &row.after), width(|row| &row.who));
        for row in &rows {
            write!(f, "\n  {:>after$}  {:who$}  {}", row.after, row.who, row.what)?;
        }
        Ok(())
    }
}
