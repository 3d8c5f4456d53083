//! The table and the JSON.

use std::fs;

use serde_json::json;

use super::page;
use super::record::Row;
use crate::args::{Args, Failure};

/// Prints a line a run.
pub(super) fn print(rows: &[Row]) {
    let mut scenario = "";
    for row in rows {
        if row.scenario != scenario {
            scenario = row.scenario;
            println!(
                "\n{:<25} {:>7} {:>6} {:>6} {:>7} {:>6} {:>7} {:>6} {:>6} {:>5} {:>6} {:>7} {:>6}",
                scenario,
                "offered",
                "fresh",
                "stale",
                "charges",
                "wrong",
                "sick",
                "p50",
                "p99",
                "peak",
                "detect",
                "recover",
                "wasted",
            );
        }
        let percent =
            |count: u64| format!("{:.1}%", 100.0 * count as f64 / row.offered.max(1) as f64);
        println!(
            "{:<25} {:>7} {:>6} {:>6} {:>7} {:>6} {:>7} {:>6} {:>6} {:>5} {:>6} {:>7} {:>6}",
            row.contender,
            row.offered,
            percent(row.fresh),
            percent(row.stale),
            format!("{:.1}%", 100.0 * row.charges_fresh),
            row.wrong,
            row.sick_calls,
            milliseconds(row.p50_ms),
            milliseconds(row.p99_ms),
            row.peak_in_flight,
            row.detect_s.map_or_else(|| "-".into(), |s| milliseconds(s * 1e3)),
            row.recover_s.map_or_else(|| "never".into(), |s| milliseconds(s * 1e3)),
            row.wasted,
        );
    }
}

pub(super) fn milliseconds(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.0}ms") } else { format!("{:.1}s", ms / 1e3) }
}

pub(super) fn write(rows: &[Row], args: &Args) -> Result<(), Failure> {
    if let Some(file) = args.value("json") {
        let rows: Vec<_> = rows.iter().map(as_json).collect();
        fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")?;
    }
    if let Some(file) = args.value("html") {
        fs::write(file, page::page(rows))?;
    }
    Ok(())
}

fn as_json(row: &Row) -> serde_json::Value {
    let round = |value: f64| (value * 1e3).round() / 1e3;
    json!({
        "scenario": row.scenario,
        "contender": row.contender,
        "seed": row.seed,
        "offered": row.offered,
        "fresh": row.fresh,
        "stale": row.stale,
        "failed": row.failed,
        "wrong": row.wrong,
        "sick_calls": row.sick_calls,
        "p50_ms": round(row.p50_ms),
        "p99_ms": round(row.p99_ms),
        "p999_ms": round(row.p999_ms),
        "peak_in_flight": row.peak_in_flight,
        "detect_s": row.detect_s.map(round),
        "recover_s": row.recover_s.map(round),
        "wasted": row.wasted,
    })
}
