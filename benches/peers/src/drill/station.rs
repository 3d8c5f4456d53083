//! The service that is called: workers and one queue, first come, first served.
//!
//! Pure: it is told the time, and says when something happens next. What has begun is finished, also if
//! nobody waits for it any more; what waits in the queue is begun, whoever may have left. That it queues as
//! it should is tested against the theory of queues: Erlang's formula for the mean wait of M/M/c.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Nanos;
use super::script::Script;

/// Names a piece of work.
pub(super) type Job = u64;

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ended {
    /// A worker has done it.
    Done,
    /// It was turned away, and no worker saw it.
    TurnedAway,
}

/// Workers, a queue, and a clock's worth of what is to come.
#[derive(Debug)]
pub(super) struct Station {
    workers: usize,
    most_queued: usize,
    busy: usize,
    /// Jobs and the work that they take a healthy worker.
    queue: VecDeque<(Job, Nanos)>,
    steps: BinaryHeap<Reverse<(Nanos, u64, Job, Ended)>>,
    order: u64,
    script: Script,
}

impl Station {
    pub(super) fn new(workers: usize, most_queued: usize, script: Script) -> Self {
        Self {
            workers,
            most_queued,
            busy: 0,
            queue: VecDeque::new(),
            steps: BinaryHeap::new(),
            order: 0,
            script,
        }
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    /// Takes a job that comes at this time; all that ended before must have been [taken](Self::take).
    /// `false` if the queue is full.
    pub(super) fn offer(&mut self, at: Nanos, job: Job, work: Nanos) -> bool {
        if self.busy < self.workers {
            self.begin(at, job, work);
        } else if self.queue.len() < self.most_queued {
            self.queue.push_back((job, work));
        } else {
            return false;
        }
        true
    }

    /// Turns a job away at a later time.
    pub(super) fn turn_away(&mut self, at: Nanos, job: Job) {
        self.step(at, job, Ended::TurnedAway);
    }

    /// When a job ends next.
    pub(super) fn next(&self) -> Option<Nanos> {
        self.steps.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the job that ends next, if it ends by `until`. A worker that is done begins the next.
    pub(super) fn take(&mut self, until: Nanos) -> Option<(Nanos, Job, Ended)> {
        if self.next()? > until {
            return None;
        }
        let Reverse((at, _, job, ended)) = self.steps.pop()?;
        if ended == Ended::Done {
            self.busy -= 1;
            if let Some((next, work)) = self.queue.pop_front() {
                self.begin(at, next, work);
            }
        }
        Some((at, job, ended))
    }

    /// Jobs that are worked on, or wait.
    pub(super) fn in_flight(&self) -> usize {
        self.busy + self.queue.len()
    }

    pub(super) fn idle_workers(&self) -> usize {
        self.workers - self.busy
    }

    fn begin(&mut self, at: Nanos, job: Job, work: Nanos) {
        self.busy += 1;
        let takes = (work as f64 * self.script.slowness(at)) as Nanos;
        self.step(at + takes, job, Ended::Done);
    }

    fn step(&mut self, at: Nanos, job: Job, ended: Ended) {
        self.order += 1;
        self.steps.push(Reverse((at, self.order, job, ended)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::rng::Rng;
    use crate::drill::{SECOND, nanos};

    /// Erlang's C: the mean wait in a queue of M/M/c, in service times.
    fn theory(workers: usize, load: f64) -> f64 {
        let offered = load * workers as f64;
        // The chance that all are busy, by Erlang's B.
        let blocked = (1..=workers).fold(1.0, |blocked, n| {
            let term = offered * blocked;
            term / (n as f64 + term)
        });
        let waits = blocked / (1.0 - load * (1.0 - blocked));
        waits / (workers as f64 * (1.0 - load))
    }

    /// The mean wait of simulated calls, in service times.
    fn simulated(workers: usize, load: f64, calls: u64) -> f64 {
        let mut station = Station::new(workers, usize::MAX, Script::default());
        let mut rng = Rng::new(7);
        let mean = 1.0;
        let (mut at, mut waited) = (0, 0.0);
        let mut came = std::collections::HashMap::new();
        let mut end = |at, job, came: &mut std::collections::HashMap<Job, (Nanos, Nanos)>| {
            let (since, work): (Nanos, Nanos) = came.remove(&job).expect("came");
            waited += (at - since - work) as f64 / SECOND as f64;
        };
        for job in 0..calls {
            at += nanos(rng.exponential(mean / (load * workers as f64)));
            while let Some((ended, job, _)) = station.take(at) {
                end(ended, job, &mut came);
            }
            let work = nanos(rng.exponential(mean));
            came.insert(job, (at, work));
            assert!(station.offer(at, job, work));
        }
        while let Some((ended, job, _)) = station.take(Nanos::MAX) {
            end(ended, job, &mut came);
        }
        assert!(came.is_empty());
        waited / calls as f64
    }

    #[test]
    fn erlangs_formula_gives_the_known_values() {
        // One worker: the wait is load / (1 - load) service times.
        assert!((theory(1, 0.5) - 1.0).abs() < 1e-12);
        assert!((theory(1, 0.9) - 9.0).abs() < 1e-9);
        // Two workers at half load: a third of a service time.
        assert!((theory(2, 0.5) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn waits_are_those_of_theory_within_two_percent() {
        for (workers, load, calls) in
            [(1, 0.5, 2_000_000), (2, 0.7, 2_000_000), (10, 0.8, 3_000_000), (50, 0.9, 6_000_000)]
        {
            let (theory, seen) = (theory(workers, load), simulated(workers, load, calls));
            let off = seen / theory - 1.0;
            println!("M/M/{workers} at {load}: theory {theory:.5}, seen {seen:.5}, {off:+.4}");
            assert!(off.abs() < 0.02, "M/M/{workers} at {load}: {seen} instead of {theory}");
        }
    }

    #[test]
    fn work_is_done_in_order_and_a_full_queue_takes_no_more() {
        let mut station = Station::new(1, 2, Script::default());
        assert!(station.offer(0, 1, 10) && station.offer(0, 2, 10) && station.offer(0, 3, 10));
        assert!(!station.offer(0, 4, 10));
        station.turn_away(5, 4);
        let ends: Vec<_> = std::iter::from_fn(|| station.take(30)).collect();
        let done = |at, job| (at, job, Ended::Done);
        assert_eq!(ends, [(5, 4, Ended::TurnedAway), done(10, 1), done(20, 2), done(30, 3)]);
        assert_eq!(station.in_flight(), 0);
    }
}
