//! Limits that find themselves: do they find the knee, and hold it?
//!
//! A service with 50 workers and a queue, 120 ms a call (lognormal), and clients that send twice what it
//! can do. Below 50 in flight workers idle; above, calls wait. Each contender begins at limits from 1 to
//! 1,000; the service becomes ten times slower and recovers; a second client comes. What counts is
//! measured from 10 s after each change on, in virtual time, so a run takes seconds and is a function of
//! its seed. See [`sim`] for the service, [`contenders`] for who limits, [`scenarios`] for the questions;
//! [`classes`] asks who gets through when not all can.

mod classes;
mod contenders;
mod page;
mod report;
mod scenarios;
mod sim;

use crate::args::{Args, Failure};

use contenders::CONTENDERS;
use scenarios::SCENARIOS;

/// `limits [--json FILE] [--html FILE] [--contender NAME] [--case SCENARIO] [--quick]`
pub fn command(args: &Args) -> Result<(), Failure> {
    let seeds = if args.has("quick") { 1..=1 } else { 1..=5 };
    let mut rows = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| args.admits("case", scenario.name)) {
        for seed in seeds.clone() {
            let best = scenario.best(seed);
            let contenders =
                CONTENDERS.iter().filter(|contender| args.admits("contender", contender.name));
            rows.extend(contenders.map(|contender| scenario.run(contender, seed, &best)));
        }
    }
    let classes: Vec<_> = if args.admits("case", "classes") {
        seeds.flat_map(classes::rows).collect()
    } else {
        Vec::new()
    };
    report::print(&rows, &classes);
    report::write(&rows, &classes, args)
}
