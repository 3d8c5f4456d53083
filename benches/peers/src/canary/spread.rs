//! Work on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::machine;

/// Does `jobs` jobs, each told its number, and gives what they gave, by number.
pub(super) fn spread<T: Send>(jobs: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs));
    thread::scope(|scope| {
        for _ in 0..machine::cores() {
            scope.spawn(|| {
                loop {
                    // Relaxed: each number is taken once, and nothing else hangs on it.
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs {
                        return;
                    }
                    let result = work(job);
                    done.lock().expect("no job panics with the lock").push((job, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no job panics with the lock");
    done.sort_by_key(|(job, _)| *job);
    done.into_iter().map(|(_, result)| result).collect()
}
