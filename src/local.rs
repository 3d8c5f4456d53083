//! Who owns a room's state.
//!
//! One layer value makes one `Shared` (a circuit, a limit, a store). If each call in flight held an
//! `Arc<Shared>`, every call on every core would write the same reference count. So a service's calls
//! share a small [`Local`] of its own instead: the count they touch is private to that service, hence,
//! in practice, to one core.
//!
//! Services are often cloned for one call; then a `Local` of its own would cost a clone an allocation, and
//! save nothing. So it begins with one that clones made on the same thread share, and gets its own when it
//! makes its second call.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};

use crate::stripe::Striped;

/// What a layer shares (a `T` is an `Arc` or two), as a call in flight holds it.
pub(crate) struct Local<T>(Arc<Counted<T>>);

/// On cache lines of its own, lest two counts be one to the processor.
#[repr(align(64))]
struct Counted<T> {
    shared: T,
    clones: Clones<T>,
}

/// What the clones of one service begin with, by the thread that made them.
type Family<T> = Striped<OnceLock<Local<T>>>;

enum Clones<T> {
    /// This is the `Local` of one service.
    Of(OnceLock<Arc<Family<T>>>),
    /// This is that of the clones made on the threads of a stripe.
    One { stripe: u8, stripes: usize, family: Weak<Family<T>> },
}

impl<T> Local<T> {
    fn new(shared: T, clones: Clones<T>) -> Self {
        Self(Arc::new(Counted { shared, clones }))
    }

    /// For another call in flight: allocates nothing.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Local<T> {
    /// For a clone that is made on this thread.
    #[inline]
    fn for_clone(&self) -> Self {
        match &self.0.clones {
            Clones::Of(family) => {
                self.of(family.get_or_init(|| Arc::new(Striped::new(OnceLock::new))))
            }
            Clones::One { stripe, stripes, family } if !Family::<T>::is_mine(*stripe, *stripes) => {
                // The clone went to another thread. If the service is gone, so are the others.
                family.upgrade().map_or_else(|| self.share(), |family| self.of(&family))
            }
            Clones::One { .. } => self.share(),
        }
    }

    fn of(&self, family: &Arc<Family<T>>) -> Self {
        let (stripe, mine) = family.mine();
        let (stripes, family) = (family.stripes(), || Arc::downgrade(family));
        let one = || Clones::One { stripe, stripes, family: family() };
        mine.get_or_init(|| Self::new(T::clone(self), one())).share()
    }
}

/// What a layer shares, as a service holds it.
pub(crate) struct Owner<T> {
    local: Local<T>,
    since: Since,
}

/// How a service came by its `Local`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// It is its own.
    Own,
    /// Others have it too, and it has made no call.
    Cloned,
    /// ... and it has made one.
    Called,
}

impl<T: Clone> Owner<T> {
    /// For a new service of a layer.
    pub(crate) fn new(shared: T) -> Self {
        Self { local: Local::new(shared, Clones::Of(OnceLock::new())), since: Since::Own }
    }

    /// For a call in flight: allocates nothing, but in a clone's second call.
    #[inline]
    pub(crate) fn share(&mut self) -> Local<T> {
        match self.since {
            Since::Own => {}
            Since::Cloned => self.since = Since::Called,
            Since::Called => self.settle_down(),
        }
        self.local.share()
    }

    #[cold]
    fn settle_down(&mut self) {
        *self = Self::new(T::clone(self));
    }
}

impl<T: Clone> Clone for Owner<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self { local: self.local.for_clone(), since: Since::Cloned }
    }
}

impl<T> Deref for Owner<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.local
    }
}

impl<T: fmt::Debug> fmt::Debug for Owner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.local.fmt(f)
    }
}

impl<T> Deref for Local<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.shared
    }
}

impl<T: fmt::Debug> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.shared.fmt(f)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    fn same<T>(a: &Local<T>, b: &Local<T>) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    #[test]
    fn a_clone_shares_a_count_for_one_call_and_then_has_its_own() {
        let shared = Arc::new(());
        let mut first = Owner::new(Arc::clone(&shared));
        assert!(same(&first.share(), &first.share()), "what a layer makes has its own at once");
        let (mut clone, other) = (first.clone(), first.clone());
        assert!(!same(&clone.local, &first.local) && same(&clone.local, &other.local));
        assert!(same(&clone.share(), &other.clone().local), "a clone of a clone too");
        let second = clone.share();
        assert!(!same(&second, &other.local) && same(&second, &clone.share()));
        drop((first, clone, other, second));
        assert_eq!(Arc::strong_count(&shared), 1, "and all of them are gone");
    }

    #[test]
    fn clones_that_are_made_on_other_threads_share_another_count() {
        let first = Owner::new(Arc::new(()));
        let here = first.clone();
        let moved = |clones: &Owner<Arc<()>>| {
            std::thread::scope(|scope| {
                // Threads are numbered as they come: of so many, one is of another stripe.
                let clone = |_| scope.spawn(|| clones.clone()).join().expect("no panic");
                (0..16).map(clone).any(|clone| !same(&clone.local, &here.local))
            })
        };
        let alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
        assert!(alone || (moved(&first) && moved(&here)), "also of those that moved there");
        drop(first);
        assert!(!moved(&here), "with the service their table goes");
    }
}
