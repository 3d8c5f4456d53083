//! The service that is called, as its clients see it: a `tower::Service` over the [`Station`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::Service;

use super::rng::Rng;
use super::script::{Fault, Script};
use super::station::{Ended, Job, Station};
use super::{Nanos, nanos};

pub(super) const WORKERS: usize = 50;
const MOST_QUEUED: usize = 1_000;
/// Mean time of a healthy worker, in seconds, and the spread of its logarithm.
pub(super) const WORK: f64 = 0.12;
const SIGMA: f64 = 0.5;
/// How soon a call is turned away.
const TURNED_AWAY: Nanos = 5_000_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Charge,
}

/// A call as it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// One call of one caller, through all attempts that are made for it.
    pub(super) id: u64,
    /// What is asked about.
    pub(super) key: u64,
    pub(super) kind: Kind,
    /// A charge with an idempotency key: a second attempt is known as one.
    pub(super) keyed: bool,
}

impl Request {
    pub(super) fn is_read(&self) -> bool {
        self.kind == Kind::Read
    }

    /// May it be made again when nobody knows what became of it?
    pub(super) fn may_repeat(&self) -> bool {
        self.is_read() || self.keyed
    }
}

/// An answer, which says whose it is, so that nobody need take it on trust.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) key: u64,
    pub(super) kind: Kind,
    pub(super) given_at: Nanos,
    /// What it says is not so.
    pub(super) corrupted: bool,
    /// Marked by a fallback as not fresh.
    pub(super) stale: bool,
}

/// The service's own error: a 5xx, which doesn't say what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the service failed")
    }
}

impl std::error::Error for Failed {}

/// How a version of the service behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Version {
    /// As the script says.
    #[default]
    Stable,
    /// The new one: this share of its calls fails, and what it answers is corrupted or not.
    New { errors: f64, corrupts: bool },
}

/// What the service saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Calls that came while it was ill, or to a new version that is.
    pub(super) sick_calls: u64,
    /// Done for nobody, since the trigger.
    pub(super) wasted: u64,
    pub(super) peak_in_flight: usize,
    /// Calls that came to the new version.
    pub(super) from_new: u64,
    /// When the last call came to the new version.
    pub(super) last_to_new: Option<Nanos>,
    /// Charges that were carried out twice, and not known as the same.
    pub(super) double_charges: u64,
}

struct Taken {
    request: Request,
    answer: oneshot::Sender<Result<Answer, Failed>>,
    fails: bool,
    corrupts: bool,
}

struct World {
    station: Station,
    seed: u64,
    start: Instant,
    /// From, to: when peaks and waste are counted.
    measured: (Nanos, Nanos),
    taken: std::collections::HashMap<Job, Taken>,
    /// Calls that hang, and whose callers still wait.
    hanging: usize,
    next_job: Job,
    /// By call: attempts that came, and charges carried out.
    attempts: Vec<u8>,
    charged: Vec<u8>,
    tally: Tally,
    /// Who sees to it that answers are given in time.
    driver: Option<Waker>,
}

/// The service: all clones are the same one.
#[derive(Clone)]
pub(super) struct Downstream {
    world: Arc<Mutex<World>>,
    version: Version,
}

impl Downstream {
    /// A service that is to get calls of `calls` different numbers. Must be made inside a runtime.
    pub(super) fn new(script: Script, seed: u64, measured: (Nanos, Nanos), calls: usize) -> Self {
        let world = World {
            station: Station::new(WORKERS, MOST_QUEUED, script),
            seed,
            start: Instant::now(),
            measured,
            taken: std::collections::HashMap::new(),
            hanging: 0,
            next_job: 0,
            attempts: vec![0; calls],
            charged: vec![0; calls],
            tally: Tally::default(),
            driver: None,
        };
        Self { world: Arc::new(Mutex::new(world)), version: Version::Stable }
    }

    /// The same service's other version, on the same workers.
    pub(super) fn version(&self, version: Version) -> Self {
        Self { world: Arc::clone(&self.world), version }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since it was made.
    pub(super) fn now(&self) -> Nanos {
        self.lock().now()
    }

    pub(super) fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    pub(super) fn in_flight(&self) -> usize {
        let world = self.lock();
        world.station.in_flight() + world.hanging
    }

    /// Was this call sent, at least once?
    pub(super) fn reached(&self, id: u64) -> bool {
        self.lock().attempts[id as usize] > 0
    }

    /// What is wrong now, and how many workers are idle: for one who knows all.
    pub(super) fn truth(&self) -> (Option<Fault>, usize, usize) {
        let mut world = self.lock();
        let now = world.now();
        world.catch_up(now);
        let station = &world.station;
        (station.script().at(now), station.idle_workers(), station.in_flight())
    }

    /// Gives answers when they are due, for ever.
    pub(super) async fn drive(self) {
        let start = self.lock().start;
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(start));
        std::future::poll_fn(|cx| {
            loop {
                let due = {
                    let mut world = self.lock();
                    let now = world.now();
                    world.catch_up(now);
                    world.driver = Some(cx.waker().clone());
                    world.station.next()
                };
                let Some(due) = due else {
                    return Poll::<()>::Pending;
                };
                sleep.as_mut().reset(start + Duration::from_nanos(due));
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

impl World {
    fn now(&self) -> Nanos {
        self.start.elapsed().as_nanos() as Nanos
    }

    /// Gives the answers that are due.
    fn catch_up(&mut self, now: Nanos) {
        while let Some((at, job, ended)) = self.station.take(now) {
            let Some(Taken { request, answer, fails, corrupts }) = self.taken.remove(&job) else {
                continue;
            };
            let worked = ended == Ended::Done;
            let gone = answer.is_closed();
            if worked && gone && at >= self.measured.0 {
                self.tally.wasted += 1;
            }
            if worked && !request.is_read() {
                self.charge(&request, fails);
            }
            let failed = fails || !worked;
            let Request { id, key, kind, .. } = request;
            let given = Answer { id, key, kind, given_at: at, corrupted: corrupts, stale: false };
            let _ = answer.send(if failed { Err(Failed) } else { Ok(given) });
        }
    }

    fn charge(&mut self, request: &Request, fails: bool) {
        // Of errors after the work, half come after the charge was carried out.
        if fails && Rng::of(self.seed ^ 0xc4a2, request.id).chance(0.5) {
            return;
        }
        let charged = &mut self.charged[request.id as usize];
        *charged += 1;
        if *charged > 1 && !request.keyed {
            self.tally.double_charges += 1;
        }
    }

    fn take(
        &mut self,
        request: Request,
        version: Version,
        answer: oneshot::Sender<Result<Answer, Failed>>,
    ) -> Option<Job> {
        let now = self.now();
        self.catch_up(now);
        let attempt = self.attempts[request.id as usize];
        self.attempts[request.id as usize] = attempt.saturating_add(1);
        let mut chance = Rng::of(self.seed, request.id << 8 | u64::from(attempt));
        let work = nanos(chance.lognormal(WORK, SIGMA));
        let fault = self.station.script().at(now);
        let (errors, corrupts) = match (version, fault) {
            (Version::New { errors, corrupts }, _) => (errors, corrupts),
            (Version::Stable, Some(Fault::Errors(errors))) => (errors, false),
            (Version::Stable, _) => (0.0, false),
        };
        if version == Version::Stable {
            self.tally.sick_calls += u64::from(fault.is_some());
        } else {
            self.tally.sick_calls += 1;
            self.tally.from_new += 1;
            self.tally.last_to_new = Some(now);
        }
        let job = self.next_job;
        self.next_job += 1;
        let taken = Taken { request, answer, fails: chance.chance(errors), corrupts };
        match fault {
            Some(Fault::Hang) => {
                self.hanging += 1;
                self.taken.insert(job, taken);
                self.note_peak(now);
                return Some(job);
            }
            Some(Fault::Down) => self.station.turn_away(now + TURNED_AWAY, job),
            _ => {
                if !self.station.offer(now, job, work) {
                    self.station.turn_away(now + TURNED_AWAY, job);
                }
            }
        }
        self.taken.insert(job, taken);
        self.note_peak(now);
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
        None
    }

    fn note_peak(&mut self, now: Nanos) {
        if (self.measured.0..self.measured.1).contains(&now) {
            let in_flight = self.station.in_flight() + self.hanging;
            self.tally.peak_in_flight = self.tally.peak_in_flight.max(in_flight);
        }
    }
}

impl Service<Request> for Downstream {
    type Response = Answer;
    type Error = Failed;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Reply {
        let (sender, answer) = oneshot::channel();
        let hangs = self.lock().take(request, self.version, sender);
        Reply { answer, hangs: hangs.map(|job| (job, Arc::clone(&self.world))) }
    }
}

/// An answer that is waited for.
pub(super) struct Reply {
    answer: oneshot::Receiver<Result<Answer, Failed>>,
    /// A call that hangs is in flight for as long as its caller waits.
    hangs: Option<(Job, Arc<Mutex<World>>)>,
}

impl Future for Reply {
    type Output = Result<Answer, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(Failed)))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some((job, world)) = self.hangs.take() {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            world.taken.remove(&job);
            world.hanging -= 1;
        }
    }
}
