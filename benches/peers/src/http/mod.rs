//! `http`: a whole client against a real server on loopback, with layers and without.
//!
//! Closed loop: each of `--clients` tasks sends its next request when the answer to the last one
//! has been read, on connections that are kept alive. Contestants take short turns in pairs: bare,
//! wrapped, wrapped, bare, and so on, and the ratio is the median over the pairs, so that drift
//! cancels. Server and clients each have a runtime of their own.

mod contestants;
mod report;
mod server;
mod turns;

use std::time::Duration;

use crate::args::{Args, Failure};

/// How much to measure.
#[derive(Clone, Copy, Debug)]
struct Plan {
    clients: usize,
    /// Pairs of turns per wrapped contestant.
    pairs: usize,
    turn: Duration,
}

/// Measures, prints, and writes the JSON file if asked to.
pub fn command(args: &Args) -> Result<(), Failure> {
    let clients = args.number("clients", 16)? as usize;
    let plan = if args.has("quick") {
        Plan { clients, pairs: 20, turn: Duration::from_millis(50) }
    } else {
        Plan { clients, pairs: 100, turn: Duration::from_millis(100) }
    };
    let report = turns::measure(plan)?;
    print!("{}", report::render(&report));
    if let Some(path) = args.value("json") {
        std::fs::write(path, format!("{:#}\n", report::to_json(&report)))?;
    }
    Ok(())
}
