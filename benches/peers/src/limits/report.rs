//! The table and the JSON.

use std::fs;

use serde_json::json;

use super::classes::Served;
use super::page::page;
use super::scenarios::Row;
use crate::args::{Args, Failure};

/// The worst of the seeds, of one contender in one scenario.
#[derive(Clone, Debug)]
pub(super) struct Worst {
    pub(super) scenario: &'static str,
    pub(super) contender: &'static str,
    pub(super) goodput: f64,
    pub(super) p99: f64,
    pub(super) settled: Option<f64>,
    pub(super) limit: u32,
    pub(super) fairness: Option<f64>,
}

pub(super) fn worst(rows: &[Row]) -> Vec<Worst> {
    let mut all: Vec<Worst> = Vec::new();
    for row in rows {
        let same = |w: &&mut Worst| w.scenario == row.scenario && w.contender == row.contender;
        match all.iter_mut().find(same) {
            Some(worst) => {
                worst.goodput = worst.goodput.min(row.goodput_ratio);
                worst.p99 = worst.p99.max(row.p99_ratio);
                worst.settled = worst.settled.zip(row.settle_s).map(|(a, b)| a.max(b));
                worst.limit = worst.limit.max(row.limit_end);
                worst.fairness = worst.fairness.zip(row.fairness).map(|(a, b)| a.min(b));
            }
            None => all.push(Worst {
                scenario: row.scenario,
                contender: row.contender,
                goodput: row.goodput_ratio,
                p99: row.p99_ratio,
                settled: row.settle_s,
                limit: row.limit_end,
                fairness: row.fairness,
            }),
        }
    }
    all
}

/// Of the seeds, the worst for the charges.
pub(super) fn worst_served(rows: &[Served]) -> Vec<Served> {
    let mut all: Vec<Served> = Vec::new();
    for row in rows {
        let same = |w: &&mut Served| w.demand == row.demand && w.contender == row.contender;
        match all.iter_mut().find(same) {
            Some(worst) if worst.charges <= row.charges => {}
            Some(worst) => *worst = *row,
            None => all.push(*row),
        }
    }
    all
}

pub(super) fn print(rows: &[Row], classes: &[Served]) {
    println!(
        "worst of the seeds; goodput by the best fixed limit's, p99 by that without load\n\
         {:<15} {:<24} {:>8} {:>7} {:>9} {:>7} {:>9}",
        "scenario", "contender", "goodput", "p99", "settled", "limit", "fairness"
    );
    for worst in worst(rows) {
        println!(
            "{:<15} {:<24} {:>7.1}% {:>6.2}x {:>9} {:>7} {:>9}",
            worst.scenario,
            worst.contender,
            100.0 * worst.goodput,
            worst.p99,
            worst.settled.map_or("never".into(), |settled| format!("{settled:.1} s")),
            worst.limit,
            worst.fairness.map_or(String::new(), |fairness| format!("{fairness:.3}")),
        );
    }
    if !classes.is_empty() {
        println!(
            "\nof the calls that came, those answered in time\n{:<15} {:<28} {:>8} {:>7}",
            "demand", "contender", "charges", "reads"
        );
    }
    for served in worst_served(classes) {
        println!(
            "{:<15} {:<28} {:>7.1}% {:>6.1}%",
            format!("{} x capacity", served.demand),
            served.contender,
            100.0 * served.charges,
            100.0 * served.reads,
        );
    }
}

pub(super) fn write(rows: &[Row], classes: &[Served], args: &Args) -> Result<(), Failure> {
    if let Some(file) = args.value("json") {
        let rows: Vec<_> = rows.iter().map(as_json).collect();
        fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")?;
    }
    if let Some(file) = args.value("html") {
        fs::write(file, page(rows, classes))?;
    }
    Ok(())
}

fn as_json(row: &Row) -> serde_json::Value {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    json!({
        "scenario": row.scenario,
        "contender": row.contender,
        "seed": row.seed,
        "goodput_ratio": round(row.goodput_ratio),
        "p99_ratio": round(row.p99_ratio),
        "settle_s": row.settle_s,
        "limit_end": row.limit_end,
        "fairness": row.fairness.map(round),
    })
}
