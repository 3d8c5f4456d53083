//! The printed table: one block per case, one line per contender.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Report, Row, clocks};
use crate::contenders::{BARE, SEAWALL};
use crate::{CASES, Case};

/// The table, at most 110 columns wide.
pub(super) fn render(report: &Report) -> String {
    let mut text = format!("{}\n", report.machine);
    let mut lacks = BTreeSet::new();
    for case in CASES {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.case == case.name).collect();
        if !rows.is_empty() {
            block(&mut text, case, &rows, &mut lacks);
        }
    }
    _ = writeln!(text, "\nclocks: ns a reading; the coarse one moves every {:?}", clocks::tick());
    for (clock, ns) in &report.clocks {
        _ = writeln!(text, "  {clock:<34}{ns:>7.1}");
    }
    text.push_str(LEGEND);
    for (contender, case, what) in lacks {
        _ = writeln!(text, "  * {contender}, {case}: {what}");
    }
    text
}

const LEGEND: &str = "
ns of one core per call, and what is added over the bare backend of the same round, at 1, 2 and
4 threads; allocations per call. At 1 thread: x floor = ns / the case's floor (bare + the clock
reads and atomic writes it cannot do without); x peer = ns / the best peer that does the same work
(in brackets if all do less).
* does less than the case asks for:
";

type Lacks = BTreeSet<(&'static str, &'static str, &'static str)>;

fn block(text: &mut String, case: &Case, rows: &[&Row], lacks: &mut Lacks) {
    let floors: Vec<String> = rows
        .iter()
        .filter(|row| row.contender == BARE)
        .map(|row| format!("{:.1}", row.floor_ns))
        .collect();
    _ = writeln!(text, "\n{}: {}", case.name, wrapped(case.about, case.name.len() + 2));
    _ = writeln!(
        text,
        "  {:<18}{:>9}{:>9}{:>10}{:>9}{:>10}{:>9}{:>8}{:>10}{:>10}",
        "contender",
        "1 thr ns",
        "added",
        "2 thr ns",
        "added",
        "4 thr ns",
        "added",
        "allocs",
        "x floor",
        "x peer",
    );
    let best = Best::of(rows);
    let mut names: Vec<&'static str> = rows.iter().map(|row| row.contender).collect();
    names.dedup();
    for name in names {
        let own: Vec<&&Row> = rows.iter().filter(|row| row.contender == name).collect();
        let first = own[0];
        let mark = if first.lacks.is_some() { " *" } else { "" };
        _ = write!(text, "  {:<18}", format!("{name}{mark}"));
        for (index, row) in own.iter().enumerate() {
            let width = if index == 0 { 9 } else { 10 };
            _ = write!(text, "{:>width$}{:>9}", figure(row.ns), signed(row.added_ns));
        }
        _ = write!(text, "{:>8}", allocs(first.allocs));
        let (floor, peer) = match name {
            BARE => (String::new(), String::new()),
            _ => (ratio(first.ns / first.floor_ns), best.ratio(first)),
        };
        _ = writeln!(text, "{}", format!("{floor:>10}{peer:>10}").trim_end());
        if let Some(what) = first.lacks {
            lacks.insert((name, case.name, what));
        }
    }
    _ = writeln!(text, "  {:<18}{:>9}{:>19}{:>19}", "floor", floors[0], floors[1], floors[2]);
}

/// The time of the best peer that does the same work, at one thread.
pub(super) fn best_of_the_same_work(rows: &[&Row]) -> Option<f64> {
    let best = Best::of(rows);
    best.ns.filter(|_| !best.less)
}

/// The best peer of a case at one thread: among those that do the same work, else among all.
struct Best {
    ns: Option<f64>,
    less: bool,
}

impl Best {
    fn of(rows: &[&Row]) -> Self {
        let peers =
            rows.iter().filter(|row| row.threads == 1 && ![BARE, SEAWALL].contains(&row.contender));
        let least = |less: bool| {
            let ns = peers.clone().filter(|row| less || row.lacks.is_none()).map(|row| row.ns);
            ns.min_by(f64::total_cmp)
        };
        let same = least(false);
        Self { ns: same.or_else(|| least(true)), less: same.is_none() }
    }

    fn ratio(&self, row: &Row) -> String {
        let Some(ns) = self.ns else {
            return String::new();
        };
        let ratio = ratio(row.ns / ns);
        if self.less { format!("({ratio})") } else { ratio }
    }
}

fn figure(ns: f64) -> String {
    if ns.abs() < 1_000.0 { format!("{ns:.1}") } else { format!("{ns:.0}") }
}

fn signed(ns: f64) -> String {
    if ns.abs() < 1_000.0 { format!("{ns:+.1}") } else { format!("{ns:+.0}") }
}

fn allocs(count: f64) -> String {
    if count < 0.005 { "0".into() } else { format!("{count:.2}") }
}

fn ratio(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

/// Breaks a sentence at 110 columns.
fn wrapped(sentence: &str, mut column: usize) -> String {
    let mut text = String::new();
    for word in sentence.split_whitespace() {
        if column + word.len() + 1 > 110 {
            text.push_str("\n   ");
            column = 3;
        } else if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        column += word.len() + 1;
    }
    text
}
