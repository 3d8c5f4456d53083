//! `cost --check`: what a run must show on any machine, however busy.
//!
//! Times are noise on a machine that does other things, allocations are not; and a layer that takes many
//! times what its best peer takes in the same run has lost its way, whatever the noise.

use super::{Report, Row, table};
use crate::args::Failure;
use crate::cases::{self, Manner};
use crate::contenders::SEAWALL;

/// How many times the best peer's time a row may take.
const TIMES_THE_BEST: f64 = 25.0;
/// A call allocates, or it doesn't: what is less is a thread's or a table's first use.
const ALLOCATES: f64 = 0.005;

/// What is wrong with seawall's rows on one thread; an error if anything is.
pub(super) fn check(report: &Report) -> Result<(), Failure> {
    let own = report.rows.iter().filter(|row| row.contender == SEAWALL && row.threads == 1);
    let wrong: Vec<String> = own.flat_map(|row| faults(row, report)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn faults(row: &Row, report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    // A clone may allocate the count of its own calls.
    let clones = cases::find(row.case).is_some_and(|case| case.manner == Manner::ClonedPerCall);
    if !clones && row.allocs >= ALLOCATES {
        faults.push(format!("{}: {:.2} allocations a call", row.case, row.allocs));
    }
    let rows: Vec<&Row> = report.rows.iter().filter(|other| other.case == row.case).collect();
    if let Some(best) = table::best_of_the_same_work(&rows) {
        if row.ns > TIMES_THE_BEST * best {
            faults.push(format!("{}: {:.0} ns, the best peer {best:.0} ns", row.case, row.ns));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: &'static str, contender: &'static str, ns: f64, allocs: f64) -> Row {
        let (added_ns, floor_ns, instructions, lacks) = (ns, 1.0, None, None);
        Row { case, contender, threads: 1, ns, added_ns, floor_ns, allocs, instructions, lacks }
    }

    fn verdict(rows: Vec<Row>) -> Result<(), Failure> {
        check(&Report { machine: String::new(), clocks: Vec::new(), rows })
    }

    #[test]
    fn an_allocation_fails_but_in_a_clone() {
        assert!(verdict(vec![row("slo_record", SEAWALL, 5.0, 0.0)]).is_ok());
        assert!(verdict(vec![row("slo_record", SEAWALL, 5.0, 1.0)]).is_err());
        assert!(verdict(vec![row("cloned_stack", SEAWALL, 5.0, 5.0)]).is_ok());
    }

    #[test]
    fn many_times_the_best_peer_fails() {
        let of = |ns| {
            vec![row("bulkhead_free", "tower", 10.0, 0.0), row("bulkhead_free", SEAWALL, ns, 0.0)]
        };
        assert!(verdict(of(249.0)).is_ok());
        assert!(verdict(of(251.0)).is_err());
    }
}
