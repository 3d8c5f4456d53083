//! Turns a dependency off, or turns seawall off, with one flip, while the service runs.
//!
//! In an incident somebody must be able to say "not now": stop calling this service at all, or stop
//! this layer from deciding, without a deployment. A kill switch is a named switch with three
//! positions, read with one atomic load a call, and flipped from wherever your operators are: code, an
//! environment variable, a file that a ConfigMap mounts, a feature flag.
//!
//! ```text
//!             Run      ──▶ fallback ──▶ breaker ──▶ ... ──▶ client
//!   call ──▶  Halt     ──▶ fallback ──▶ Rejected { Halted, sent: false }     reads are still answered
//!             Bypass   ─────────────────────────────▶ client                 as if seawall weren't there
//! ```
//!
//! ```
//! use seawall::error::{BoxError, Carry, Reason};
//! use seawall::kill_switch::{KillSwitch, KillSwitchConfig, KillSwitchLayer, Mode};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let switch = KillSwitch::new(KillSwitchConfig::new("payments"));
//! let mut client = ServiceBuilder::new()
//!     .layer(KillSwitchLayer::new(&switch))
//!     .service(service_fn(|_: ()| async { Ok::<_, BoxError>("paid") }));
//!
//! assert_eq!(client.ready().await?.call(()).await?, "paid");
//! switch.flip(Mode::Halt, "on-call", "balances look wrong");
//! let refused = client.ready().await?.call(()).await.unwrap_err();
//! assert_eq!(refused.rejected().unwrap().reason, Reason::Halted);
//! # Ok(())
//! # }
//! ```
//!
//! # Sources
//! A [`Source`] says what position the switch should be in. [`KillSwitch::consult`] asks one once;
//! [`KillSwitch::follow`] asks at an interval, [driven](crate::drive::Drive). A source that is missing, unreadable or
//! half-written changes nothing: the switch keeps its position, and an event says so, once an episode.
//!
//! # When to use it
//! Around everything that a runbook might want to turn off. It costs one load.
//!
//! # When not
//! To turn off one user or one endpoint: that is a feature flag's work.

pub mod future;
mod handle;
mod layer;
mod mode;
mod service;
mod source;
mod switch;

pub use handle::Follow;
pub use layer::{BypassLayer, KillSwitchLayer};
pub use mode::{Mode, UnknownMode};
pub use service::{Bypass, Switched};
pub use source::{Environment, File, Source, Unreadable};
pub use switch::{KillSwitch, KillSwitchConfig};
