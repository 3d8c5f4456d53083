//! This library's preset as it is: told what a read is, and what may be repeated.

use seawall::fallback::CachedConfig;
use seawall::key::Key;
use seawall::outcome::ErrInDoubt;
use seawall::request::{Ask, IdempotencyKey};
use seawall::retry::RetryConfig;
use seawall::stack;
use seawall::stale::{MarkStale, Staleness};
use tower::ServiceBuilder;

use super::split::Split;
use super::{Answer, Client, Request, Site, Through};

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

pub(super) fn make(site: &Site, _: usize) -> Box<dyn Client> {
    let stack = stack::payment("drill")
        .cached(CachedConfig::new("drill", key))
        .retry(RetryConfig::new("drill"), ErrInDoubt)
        .build()
        .expect("the preset is valid");
    let client = ServiceBuilder::new().map_request(Ask::into_inner).service(Split::of(site));
    let service = ServiceBuilder::new().map_request(ask).service(stack.service(client));
    Through::boxed(service)
}
