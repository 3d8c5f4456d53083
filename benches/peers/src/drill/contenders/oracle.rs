//! Who knows all: a bound on what any layer could reach.
//!
//! It knows at once when the service falls ill, how busy it is, and which reads it has an answer for. It
//! sends what will be answered in time: charges and unknown reads before reads that it could answer from
//! what it keeps. That the service is well again it learns as anybody must, from a call: it sends one a second.
//! Of a bad version it is rid after as many calls as any test would need on average that
//! is wrong once in a thousand times (Wald's bound).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tower::ServiceExt;

use super::split::SHARE;
use super::{Answer, Client, Reply, Request, Site};
use crate::drill::downstream::{Downstream, Version, WORK, WORKERS};
use crate::drill::rng::Rng;
use crate::drill::script::Fault;
use crate::drill::{Nanos, SECOND};

const ATTEMPTS: usize = 6;
/// Calls that would take longer than this help nobody.
const IN_TIME: f64 = 1.8;

struct Oracle(Arc<Mutex<Mind>>, Downstream, Option<Downstream>);

struct Mind {
    kept: HashMap<u64, Answer>,
    ill: bool,
    next_probe: Nanos,
    deployed: Nanos,
    /// Calls until the verdict on the new version.
    undecided: f64,
}

pub(super) fn make(site: &Site, _: usize) -> Box<dyn Client> {
    let version = site.plan.deploys();
    let mind = Mind {
        kept: HashMap::new(),
        ill: false,
        next_probe: 0,
        deployed: site.plan.trigger,
        undecided: version.map_or(0.0, calls_needed),
    };
    let new = version.map(|version| site.downstream.version(version));
    Box::new(Oracle(Arc::new(Mutex::new(mind)), site.downstream.clone(), new))
}

/// The calls of both versions that a test needs on average, which condemns a good version in one of a
/// thousand rollouts: `ln(1000) / (w KL(p, q) + (1 - w) KL(b, q))`, with `q = w p + (1 - w) b`.
fn calls_needed(version: Version) -> f64 {
    let (p, b) = match version {
        Version::New { corrupts: true, .. } => (0.999_9, 0.000_1),
        Version::New { errors, .. } => (errors, 0.000_1),
        Version::Stable => return 0.0,
    };
    let q = SHARE * p + (1.0 - SHARE) * b;
    let divergence = |p: f64| p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln();
    1_000_f64.ln() / (SHARE * divergence(p) + (1.0 - SHARE) * divergence(b))
}

enum Choice {
    Send,
    Probe,
    Keep,
}

impl Oracle {
    fn choose(&self, kept: bool) -> Choice {
        let (fault, idle, in_flight) = self.1.truth();
        let now = self.1.now();
        let mut mind = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slow = match fault {
            Some(Fault::Slow(times)) => times,
            _ => 1.0,
        };
        let hopeless = matches!(fault, Some(Fault::Down | Fault::Hang)) || slow * WORK > IN_TIME;
        mind.ill |= hopeless;
        if mind.ill {
            if now < mind.next_probe {
                return Choice::Keep;
            }
            mind.next_probe = now + SECOND;
            return Choice::Probe;
        }
        let queued = in_flight.saturating_sub(WORKERS) as f64;
        let wait = queued * slow * WORK / WORKERS as f64;
        let in_time = wait + 2.0 * slow * WORK < IN_TIME;
        // What it has an answer for may wait for half a turn of the workers, no longer.
        match in_time && (idle > 0 || queued < WORKERS as f64 / 2.0 || !kept) {
            true => Choice::Send,
            false => Choice::Keep,
        }
    }

    /// The version that this call goes to.
    fn version(&self, request: &Request) -> &Downstream {
        let mut mind = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.2 {
            Some(new) if new.now() >= mind.deployed && mind.undecided >= 1.0 => {
                mind.undecided -= 1.0;
                if Rng::of(0x5917, request.id).chance(SHARE) { new } else { &self.1 }
            }
            _ => &self.1,
        }
    }
}

impl Client for Oracle {
    fn call(&self, request: Request) -> Reply {
        let mind = Arc::clone(&self.0);
        let look = |mind: &Mutex<Mind>| {
            let mind = mind.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = if request.is_read() { mind.kept.get(&request.key) } else { None };
            kept.map(|answer| Answer { stale: true, ..*answer })
        };
        let kept = look(&mind);
        let choice = self.choose(kept.is_some());
        let service = self.version(&request).clone();
        let (attempts, patience) = match choice {
            Choice::Keep => return Box::pin(std::future::ready(kept)),
            Choice::Probe => (1, Duration::from_millis(500)),
            Choice::Send if request.may_repeat() => (ATTEMPTS, Duration::from_secs(2)),
            Choice::Send => (1, Duration::from_secs(2)),
        };
        Box::pin(async move {
            for _ in 0..attempts {
                let answered = tokio::time::timeout(patience, service.clone().oneshot(request));
                let Ok(Ok(answer)) = answered.await else {
                    continue;
                };
                let mut mind = mind.lock().unwrap_or_else(PoisonError::into_inner);
                mind.ill = false;
                if request.is_read() {
                    mind.kept.insert(request.key, answer);
                }
                return Some(answer);
            }
            kept
        })
    }
}
