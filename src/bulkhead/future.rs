//! The future of a [`Bulkhead`](super::Bulkhead), and the place that its call holds.

use super::layer::Shared;
use crate::guarded::{Guarded, Settle, SettleWith, Unfinished};
use crate::local::Local;

/// The response future of a [`Bulkhead`](super::Bulkhead).
///
/// Dropping it at any point gives its place back.
pub type ResponseFuture<F> = Guarded<F, Place>;

/// The place of one call; given back when the call ends.
#[derive(Debug)]
pub struct Place(pub(super) Local<Shared>);

impl Settle for Place {
    fn unfinished(self, _: Unfinished) {
        self.0.engine.release();
    }
}

impl<Res, E> SettleWith<Res, E> for Place {
    #[inline]
    fn finished(self, _: Result<&Res, &E>) {
        self.0.engine.release();
    }
}
