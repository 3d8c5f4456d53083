//! A service behind a queue, and clients that limit themselves, in virtual time.
//!
//! The service has workers and one queue, first come, first served; how long a worker takes is drawn
//! from a lognormal distribution. Calls come at random (Poisson) at a given rate, whether or not the
//! last ones were answered. A call that finds its client's limit reached is refused; one that takes
//! longer than its deadline is given up, and the service does the work all the same. Everything is a
//! function of the seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::contenders::{Client, Verdict};

/// Nanoseconds.
pub(super) type Nanos = u64;

pub(super) const SECOND: Nanos = 1_000_000_000;

/// What happens, and when.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) workers: usize,
    /// Mean time that a worker takes, in seconds.
    pub(super) service: f64,
    /// Spread of its logarithm.
    pub(super) sigma: f64,
    /// From, to: the service is so many times slower.
    pub(super) slow: Option<(Nanos, Nanos, f64)>,
    /// Of each client, from when on it calls, and how often a second.
    pub(super) clients: Vec<(Nanos, f64)>,
    pub(super) deadline: Nanos,
    pub(super) length: Nanos,
    pub(super) seed: u64,
}

/// How a call that wasn't refused ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) call: u64,
    pub(super) at: Nanos,
    pub(super) client: usize,
    pub(super) latency: Nanos,
    pub(super) answered: bool,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) calls: Vec<Ended>,
    /// When each call came, whether it was refused or not.
    pub(super) arrived: Vec<Nanos>,
    /// Each client's limit, every 100 ms.
    pub(super) limits: Vec<Vec<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Arrives { client: usize },
    Served { call: u64 },
    GivenUp { call: u64 },
    Look,
}

struct Call {
    client: usize,
    began: Nanos,
    /// Its caller has gone.
    gone: bool,
}

/// splitmix64: small, and good enough for a queue.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

struct Sim<'a> {
    world: &'a World,
    now: Nanos,
    steps: BinaryHeap<Reverse<(Nanos, u64, Step)>>,
    order: u64,
    calls: HashMap<u64, Call>,
    queue: VecDeque<u64>,
    busy: usize,
    /// Arrivals and service times apart, so that all contenders see the same arrivals.
    arrivals: Rng,
    services: Rng,
}

/// Runs the world with these clients.
pub(super) fn run(world: &World, clients: &mut [Box<dyn Client>]) -> Trace {
    let mut sim = Sim {
        world,
        now: 0,
        steps: BinaryHeap::new(),
        order: 0,
        calls: HashMap::new(),
        queue: VecDeque::new(),
        busy: 0,
        arrivals: Rng(world.seed),
        services: Rng(world.seed ^ 0xdead_beef),
    };
    let mut trace = Trace { limits: vec![Vec::new(); clients.len()], ..Trace::default() };
    for (client, (from, _)) in world.clients.iter().enumerate() {
        sim.at(*from, Step::Arrives { client });
    }
    sim.at(0, Step::Look);
    let mut next_call = 0;
    while let Some(Reverse((at, _, step))) = sim.steps.pop() {
        if at > world.length {
            break;
        }
        sim.now = at;
        match step {
            Step::Look => {
                for (client, limits) in clients.iter().zip(&mut trace.limits) {
                    limits.push(client.limit());
                }
                sim.at(at + SECOND / 10, Step::Look);
            }
            Step::Arrives { client } => {
                let gap = sim.arrivals.exponential(1.0 / world.clients[client].1);
                sim.at(at + nanos(gap), Step::Arrives { client });
                trace.arrived.push(at);
                if clients[client].admits(next_call, at) {
                    sim.calls.insert(next_call, Call { client, began: at, gone: false });
                    sim.at(at + world.deadline, Step::GivenUp { call: next_call });
                    sim.queue.push_back(next_call);
                    sim.start();
                }
                next_call += 1;
            }
            Step::Served { call } => {
                sim.busy -= 1;
                if let Some(call) = sim.end(call, &mut trace, true) {
                    clients[call.1].ends(call.0, at, Verdict::Answered);
                }
                sim.start();
            }
            Step::GivenUp { call } => {
                if sim.calls.get(&call).is_some_and(|call| !call.gone) {
                    let client = sim.calls[&call].client;
                    sim.note(call, &mut trace, false);
                    clients[client].ends(call, at, Verdict::GivenUp);
                    if let Some(call) = sim.calls.get_mut(&call) {
                        call.gone = true;
                    }
                }
            }
        }
    }
    trace
}

impl Sim<'_> {
    fn at(&mut self, when: Nanos, step: Step) {
        self.order += 1;
        self.steps.push(Reverse((when, self.order, step)));
    }

    /// Gives idle workers what is queued.
    fn start(&mut self) {
        while self.busy < self.world.workers {
            let Some(call) = self.queue.pop_front() else {
                return;
            };
            self.busy += 1;
            let slow = match self.world.slow {
                Some((from, to, times)) if (from..to).contains(&self.now) => times,
                _ => 1.0,
            };
            let takes = self.services.lognormal(self.world.service * slow, self.world.sigma);
            self.at(self.now + nanos(takes), Step::Served { call });
        }
    }

    /// The service is done with a call; gives it and its client, if somebody still waits for it.
    fn end(&mut self, id: u64, trace: &mut Trace, answered: bool) -> Option<(u64, usize)> {
        let gone = self.calls.get(&id)?.gone;
        let client = self.calls[&id].client;
        if !gone {
            self.note(id, trace, answered);
        }
        self.calls.remove(&id);
        (!gone).then_some((id, client))
    }

    fn note(&self, id: u64, trace: &mut Trace, answered: bool) {
        let call = &self.calls[&id];
        let latency = self.now - call.began;
        trace.calls.push(Ended { call: id, at: self.now, client: call.client, latency, answered });
    }
}

fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

/// The 99th percentile of latency of a service that nobody else calls.
pub(super) fn no_load_p99(world: &World) -> f64 {
    let mut rng = Rng(7);
    let mut all: Vec<f64> =
        (0..100_000).map(|_| rng.lognormal(world.service, world.sigma)).collect();
    all.sort_by(f64::total_cmp);
    all[99_000]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_have_the_means_they_are_given() {
        let mut rng = Rng(1);
        let mean = |mut draw: Box<dyn FnMut() -> f64>| {
            (0..200_000).map(|_| draw()).sum::<f64>() / 200_000.0
        };
        let exponential = mean(Box::new(move || rng.exponential(0.12)));
        let mut rng = Rng(2);
        let lognormal = mean(Box::new(move || rng.lognormal(0.12, 0.5)));
        for mean in [exponential, lognormal] {
            assert!((0.119..0.121).contains(&mean), "{mean}");
        }
    }
}
