//! Who owns a room's state.
//!
//! One layer value makes one `Shared` (a circuit, a limit, a store). If each call in flight held an
//! `Arc<Shared>`, every call on every core would write the same reference count. So each *service
//! clone* owns a small [`Local`] instead, and its calls clone that: the count they touch is private
//! to the clone, hence, in practice, to one core.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A reference to a layer's shared state, through a count of this service clone's own.
#[allow(clippy::redundant_allocation)] // the second count is the point
pub(crate) struct Local<T>(Arc<Arc<T>>);

impl<T> Local<T> {
    /// For a new service of a layer.
    pub(crate) fn new(shared: Arc<T>) -> Self {
        Self(Arc::new(shared))
    }

    /// For a new clone of a service: allocates a count of its own.
    pub(crate) fn fork(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }

    /// For a call in flight: allocates nothing.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Local<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
