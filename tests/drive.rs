//! The one future that drives what happens when nobody calls.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use seawall::drive::Drive;
use seawall::tick::Every;
use tokio::time::{sleep, timeout};

const MS: Duration = Duration::from_millis(1);

fn counted(every: Duration) -> (Every<impl Fn() + Send + Sync + 'static>, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&count);
    (Every(every, move || _ = counts.fetch_add(1, Ordering::Relaxed)), count)
}

async fn run_for(drive: Drive, time: Duration) {
    assert!(timeout(time, drive.run()).await.is_err(), "it never ends by itself");
}

#[tokio::test(start_paused = true)]
async fn each_is_ticked_as_often_as_it_wants_first_at_once() {
    let (quick, quicks) = counted(10 * MS);
    let (slow, slows) = counted(1_000 * MS);
    run_for(Drive::new().tick(quick).tick(slow), 2_505 * MS).await;
    assert_eq!((quicks.load(Ordering::Relaxed), slows.load(Ordering::Relaxed)), (251, 3));
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_wants_no_time_between_does_not_spin() {
    let (restless, count) = counted(Duration::ZERO);
    run_for(Drive::new().tick(restless), 100 * MS).await;
    assert!(count.load(Ordering::Relaxed) <= 101);
}

#[tokio::test(start_paused = true)]
async fn what_panics_stops_nobody_else() {
    let (well, count) = counted(10 * MS);
    let drive = Drive::new()
        .tick(Every(10 * MS, || panic!("always")))
        .with(async { panic!("once") })
        .tick(well);
    run_for(drive, 1_000 * MS).await;
    assert!(count.load(Ordering::Relaxed) >= 100);
}

#[tokio::test(start_paused = true)]
async fn futures_run_beside_ticks_and_may_end() {
    let ended = Arc::new(AtomicU32::new(0));
    let done = Arc::clone(&ended);
    let (tick, count) = counted(10 * MS);
    let drive = Drive::new()
        .with(async move {
            sleep(55 * MS).await;
            done.store(1, Ordering::Relaxed);
        })
        .with(pending())
        .tick(tick);
    run_for(drive, 100 * MS).await;
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    assert_eq!(count.load(Ordering::Relaxed), 11);
}

#[test]
fn nothing_to_drive_is_known() {
    assert!(Drive::new().is_empty());
    assert!(!Drive::new().tick(Every(MS, || ())).is_empty());
}
