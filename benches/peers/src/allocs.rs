//! A global allocator that counts allocations per thread.
//!
//! Per thread, so that counting adds no line for the threads to fight over: a shared counter would
//! make every contender that allocates look worse at two threads than it is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // `const` and without a destructor: reading it never allocates, also while a thread ends.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has allocated (a reallocation counts as one).
///
/// Stays 0 unless [`Counting`] is the global allocator.
pub fn so_far() -> u64 {
    COUNT.get()
}

/// The system allocator, counted.
#[derive(Debug)]
pub struct Counting;

fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: every call goes to `System` with its arguments unchanged; counting touches a thread-local
// cell only, which neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: `pointer` came from `System` through this type, with this layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through this type, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}
