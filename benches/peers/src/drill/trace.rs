//! Who calls, when, and for what: the same for all contenders.

use std::sync::OnceLock;

use super::downstream::Kind;
use super::rng::{Rng, Zipf};
use super::scenarios::Plan;
use super::{Nanos, nanos};

const READS: f64 = 0.85;
/// So many that, at the healthy rate, 80 % of the reads are of keys that were read in the last 5 minutes.
const KEYS: usize = 100_000;

/// A caller comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Nanos,
    pub(super) key: u64,
    pub(super) kind: Kind,
    pub(super) client: usize,
}

/// All callers of a run, in order. They come by themselves (Poisson), whether or not others were answered.
pub(super) fn arrivals(plan: &Plan) -> Vec<Arrival> {
    static ZIPF: OnceLock<Zipf> = OnceLock::new();
    let zipf = ZIPF.get_or_init(|| Zipf::new(KEYS));
    let mut rng = Rng::of(plan.seed, 0xa771);
    let mut arrivals = Vec::new();
    for &(from, to, rate) in &plan.rates {
        let mut at = from;
        loop {
            at += nanos(rng.exponential(1.0 / rate));
            if at >= to {
                break;
            }
            let kind = if rng.chance(READS) { Kind::Read } else { Kind::Charge };
            let key = zipf.draw(&mut rng);
            let client = rng.below(plan.scenario.clients as u64) as usize;
            arrivals.push(Arrival { at, key, kind, client });
        }
    }
    arrivals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::SECOND;
    use crate::drill::scenarios::{RATE, SCENARIOS};
    use std::collections::HashMap;

    #[test]
    fn four_of_five_reads_were_read_in_the_last_five_minutes() {
        let plan = SCENARIOS[1].plan(1);
        let (mut last, mut reads, mut seen) = (HashMap::new(), 0, 0);
        for arrival in arrivals(&plan).iter().filter(|arrival| arrival.kind == Kind::Read) {
            let before = last.insert(arrival.key, arrival.at);
            if arrival.at >= plan.trigger {
                reads += 1;
                seen += u32::from(before.is_some_and(|at| arrival.at - at <= 300 * SECOND));
            }
        }
        let share = f64::from(seen) / f64::from(reads);
        assert!((0.79..0.81).contains(&share), "{share}");
    }

    #[test]
    fn the_mix_and_the_rate_are_as_declared() {
        let plan = SCENARIOS[1].plan(1);
        let all = arrivals(&plan);
        let rate = all.len() as f64 / plan.end as f64 * SECOND as f64;
        assert!((rate / RATE - 1.0).abs() < 0.01, "{rate}");
        let charges = all.iter().filter(|arrival| arrival.kind == Kind::Charge).count();
        let share = charges as f64 / all.len() as f64;
        assert!((0.145..0.155).contains(&share), "{share}");
    }
}
