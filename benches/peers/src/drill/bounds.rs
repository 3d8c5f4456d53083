//! What seawall once reached, and must not fall behind.
//!
//! Rows are a function of their seed, so a row that differs is a change that somebody made. For the better
//! it is welcome, and the file is written anew: `drill --quick --json benches/peers/src/drill/bounds.json`.
//! For the worse it fails.

use serde_json::Value;

use super::record::Row;
use super::report::{self, as_json};
use crate::args::Failure;

const BOUNDS: &str = include_str!("bounds.json");

/// The guide shows the table as it is printed.
const GUIDE: &str = include_str!("../../../../src/guide/drills.md");

/// What may not be more than it was.
const AT_MOST: [&str; 8] = [
    "failed",
    "wrong",
    "sick_calls",
    "p99_ms",
    "peak_in_flight",
    "detect_s",
    "recover_s",
    "wasted",
];
/// What may not be less.
const AT_LEAST: [&str; 1] = ["fresh"];

/// Fails if a row is worse than its bound, if an answer was wrong, or if all wasn't well before the fault.
pub(super) fn hold(rows: &[Row]) -> Result<(), Failure> {
    let bounds: Vec<Value> = serde_json::from_str(BOUNDS)?;
    let mut worse = Vec::new();
    for row in rows {
        let name = row.scenario;
        if row.seed == 1 && !GUIDE.contains(report::told(row).trim_end()) {
            worse.push(format!("{name}: src/guide/drills.md shows other figures"));
        }
        if row.not_fresh_before > 0 {
            worse.push(format!("{name}: {} calls were not served before", row.not_fresh_before));
        }
        if row.wrong > row.wrong_before_the_verdict {
            worse.push(format!("{name}: {} wrong answers or double charges", row.wrong));
        }
        let bound = bounds.iter().find(|one| one["scenario"] == name && one["seed"] == row.seed);
        worse.extend(bound.map_or_else(
            || vec![format!("{name}: no bound for seed {}", row.seed)],
            |bound| behind(name, &as_json(row), bound),
        ));
    }
    if worse.is_empty() {
        println!("\nno row is worse than its bound");
        return Ok(());
    }
    Err(worse.join("\n").into())
}

fn behind(name: &str, row: &Value, bound: &Value) -> Vec<String> {
    // Null is never: worse than any time.
    let number = |value: &Value| value.as_f64().unwrap_or(f64::INFINITY);
    let told = |field: &str| {
        let (was, is) = (&bound[field], &row[field]);
        format!("{name}: {field} is {is}, and was {was}")
    };
    let more = AT_MOST.iter().filter(|field| number(&row[**field]) > number(&bound[**field]));
    let less = AT_LEAST.iter().filter(|field| number(&row[**field]) < number(&bound[**field]));
    more.chain(less).map(|field| told(field)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn worse_is_more_that_should_be_little_and_less_that_should_be_much() {
        let bound = json!({"fresh": 10, "failed": 5, "wrong": 0, "recover_s": 1.5});
        let same = behind("x", &bound.clone(), &bound);
        assert!(same.is_empty(), "{same:?}");
        for (row, said) in [
            (json!({"fresh": 9, "failed": 5, "wrong": 0, "recover_s": 1.5}), "fresh is 9"),
            (json!({"fresh": 10, "failed": 6, "wrong": 0, "recover_s": 1.5}), "failed is 6"),
            (json!({"fresh": 10, "failed": 5, "wrong": 0, "recover_s": null}), "recover_s is null"),
        ] {
            let worse = behind("x", &row, &bound);
            assert!(worse.len() == 1 && worse[0].contains(said), "{worse:?}");
        }
    }

    #[test]
    fn every_scenario_has_a_bound() {
        let bounds: Vec<Value> = serde_json::from_str(BOUNDS).expect("valid");
        for scenario in super::super::SCENARIOS {
            assert!(bounds.iter().any(|bound| bound["scenario"] == scenario.name));
        }
    }
}
