//! Who stands between the callers and the service.
//!
//! Each is set up as its users are told to by its documentation, with the same figures where they mean the
//! same: one second for an attempt, 100 calls in flight, three attempts of what may be repeated.

mod bare;
mod oracle;
mod seawall;
mod split;
mod tower;
mod tower_resilience;

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::tower::{Service, ServiceExt};

use super::downstream::{Answer, Downstream, Request};
use super::scenarios::Plan;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Calls in flight.
const LIMIT: usize = 100;
/// Attempts of what may be repeated, and the first wait before another.
const ATTEMPTS: usize = 3;
const BACKOFF: Duration = Duration::from_millis(50);

/// An answer, or that there is none.
pub(super) type Reply = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

/// A process that calls the service.
pub(super) trait Client: Send + Sync {
    fn call(&self, request: Request) -> Reply;
}

/// What a client is built on.
pub(super) struct Site {
    pub(super) downstream: Downstream,
    pub(super) plan: Plan,
}

/// A contender's name, and how the client with this number is made.
#[derive(Clone, Copy)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) make: fn(&Site, usize) -> Box<dyn Client>,
}

/// This library's name among them.
pub(super) const SEAWALL: &str = "seawall";

pub(super) const CONTENDERS: [Contender; 7] = [
    Contender { name: "bare", about: "no layers; callers wait for 2 s", make: bare::make },
    Contender {
        name: "tower",
        about: "retry with budget, load-shed, limit, timeout",
        make: tower::make,
    },
    Contender {
        name: "tower-resilience",
        about: "retry with budget, its fast-fail breaker over a time window with slow calls, \
                bulkhead, time limiter",
        make: tower_resilience::make,
    },
    Contender {
        name: "tower-resilience+map",
        about: "the same, and behind its fallback the map of last good answers that a careful user \
                would write",
        make: tower_resilience::make_with_map,
    },
    Contender {
        name: "tower-resilience+map 1s",
        about: "the same, with its breaker's wait tuned by hand from 10 s to 1 s",
        make: tower_resilience::make_tuned,
    },
    Contender {
        name: SEAWALL,
        about: "the preset as it is, told what a read is and what may be repeated",
        make: seawall::make,
    },
    Contender {
        name: "oracle",
        about: "knows when the service is ill and how busy it is: a bound on what can be reached",
        make: oracle::make,
    },
];

/// A service of tower's as a client: each call takes a clone.
struct Through<S>(Mutex<S>);

impl<S> Through<S>
where
    S: Service<Request, Response = Answer> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    fn boxed(service: S) -> Box<dyn Client> {
        Box::new(Self(Mutex::new(service)))
    }
}

impl<S> Client for Through<S>
where
    S: Service<Request, Response = Answer> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    fn call(&self, request: Request) -> Reply {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { service.oneshot(request).await.ok() })
    }
}
