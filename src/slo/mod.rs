//! Tells, in process and within seconds, that an objective's error budget burns too fast.
//!
//! "More than 1 % errors" is no alert: at some rates it pages for nothing, at others too late. What
//! matters is how fast the failures use up the budget that the objective allows. A burn rate of 1 uses
//! up a 30-day budget in 30 days; 14.4 uses 2 % of it in an hour, and somebody should get up. Each alert
//! looks at two windows: the long one says that it matters, the short one that it still goes on, so the
//! alert ends soon after the trouble does.
//!
//! ```text
//!   call ends ─▶ good, bad ─▶ one striped add
//!                                 │ every 5 s
//!                                 ▼
//!              5 m   30 m   1 h   6 h   3 d     rings with running sums
//!               └──────┼─────┘     │     │
//!      page, fast      │           │     │      14.4 on 1 h and on 5 m
//!      page, slow      └───────────┤     │       6   on 6 h and on 30 m
//!      ticket                      └─────┘       1   on 3 d and on 6 h
//! ```
//!
//! ```
//! use seawall::clock::Clock;
//! use seawall::slo::{Alert, Objective, Slo};
//! use std::time::Duration;
//!
//! let (clock, hand) = Clock::manual();
//! let slo = Slo::new(Objective::availability("payments", 0.999).clock(clock)).unwrap();
//! for second in 0..600 {
//!     for _ in 0..100 {
//!         slo.record(second < 300);
//!     }
//!     hand.advance(Duration::from_secs(1));
//!     slo.tick();
//! }
//! assert!(slo.snapshot().firing(Alert::PageFast));
//! ```
//!
//! # Formulas
//! From the Google SRE Workbook, chapter 5 ("Alerting on SLOs"). Burn over a window: the share of bad
//! calls divided by the share that the objective allows. An alert fires while the burn is *above* its
//! factor over both windows, and ends when either is a tenth below it. Three things make it bearable where little comes in:
//!
//! - Before a window is full, the missing past counts as good, at the mean rate so far. So a fresh process
//!   fires as late as an old one, and not at the first error.
//! - Where the long window expects fewer than 10 bad calls at the alert's factor, it must also be unlikely
//!   (at most 1 %, by the binomial distribution) that so many were bad by chance; and at least two were.
//! - No traffic is no ratio: it neither fires nor keeps firing.
//!
//! Windows end at the last tick and are a ring of buckets, so each is between `W (1 - 1/n)` and `W` long, where
//! `n` is 60 up to an hour and 72 above: times are right to 1.7 %. A window of less than 5 min has a bucket each
//! 5 s, so one of a minute is right to 8 %. Time is monotonic. [Other windows](Objective::windows) and factors
//! can be set; whatever is set, the memory is fixed.
//!
//! # When to use it
//! One objective for each thing a user would complain about, outermost in the stack, so that it sees what
//! the user sees. What a refusal or a stale answer is to the objective, say explicitly
//! ([`SloLayer::classify`], [`RefusedAs`], [`StaleAs`]).
//!
//! # When not
//! For the objective of a whole fleet over 30 days: sum the counters of all processes where they are
//! collected. Burn rates can't be added.

mod binomial;
mod config;
mod engine;
pub mod future;
mod handle;
mod layer;
mod refused_as;
mod ring;
mod rules;
mod service;
mod stale_as;
mod windows;

pub use config::Objective;
pub use handle::Slo;
pub use layer::SloLayer;
pub use refused_as::RefusedAs;
pub use rules::{Alert, Burn, Snapshot};
pub use service::Observed;
pub use stale_as::StaleAs;
