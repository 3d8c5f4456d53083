//! Calls in order of value: who gets through when not all can.
//!
//! The same service as in the other questions; 85 % of the calls are reads, 15 % charges, and there are
//! two or four times as many as it can serve. Charges alone would fit: 30 % of what it can do at twice
//! its capacity, 60 % at four times. What counts is measured from 10 s on.

use seawall::criticality::Criticality;

use super::contenders::{Client, fixed, ranked};
use super::scenarios::{SERVICE, WORKERS};
use super::sim::{Nanos, Rng, SECOND, World, run};

/// Longer than any queue that these limits let come about; the shortest phase left out.
const FROM: Nanos = 10 * SECOND;
const LENGTH: Nanos = 60 * SECOND;
const DEADLINE: Nanos = 2 * SECOND;

/// One line: of those that came, the share answered in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) demand: f64,
    pub(super) contender: &'static str,
    pub(super) charges: f64,
    pub(super) reads: f64,
}

/// Told by the number of the call, so that it is the same call for all.
fn rank(call: &u64) -> Criticality {
    let charge = Rng(*call).next() % 100 < 15;
    if charge { Criticality::Critical } else { Criticality::Normal }
}

const LIMIT: u32 = 60;

type Make = fn() -> Box<dyn Client>;

const CONTENDERS: [(&str, Make); 4] = [
    ("no limit", || Box::new(fixed(u32::MAX))),
    ("limit of 60", || Box::new(fixed(LIMIT))),
    ("limit of 60, charges first", || ranked(LIMIT, false, rank)),
    ("adaptive, charges first", || ranked(LIMIT, true, rank)),
];

pub(super) fn rows(seed: u64) -> Vec<Served> {
    let demands = [2.0, 4.0];
    let each = demands.into_iter().flat_map(|demand| CONTENDERS.map(|one| (demand, one)));
    each.map(|(demand, (contender, make))| serve(demand, contender, make, seed)).collect()
}

fn serve(demand: f64, contender: &'static str, make: Make, seed: u64) -> Served {
    let world = World {
        workers: WORKERS,
        service: SERVICE,
        sigma: 0.5,
        slow: None,
        clients: vec![(0, demand * WORKERS as f64 / SERVICE)],
        deadline: DEADLINE,
        length: LENGTH,
        seed,
    };
    let trace = run(&world, &mut [make()]);
    // Calls that came too late to be over by the end are left out.
    let counts = |call: u64| (FROM..LENGTH - DEADLINE).contains(&trace.arrived[call as usize]);
    let share = |class: Criticality| {
        let of = |call: &u64| counts(*call) && rank(call) == class;
        let came = (0..trace.arrived.len() as u64).filter(of).count();
        let served = trace.calls.iter().filter(|c| c.answered && of(&c.call)).count();
        served as f64 / came.max(1) as f64
    };
    let (charges, reads) = (share(Criticality::Critical), share(Criticality::Normal));
    Served { demand, contender, charges, reads }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_ranked_first_get_through_at_twice_and_four_times_the_capacity() {
        for row in rows(1) {
            let goal = if row.demand == 2.0 { 0.95 } else { 0.88 };
            let ranked = row.contender.ends_with("charges first");
            assert_eq!(row.charges >= goal, ranked, "{row:?}");
            if ranked {
                // What the charges leave is the reads', not nobody's.
                let left = 1.0 - 0.15 * row.demand;
                let all = 0.85 * row.demand;
                assert!(row.reads > 0.9 * left / all, "{row:?}");
            }
        }
    }
}
