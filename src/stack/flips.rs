//! A kill switch as a rollback's hook.

use std::future::ready;

use crate::kill_switch::{KillSwitch, Mode};
use crate::rollout::{Hook, HookContext};
use crate::work::Work;

/// Flips a kill switch when a rollout is rolled back: to stop what the new version feeds, or to turn on
/// what replaces it.
///
/// ```
/// use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
/// use seawall::rollout::RolloutConfig;
/// use seawall::stack::Flips;
///
/// let exports = KillSwitch::new(KillSwitchConfig::new("exports"));
/// let config = RolloutConfig::new("ledger").hook(Flips::new(&exports, Mode::Halt));
/// ```
#[derive(Clone, Debug)]
pub struct Flips {
    switch: KillSwitch,
    to: Mode,
}

impl Flips {
    /// Flips `switch` to `to`, in the rollout's name and with its decision for a reason.
    pub fn new(switch: &KillSwitch, to: Mode) -> Self {
        Self { switch: switch.clone(), to }
    }
}

impl Hook for Flips {
    fn name(&self) -> &str {
        "kill switch"
    }

    fn call(&self, context: HookContext) -> Work {
        let (who, why) = (format!("rollout {}", context.key), context.decision.to_string());
        self.switch.flip(self.to, &who, &why);
        Work::Future(Box::pin(ready(Ok(()))))
    }
}
