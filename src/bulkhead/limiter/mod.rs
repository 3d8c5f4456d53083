//! Finds the limit by itself: how many calls a service can take before they queue up inside it.
//!
//! A limit that somebody wrote down is wrong after the next release of the service behind it. But
//! latency tells: below the knee more calls in flight are more answers a second; beyond it they are
//! longer queues. A [`Limiter`] looks at how long the calls of a short [`Window`] took and says what
//! the limit should be. [`AdaptiveLimit`] keeps it honest: bounds, no growth that nobody uses, no
//! sample that can lead it astray, and now and then a look at how fast the service is without a queue.
//!
//! All of it is arithmetic on the windows it is given: the same windows give the same limits, so what
//! happened can be played again.
//!
//! ```
//! use seawall::bulkhead::{AdaptiveLimit, Vegas, Window};
//! use std::time::Duration;
//!
//! let mut limit = AdaptiveLimit::new(Vegas::new(), 10, 1..=200).unwrap();
//! let calm = Window::new(Duration::from_millis(100), 10);
//! assert_eq!(limit.learn(&calm), 10, "the first window tells what fast is");
//! assert_eq!(limit.learn(&calm), 16, "nothing queues up, so there is room for more");
//! ```

mod aimd;
mod collector;
mod governor;
mod gradient;
mod vegas;
mod window;

pub use aimd::Aimd;
pub(crate) use collector::Collector;
pub use governor::AdaptiveLimit;
pub use gradient::Gradient;
pub use vegas::Vegas;
pub use window::{Limiter, Window};
