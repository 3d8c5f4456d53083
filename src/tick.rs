//! What must happen every so often, whether anybody calls or not.
//!
//! Most of what this crate decides it decides when a call comes. Some things must happen without one: an
//! alert that ends, a stage that has lasted long enough, a file that was changed. Each room says so with
//! one [`Tick`]; [`Drive`](crate::drive::Drive) does them all.

use std::time::Duration;

/// Something that must be done every so often.
pub trait Tick: Send + Sync + 'static {
    /// How often.
    fn every(&self) -> Duration;

    /// Does it. It must not block for long.
    fn tick(&self);
}

/// A closure, so often.
///
/// ```
/// use seawall::tick::{Every, Tick};
/// use std::time::Duration;
///
/// let pool = Every(Duration::from_millis(100), || println!("4 of 10 connections are in use"));
/// pool.tick();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Every<F>(pub Duration, pub F);

impl<F: Fn() + Send + Sync + 'static> Tick for Every<F> {
    fn every(&self) -> Duration {
        self.0
    }

    fn tick(&self) {
        (self.1)();
    }
}
