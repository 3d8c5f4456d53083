//! What a run over HTTP found: printed, and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// One contestant.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) contender: &'static str,
    /// Requests answered in all turns.
    pub(super) requests: usize,
    /// Requests per second: the median turn.
    pub(super) rps: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Requests per second over the bare client's: the median pair.
    pub(super) ratio: Option<f64>,
}

/// A whole run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: String,
    pub(super) clients: usize,
    pub(super) rows: Vec<Row>,
}

/// The printed table.
pub(super) fn render(report: &Report) -> String {
    let mut text = format!("{}; {} clients, closed loop\n\n", report.machine, report.clients);
    _ = writeln!(
        text,
        "  {:<18}{:>12}{:>12}{:>12}{:>12}{:>16}",
        "client", "requests", "rps", "p50 us", "p99 us", "rps over bare",
    );
    for row in &report.rows {
        let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{:.2} %", ratio * 100.0));
        let line = format!(
            "  {:<18}{:>12}{:>12.0}{:>12.1}{:>12.1}{:>16}",
            row.contender,
            row.requests,
            row.rps,
            micros(row.p50),
            micros(row.p99),
            ratio,
        );
        _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// `{"machine": .., "clients": .., "rows": [..]}`.
pub(super) fn to_json(report: &Report) -> Value {
    let row = |row: &Row| {
        json!({
            "contender": row.contender,
            "requests": row.requests,
            "rps": row.rps.round(),
            "p50_us": micros(row.p50),
            "p99_us": micros(row.p99),
            "ratio": row.ratio,
        })
    };
    let rows: Vec<Value> = report.rows.iter().map(row).collect();
    json!({ "machine": report.machine, "clients": report.clients, "rows": rows })
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1_000.0
}
