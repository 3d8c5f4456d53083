//! The tables and the JSON.

use std::fs;

use serde_json::{Value, json};

use super::judges::JUDGES;
use super::nulls::{self, Extent};
use super::power::{self, SPIKES};
use crate::args::{Args, Failure};

/// With its thousands set off.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As a share of a hundred.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (share * 1e5).round() / 1e3)
}

fn or_never(calls: Option<u64>) -> String {
    calls.map_or_else(|| "never".into(), thousands)
}

pub(super) fn print_power(rows: &[power::Row], runs: u64) {
    println!(
        "Calls of both arms until a bad canary is rolled back; {runs} runs a row, 50 calls a tick.\n\
         limit: the least that any test needs on average, if it may err in 1 of 1,000 cases, ever.\n\n\
         {:>7} {:>8} {:>6} {:>11} {:>11} {:>11} {:>7}",
        "base", "canary", "share", "limit", "median", "p95", "ratio"
    );
    for row in rows {
        println!(
            "{:>7} {:>8} {:>6} {:>11} {:>11} {:>11} {:>7}",
            percent(row.case.p_b),
            percent(row.case.p_c),
            percent(row.case.w),
            thousands(row.limit.round() as u64),
            or_never(row.median),
            or_never(row.p95),
            row.ratio().map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
        );
    }
    println!("(No roll-back is sooner than four blocks: 200 calls here, or a second.)\n");
}

pub(super) fn print_beside(rows: &[(&str, [Option<u64>; SPIKES.len()])]) {
    let (w, p_b) = power::COMMON;
    println!(
        "Median calls until a roll-back beside other rules: base {}, share {}; never: not in 40 min.",
        percent(p_b),
        percent(w)
    );
    print!("\n{:<10}", "");
    SPIKES.iter().for_each(|(name, _)| print!(" {name:>9}"));
    println!();
    for (name, medians) in rows {
        print!("{name:<10}");
        medians.iter().for_each(|median| print!(" {:>9}", or_never(*median)));
        println!();
    }
    println!();
}

/// The scenarios at their shares, in order.
pub(super) fn scenarios(rows: &[nulls::Row]) -> Vec<(&'static str, f64)> {
    let mut scenarios: Vec<_> = rows.iter().map(|row| (row.scenario, row.w)).collect();
    scenarios.dedup();
    scenarios
}

/// Every detector, in order.
pub(super) fn detectors(rows: &[nulls::Row]) -> Vec<&'static str> {
    let known = JUDGES.iter().map(|judge| judge.name);
    let others = rows.iter().map(|row| row.detector).filter(|d| known.clone().all(|k| k != *d));
    let mut detectors: Vec<_> = known.clone().chain(others).collect();
    detectors.dedup();
    detectors
}

pub(super) fn of<'a>(
    rows: &'a [nulls::Row],
    (scenario, w): (&str, f64),
    detector: &str,
) -> Option<&'a nulls::Row> {
    rows.iter().find(|row| row.scenario == scenario && row.w == w && row.detector == detector)
}

pub(super) fn print_nulls(rows: &[nulls::Row], extent: Extent) {
    println!(
        "Share of roll-backs of a canary that is exactly as good; {} runs a row, {} s and 200 calls a \
         second,\n30,000 calls learned (30 s and 60 s, and 6,000, where calls overlap). misused: this \
         library's test where\nclumps come and 6,000 calls are learned; told the calls of sticky users; with \
         blocks of 250 ms whatever\ncalls take. Argo and Kayenta look every 5 and 10 minutes.\n",
        thousands(extent.runs),
        extent.seconds
    );
    let detectors = detectors(rows);
    print!("{:<32} {:>5}", "", "share");
    detectors.iter().for_each(|name| print!(" {name:>8}"));
    println!();
    for scenario in scenarios(rows) {
        print!("{:<32} {:>5}", scenario.0, percent(scenario.1));
        for detector in &detectors {
            let rate = of(rows, scenario, detector).map(nulls::Row::rate);
            print!(" {:>8}", rate.map_or_else(|| "-".into(), |rate| format!("{rate:.4}")));
        }
        println!();
    }
    println!();
    for judge in &JUDGES {
        println!("{}: {}", judge.name, judge.source);
    }
}

pub(super) fn write_json(
    power: &[power::Row],
    nulls: &[nulls::Row],
    args: &Args,
) -> Result<(), Failure> {
    let Some(file) = args.value("json") else { return Ok(()) };
    let round = |x: f64| (x * 1e4).round() / 1e4;
    let power: Vec<Value> = power
        .iter()
        .map(|row| {
            json!({
                "p_b": row.case.p_b,
                "p_c": row.case.p_c,
                "w": row.case.w,
                "limit": round(row.limit),
                "median": row.median,
                "p95": row.p95,
                "ratio": row.ratio().map(round),
            })
        })
        .collect();
    let nulls: Vec<Value> = nulls
        .iter()
        .map(|row| {
            json!({
                "scenario": row.scenario,
                "w": row.w,
                "detector": row.detector,
                "false_rollback": row.rate(),
                "runs": row.runs,
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&json!({ "power": power, "nulls": nulls }))?;
    Ok(fs::write(file, text + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(thousands(1_809_229), "1,809,229");
        assert_eq!(thousands(200), "200");
        assert_eq!(percent(0.001), "0.1 %");
        assert_eq!(percent(0.05 + 0.05), "10 %");
    }
}
