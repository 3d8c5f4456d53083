//! The table, the JSON and the page.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use super::scenarios::Row;
use crate::args::{Args, Failure};

/// Rows of one contender in one scenario, seed by seed.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let same = |group: &&mut Vec<&Row>| {
            group[0].scenario == row.scenario && group[0].contender == row.contender
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// The worst of the seeds, line by line.
pub(super) fn print(rows: &[Row]) {
    println!(
        "worst of the seeds; goodput by the best fixed limit's, p99 by that without load\n\
         {:<15} {:<24} {:>8} {:>7} {:>9} {:>7} {:>9}",
        "scenario", "contender", "goodput", "p99", "settled", "limit", "fairness"
    );
    for group in groups(rows) {
        let least = |of: fn(&Row) -> f64| group.iter().map(|r| of(r)).fold(f64::INFINITY, f64::min);
        let most = |of: fn(&Row) -> f64| group.iter().map(|r| of(r)).fold(0.0, f64::max);
        let settled = most(|row| row.settle_s.unwrap_or(f64::INFINITY));
        let settled = if settled.is_finite() { format!("{settled:.1} s") } else { "never".into() };
        let fairness = group[0].fairness.map(|_| least(|row| row.fairness.unwrap_or(0.0)));
        println!(
            "{:<15} {:<24} {:>7.1}% {:>6.2}x {:>9} {:>7} {:>9}",
            group[0].scenario,
            group[0].contender,
            100.0 * least(|row| row.goodput_ratio),
            most(|row| row.p99_ratio),
            settled,
            most(|row| f64::from(row.limit_end)),
            fairness.map_or(String::new(), |fairness| format!("{fairness:.3}")),
        );
    }
}

pub(super) fn write(rows: &[Row], args: &Args) -> Result<(), Failure> {
    if let Some(file) = args.value("json") {
        let rows: Vec<_> = rows.iter().map(as_json).collect();
        fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")?;
    }
    if let Some(file) = args.value("html") {
        fs::write(file, page(rows))?;
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

const COLOURS: [&str; 6] = ["#0b6e99", "#2a9d5c", "#7a4fbf", "#d1495b", "#e08e0b", "#888888"];

/// A chart a scenario: each contender's limit over time, of the first seed.
fn page(rows: &[Row]) -> String {
    let mut page = String::from(
        "<!doctype html><meta charset=utf-8><title>Limits that find themselves</title>\
         <style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}\
         svg{width:100%;height:auto}h2{margin:1.5em 0 .2em}text{font-size:11px;fill:#555}\
         .k span{margin-right:1.2em;white-space:nowrap}</style>\
         <h1>Limits that find themselves</h1>\
         <p>The limit over time, on a logarithmic scale. The service has 50 workers: the dashed line. \
         Of two clients, the first one's limit.</p>",
    );
    let mut scenarios: Vec<&str> = rows.iter().map(|row| row.scenario).collect();
    scenarios.dedup();
    for scenario in scenarios {
        let _ = write!(page, "<h2>{scenario}</h2>{}", chart(rows, scenario));
    }
    page
}

fn chart(rows: &[Row], scenario: &str) -> String {
    const SIZE: (f64, f64) = (800.0, 220.0);
    let of = rows.iter().filter(|row| row.scenario == scenario && row.seed == 1);
    let of: Vec<&Row> = of.collect();
    let seconds = of.iter().map(|row| row.limits.len()).max().unwrap_or(2).max(2) as f64 - 1.0;
    let x = |second: usize| 40.0 + second as f64 / seconds * (SIZE.0 - 50.0);
    let y = |limit: u32| SIZE.1 - 20.0 - f64::from(limit.max(1)).log10() / 3.4 * (SIZE.1 - 30.0);
    let mut svg = format!("<svg viewBox='0 0 {} {}' role=img>", SIZE.0, SIZE.1);
    for limit in [1, 10, 100, 1_000] {
        let _ = write!(
            svg,
            "<line x1=40 x2=790 y1={0:.1} y2={0:.1} stroke='#ddd'/><text x=34 y={1:.1} \
             text-anchor=end>{limit}</text>",
            y(limit),
            y(limit) + 4.0
        );
    }
    let _ = write!(
        svg,
        "<line x1=40 x2=790 y1={0:.1} y2={0:.1} stroke='#333' stroke-dasharray='4 4'/>",
        y(50)
    );
    let mut key = String::from("<p class=k>");
    for (row, colour) in of.iter().zip(COLOURS) {
        let points: Vec<String> = row
            .limits
            .iter()
            .enumerate()
            .map(|(second, limit)| format!("{:.1},{:.1}", x(second), y(*limit)))
            .collect();
        let _ = write!(
            svg,
            "<polyline points='{}' fill=none stroke='{colour}' stroke-width=1.6>\
             <title>{}</title></polyline>",
            points.join(" "),
            row.contender
        );
        let _ = write!(key, "<span style='color:{colour}'>&#9632; {}</span>", row.contender);
    }
    svg + "</svg>" + &key + "</p>"
}
