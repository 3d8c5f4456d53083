//! Keeps a service standing when what it calls falls down: tower layers for the client side.
//!
//! Start with [`stack::payment`], which puts the layers in the order that works; or take the rooms one
//! by one.
//!
//! | room | what it does |
//! | --- | --- |
//! | [`stack`] | the layers in their order, with defaults |
//! | [`breaker`] | stops calling a service that fails, is slow or hangs, and finds out when it is well |
//! | [`bulkhead`] | bounds the calls in flight |
//! | [`timeout`] | bounds the time of one attempt |
//! | [`fallback`] | answers for refused and failed calls: the last good response, a value, a function |
//! | [`canary`] | compares a new version with the old one, and takes it out when it is worse |
//! | [`rollout`] | gives a new version its calls step by step, and takes them back for certain |
//! | [`kill_switch`] | halts, or bypasses, by one flip |
//! | [`retry`] | makes a failed call again, where that does no harm, within a [`budget`] |
//! | [`hedge`] | makes a slow read twice, and takes the first answer |
//! | [`slo`] | tells that an objective's error budget burns too fast |
//! | [`incident`] | writes the timeline of an incident, and the beginnings of its post-mortem |
//! | [`notify`] | has people told, once, and that it is over |
//! | [`telemetry`] | shows outside what goes on inside: metrics and log events |
//! | [`ready`] | waits for a client's readiness inside the call |
//! | `http` | whole bodies, outcomes, keys and cache rules of HTTP (feature `http`) |
//!
//! What they share: how calls end ([`outcome`]), what travels with a request ([`request`]), what a refusal
//! says ([`error`]), how stale answers are marked ([`stale`]), who listens ([`event`], and [`audit`]
//! for rollouts), time ([`clock`]), what is done beside calls ([`work`]), and what happens when nobody calls
//! ([`drive`]).
//!
//! # Features
//! | feature | what it adds |
//! | --- | --- |
//! | `cache` | the cached fallback and its store |
//! | `http` | HTTP |
//! | `metrics` | [`telemetry`]: what layers tell, as metrics of the crate `metrics` |
//! | `tracing` | [`telemetry`]: what layers tell, as events of the crate `tracing` |
//! | `tower` | a [`budget`] under tower's own retry |
//! | `rt` | [`drive::Drive`] can spawn itself |
//! | `webhook` | a rollback's hook that posts, over HTTPS |
//! | `test-util` | `Clock::default()` follows tokio's clock, for tests with paused time |
//!
//! # How the house is laid out
//! Imports point down: ground (time, ratios, errors), vocabulary (outcomes, events, windows), engines
//! (synchronous and pure: no tower, no tokio), middleware (the layers), roof (`stack`, `http`). Rooms
//! don't know each other; what one needs of another passes through the vocabulary, or is wired on the
//! roof.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
pub mod audit;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod canary;
pub mod clock;
pub mod criticality;
pub mod drive;
pub mod error;
pub mod event;
pub mod fallback;
pub mod guarded;
#[cfg(doc)]
pub mod guide;
pub mod hedge;
#[cfg(feature = "http")]
pub mod http;
pub mod incident;
pub mod key;
pub mod kill_switch;
mod live;
mod local;
pub mod measure;
pub mod notify;
pub mod outcome;
mod quoted;
pub mod ratio;
mod readied;
pub mod ready;
pub mod request;
pub mod retry;
pub mod retry_after;
pub mod rng;
pub mod rollout;
pub mod slo;
pub mod stack;
pub mod stale;
pub mod steer;
mod stripe;
mod sync;
pub mod telemetry;
pub mod tick;
pub mod timeout;
pub mod verdict;
mod wall;
mod window;
pub mod work;

pub use error::{BoxError, Carry, ConfigError, Error, Rejected};

/// The README's examples, compiled and run.
#[cfg(all(doctest, feature = "cache", feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;
