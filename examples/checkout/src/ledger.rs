//! The books of one run: what was offered, and what became of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::clock::SECOND;
use crate::traffic::Ask;
use crate::verify::{Verdict, Wrong};

/// Longer waits than a caller's patience are not expected; they would count as this.
const LONGEST_WAIT: u64 = 60 * SECOND;

/// What was counted in one second, in one phase, or in all.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) reads: u64,
    pub(crate) reads_answered: u64,
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) wrong: BTreeMap<Wrong, u64>,
    /// How long callers waited, whatever they got in the end.
    pub(crate) waits: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let waits = Histogram::new_with_bounds(1, LONGEST_WAIT, 3).expect("1, a minute, 3 digits");
        Self {
            offered: 0,
            reads: 0,
            reads_answered: 0,
            fresh: 0,
            stale: 0,
            refused: 0,
            failed: 0,
            wrong: BTreeMap::new(),
            waits,
        }
    }
}

impl Tally {
    pub(crate) fn wrong_answers(&self) -> u64 {
        self.wrong.values().sum()
    }

    /// The wait that `quantile` of all callers didn't exceed, in ms; 0 where nobody called.
    pub(crate) fn wait_ms(&self, quantile: f64) -> f64 {
        let us = self.waits.value_at_quantile(quantile);
        // A tenth is as fine as a timer's tick lets it be.
        (us as f64 / 100.0).round() / 10.0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.reads += other.reads;
        self.reads_answered += other.reads_answered;
        self.fresh += other.fresh;
        self.stale += other.stale;
        self.refused += other.refused;
        self.failed += other.failed;
        for (&wrong, count) in &other.wrong {
            *self.wrong.entry(wrong).or_default() += count;
        }
        // Both have the same bounds: it can't fail.
        let _ = self.waits.add(&other.waits);
    }

    fn offer(&mut self, ask: &Ask) {
        self.offered += 1;
        self.reads += u64::from(ask.kind.is_read());
    }

    fn settle(&mut self, ask: &Ask, waited: u64, verdict: Verdict) {
        self.waits.saturating_record(waited);
        match verdict {
            Verdict::Fresh => self.fresh += 1,
            Verdict::Stale => self.stale += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Wrong(wrong) => *self.wrong.entry(wrong).or_default() += 1,
        }
        if ask.kind.is_read() && matches!(verdict, Verdict::Fresh | Verdict::Stale) {
            self.reads_answered += 1;
        }
    }
}

/// Taken by many callers at once; each holds it for some additions.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// One for each phase begun.
    phases: Vec<Tally>,
    second: Tally,
    /// When each call was due that was not answered fresh.
    not_fresh: Vec<u64>,
    no_socket: u64,
}

impl Ledger {
    /// Calls offered from now on belong to the next phase.
    pub(crate) fn begin_phase(&self) {
        self.books().phases.push(Tally::default());
    }

    /// One more call; gives the phase it belongs to, wherever it ends.
    pub(crate) fn offer(&self, ask: &Ask) -> usize {
        let mut books = self.books();
        books.second.offer(ask);
        let phase = books.phases.len().saturating_sub(1);
        if let Some(tally) = books.phases.get_mut(phase) {
            tally.offer(ask);
        }
        phase
    }

    /// A call that was due at `due` ended at `now`.
    pub(crate) fn settle(&self, phase: usize, ask: &Ask, due: u64, now: u64, verdict: Verdict) {
        let waited = now.saturating_sub(due);
        let mut books = self.books();
        books.second.settle(ask, waited, verdict);
        if let Some(tally) = books.phases.get_mut(phase) {
            tally.settle(ask, waited, verdict);
        }
        if verdict != Verdict::Fresh {
            books.not_fresh.push(due);
        }
    }

    /// A call failed because the process may open no more sockets.
    pub(crate) fn no_socket(&self) {
        self.books().no_socket += 1;
    }

    pub(crate) fn without_socket(&self) -> u64 {
        self.books().no_socket
    }

    /// What was counted since this was last asked.
    pub(crate) fn take_second(&self) -> Tally {
        std::mem::take(&mut self.books().second)
    }

    pub(crate) fn phases(&self) -> Vec<Tally> {
        self.books().phases.clone()
    }

    /// From `start` to the first second, before `end`, in which all calls were answered fresh.
    pub(crate) fn recovered_after(&self, start: u64, end: u64) -> Option<u64> {
        let mut not_fresh = self.books().not_fresh.clone();
        not_fresh.sort_unstable();
        first_clean_second(&not_fresh, start, end).map(|at| at - start)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The start of the first second between `start` and `end` that has none of `marks` (sorted) in it.
fn first_clean_second(marks: &[u64], start: u64, end: u64) -> Option<u64> {
    let mut clean_from = start;
    for &mark in marks.iter().skip_while(|&&mark| mark < start) {
        if mark >= clean_from + SECOND {
            break;
        }
        clean_from = mark + 1;
    }
    (clean_from + SECOND <= end).then_some(clean_from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Kind;

    fn ask(kind: Kind) -> Ask {
        Ask { kind, key: "k".into(), principal: "m".into(), cents: 0 }
    }

    #[test]
    fn a_recovery_without_a_flaw_takes_no_time() {
        let end = 9 * SECOND;
        assert_eq!(first_clean_second(&[], 5 * SECOND, end), Some(5 * SECOND));
        let before = [4 * SECOND, 5 * SECOND - 1];
        assert_eq!(first_clean_second(&before, 5 * SECOND, end), Some(5 * SECOND));
    }

    #[test]
    fn a_recovery_begins_after_the_last_flaw_that_a_clean_second_follows() {
        let marks = [5, 700_000, 1_500_000, 4_000_000];
        assert_eq!(first_clean_second(&marks, 0, 9 * SECOND), Some(1_500_001));
    }

    #[test]
    fn a_second_cut_short_by_the_end_is_no_recovery() {
        let marks = [5, 700_000, 1_500_000];
        assert_eq!(first_clean_second(&marks, 0, 2 * SECOND), None);
        assert_eq!(first_clean_second(&[], 0, SECOND - 1), None);
    }

    #[test]
    fn a_call_belongs_to_the_phase_it_was_offered_in() {
        let ledger = Ledger::default();
        let (read, charge) = (ask(Kind::Quote), ask(Kind::Charge));
        ledger.begin_phase();
        let first = ledger.offer(&read);
        ledger.begin_phase();
        let second = ledger.offer(&charge);
        ledger.settle(second, &charge, 0, 5, Verdict::Refused);
        ledger.settle(first, &read, 0, 2_000_000, Verdict::Stale);
        let phases = ledger.phases();
        assert_eq!((phases[0].offered, phases[0].stale, phases[0].refused), (1, 1, 0));
        assert_eq!((phases[0].reads, phases[0].reads_answered), (1, 1));
        assert_eq!((phases[1].offered, phases[1].stale, phases[1].refused), (1, 0, 1));
        assert_eq!(ledger.take_second().offered, 2);
        assert_eq!(ledger.take_second().offered, 0);
    }

    #[test]
    fn percentiles_are_of_all_callers_whatever_they_got() {
        let ledger = Ledger::default();
        ledger.begin_phase();
        let ask = ask(Kind::Quote);
        for wait in 1..=99 {
            ledger.settle(0, &ask, 0, wait * 1_000, Verdict::Fresh);
        }
        ledger.settle(0, &ask, 0, 2_000_000, Verdict::Failed);
        let tally = &ledger.phases()[0];
        assert_eq!(tally.wait_ms(0.5).round(), 50.0);
        assert_eq!(tally.wait_ms(0.99).round(), 99.0);
        assert_eq!(tally.wait_ms(1.0).round(), 2_001.0);
        assert_eq!(Tally::default().wait_ms(0.99), 0.0);
    }

    #[test]
    fn tallies_add_up() {
        let ledger = Ledger::default();
        let ask = ask(Kind::Quote);
        let verdicts = [Verdict::Fresh, Verdict::Wrong(Wrong::OtherKey), Verdict::Failed];
        for (phase, verdict) in verdicts.into_iter().enumerate() {
            ledger.begin_phase();
            assert_eq!(ledger.offer(&ask), phase);
            ledger.settle(phase, &ask, 0, 10, verdict);
        }
        let mut all = Tally::default();
        ledger.phases().iter().for_each(|phase| all.add(phase));
        assert_eq!((all.offered, all.fresh, all.failed, all.wrong_answers()), (3, 1, 1, 1));
        assert_eq!(all.waits.len(), 3);
    }
}
