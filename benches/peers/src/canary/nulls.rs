//! How often a canary that is exactly as good as its baseline is rolled back.

use super::dice::Dice;
use super::judges::{JUDGES, Judge, Seawall};
use super::lagging::{self, Lagging};
use super::spread::spread;
use super::tick::SECOND;
use super::traffic::{Null, Traffic};

/// How one scenario, at one share, ended for one detector.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) w: f64,
    pub(super) detector: &'static str,
    pub(super) wrong: u64,
    pub(super) runs: u64,
}

impl Row {
    pub(super) fn rate(&self) -> f64 {
        self.wrong as f64 / self.runs as f64
    }
}

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Runs of each scenario at each share.
    pub(super) runs: u64,
    /// Seconds that a canary has calls, where calls don't overlap.
    pub(super) seconds: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Paced(Null),
    Lagging(Lagging),
}

/// What is run, under which name, at which shares.
const SCENARIOS: [(&str, Kind, &[f64]); 16] = {
    use Kind::{Lagging as L, Paced as P};
    const BOTH: &[f64] = &[0.05, 0.5];
    const ALL: &[f64] = &[0.01, 0.05, 0.5];
    [
        ("even, 0.1 %", P(Null::Even { p: 0.001 }), ALL),
        ("even, 1 %", P(Null::Even { p: 0.01 }), ALL),
        ("even, 5 %", P(Null::Even { p: 0.05 }), ALL),
        ("outage of both, 100 % for 5 s", P(Null::Outage { seconds: 5, p: 1.0 }), BOTH),
        ("outage of both, 50 % for 3 min", P(Null::Outage { seconds: 180, p: 0.5 }), BOTH),
        ("sinusoid, 0.1 % to 20 %", P(Null::Sinusoid), BOTH),
        ("common bursts of 20 ms", P(Null::Bursts), BOTH),
        ("every 50th call fails", P(Null::EveryFiftieth), BOTH),
        ("share 1, 5, 25, 50 %", P(Null::Ramp), &[0.5]),
        ("clumps of 2 in one arm", P(Null::Clumps { size: 2 }), BOTH),
        ("clumps of 5 in one arm", P(Null::Clumps { size: 5 }), BOTH),
        ("clumps of 20 in one arm", P(Null::Clumps { size: 20 }), BOTH),
        ("sticky users, each counted once", P(Null::Users { each_once: true }), BOTH),
        (CALLS_OF_USERS, P(Null::Users { each_once: false }), BOTH),
        ("outage, 1 s beside 10 ms", L(Lagging::Outage), BOTH),
        ("flapping, 0.5 s beside 10 ms", L(Lagging::Flapping), BOTH),
    ]
};

/// What the guarantee doesn't cover, to show why: only run with this library's test.
const CALLS_OF_USERS: &str = "sticky users, each call counted";
/// This library's test in a setting that it warns of.
const MISUSED: &str = "misused";

/// The baseline is alone for so many ticks: 30,000 calls, as in 30 s at a thousand a second.
const LEARN: u64 = 600;
/// And for whom learns too little: 30 s.
const TOO_FEW: u64 = 30 * SECOND;

/// So many runs are one piece of work.
const CHUNK: u64 = 20;

/// The detectors that see `kind`, this library's real client apart.
fn judges(kind: Kind) -> Vec<(&'static str, Box<dyn Judge>)> {
    let misused = || (MISUSED, Box::new(Seawall::new()) as Box<dyn Judge>);
    let known = |usual: f64| JUDGES.iter().map(move |known| (known.name, (known.make)(usual)));
    match kind {
        Kind::Paced(Null::Users { each_once: false }) => vec![misused()],
        Kind::Paced(null @ Null::Clumps { .. }) => {
            known(Traffic::usual(null)).chain([misused()]).collect()
        }
        Kind::Paced(null) => known(Traffic::usual(null)).collect(),
        // Blocks of a tick, however long calls take.
        Kind::Lagging(_) => known(0.001).skip(1).chain([misused()]).collect(),
    }
}

/// All scenarios.
pub(super) fn run(extent: Extent) -> Vec<Row> {
    let cells: Vec<_> = SCENARIOS
        .iter()
        .flat_map(|(name, kind, shares)| shares.iter().map(move |w| (*name, *kind, *w)))
        .collect();
    let chunks = extent.runs.div_ceil(CHUNK);
    let done = spread(cells.len() * chunks as usize, |job| {
        let cell = job / chunks as usize;
        let first = (job as u64 % chunks) * CHUNK;
        let (_, kind, w) = cells[cell];
        let runs = first..(first + CHUNK).min(extent.runs);
        let wrong: Vec<Vec<bool>> =
            runs.map(|run| once(kind, w, extent, Dice::new(cell as u64, run))).collect();
        (cell, wrong)
    });

    let mut rows = Vec::new();
    for (cell, (scenario, kind, w)) in cells.into_iter().enumerate() {
        let own = matches!(kind, Kind::Lagging(_)).then_some(JUDGES[0].name);
        let names = own.into_iter().chain(judges(kind).into_iter().map(|(name, _)| name));
        for (at, detector) in names.enumerate() {
            let of_cell = done.iter().filter(|(of, _)| *of == cell).flat_map(|(_, runs)| runs);
            let wrong = of_cell.filter(|wrong| wrong[at]).count() as u64;
            rows.push(Row { scenario, w, detector, wrong, runs: extent.runs });
        }
    }
    rows
}

/// One run: who rolled back?
fn once(kind: Kind, w: f64, extent: Extent, dice: Dice) -> Vec<bool> {
    let mut judges = judges(kind);
    match kind {
        Kind::Lagging(lagging) => {
            let mut judges: Vec<_> = judges.into_iter().map(|(_, judge)| judge).collect();
            let (own, mut others) = lagging::run(lagging, w, dice, &mut judges);
            others.insert(0, own);
            others
        }
        Kind::Paced(null) => {
            let ticks = extent.seconds * SECOND;
            let mut traffic = Traffic::new(null, w, ticks, dice);
            for i in 0..LEARN {
                let tick = traffic.before();
                let late = LEARN - i <= TOO_FEW;
                let learn = |judge: &mut (&str, Box<dyn Judge>)| {
                    if late || judge.0 != MISUSED {
                        judge.1.learn(&tick);
                    }
                };
                judges.iter_mut().for_each(learn);
            }
            traffic.begin();
            let mut wrong = vec![false; judges.len()];
            for _ in 0..ticks {
                let (tick, new_stage) = traffic.tick();
                for ((_, judge), wrong) in judges.iter_mut().zip(&mut wrong).filter(|(_, w)| !**w) {
                    if new_stage {
                        judge.new_stage();
                    }
                    *wrong = judge.rolls_back(&tick);
                }
            }
            wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this library's own table must say; the command shows it of a thousand runs.
    #[test]
    fn good_canaries_are_left_alone_and_what_the_guide_warns_of_is_seen() {
        let rows = run(Extent { runs: 4, seconds: 60 });
        let mut misused = 0;
        for row in rows {
            match row.detector {
                "seawall" => assert_eq!(row.wrong, 0, "{row:?}"),
                MISUSED => misused += row.wrong,
                _ => {}
            }
        }
        assert!(misused >= 3, "{misused}");
    }
}
