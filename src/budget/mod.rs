//! How many calls may be repeated: a share of those that are made, whoever repeats them.
//!
//! "At most three attempts" bounds what one call may cost, not what a failing dependency is given to
//! bear: when all calls fail, all are made three times, and a service that was merely slow is pushed
//! under by its own clients. (The same is told at length, under "Why budgets and not max retries?", in
//! tower's `retry::budget`; the idea is Finagle's `RetryBudget`.) A budget bounds the sum. Each first
//! attempt earns a fraction of a token, each repetition costs one; where there is none, the failure is
//! the answer. So an outage is multiplied by at most 1 + ratio; what was saved up (`burst`) comes on top
//! once, and what time earns (`floor`) each second.
//!
//! ```text
//!   first attempts  ── ratio each ──▶ ┌────────┐
//!                                     │ tokens │ ── 1 each ───────▶ retries, hedges
//!   time  ───── floor per second ───▶ └────────┘ ── 2 each ───────▶ ... after an answer in doubt
//!                                   at most `burst`
//! ```
//!
//! One budget belongs to one dependency. It is a handle: clones share the tokens, and so do a
//! [`retry`](crate::error::Room::Retry) and a [`hedge`](crate::error::Room::Hedge) that were given the
//! same one.
//!
//! ```
//! use seawall::budget::{Budget, BudgetConfig, Cost};
//!
//! let budget = Budget::new(BudgetConfig::new().ratio(0.1).floor(0).burst(2)).unwrap();
//! while let Some(token) = budget.withdraw(Cost::One) {
//!     token.spend(); // the call is made; a token that is dropped instead goes back
//! }
//! assert_eq!(budget.snapshot().tokens, 0, "a budget starts full, and is spent");
//!
//! (0..10).for_each(|_| budget.deposit());
//! assert!(budget.withdraw(Cost::One).is_some(), "ten calls have earned one retry");
//! ```
//!
//! # What it costs
//! A deposit is one addition on a cache line of the calling thread's own, and reads no clock: healthy
//! calls of different cores share nothing. Withdrawals, which are rare, sum those lines up and take
//! from one word; check and subtraction are one atomic step, so a budget is never overdrawn.
//!
//! # Idle hours and busy ones
//! Neither saves up more than `burst`. While no token is asked for, deposits are only counted; they
//! are put in, and cut off at `burst`, when the next one is. That is the same sum as putting them in
//! one by one.

mod bucket;
mod config;
mod shared;

pub use bucket::Cost;
pub use config::BudgetConfig;
pub(crate) use shared::Paid;
pub use shared::{Budget, Snapshot, Withdrawn};
