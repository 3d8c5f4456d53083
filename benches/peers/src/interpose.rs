//! Puts the drill's time and chance in the place of the system's, for the threads that ask for it.
//!
//! The contenders read `std::time::Instant`, and seed themselves from the system: neither follows a paused
//! tokio clock. So this binary, and nothing else, defines `clock_gettime` and `getrandom`, which the
//! standard library calls by these names. On a thread of a drill they answer with the
//! [drill's](seawall_peers::drill::world_time) time and numbers; on every other thread with the real ones.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};
use seawall_peers::drill::world_time;

type ClockGettime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;

/// libc's own function, found once: through it readings of the clock stay as fast as they are.
fn real_clock_gettime() -> Option<ClockGettime> {
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: the address is all there is.
    let mut address = FOUND.load(Ordering::Relaxed);
    if address == 0 {
        // SAFETY: the name is a C string.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr()) } as usize;
        // Relaxed: as above.
        FOUND.store(address, Ordering::Relaxed);
    }
    // SAFETY: the next `clock_gettime` after ours is libc's, of this type; null becomes `None`.
    unsafe { std::mem::transmute::<usize, Option<ClockGettime>>(address) }
}

/// The time of the world, or of the thread's drill.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, into: *mut timespec) -> c_int {
    if let Some(nanos) = world_time::now() {
        // SAFETY: the caller gives a place for a `timespec`.
        unsafe {
            (*into).tv_sec = (nanos / 1_000_000_000) as libc::time_t;
            (*into).tv_nsec = (nanos % 1_000_000_000) as libc::c_long;
        }
        return 0;
    }
    match real_clock_gettime() {
        // SAFETY: the caller keeps to libc's contract.
        Some(real) => unsafe { real(clock, into) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_clock_gettime, clock, into) as c_int },
    }
}

/// Random bytes, or those of the thread's drill.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(into: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    // A length of zero asks whether there is such a call.
    if world_time::is_on() && length > 0 {
        // SAFETY: the caller gives a place of `length` bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), length) };
        world_time::fill(bytes);
        return length as ssize_t;
    }
    // SAFETY: as libc does.
    unsafe { libc::syscall(libc::SYS_getrandom, into, length, flags) as ssize_t }
}
