//! The table and the JSON.

use std::fs;

use serde_json::json;

use super::page;
use super::record::Row;
use crate::args::{Args, Failure};

/// What a line of the table says, after the contender's name.
pub(super) const COLUMNS: [&str; 13] = [
    "offered",
    "fresh",
    "stale",
    "charges",
    "wrong",
    "sick calls",
    "p50",
    "p99",
    "p99.9",
    "peak",
    "detect",
    "recover",
    "wasted",
];

/// A line of the table.
pub(super) fn cells(row: &Row) -> [String; 13] {
    let percent = |count: u64| format!("{:.1} %", 100.0 * count as f64 / row.offered.max(1) as f64);
    let seconds = |seconds: f64| milliseconds(seconds * 1e3);
    [
        thousands(row.offered),
        percent(row.fresh),
        percent(row.stale),
        format!("{:.1} %", 100.0 * row.charges_fresh),
        row.wrong.to_string(),
        thousands(row.sick_calls),
        milliseconds(row.p50_ms),
        milliseconds(row.p99_ms),
        milliseconds(row.p999_ms),
        thousands(row.peak_in_flight),
        row.detect_s.map_or_else(|| "-".into(), seconds),
        row.recover_s.map_or_else(|| "never".into(), seconds),
        thousands(row.wasted),
    ]
}

/// The line that `row` is in the printed table, and in the guide's.
pub(super) fn told(row: &Row) -> String {
    line(row.contender, &cells(row))
}

/// Of several seeds: means, and the worst.
pub(super) fn print_over_seeds(rows: &[Row]) {
    let seeds = rows.iter().map(|row| row.seed).max().unwrap_or(1);
    println!(
        "\nover {seeds} seeds          {:>10} {:>12} {:>8} {:>10} {:>8} {:>10} {:>8}",
        "answered", "sick calls", "worst", "detect", "worst", "recover", "worst"
    );
    let mut scenario = "";
    let first = rows.iter().filter(|row| row.seed == 1);
    for one in first {
        if one.scenario != scenario {
            scenario = one.scenario;
            println!("{scenario}");
        }
        let same = |row: &&Row| (row.scenario, row.contender) == (one.scenario, one.contender);
        let of: Vec<&Row> = rows.iter().filter(same).collect();
        let mean =
            |at: fn(&Row) -> f64| of.iter().map(|row| at(row)).sum::<f64>() / of.len() as f64;
        let worst = |at: fn(&Row) -> f64| of.iter().map(|row| at(row)).fold(0.0, f64::max);
        let time = |seconds: f64| match seconds.is_finite() {
            true => milliseconds(seconds * 1e3),
            false => "never".to_owned(),
        };
        let detect = |row: &Row| row.detect_s.unwrap_or(f64::INFINITY);
        let recover = |row: &Row| row.recover_s.unwrap_or(f64::INFINITY);
        println!(
            "{:<24}{:>8.1} % {:>12} {:>8} {:>10} {:>8} {:>10} {:>8}",
            one.contender,
            100.0 * mean(|row| (row.fresh + row.stale) as f64 / row.offered.max(1) as f64),
            thousands(mean(|row| row.sick_calls as f64) as u64),
            thousands(worst(|row| row.sick_calls as f64) as u64),
            time(mean(detect)),
            time(worst(detect)),
            time(mean(recover)),
            time(worst(recover)),
        );
    }
}

/// Prints a table a scenario.
pub(super) fn print(rows: &[Row]) {
    let mut scenario = "";
    for row in rows {
        if row.scenario != scenario {
            scenario = row.scenario;
            println!("\n{}", line(scenario, &COLUMNS));
        }
        let name = match row.seed {
            1 => row.contender.to_owned(),
            seed => format!("{} #{seed}", row.contender),
        };
        let while_well = row.fresh_while_well.map_or_else(String::new, |share| {
            format!("   {:.1} % fresh of those who came while it was well", 100.0 * share)
        });
        println!("{}{while_well}", line(&name, &cells(row)));
    }
}

fn line(name: &str, cells: &[impl AsRef<str>; 13]) -> String {
    const WIDTHS: [usize; 13] = [8, 8, 7, 8, 6, 11, 7, 7, 7, 6, 7, 8, 7];
    let mut line = format!("{name:<24}");
    for (cell, width) in cells.iter().zip(WIDTHS) {
        line.push_str(&format!("{:>width$}", cell.as_ref()));
    }
    line
}

fn milliseconds(ms: f64) -> String {
    if ms < 999.5 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1e3) }
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
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

pub(super) fn as_json(row: &Row) -> serde_json::Value {
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
