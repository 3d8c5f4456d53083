//! The one future that does what must be done when nobody calls.
//!
//! ```
//! use seawall::drive::Drive;
//! use seawall::slo::{Objective, Slo};
//! use seawall::tick::Every;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), seawall::ConfigError> {
//! let slo = Slo::new(Objective::availability("payments", 0.999))?;
//! let driving = tokio::spawn(
//!     Drive::new()
//!         .tick(slo.clone())
//!         .tick(Every(Duration::from_secs(10), || println!("still here")))
//!         .run(),
//! );
//! # driving.abort();
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::tick::Tick;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Collects what must be driven.
///
/// What panics is done again at its next time, or, if it is a future, no more; the others go on.
#[derive(Default)]
pub struct Drive {
    ticks: Vec<Arc<dyn Tick>>,
    futures: Vec<Boxed>,
}

impl Drive {
    /// Drives nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also does this, as often as it wants, at least 1 ms apart.
    #[must_use]
    pub fn tick(mut self, tick: impl Tick) -> Self {
        self.ticks.push(Arc::new(tick));
        self
    }

    /// Also polls this.
    #[must_use]
    pub fn with(mut self, future: impl Future<Output = ()> + Send + 'static) -> Self {
        self.futures.push(Box::pin(future));
        self
    }

    /// Is there nothing to drive?
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty() && self.futures.is_empty()
    }

    /// Does it all, first at once, for as long as it is polled: spawn it, or select on it beside your
    /// server. Dropping it is safe at any point. It never ends.
    pub async fn run(self) {
        let mut ticks: Vec<(Interval, Arc<dyn Tick>)> = Vec::new();
        for tick in self.ticks {
            let mut times = interval(tick.every().max(Duration::from_millis(1)));
            // What was late isn't made up for.
            times.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.push((times, tick));
        }
        let mut futures = self.futures;
        poll_fn(|cx| {
            futures.retain_mut(|future| is_pending(future, cx));
            for (times, tick) in &mut ticks {
                while times.poll_tick(cx).is_ready() {
                    let _ = catch_unwind(AssertUnwindSafe(|| tick.tick()));
                }
            }
            Poll::<()>::Pending
        })
        .await;
    }

    /// [Runs](Self::run) as a task of the runtime that this is called in. Feature `rt`.
    #[cfg(feature = "rt")]
    pub fn spawn(self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.run())
    }
}

fn is_pending(future: &mut Boxed, cx: &mut Context<'_>) -> bool {
    matches!(catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))), Ok(Poll::Pending))
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("ticks", &self.ticks.len())
            .field("futures", &self.futures.len())
            .finish()
    }
}
