//! Who owns a room's state.
//!
//! One layer value makes one `Shared` (a circuit, a limit, a store). If each call in flight held an
//! `Arc<Shared>`, every call on every core would write the same reference count. So each *service
//! clone* owns a small [`Local`] instead, and its calls clone that: the count they touch is private
//! to the clone, hence, in practice, to one core.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What a layer shares (a `T` is an `Arc` or two), through a count of this service clone's own.
pub(crate) struct Local<T>(Arc<T>);

impl<T: Clone> Local<T> {
    /// For a new service of a layer.
    pub(crate) fn new(shared: T) -> Self {
        Self(Arc::new(shared))
    }

    /// For a new clone of a service: allocates a count of its own.
    pub(crate) fn fork(&self) -> Self {
        Self::new(T::clone(&self.0))
    }
}

impl<T> Local<T> {
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
