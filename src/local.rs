//! Who owns a room's state.
//!
//! One layer value makes one `Shared` (a circuit, a limit, a store). If each call in flight held an
//! `Arc<Shared>`, every call on every core would write the same reference count. So a service's calls
//! share a small [`Local`] of its own instead: the count they touch is private to that service, hence,
//! in practice, to one core.
//!
//! Services are often cloned for one call; then a `Local` of its own would cost a clone an allocation, and
//! save nothing. So clones share one with those that are used on the same thread, and change it when they
//! go to another.

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
    /// Of this family, for this thread.
    fn of(&self, family: &Arc<Family<T>>) -> Self {
        let (stripe, mine) = family.mine();
        let one = || {
            let (stripes, family) = (family.stripes(), Arc::downgrade(family));
            Self::new(T::clone(self), Clones::One { stripe, stripes, family })
        };
        mine.get_or_init(one).share()
    }
}

/// What a layer shares, as a service holds it.
pub(crate) struct Owner<T>(Local<T>);

impl<T: Clone> Owner<T> {
    /// For a new service of a layer.
    pub(crate) fn new(shared: T) -> Self {
        Self(Local::new(shared, Clones::Of(OnceLock::new())))
    }

    /// For a call in flight. A clone that is new to this thread may allocate.
    #[inline]
    pub(crate) fn share(&mut self) -> Local<T> {
        if let Clones::One { stripe, stripes, .. } = &self.0.0.clones {
            if !Family::<T>::is_mine(*stripe, *stripes) {
                *self = self.moved_here();
            }
        }
        self.0.share()
    }

    /// For a clone that went to another thread. If the service that it was cloned from is gone, so is
    /// the family; then it founds one.
    #[cold]
    fn moved_here(&self) -> Self {
        match &self.0.0.clones {
            Clones::One { family, .. } => match family.upgrade() {
                Some(family) => Self(self.0.of(&family)),
                None => Self::new(T::clone(self)),
            },
            Clones::Of(_) => self.clone(),
        }
    }
}

impl<T: Clone> Clone for Owner<T> {
    #[inline]
    fn clone(&self) -> Self {
        match &self.0.0.clones {
            Clones::Of(family) => {
                Self(self.0.of(family.get_or_init(|| Arc::new(Striped::wide(OnceLock::new)))))
            }
            Clones::One { stripe, stripes, .. } if Family::<T>::is_mine(*stripe, *stripes) => {
                Self(self.0.share())
            }
            Clones::One { .. } => self.moved_here(),
        }
    }
}

impl<T> Deref for Owner<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Owner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
    fn clones_on_one_thread_share_a_count_that_is_not_the_services() {
        let shared = Arc::new(());
        let mut first = Owner::new(Arc::clone(&shared));
        assert!(same(&first.share(), &first.share()));
        let (mut clone, other) = (first.clone(), first.clone());
        assert!(!same(&clone.0, &first.0) && same(&clone.0, &other.0));
        assert!(same(&clone.share(), &other.clone().0), "a clone of a clone too");
        drop((first, clone, other));
        assert_eq!(Arc::strong_count(&shared), 1, "and all of them are gone");
    }

    #[test]
    fn a_clone_that_goes_to_another_thread_shares_with_those_there() {
        let first = Owner::new(Arc::new(()));
        let here = first.clone();
        let there = |clones: &Owner<Arc<()>>| {
            std::thread::scope(|scope| {
                // Threads are numbered as they come: of so many, one is of another stripe.
                let move_there = |_| {
                    let mut clone = clones.clone();
                    let call = move || (clone.share(), clone.clone().0);
                    scope.spawn(call).join().expect("no panic")
                };
                (0..16).map(move_there).find(|(call, _)| !same(call, &here.0))
            })
        };
        let alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
        let Some((call, clone)) = there(&first) else { return assert!(alone) };
        assert!(same(&call, &clone));
        drop(first);
        let (call, clone) = there(&here).expect("it founds a family of its own");
        assert!(!same(&call, &clone), "whose clones share another");
    }
}
