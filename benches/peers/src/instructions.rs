//! `instructions`: what a processor executes per call, counted under valgrind.
//!
//! A count is the same on every run, so a change shows where a clock would see noise. This program
//! runs itself twice under callgrind with different numbers of calls; what differs is what the
//! calls took. Readings of the clock are system calls under valgrind and count as next to nothing,
//! so a count says nothing about their cost. Only polled cases are counted, on one thread; and not the one with a
//! recorder of metrics, which at its start waits for a clock to be calibrated.

use std::process::Command;

use serde_json::{Value, json};

use crate::args::{Args, Failure};
use crate::cases::{self, Case, Manner, Work};
use crate::{CASES, contenders, machine, runtimes};

/// Calls in the two runs of each count.
const CALLS: [u64; 2] = [1_000, 3_000];
/// How much a count may grow over the baseline.
const MAY_GROW: f64 = 0.03;

/// Counts, prints, and compares with a baseline if given.
pub fn command(args: &Args) -> Result<(), Failure> {
    let baseline = match args.value("baseline") {
        None => Value::Null,
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
    };
    let mut rows = Vec::new();
    let mut grown = Vec::new();
    println!("{:<28}{:<20}{:>14}{:>14}", "case", "contender", "instructions", "baseline");
    for (case, contender) in chosen(args) {
        let now = count(case, contender)?;
        let before = look_up(&baseline, case.name, contender);
        let was = before.map_or_else(String::new, |was| format!("{was:.1}"));
        println!("{:<28}{contender:<20}{now:>14.1}{was:>14}", case.name);
        if before.is_some_and(|was| now > was * (1.0 + MAY_GROW)) {
            grown.push(format!("{} {contender}: {was} became {now:.1}", case.name));
        }
        rows.push(json!({ "case": case.name, "contender": contender, "instructions": now }));
    }
    if rows.is_empty() {
        return Err("no such case or contender, or nobody has the layers of that case yet".into());
    }
    if let Some(path) = args.value("json") {
        let report = json!({ "machine": machine::describe(), "rows": rows });
        std::fs::write(path, format!("{report:#}\n"))?;
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!("more than {} % over the baseline:\n{}", MAY_GROW * 100.0, grown.join("\n")).into())
}

/// Makes `--calls` calls of one case through one contender: what valgrind watches.
pub fn spin(args: &Args) -> Result<(), Failure> {
    let case = args.value("case").and_then(cases::find).ok_or("spin: which case?")?;
    let contender = contenders::all()
        .into_iter()
        .find(|contender| Some(contender.name()) == args.value("contender"))
        .ok_or("spin: which contender?")?;
    let runtime = runtimes::undriven();
    let _context = runtime.enter();
    let mut built = contender.build(case).ok_or("spin: no such layers")?;
    built.caller.run(args.number("calls", CALLS[0])?);
    Ok(())
}

/// Can a call of this case be counted?
pub fn is_counted(case: &Case) -> bool {
    case.manner != Manner::OnRuntime && case.work != Work::Metrics
}

fn chosen(args: &Args) -> Vec<(&'static Case, &'static str)> {
    let runtime = runtimes::undriven();
    let _context = runtime.enter();
    let cases = CASES.iter().filter(|case| is_counted(case) && args.admits("case", case.name));
    let contenders = contenders::all();
    let contenders = contenders.iter().filter(|who| args.admits("contender", who.name()));
    cases
        .flat_map(|case| contenders.clone().map(move |who| (case, who)))
        .filter(|(case, who)| who.build(case).is_some())
        .map(|(case, who)| (case, who.name()))
        .collect()
}

/// Instructions per call.
pub fn count(case: &Case, contender: &str) -> Result<f64, Failure> {
    let [few, many] = CALLS;
    let executed = executed(case, contender, many)?.checked_sub(executed(case, contender, few)?);
    let executed = executed.ok_or("more calls took fewer instructions")?;
    Ok(executed as f64 / (many - few) as f64)
}

/// Instructions of a whole process that makes this many calls.
fn executed(case: &Case, contender: &str, calls: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["spin", "--case", case.name, "--contender", contender])
        .args(["--calls", &calls.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, n)| n);
    let count = collected.and_then(|n| n.trim().parse().ok());
    match count {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("{} {contender}: valgrind said\n{said}", case.name).into()),
    }
}

fn look_up(baseline: &Value, case: &str, contender: &str) -> Option<f64> {
    let rows = baseline["rows"].as_array()?;
    let row = rows.iter().find(|row| row["case"] == case && row["contender"] == contender)?;
    row["instructions"].as_f64()
}
