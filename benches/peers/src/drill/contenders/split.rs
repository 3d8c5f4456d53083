//! A deployment's split, for those who have none of their own: a twentieth of the calls goes to the new
//! version from the moment that it is deployed, and nobody looks.

use std::task::{Context, Poll};

use tower::Service;

use super::Site;
use crate::drill::Nanos;
use crate::drill::downstream::{Downstream, Failed, Reply, Request};
use crate::drill::rng::Rng;

/// The new version's share.
pub(super) const SHARE: f64 = 0.05;

#[derive(Clone)]
pub(super) struct Split {
    stable: Downstream,
    new: Option<Downstream>,
    from: Nanos,
}

impl Split {
    pub(super) fn of(site: &Site) -> Self {
        let new = site.plan.deploys().map(|version| site.downstream.version(version));
        Self { stable: site.downstream.clone(), new, from: site.plan.trigger }
    }
}

impl Service<Request> for Split {
    type Response = super::Answer;
    type Error = Failed;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Reply {
        match &mut self.new {
            Some(new) if new.now() >= self.from && Rng::of(0x5917, request.id).chance(SHARE) => {
                new.call(request)
            }
            _ => self.stable.call(request),
        }
    }
}
