//! What the callers saw, second by second and in one row.

use super::downstream::{Kind, Tally};
use super::scenarios::Plan;
use super::trace::Arrival;
use super::{Nanos, SECOND};

/// How a call ended for who made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    Fresh,
    /// Old, and marked as such.
    Stale,
    /// An error, a refusal, or nothing in time.
    #[default]
    Failed,
    /// Another's, corrupted, or old and not marked.
    Wrong,
}

/// One caller's call, with all repetitions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    /// Until the answer, or until the caller knew that there is none.
    pub(super) took: Nanos,
    /// The service was asked.
    pub(super) reached: bool,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Second {
    /// Calls that came, users' repetitions included.
    pub(super) offered: u32,
    pub(super) fresh: u32,
    pub(super) stale: u32,
    pub(super) failed: u32,
    /// Of those that ended, the ones of which the service never heard.
    pub(super) kept_off: u32,
    pub(super) in_flight: u32,
}

/// All that was seen in a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// By arrival.
    pub(super) seen: Vec<Seen>,
    pub(super) seconds: Vec<Second>,
    /// When a call first ended without the service having been asked, after the trigger.
    pub(super) first_kept_off: Option<Nanos>,
}

/// A row of the report.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) contender: &'static str,
    pub(super) seed: u64,
    pub(super) offered: u64,
    pub(super) fresh: u64,
    pub(super) stale: u64,
    pub(super) failed: u64,
    /// Wrong answers, and charges that were carried out twice; of the whole run.
    pub(super) wrong: u64,
    /// Of these, what a new version said before it was found out: such calls can't be told beforehand.
    pub(super) wrong_before_the_verdict: u64,
    pub(super) sick_calls: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) peak_in_flight: u64,
    /// From the trigger.
    pub(super) detect_s: Option<f64>,
    /// From the end of the fault.
    pub(super) recover_s: Option<f64>,
    pub(super) wasted: u64,
    /// Of the charges, those that were made.
    pub(super) charges_fresh: f64,
    /// Before anything went wrong, calls that weren't answered fresh.
    pub(super) not_fresh_before: u64,
    /// Fresh answers, of the calls that came while the service was well, in the fault's time.
    pub(super) fresh_while_well: Option<f64>,
    pub(super) timeline: Vec<Second>,
    /// The trigger and the end of the fault, as seconds of the timeline.
    pub(super) marks: (f64, f64),
}

/// So many calls are looked at together, and so many of them may fail where all is well.
const RECOVERED: (usize, usize) = (200, 2);

impl Row {
    pub(super) fn new(
        plan: &Plan,
        contender: &'static str,
        arrivals: &[Arrival],
        record: Record,
        tally: &Tally,
    ) -> Self {
        let first = arrivals.partition_point(|arrival| arrival.at < plan.trigger);
        let after = arrivals.partition_point(|arrival| arrival.at < plan.over);
        let during = &record.seen[first..after];
        let count = |outcome| during.iter().filter(|seen| seen.outcome == outcome).count() as u64;
        let mut took: Vec<Nanos> = during.iter().map(|seen| seen.took).collect();
        took.sort_unstable();
        let at = |share: f64| {
            let index = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
            took.get(index).map_or(0.0, |&took| took as f64 / 1e6)
        };
        let wrong = record.seen.iter().filter(|seen| seen.outcome == Outcome::Wrong).count() as u64;
        let seconds_since = |at: Nanos, from: Nanos| at.saturating_sub(from) as f64 / SECOND as f64;
        let ends =
            |seen: &[Seen]| seen.iter().filter(|seen| seen.outcome != Outcome::Fresh).count();
        let detect = match plan.deploys() {
            // The verdict: the last call that the new version got, if it gets none any more.
            Some(_) => tally.last_to_new.filter(|last| last + 5 * SECOND < plan.over),
            None => record.first_kept_off,
        };
        let of_charges = |outcome: Option<Outcome>| {
            let charges = arrivals[first..after].iter().zip(during);
            let counted = charges.filter(|(arrival, seen)| {
                arrival.kind == Kind::Charge && outcome.is_none_or(|one| seen.outcome == one)
            });
            counted.count() as f64
        };
        let well = arrivals[first..after].iter().zip(during);
        let well: Vec<_> =
            well.filter(|(arrival, _)| plan.script.at(arrival.at).is_none()).collect();
        let well_fresh = well.iter().filter(|(_, seen)| seen.outcome == Outcome::Fresh).count();
        let while_well = matches!(plan.scenario.what, super::scenarios::What::Flaps(..));
        Self {
            scenario: plan.scenario.name,
            contender,
            seed: plan.seed,
            offered: during.len() as u64,
            fresh: count(Outcome::Fresh),
            stale: count(Outcome::Stale),
            failed: count(Outcome::Failed),
            wrong: wrong + tally.double_charges,
            wrong_before_the_verdict: if detect.is_some() { tally.from_new } else { 0 },
            sick_calls: tally.sick_calls,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            peak_in_flight: tally.peak_in_flight as u64,
            detect_s: detect.map(|at| seconds_since(at, plan.trigger)),
            recover_s: recovered(&record.seen, arrivals, after, plan)
                .map(|at| seconds_since(at, plan.over)),
            wasted: tally.wasted,
            charges_fresh: of_charges(Some(Outcome::Fresh)) / of_charges(None).max(1.0),
            not_fresh_before: ends(&record.seen[..first]) as u64,
            fresh_while_well: while_well.then(|| well_fresh as f64 / well.len().max(1) as f64),
            marks: (plan.trigger as f64 / SECOND as f64, plan.over as f64 / SECOND as f64),
            timeline: record.seconds,
        }
    }
}

/// From when on all is well again: after the last call that wasn't answered fresh and isn't a rare one, as
/// the last 200 calls show. `None` if that was in the last five seconds.
fn recovered(seen: &[Seen], arrivals: &[Arrival], after: usize, plan: &Plan) -> Option<Nanos> {
    let (window, allowed) = RECOVERED;
    let mut bad = std::collections::VecDeque::new();
    let mut last = plan.over;
    for index in after.saturating_sub(window)..seen.len() {
        while bad.front().is_some_and(|&first| first + window <= index) {
            bad.pop_front();
        }
        if seen[index].outcome != Outcome::Fresh {
            bad.push_back(index);
            if index >= after && bad.len() > allowed {
                last = arrivals[index].at;
            }
        }
    }
    (last + 5 * SECOND < plan.end).then_some(last)
}
