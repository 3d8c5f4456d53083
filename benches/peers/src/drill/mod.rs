//! The drills: incidents replayed, in virtual time, through every contender.
//!
//! A service with 50 workers, a queue of 1,000 and 120 ms a call (lognormal); callers who come by
//! themselves, wait for two seconds, and ask for keys of which four in five were asked for in the last five
//! minutes; a fault by [script](script). Between them a [contender](contenders)'s stack. What the callers
//! saw, what the service had to bear, when the stack noticed and when all was well again is a row; all of it
//! is a function of the seed, to the digit.
//!
//! Nobody need trust the simulator: its [queue](station) is tested against Erlang's formula, its
//! [time](world_time) and its chance are the contenders' own clock and their own random source, and an
//! [oracle](contenders) shows what could be reached.

mod bounds;
mod contenders;
mod downstream;
mod page;
mod record;
mod report;
mod rng;
mod run;
mod scenarios;
mod script;
mod station;
#[cfg(test)]
mod tests;
mod trace;
pub mod world_time;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::args::{Args, Failure};
use contenders::{CONTENDERS, SEAWALL};
use scenarios::SCENARIOS;

/// Nanoseconds since a run began.
type Nanos = u64;

const SECOND: Nanos = 1_000_000_000;

/// A drill's runs are independent; more threads than this would need a larger machine than most have.
const THREADS: usize = 2;

fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

/// `drill [--quick] [--scenario NAME] [--contender NAME] [--seeds N] [--json FILE] [--html FILE]`
///
/// With `--quick` seawall alone is run, and fails where it is worse than it [was](bounds).
pub fn command(args: &Args) -> Result<(), Failure> {
    let quick = args.has("quick");
    let seeds = args.number("seeds", 1)?;
    let mut jobs = Vec::new();
    for scenario in SCENARIOS.iter().filter(|one| args.admits("scenario", one.name)) {
        for seed in 1..=seeds {
            for contender in CONTENDERS
                .iter()
                .filter(|one| args.admits("contender", one.name) && (!quick || one.name == SEAWALL))
            {
                jobs.push((scenario, seed, contender));
            }
        }
    }
    if jobs.is_empty() {
        return Err("no such scenario or contender".into());
    }
    let rows = all(&jobs, |(scenario, seed, contender)| run::run(&scenario.plan(*seed), contender));
    report::print(&rows);
    if seeds > 1 {
        report::print_over_seeds(&rows);
    }
    report::write(&rows, args)?;
    if quick { bounds::hold(&rows) } else { Ok(()) }
}

/// The jobs' results, in order.
fn all<J: Sync, R: Send>(jobs: &[J], job: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Relaxed: who gets which job is all that it decides.
                while let Some((index, one)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(index).map(|one| (index, one))
                } {
                    let result = job(one);
                    done.lock().expect("no job panics").push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no job panics");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
