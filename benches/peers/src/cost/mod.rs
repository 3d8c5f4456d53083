//! `cost`: nanoseconds, and allocations, per call.
//!
//! Method: contenders are built outside the timed loop, each thread has a clone of the service,
//! and in each round all contenders of a case take a turn of a few milliseconds, in an order that
//! changes from round to round; so whatever drifts or disturbs hits all alike. A figure is the
//! median over the rounds, and what is added over bare is taken within a round.
//!
//! `--check` fails on what no noise explains: see [`gate`].
//!
//! `ns` is the time of one core per call: from the first thread's start to the last one's end,
//! times the cores in use, over all calls. With no more threads than cores that is the time per
//! call and thread; with more, it does not count the waiting for a core.

mod clocks;
mod gate;
mod report;
mod rounds;
mod table;

pub use report::{Report, Row};
pub use rounds::Pace;
pub(crate) use rounds::median;

use crate::args::{Args, Failure};
use crate::cases;
use crate::crew::Crew;
use crate::{CASES, instructions, machine, runtimes};

const THREADS: [usize; 3] = [1, 2, 4];

/// Measures, prints the table, and writes the JSON file if asked to.
pub fn command(args: &Args) -> Result<(), Failure> {
    let pace = if args.has("quick") { Pace::QUICK } else { Pace::THOROUGH };
    clocks::check()?;
    let mut report = measure(args, pace)?;
    if args.has("instructions") {
        add_instructions(&mut report)?;
    }
    print!("{}", table::render(&report));
    if let Some(path) = args.value("json") {
        std::fs::write(path, format!("{:#}\n", report.to_json()))?;
    }
    if args.has("check") { gate::check(&report) } else { Ok(()) }
}

/// Measures all cases that `args` lets through.
pub fn measure(args: &Args, pace: Pace) -> Result<Report, Failure> {
    let timers = runtimes::for_timers();
    // Contenders are built and warmed up on this thread, timers and all.
    let _context = timers.enter();
    let crews = THREADS.map(|threads| Crew::new(threads, timers.handle()));
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| args.admits("case", case.name)) {
        rows.extend(rounds::measure(case, &crews, pace, args)?);
    }
    if rows.is_empty() {
        return Err("no such case or contender, or nobody has the layers of that case yet".into());
    }
    Ok(Report { machine: machine::describe(), clocks: clocks::measure(), rows })
}

/// Fills in the instructions of all polled cases, on one thread: a process or two for each row.
fn add_instructions(report: &mut Report) -> Result<(), Failure> {
    for row in report.rows.iter_mut().filter(|row| row.threads == 1) {
        let case = cases::find(row.case).expect("rows are of known cases");
        if instructions::is_counted(case) {
            row.instructions = Some(instructions::count(case, row.contender)?);
        }
    }
    Ok(())
}
