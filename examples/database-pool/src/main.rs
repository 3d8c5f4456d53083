//! A pool of ten database connections, watched: what is told when queries get slow and the pool runs out.
//!
//! Queries that take 5 ms at first take 300 ms between second 12 and second 27, as when an index is gone.
//! The pool fills up long before any query fails; the gauge says so over 80 %, and says apart when nothing
//! is left and callers wait. It takes about 70 s: the mean is over ten seconds, and an alert stands for
//! thirty at least.
//!
//! ```text
//!  12.4 s  EXHAUSTED  all 10 in use, and callers wait
//!  20.1 s  SATURATED  10 of 10 connections in use, 80.8% on average over ten seconds
//!  50.1 s  cleared    7.4% on average
//!  70.0 s  saturated: false
//! ```

use std::error::Error;
use std::time::Duration;

use deadpool_sqlite::{Config, Pool, Runtime};
use seawall::bulkhead::{Gauge, GaugeConfig};
use seawall::event::{Event, Kind};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const CONNECTIONS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let began = Instant::now();
    let mut config = Config::new("file:pool?mode=memory&cache=shared");
    config.pool = Some(deadpool_sqlite::PoolConfig::new(CONNECTIONS));
    let pool = config.create_pool(Runtime::Tokio1)?;

    let gauge = Gauge::new(GaugeConfig::new("database").observe(move |event: &Event| {
        let at = began.elapsed().as_secs_f64();
        match &event.kind {
            Kind::Saturated(pool) => println!(
                "{at:5.1} s  SATURATED  {} of {} connections in use, {} on average over ten seconds",
                pool.used, pool.size, pool.mean
            ),
            Kind::Exhausted(pool) => {
                println!("{at:5.1} s  EXHAUSTED  all {} in use, and callers wait", pool.size);
            }
            Kind::Cleared(pool) => println!("{at:5.1} s  cleared    {} on average", pool.mean),
            _ => {}
        }
    }));
    tokio::spawn(watch(pool.clone(), gauge.clone()));

    // 40 queries a second: at 5 ms a fifth of one connection, at 300 ms twelve, of ten that there are.
    let mut ticks = interval(Duration::from_millis(25));
    while began.elapsed() < Duration::from_secs(70) {
        ticks.tick().await;
        let slow = (12..27).contains(&began.elapsed().as_secs());
        let millis = if slow { 300 } else { 5 };
        tokio::spawn(query(pool.clone(), Duration::from_millis(millis)));
    }
    println!("{:5.1} s  saturated: {}", began.elapsed().as_secs_f64(), gauge.is_saturated());
    Ok(())
}

/// Looks at the pool ten times a second.
async fn watch(pool: Pool, gauge: Gauge) {
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = pool.status();
        // `available` counts connections that could be made, too.
        let idle = now.size.min(now.available);
        gauge.read((now.size - idle) as u32, now.max_size as u32);
        if now.waiting > 0 {
            gauge.turned_away();
        }
    }
}

/// A query that keeps its connection for so long.
async fn query(pool: Pool, time: Duration) {
    let Ok(connection) = pool.get().await else { return };
    let counted = connection
        .interact(|db| {
            db.query_row("select count(*) from sqlite_master", [], |row| row.get::<_, i64>(0))
        })
        .await;
    assert!(counted.is_ok_and(|rows| rows.is_ok()));
    sleep(time).await;
}
