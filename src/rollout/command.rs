//! A command as a hook: the rollback that you would type.

use super::hook::{Hook, HookContext};
use crate::work::{Command, Work};

impl Hook for Command {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn call(&self, context: HookContext) -> Work {
        self.with(vec![
            ("SEAWALL_ROLLOUT", context.rollout.to_string()),
            ("SEAWALL_VERSION", context.version.to_string()),
            ("SEAWALL_KEY", context.key.to_string()),
            ("SEAWALL_CAUSE", context.decision.cause.as_str().to_owned()),
            ("SEAWALL_ATTEMPT", context.attempt.to_string()),
        ])
    }
}
