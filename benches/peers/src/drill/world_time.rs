//! The time and the chance of a thread on which a drill runs.
//!
//! Time is tokio's paused clock: it stands while anything can be done, and then jumps to the next timer.
//! `std::time::Instant` is made to follow it (by this package's binary, which defines `clock_gettime`), so
//! contenders that read the system's clock live in the same time as those that read tokio's. Random bytes
//! come from a seed, so that whatever draws from the system repeats exactly.

use std::cell::Cell;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::rng::Rng;

/// Where a drill's clock begins: later than any machine has been up, so that no anchor that was set in
/// real time lies after it.
const EPOCH: u64 = 1_000_000_000_000_000_000;

#[derive(Clone, Copy)]
enum Time {
    /// The system's.
    Real,
    /// Stands still at the epoch.
    Begins,
    /// Follows tokio's clock from this moment on.
    Follows(Instant),
}

thread_local! {
    static TIME: Cell<Time> = const { Cell::new(Time::Real) };
    static CHANCE: Cell<u64> = const { Cell::new(0) };
}

/// The time of this thread's drill, in nanoseconds; `None` where no drill runs.
#[inline]
pub fn now() -> Option<u64> {
    match TIME.try_with(Cell::get).unwrap_or(Time::Real) {
        Time::Real => None,
        Time::Begins => Some(EPOCH),
        Time::Follows(from) => {
            let since = Instant::now().saturating_duration_since(from);
            Some(EPOCH + since.as_nanos() as u64)
        }
    }
}

/// Does a drill run on this thread?
#[inline]
pub fn is_on() -> bool {
    !matches!(TIME.try_with(Cell::get), Ok(Time::Real) | Err(_))
}

/// The next random bytes of this thread's drill.
pub fn fill(bytes: &mut [u8]) {
    let mut rng = Rng::new(CHANCE.get());
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next().to_le_bytes()[..chunk.len()]);
    }
    CHANCE.set(rng.next());
}

/// Runs `world` on a thread of its own, in virtual time that begins at the epoch, with chance from `seed`.
///
/// # Panics
/// If `world` does, or the binary has no `clock_gettime` of ours: then time would be real.
pub fn in_virtual_time<T: Send>(seed: u64, world: impl Future<Output = T> + Send) -> T {
    settle_statics();
    let run = move || {
        CHANCE.set(seed);
        TIME.set(Time::Begins);
        let runtime = runtime();
        let seen = runtime.block_on(async move {
            TIME.set(Time::Follows(Instant::now()));
            assert_follows().await;
            let seen = world.await;
            TIME.set(Time::Begins);
            seen
        });
        drop(runtime);
        TIME.set(Time::Real);
        seen
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("the drill's thread panicked"))
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

/// `std`'s clock moves with tokio's, or every figure of a peer would be false.
#[allow(clippy::disallowed_methods)] // it is what is tested
async fn assert_follows() {
    let before = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let moved = before.elapsed();
    assert_eq!(moved, Duration::from_millis(10), "std's clock doesn't follow the drill's");
}

/// What the whole process keeps from its first use on: the anchor of seawall's clock, the secret of its
/// keys. The first use is here, so that it is the same whichever drill comes first.
fn settle_statics() {
    static SETTLED: std::sync::Once = std::sync::Once::new();
    SETTLED.call_once(|| {
        let first = || {
            TIME.set(Time::Begins);
            let _ = seawall::clock::Clock::system().now();
            let _ = seawall::key::Key::of(&0);
            let _ = seawall::request::IdempotencyKey::new();
            TIME.set(Time::Real);
        };
        std::thread::scope(|scope| scope.spawn(first).join().expect("no panic"));
    });
}
