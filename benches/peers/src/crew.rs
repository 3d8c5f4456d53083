//! Long-lived threads that run the same calls at the same time.
//!
//! They live as long as the run, so that whatever a contender keeps per thread is set up once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio::runtime::{Handle, Runtime};

use crate::drive::{Caller, Spent};
use crate::runtimes;

type Job = Box<dyn FnOnce() + Send>;

/// The threads.
#[derive(Debug)]
pub struct Crew {
    threads: Vec<Sender<Job>>,
    runtime: Runtime,
}

impl Crew {
    /// Starts this many threads; timers armed on them belong to `timers`.
    pub fn new(threads: usize, timers: &Handle) -> Self {
        let start = |_| {
            let (jobs, todo): (_, Receiver<Job>) = channel();
            let timers = timers.clone();
            thread::spawn(move || {
                let _context = timers.enter();
                todo.into_iter().for_each(|job| job());
            });
            jobs
        };
        let runtime = runtimes::with_workers(threads);
        Self { threads: (0..threads).map(start).collect(), runtime }
    }

    /// How many threads there are.
    pub fn size(&self) -> usize {
        self.threads.len()
    }

    /// A caller for each thread, cloned on that thread.
    pub fn callers(&self, of: &dyn Caller) -> Vec<Box<dyn Caller>> {
        self.each((0..self.size()).map(|_| of.another()).collect(), |caller| caller.another())
    }

    /// All threads make `calls` calls each, from one start.
    pub fn run(&self, callers: &mut Vec<Box<dyn Caller>>, calls: u64) -> Vec<Spent> {
        let line = Arc::new(StartLine::for_threads(callers.len()));
        let done = self.each(std::mem::take(callers), move |mut caller| {
            line.wait();
            let spent = Spent::by(|| caller.run(calls));
            (caller, spent)
        });
        self.split(done, callers)
    }

    /// As [`Crew::run`], but as tasks on a runtime with as many workers as there are threads.
    pub fn run_as_tasks(&self, callers: &mut Vec<Box<dyn Caller>>, calls: u64) -> Vec<Spent> {
        let barrier = Arc::new(tokio::sync::Barrier::new(callers.len()));
        let start = |caller: Box<dyn Caller>| {
            let barrier = Arc::clone(&barrier);
            self.runtime.spawn(async move {
                barrier.wait().await;
                caller.run_as_task(calls).await
            })
        };
        let tasks: Vec<_> = callers.drain(..).map(start).collect();
        let done = self.runtime.block_on(async {
            let mut done = Vec::with_capacity(tasks.len());
            for task in tasks {
                done.push(task.await.expect("no contender panics"));
            }
            done
        });
        self.split(done, callers)
    }

    fn split(
        &self,
        done: Vec<(Box<dyn Caller>, Spent)>,
        callers: &mut Vec<Box<dyn Caller>>,
    ) -> Vec<Spent> {
        let (back, spent) = done.into_iter().unzip();
        *callers = back;
        spent
    }

    fn each<T: Send + 'static>(
        &self,
        callers: Vec<Box<dyn Caller>>,
        job: impl FnOnce(Box<dyn Caller>) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let answers: Vec<Receiver<T>> = callers
            .into_iter()
            .zip(&self.threads)
            .map(|(caller, thread)| {
                let (answer, answered) = channel();
                let job = job.clone();
                let job = move || _ = answer.send(job(caller));
                thread.send(Box::new(job)).expect("the thread lives");
                answered
            })
            .collect();
        answers.into_iter().map(|answer| answer.recv().expect("no contender panics")).collect()
    }
}

/// Holds threads back until all have come. They do not sleep meanwhile: woken one after another,
/// the first would be half done, and alone, before the last begins.
#[derive(Debug)]
struct StartLine {
    missing: AtomicUsize,
}

impl StartLine {
    fn for_threads(threads: usize) -> Self {
        Self { missing: AtomicUsize::new(threads) }
    }

    fn wait(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.missing.load(Ordering::Acquire) > 0 {
            std::hint::spin_loop();
            spins += 1;
            if spins % 1_000 == 0 {
                thread::yield_now(); // There may be more threads than cores.
            }
        }
    }
}
