//! A webhook as a hook: what was decided, as JSON.

use std::sync::Arc;

use super::hook::{Hook, HookContext};
use crate::quoted::Quoted;
use crate::work::{Webhook, Work};

impl Hook for Webhook {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn call(&self, context: HookContext) -> Work {
        self.with(Arc::clone(&context.key), body_of(&context))
    }
}

fn body_of(context: &HookContext) -> String {
    let decision = &context.decision;
    let errors = decision.totals.errors;
    format!(
        concat!(
            r#"{{"rollout":{},"version":{},"seq":{},"key":{},"attempt":{},"recovered":{},"#,
            r#""cause":{},"explanation":{},"weight_ppm":{},"#,
            r#""canary":{{"calls":{},"failed":{}}},"baseline":{{"calls":{},"failed":{}}}}}"#,
        ),
        Quoted(&context.rollout),
        Quoted(&context.version),
        context.seq,
        Quoted(&context.key),
        context.attempt,
        context.recovered,
        Quoted(decision.cause.as_str()),
        Quoted(&decision.to_string()),
        decision.weight.ppm(),
        errors.canary.calls,
        errors.canary.bad,
        errors.baseline.calls,
        errors.baseline.bad,
    )
}
