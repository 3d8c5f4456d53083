//! This library's preset as it is: told what a read is, what may be repeated, and what comes first.
//!
//! Where a new version is deployed it is the preset's canary: its answers are checked for
//! what they say, from the first on: this service starts warm (a warm-up, which is the default, takes 8 s more).

use std::time::Duration;

use seawall::canary::{CanaryConfig, Data};
use seawall::criticality::Criticality;
use seawall::fallback::CachedConfig;
use seawall::key::Key;
use seawall::outcome::ErrInDoubt;
use seawall::ratio::Ratio;
use seawall::request::{Ask, IdempotencyKey};
use seawall::retry::RetryConfig;
use seawall::stack;
use seawall::stale::{MarkStale, Staleness};
use tower::{Layer, Service, ServiceBuilder};

use super::{Answer, Client, Request, Site, Through};
use crate::drill::downstream::{Downstream, Failed};

impl MarkStale for Answer {
    fn mark_stale(self, _: Staleness) -> Self {
        Self { stale: true, ..self }
    }
}

/// What each request says of itself.
fn ask(request: Request) -> Ask<Request> {
    if request.is_read() {
        Ask::read(request)
    } else if request.keyed {
        Ask::keyed(IdempotencyKey::new(), request)
    } else {
        Ask::once(request)
    }
}

fn key(ask: &Ask<Request>) -> Option<Key> {
    ask.value.is_read().then(|| Key::of(&ask.value.key))
}

fn rank(ask: &Ask<Request>) -> Criticality {
    if ask.value.is_read() { Criticality::Normal } else { Criticality::Critical }
}

/// Does the answer say what is so?
fn check(_: &Ask<Request>, answer: &Answer) -> Data {
    if answer.corrupted { Data::Bad } else { Data::Ok }
}

pub(super) fn make(site: &Site, _: usize) -> Box<dyn Client> {
    let preset = stack::payment("drill")
        .cached(CachedConfig::new("drill", key))
        .retry(RetryConfig::new("drill"), ErrInDoubt)
        .rank(rank);
    let Some(new) = site.plan.deploys() else {
        let stack = preset.build().expect("the preset is valid");
        return through(stack.service(client(&site.downstream)));
    };
    let canary = CanaryConfig::new("drill-new").no_warm_up();
    let stack = preset.canary(canary, |canary| canary.check(check));
    let stack = stack.build().expect("the preset is valid");
    let comparison = stack.handles().canary.comparison.clone();
    let deployed = Duration::from_nanos(site.plan.trigger);
    tokio::spawn(async move {
        tokio::time::sleep(deployed).await;
        comparison.set_weight(Ratio::percent(5).expect("a share"));
    });
    through(stack.split(client(&site.downstream), client(&site.downstream.version(new))))
}

fn client(
    downstream: &Downstream,
) -> impl Service<Ask<Request>, Response = Answer, Error = Failed, Future: Send> + Clone + Send + 'static
{
    ServiceBuilder::new().map_request(Ask::into_inner).service(downstream.clone())
}

fn through<S>(stack: S) -> Box<dyn Client>
where
    S: Service<Ask<Request>, Response = Answer, Future: Send, Error: Send> + Clone + Send + 'static,
{
    Through::boxed(tower::util::MapRequestLayer::new(ask).layer(stack))
}
