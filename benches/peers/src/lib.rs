//! What a call costs through seawall, and through whatever one would use instead.
//!
//! Every contender runs the same [`cases`] through one trait, [`Contender`]: it wraps the same
//! [`backend`] in the layers that a case names, and gets the same loop around it. So what is
//! compared is the layers and nothing else. [`cost`] measures time and allocations,
//! [`instructions`] what a processor executes, [`http`] a whole client over loopback, [`limits`] whether a limit
//! finds itself, [`canary`] how soon a bad version is found, [`drill`] what is left of a service's answers in an incident.
//!
//! To read: [`cases`] says what each row means and what its floor is made of; each file in
//! [`contenders`] says which work that peer does and does not do.

// The drills' clock, for their tests: see the module.
#[cfg(test)]
extern crate self as seawall_peers;
#[cfg(test)]
mod interpose;

pub mod allocs;
pub mod args;
pub mod backend;
pub mod canary;
pub mod cases;
pub mod contenders;
pub mod cost;
pub mod crew;
pub mod drill;
pub mod drive;
pub mod floor;
pub mod http;
pub mod instructions;
pub mod limits;
pub mod machine;
pub mod runtimes;
pub mod stopwatch;
pub mod terms;

pub use cases::{CASES, Case};
pub use drive::{Built, Caller, Contender};
