//! Counters that many cores write: one copy a stripe, each on cache lines of its own.
//!
//! A thread keeps to its stripe, so that counting does not bounce a line between cores; whoever reads
//! sums the stripes.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most stripes: memory stays small, and beyond it cores share stripes in pairs.
const MAX: usize = 8;

/// A value on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Padded<T>(pub(crate) T);

/// One `T` a stripe: as many as there are cores, a power of two, at most eight.
#[derive(Debug)]
pub(crate) struct Striped<T>(Box<[Padded<T>]>);

impl<T> Striped<T> {
    pub(crate) fn new(make: impl Fn() -> T) -> Self {
        Self::with(count(), make)
    }

    /// As many as there are cores, up to 64: for what must be fast beyond eight, too, and is small.
    pub(crate) fn wide(make: impl Fn() -> T) -> Self {
        Self::with(cores().min(64), make)
    }

    pub(crate) fn with(stripes: usize, make: impl Fn() -> T) -> Self {
        debug_assert!(stripes.is_power_of_two());
        Self((0..stripes).map(|_| Padded(make())).collect())
    }

    /// The stripe of the calling thread, and its number.
    #[inline]
    pub(crate) fn mine(&self) -> (u8, &T) {
        let index = thread_index() & (self.0.len() - 1);
        (index as u8, &self.0[index].0)
    }

    /// Whether the calling thread is one of those of this stripe.
    #[inline]
    pub(crate) fn is_mine(index: u8, stripes: usize) -> bool {
        thread_index() & (stripes - 1) == usize::from(index)
    }

    pub(crate) fn stripes(&self) -> usize {
        self.0.len()
    }

    /// The stripe with this number.
    #[inline]
    pub(crate) fn at(&self, index: u8) -> &T {
        &self.0[usize::from(index) & (self.0.len() - 1)].0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

fn count() -> usize {
    cores().min(MAX)
}

/// How many there are, as a power of two.
fn cores() -> usize {
    // Loom explores every stripe's every word: one is enough to model.
    if cfg!(seawall_loom) {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, |n| n.get().next_power_of_two())
}

#[inline]
fn thread_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            // Relaxed: any distinct number will do.
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        mine.get()
    })
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_stripe() {
        let striped = Striped::with(4, || 0_u8);
        let (index, mine) = striped.mine();
        assert!(std::ptr::eq(mine, striped.at(index)));
        assert_eq!(striped.mine().0, index);
        assert_eq!(size_of::<Padded<u8>>(), 64);
    }
}
