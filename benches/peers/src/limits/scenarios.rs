//! What is asked of a limit that finds itself, and how the answers are measured.

use super::contenders::{Client, Contender, fixed};
use super::sim::{Ended, Nanos, SECOND, Trace, World, no_load_p99, run};

pub(super) const WORKERS: usize = 50;
/// Seconds, on average.
pub(super) const SERVICE: f64 = 0.12;
/// A scenario is settled once the next so many seconds are good.
const GOOD_FOR: Nanos = 5 * SECOND;

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The limit to begin with.
    initial: u32,
    /// Calls that come, as a multiple of what the service can do.
    demand: f64,
    /// The service is ten times slower from 30 s to 60 s.
    step: bool,
    /// A second client, with a limit of its own, comes after 20 s.
    pair: bool,
    seconds: u64,
}

const fn start(name: &'static str, initial: u32) -> Scenario {
    Scenario { name, initial, demand: 2.0, step: false, pair: false, seconds: 60 }
}

pub(super) const SCENARIOS: [Scenario; 8] = [
    start("from-1", 1),
    start("from-10", 10),
    start("from-50", 50),
    start("from-200", 200),
    start("from-1000", 1_000),
    Scenario { step: true, seconds: 120, ..start("step-10x", 50) },
    Scenario { pair: true, seconds: 120, ..start("two-clients", 20) },
    Scenario { demand: 0.7, ..start("enough-for-all", 50) },
];

/// One line of the report.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) contender: &'static str,
    pub(super) seed: u64,
    /// Answers in time, by those of the best fixed limit.
    pub(super) goodput_ratio: f64,
    /// The 99th percentile of latency, by that of a service which nobody else calls.
    pub(super) p99_ratio: f64,
    /// After how many seconds goodput and latency are good, and stay so for five; of several changes
    /// the slowest. `None`: never.
    pub(super) settle_s: Option<f64>,
    pub(super) limit_end: u32,
    /// Jain's index of two clients' goodput: 1 is equal, 0.5 is all to one.
    pub(super) fairness: Option<f64>,
    /// Of each client: limits, each second.
    pub(super) limits: Vec<Vec<u32>>,
}

/// A stretch of time in which one thing holds: from, measured from, to, and how slow the service is.
struct Phase {
    from: Nanos,
    measured: Nanos,
    to: Nanos,
    slow: f64,
}

impl Scenario {
    /// What is asked, in words.
    pub(super) fn question(&self) -> String {
        let Self { initial, demand, seconds, .. } = self;
        let mut question = format!(
            "{seconds} s, {demand} times what the service can do, from a limit of {initial}"
        );
        if self.step {
            question += "; from 30 s to 60 s the service is ten times slower";
        }
        if self.pair {
            question += "; half of it from a second client (the thin lines) that comes after 20 s";
        }
        question + "."
    }

    fn world(&self, seed: u64) -> World {
        let rate = self.demand * WORKERS as f64 / SERVICE;
        let clients = if self.pair {
            vec![(0, rate / 2.0), (20 * SECOND, rate / 2.0)]
        } else {
            vec![(0, rate)]
        };
        World {
            workers: WORKERS,
            service: SERVICE,
            sigma: 0.5,
            slow: self.step.then_some((30 * SECOND, 60 * SECOND, 10.0)),
            clients,
            deadline: if self.step { 60 * SECOND } else { 2 * SECOND },
            length: self.seconds * SECOND,
            seed,
        }
    }

    fn phases(&self) -> Vec<Phase> {
        let phase = |from, to, slow| Phase {
            from: from * SECOND,
            measured: (from + 10) * SECOND,
            to: to * SECOND,
            slow,
        };
        if self.step {
            vec![phase(0, 30, 1.0), phase(30, 60, 10.0), phase(60, self.seconds, 1.0)]
        } else if self.pair {
            vec![phase(20, self.seconds, 1.0)]
        } else {
            vec![phase(0, self.seconds, 1.0)]
        }
    }

    /// The trace of the best fixed limit, by answers in time: the knee and some more.
    pub(super) fn best(&self, seed: u64) -> Trace {
        let world = self.world(seed);
        let share = if self.pair { 2 } else { 1 };
        let runs = [50, 60, 75, 100].map(|limit| {
            let mut clients: Vec<Box<dyn Client>> =
                (0..share).map(|_| Box::new(fixed(limit / share)) as Box<dyn Client>).collect();
            run(&world, &mut clients)
        });
        let answers = |trace: &Trace| trace.calls.iter().filter(|call| call.answered).count();
        runs.into_iter().max_by_key(answers).expect("four")
    }

    /// Runs it.
    pub(super) fn run(&self, contender: &Contender, seed: u64, best: &Trace) -> Row {
        let world = self.world(seed);
        let mut clients: Vec<Box<dyn Client>> =
            world.clients.iter().map(|_| (contender.make)(self.initial)).collect();
        let trace = run(&world, &mut clients);
        let p99 = no_load_p99(&world);
        let (mut goodput_ratio, mut p99_ratio) = (f64::INFINITY, 0_f64);
        let mut settle = Some(0.0_f64);
        for phase in self.phases() {
            let stretch = |trace: &Trace, from, to| Stretch::of(trace, from, to);
            let good = p99 * phase.slow;
            let (here, there) = (
                stretch(&trace, phase.measured, phase.to),
                stretch(best, phase.measured, phase.to),
            );
            goodput_ratio = goodput_ratio.min(here.answers as f64 / there.answers.max(1) as f64);
            p99_ratio = p99_ratio.max(here.p99 / good);
            let aim = there.answers as f64 * GOOD_FOR as f64 / (phase.to - phase.measured) as f64;
            let settled =
                (phase.from..phase.to - GOOD_FOR).step_by(SECOND as usize / 4).find(|at| {
                    let next = stretch(&trace, *at, at + GOOD_FOR);
                    next.answers as f64 >= 0.95 * aim && next.p99 <= 2.0 * good
                });
            settle = match (settle, settled) {
                (Some(so_far), Some(at)) => {
                    Some(so_far.max((at - phase.from) as f64 / SECOND as f64))
                }
                _ => None,
            };
        }
        let fairness = self.pair.then(|| {
            let answers = |client| {
                let of = |call: &&Ended| {
                    call.client == client && call.answered && call.at >= 30 * SECOND
                };
                trace.calls.iter().filter(of).count() as f64
            };
            let (a, b) = (answers(0), answers(1));
            (a + b).powi(2) / (2.0 * (a * a + b * b))
        });
        Row {
            scenario: self.name,
            contender: contender.name,
            seed,
            goodput_ratio,
            p99_ratio,
            settle_s: settle,
            limit_end: trace.limits.iter().filter_map(|limits| limits.last()).sum(),
            fairness,
            limits: trace
                .limits
                .iter()
                .map(|limits| limits.iter().step_by(10).copied().collect())
                .collect(),
        }
    }
}

/// What ended in a stretch of time.
struct Stretch {
    answers: usize,
    /// In seconds; of calls that were given up, the time until then.
    p99: f64,
}

impl Stretch {
    fn of(trace: &Trace, from: Nanos, to: Nanos) -> Self {
        let begin = trace.calls.partition_point(|call| call.at < from);
        let end = trace.calls.partition_point(|call| call.at < to);
        let calls = &trace.calls[begin..end];
        let mut latencies: Vec<Nanos> = calls.iter().map(|call| call.latency).collect();
        latencies.sort_unstable();
        let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(0);
        let answers = calls.iter().filter(|call| call.answered).count();
        Self { answers, p99: p99 as f64 / SECOND as f64 }
    }
}
