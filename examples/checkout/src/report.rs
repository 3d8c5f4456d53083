//! The figures of a run, as they are written to a file and laid out in the table.

use seawall::incident::Incident;
use serde::Serialize;

use crate::args::Mode;
use crate::canary::CanaryReport;
use crate::ledger::{Ledger, Tally};
use crate::script::{Fault, Phase};

/// What a span of time came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) offered: u64,
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    /// Charges refused fast, with a typed reason.
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) wrong: u64,
    pub(crate) reads: u64,
    pub(crate) reads_answered: u64,
    /// Calls that the payment service got while it was sick.
    pub(crate) sick_calls: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// The most calls that waited for the payment service at a time.
    pub(crate) peak_in_flight: u64,
    /// From the fault's start to the circuit's opening.
    pub(crate) detect_ms: Option<f64>,
    /// From the fault's end to the first second in which all are answered fresh.
    pub(crate) recover_ms: Option<f64>,
}

impl Figures {
    fn of(tally: &Tally, span: &Span) -> Self {
        Self {
            offered: tally.offered,
            fresh: tally.fresh,
            stale: tally.stale,
            refused: tally.refused,
            failed: tally.failed,
            wrong: tally.wrong_answers(),
            reads: tally.reads,
            reads_answered: tally.reads_answered,
            sick_calls: span.sick_calls,
            p50_ms: tally.wait_ms(0.5),
            p99_ms: tally.wait_ms(0.99),
            peak_in_flight: span.peak_in_flight as u64,
            detect_ms: None,
            recover_ms: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PhaseFigures {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    #[serde(skip)]
    pub(crate) phase: Phase,
}

/// One run through one client.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// In all; the times are the worst of all faults, and missing if one fault's is.
    #[serde(flatten)]
    pub(crate) all: Figures,
    /// Idempotency keys charged more than once.
    pub(crate) double_charges: u64,
    pub(crate) phases: Vec<PhaseFigures>,
    /// Wrong answers by what was wrong with them.
    #[serde(skip)]
    pub(crate) wrongs: Vec<(&'static str, u64)>,
    /// Calls that failed because the process may open no more sockets.
    #[serde(skip)]
    pub(crate) without_socket: u64,
    /// What seawall made of it.
    #[serde(skip)]
    pub(crate) incidents: Vec<Incident>,
}

/// One phase as it was really played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) phase: Phase,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) sick_calls: u64,
    pub(crate) peak_in_flight: usize,
}

impl Report {
    /// `opened` tells when the circuit first opened between two moments.
    pub(crate) fn new(
        spans: &[Span],
        ledger: &Ledger,
        double_charges: u64,
        opened: impl Fn(u64, u64) -> Option<u64>,
    ) -> Self {
        let tallies = ledger.phases();
        let mut sum = Tally::default();
        let mut phases: Vec<PhaseFigures> = Vec::new();
        for (at, (span, tally)) in spans.iter().zip(&tallies).enumerate() {
            sum.add(tally);
            let mut figures = Figures::of(tally, span);
            if span.phase.fault != Fault::Healthy {
                let detected = opened(span.start, span.end).map(|at| at - span.start);
                // Recovery is seen until the next fault, at most.
                let healthy =
                    spans[at + 1..].iter().take_while(|s| s.phase.fault == Fault::Healthy);
                let until = healthy.last().map_or(span.end, |last| last.end);
                let recovered = ledger.recovered_after(span.end, until);
                figures.detect_ms = detected.map(ms);
                figures.recover_ms = recovered.map(ms);
            }
            phases.push(PhaseFigures { name: span.phase.name, figures, phase: span.phase });
        }
        let in_all = Span {
            phase: Phase { name: "", fault: Fault::Healthy, length: <_>::default() },
            start: 0,
            end: 0,
            sick_calls: spans.iter().map(|span| span.sick_calls).sum(),
            peak_in_flight: spans.iter().map(|span| span.peak_in_flight).max().unwrap_or(0),
        };
        let faults = || phases.iter().filter(|phase| phase.phase.fault != Fault::Healthy);
        let all = Figures {
            detect_ms: worst(faults().map(|phase| phase.figures.detect_ms)),
            recover_ms: worst(faults().map(|phase| phase.figures.recover_ms)),
            ..Figures::of(&sum, &in_all)
        };
        let wrongs = sum.wrong.iter().map(|(wrong, &count)| (wrong.as_str(), count)).collect();
        let without_socket = ledger.without_socket();
        Self { all, double_charges, phases, wrongs, without_socket, incidents: Vec::new() }
    }

    /// The phases in which the service was sick, summed as far as sums make sense.
    pub(crate) fn in_faults(&self) -> Figures {
        let mut sum = Figures::default();
        for PhaseFigures { figures, phase, .. } in &self.phases {
            if phase.fault != Fault::Healthy {
                sum.reads += figures.reads;
                sum.reads_answered += figures.reads_answered;
                sum.sick_calls += figures.sick_calls;
            }
        }
        sum
    }
}

/// Both runs, or the one that was asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Reports {
    pub(crate) bare: Option<Report>,
    pub(crate) seawall: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<CanaryReport>,
}

impl Reports {
    pub(crate) fn put(&mut self, mode: Mode, report: Report) {
        match mode {
            Mode::Bare => self.bare = Some(report),
            Mode::Seawall => self.seawall = Some(report),
        }
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (Mode, &Report)> {
        let bare = self.bare.iter().map(|report| (Mode::Bare, report));
        bare.chain(self.seawall.iter().map(|report| (Mode::Seawall, report)))
    }

    /// The incidents that seawall saw.
    pub(crate) fn incidents(&self) -> &[Incident] {
        self.seawall.as_ref().map_or(&[], |report| &report.incidents)
    }

    /// What must not be in a run that ends well.
    ///
    /// Beside seawall, bare needn't recover: on a machine that is busy it may not come back at all, and that
    /// is what it is there to show.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.canary.as_ref().map_or(Vec::new(), CanaryReport::problems);
        let must_recover = |mode| mode == Mode::Seawall || self.seawall.is_none();
        for (mode, report) in self.each() {
            for (what, count) in &report.wrongs {
                problems.push(format!("{mode} gave wrong answers: {count} x {what}"));
            }
            if report.double_charges > 0 {
                problems.push(format!("{mode} charged {} keys twice", report.double_charges));
            }
            for PhaseFigures { name, figures, phase } in &report.phases {
                let unseen = phase.fault != Fault::Healthy && figures.recover_ms.is_none();
                if unseen && must_recover(mode) {
                    problems.push(format!("{mode} was not seen to recover from the {name}"));
                }
            }
        }
        problems
    }
}

fn ms(us: u64) -> f64 {
    (us as f64 / 100.0).round() / 10.0
}

/// The greatest; `None` if any is missing, or there are none.
fn worst(times: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    times.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Kind;
    use crate::clock::SECOND;
    use crate::script::incident;
    use crate::traffic::Ask;
    use crate::verify::{Verdict, Wrong};

    /// A run of the first three phases: each second is one call, judged by `verdict`.
    fn played(verdict: impl Fn(u64) -> Verdict, opened: Option<u64>) -> Report {
        let ledger = Ledger::default();
        let ask = Ask { kind: Kind::Quote, key: "k".into(), principal: "m".into(), cents: 0 };
        let mut spans = Vec::new();
        let mut start = 0;
        for phase in incident(40.0).into_iter().take(3) {
            ledger.begin_phase();
            let end = start + phase.length.as_micros() as u64;
            for due in (start..end).step_by(SECOND as usize) {
                let at = ledger.offer(&ask);
                ledger.settle(at, &ask, due, due + 1_000, verdict(due / SECOND));
            }
            spans.push(Span { phase, start, end, sick_calls: 2, peak_in_flight: 9 });
            start = end;
        }
        Report::new(&spans, &ledger, 0, |start, end| {
            opened.filter(|opened| (start..end).contains(opened))
        })
    }

    fn problems(report: Report) -> Vec<String> {
        Reports { bare: Some(report), ..Reports::default() }.problems()
    }

    #[test]
    fn times_are_told_from_the_faults_start_and_from_its_end() {
        // Sick from second 3 to 11, and for one more second nothing is fresh.
        let sick = |second| match second {
            3..=11 => Verdict::Stale,
            _ => Verdict::Fresh,
        };
        let report = played(sick, Some(3_250_000));
        let [normal, outage, after] = &report.phases[..] else { panic!("three phases") };
        assert_eq!((normal.figures.detect_ms, normal.figures.recover_ms), (None, None));
        assert_eq!(outage.figures.detect_ms, Some(250.0));
        assert_eq!(outage.figures.recover_ms, Some(0.0), "one µs after the last stale call");
        assert_eq!((after.figures.fresh, after.figures.stale), (4, 1));
        assert_eq!((report.all.detect_ms, report.all.recover_ms), (Some(250.0), Some(0.0)));
        assert_eq!((report.all.offered, report.all.fresh, report.all.stale), (16, 7, 9));
        assert_eq!((report.all.sick_calls, report.all.peak_in_flight), (6, 9));
        assert_eq!(problems(report), [""; 0]);
    }

    #[test]
    fn a_recovery_that_was_not_seen_is_a_problem() {
        let report = played(
            |second| {
                if second < 3 { Verdict::Fresh } else { Verdict::Failed }
            },
            None,
        );
        assert_eq!((report.all.detect_ms, report.all.recover_ms), (None, None));
        assert_eq!(problems(report), ["bare was not seen to recover from the outage"]);
    }

    #[test]
    fn a_wrong_answer_is_a_problem_with_its_name() {
        let verdict = |second| match second {
            1 => Verdict::Wrong(Wrong::OtherKey),
            _ => Verdict::Fresh,
        };
        let report = played(verdict, None);
        assert_eq!(problems(report), ["bare gave wrong answers: 1 x another key's"]);
    }

    #[test]
    fn a_key_that_was_charged_twice_is_a_problem() {
        let mut report = played(|_| Verdict::Fresh, None);
        report.double_charges = 2;
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["double_charges"], 2);
        assert!(problems(report).contains(&"bare charged 2 keys twice".to_owned()));
    }

    #[test]
    fn the_worst_time_is_missing_if_one_is() {
        assert_eq!(worst([Some(1.0), Some(3.0)].into_iter()), Some(3.0));
        assert_eq!(worst([Some(1.0), None].into_iter()), None);
        assert_eq!(worst([].into_iter()), None);
    }

    #[test]
    fn the_file_has_the_figures_of_all_and_of_each_phase() {
        let report = played(|_| Verdict::Fresh, None);
        let json =
            serde_json::to_value(Reports { bare: Some(report), ..Reports::default() }).unwrap();
        assert_eq!(json["bare"]["offered"], 16);
        assert_eq!(json["bare"]["phases"][1]["name"], "outage");
        assert_eq!(json["bare"]["phases"][1]["sick_calls"], 2);
        assert!(json["bare"]["detect_ms"].is_null());
        assert!(json["seawall"].is_null());
    }
}
