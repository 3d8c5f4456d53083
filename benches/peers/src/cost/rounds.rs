//! The rounds of one case.

use std::time::Duration;

use super::Row;
use crate::args::{Args, Failure};
use crate::cases::{Case, Manner, Seen};
use crate::contenders::{self, BARE};
use crate::crew::Crew;
use crate::drive::Caller;
use crate::machine;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rounds: usize,
    turn: Duration,
}

impl Pace {
    /// About 20 seconds for all cases.
    pub const QUICK: Self = Self { rounds: 9, turn: Duration::from_millis(4) };
    /// A few minutes.
    pub const THOROUGH: Self = Self { rounds: 31, turn: Duration::from_millis(12) };
}

/// Who takes turns: a contender or a part of the floor.
#[derive(Clone, Copy, Debug)]
enum Who {
    Contender { name: &'static str, lacks: Option<&'static str> },
    Part { count: u32 },
}

/// One that takes turns, on all threads of a crew.
#[derive(Debug)]
struct Entrant {
    who: Who,
    callers: Vec<Box<dyn Caller>>,
    /// Calls per turn and thread.
    calls: u64,
    /// Nanoseconds per call, by round.
    ns: Vec<f64>,
    allocs: u64,
    made: u64,
}

/// Measures a case with each crew; no rows if no contender but the bare one has its layers.
pub(super) fn measure(
    case: &'static Case,
    crews: &[Crew],
    pace: Pace,
    args: &Args,
) -> Result<Vec<Row>, Failure> {
    let mut built = Vec::new();
    for contender in contenders::all() {
        let name = contender.name();
        if name != BARE && !args.admits("contender", name) {
            continue;
        }
        if let Some(contender) = contender.build(case) {
            let who = Who::Contender { name, lacks: contender.lacks };
            built.push((who, contender.caller));
        }
    }
    if built.len() < 2 && case.name != BARE {
        return Ok(Vec::new());
    }
    for (primitive, count) in case.floor.parts() {
        built.push((Who::Part { count }, primitive.caller()));
    }

    let mut by_threads = Vec::new();
    for crew in crews {
        check(case, &mut built)?;
        by_threads.push(with(case, crew, pace, &built));
        check(case, &mut built)?;
    }
    Ok(rows(case, crews, by_threads))
}

/// Sees to it that every contender still does what the case is about.
fn check(case: &Case, built: &mut [(Who, Box<dyn Caller>)]) -> Result<(), Failure> {
    for (who, caller) in built {
        let expected = match who {
            Who::Contender { name, .. } if *name == BARE => Seen::Fresh,
            Who::Contender { .. } => case.expect,
            Who::Part { .. } => Seen::Mixed,
        };
        let seen = caller.look();
        if expected != Seen::Mixed && seen != expected {
            return Err(format!("{}: {who:?}: {seen:?}, not {expected:?}", case.name).into());
        }
    }
    Ok(())
}

fn with(case: &Case, crew: &Crew, pace: Pace, built: &[(Who, Box<dyn Caller>)]) -> Vec<Entrant> {
    let mut entrants: Vec<Entrant> = built
        .iter()
        .map(|(who, caller)| {
            let callers = crew.callers(caller.as_ref());
            Entrant { who: *who, callers, calls: 0, ns: Vec::new(), allocs: 0, made: 0 }
        })
        .collect();
    for entrant in &mut entrants {
        entrant.calibrate(case, crew, pace.turn);
    }
    for round in 0..pace.rounds {
        // Each starts once in a while, and follows now one neighbour, now the other.
        let count = entrants.len();
        for turn in 0..count {
            let next = (round + turn) % count;
            let next = if round % 2 == 0 { next } else { count - 1 - next };
            entrants[next].take_turn(case, crew);
        }
    }
    entrants
}

impl Entrant {
    /// Finds how many calls fill a turn; warms up by the way.
    fn calibrate(&mut self, case: &Case, crew: &Crew, turn: Duration) {
        self.calls = 16;
        loop {
            let (ns, _, made) = self.run(case, crew);
            let spent = ns * made as f64 / crew.size().min(machine::cores()) as f64;
            let turn = turn.as_nanos() as f64;
            if spent >= turn / 4.0 {
                self.calls = (self.calls as f64 * turn / spent).ceil().max(1.0) as u64;
                return;
            }
            self.calls *= 2;
        }
    }

    fn take_turn(&mut self, case: &Case, crew: &Crew) {
        let (ns, allocs, made) = self.run(case, crew);
        self.ns.push(ns);
        self.allocs += allocs;
        self.made += made;
    }

    /// Nanoseconds of one core per call; allocations and calls of all threads.
    fn run(&mut self, case: &Case, crew: &Crew) -> (f64, u64, u64) {
        // Parts of a floor are measured alike in all cases.
        let as_tasks =
            case.manner == Manner::OnRuntime && matches!(self.who, Who::Contender { .. });
        let spent = if as_tasks {
            crew.run_as_tasks(&mut self.callers, self.calls)
        } else {
            crew.run(&mut self.callers, self.calls)
        };
        let start = spent.iter().map(|spent| spent.start).min().expect("a thread");
        let end = spent.iter().map(|spent| spent.end).max().expect("a thread");
        let on_cores = (end - start).as_nanos() as f64 * crew.size().min(machine::cores()) as f64;
        let made = self.calls * spent.len() as u64;
        let allocs = spent.iter().map(|spent| spent.allocs).sum();
        (on_cores / made as f64, allocs, made)
    }
}

fn rows(case: &'static Case, crews: &[Crew], by_threads: Vec<Vec<Entrant>>) -> Vec<Row> {
    let mut rows = Vec::new();
    // Tasks move between threads, and allocations are counted per thread: with one it is exact.
    let allocs: Vec<f64> = by_threads[0].iter().map(|e| e.allocs as f64 / e.made as f64).collect();
    for (crew, entrants) in crews.iter().zip(&by_threads) {
        let bare = &entrants[0].ns;
        let floor = (0..bare.len()).map(|round| {
            let parts = entrants.iter().filter_map(|entrant| match entrant.who {
                Who::Part { count, .. } => Some(f64::from(count) * entrant.ns[round]),
                Who::Contender { .. } => None,
            });
            bare[round] + parts.sum::<f64>()
        });
        let floor_ns = median(floor.collect());
        for (entrant, &allocs) in entrants.iter().zip(&allocs) {
            let Who::Contender { name, lacks } = entrant.who else {
                continue;
            };
            let added = entrant.ns.iter().zip(bare).map(|(ns, bare)| ns - bare);
            let allocs = match case.manner {
                Manner::OnRuntime => allocs,
                _ => entrant.allocs as f64 / entrant.made as f64,
            };
            rows.push(Row {
                case: case.name,
                contender: name,
                threads: crew.size(),
                ns: median(entrant.ns.clone()),
                added_ns: median(added.collect()),
                floor_ns,
                allocs,
                instructions: None,
                lacks,
            });
        }
    }
    // By contender, then threads (the sort is stable: contenders keep their order).
    let order = |row: &Row| contenders::all().iter().position(|c| c.name() == row.contender);
    rows.sort_by_key(order);
    rows
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
