//! What layers tell, as events of the crate `tracing`.

use std::sync::Arc;

use tracing::{Level, event};

use crate::error::Room;
use crate::event::{Event, Gravity, Observe, Sink};

/// Gives events of layers to the subscriber of the crate `tracing`: an [`Observe`] for every layer.
///
/// One event each, of target `seawall`: critical ones as errors, then warnings, and the rest as
/// information. Fields: `layer`, `name`, `event` (such as `circuit_opened`), `runbook` (the page that
/// says what to do), and one sentence as the message. Calls and refusals are not told: they are counted
/// by [metrics](super::CATALOGUE), and a log line a refusal would make every outage a flood.
///
/// ```
/// use seawall::breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
/// use seawall::telemetry::Tracing;
///
/// let config = CircuitBreakerConfig::new("payments").observe(Tracing::new());
/// # CircuitBreakerLayer::new(config).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing {}

impl Tracing {
    /// To the subscriber that is current on the thread where something happens.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Observe for Tracing {
    fn attach(self: Arc<Self>, room: Room, _: &'static str) -> Option<Box<dyn Sink>> {
        Some(Box::new(Told(room)))
    }
}

struct Told(Room);

impl Sink for Told {
    fn event(&self, event: &Event) {
        let Self(room) = self;
        let kind = &event.kind;
        macro_rules! tell {
            ($level:expr) => {
                event!(
                    target: "seawall",
                    $level,
                    layer = room.as_str(),
                    name = event.name,
                    event = kind.as_str(),
                    runbook = kind.runbook(),
                    "{event}"
                )
            };
        }
        match kind.gravity() {
            Gravity::Critical => tell!(Level::ERROR),
            Gravity::Warning => tell!(Level::WARN),
            Gravity::Note => tell!(Level::INFO),
        }
    }
}
