//! Writes the timeline of an incident while it happens, and the beginnings of its post-mortem.
//!
//! At three in the morning nobody takes notes. A [`Timeline`] is an observer: it hears what all layers
//! tell, makes one incident of what belongs together, says how grave it is and how often it asks for an
//! update, and afterwards hands out everything with its times: as JSON lines for machines, and as a
//! post-mortem for people, blameless and filled with what is known.
//!
//! ```text
//!   breaker   ─┐              first symptom opens an incident
//!   bulkhead  ─┤                    │   what follows joins it
//!   slo       ─┼─▶ Timeline ──▶     ▼
//!   canary    ─┤      ▲       began ─▶ detected ─▶ mitigated ─▶ recovered ─▶ over
//!   rollout   ─┘      │
//!   calls: answered, substituted, failed ──▶ severity by the worst minute, impact
//! ```
//!
//! ```
//! use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
//! use seawall::incident::{Timeline, TimelineConfig};
//! # use seawall::error::BoxError;
//! # use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let timeline = Timeline::new(TimelineConfig::new());
//! let config = CircuitBreakerConfig::new("payments").consecutive_failures(3);
//! let layer = CircuitBreakerLayer::new(config.observe(timeline.clone())).unwrap();
//!
//! let sick = layer.layer(service_fn(|()| async { Err::<(), BoxError>("503".into()) }));
//! for _ in 0..3 {
//!     let _ = sick.clone().oneshot(()).await;
//! }
//! timeline.note("alice", "rolled back to 41");
//! let incident = timeline.incidents().pop().unwrap();
//! assert_eq!((incident.impact.calls, incident.impact.failed), (3, 3));
//! assert_eq!(incident.severity.as_str(), "P1");
//! println!("{incident}\n\n{}", incident.post_mortem());
//! # }
//! ```
//!
//! # What opens one, what joins, what ends it
//! A [symptom](crate::event::Symptom) opens it: a circuit that opens by its rules, a pool nearly used up
//! or used up, too many stale answers, a budget that burns, a suspect canary. Whatever is told until it is
//! over joins it, and what was told in the ten minutes before: a change of settings, a canary's first
//! calls. It has recovered when the last symptom has ended (burn alerts and the share of
//! stale answers lag behind; they count only if there is no other symptom), and is over when it was calm for a minute since.
//!
//! # Its times
//! From the first failing call of the trouble, as far as it can be seen: the first of an unbroken
//! run of seconds in which at least a twentieth of the calls got no fresh answer, up to a minute back. *Detected* is the
//! first symptom. *Mitigated* is the first thing that took harm off the callers: a circuit opened, a switch
//! was flipped, a canary was taken out. *Recovered* is the end of the last symptom.
//!
//! # What is kept
//! Of one incident 256 entries, the first half of them from its beginning, the rest the newest; a circuit whose
//! probes fail again and again is one entry, with how often and until when. Sixteen incidents that are over
//! ([`TimelineConfig::keep`]). Events that overtake each other on their way from many threads are put in
//! order: what had ended before its beginning was told opens no incident that never ends.
//!
//! # When not
//! It sees one process. For a fleet, let each export its lines, and read them together.

mod actions;
mod clerk;
mod impact;
mod json;
mod post_mortem;
mod record;
mod rows;
mod text;
mod timeline;

pub use crate::event::Severity;
pub use impact::Impact;
pub use record::{Entry, Incident};
pub use timeline::{Timeline, TimelineConfig};
