//! What keeps each kind of trouble from coming back: proposals for a post-mortem's action items.

/// For a page of the runbook; `None` where there is nothing to prevent.
pub(super) fn prevents(runbook: &str) -> Option<&'static str> {
    let page = runbook.strip_prefix("guide/runbook/")?.strip_suffix("/index.html")?;
    Some(match page {
        "circuit_open" => {
            "Find out with the dependency's owners why it failed, and whether the circuit's thresholds \
             and a cached fallback fit that failure."
        }
        "circuit_held" => "Write down when the circuit may be held, and who lets go of it.",
        "stale_share" => {
            "Agree how old an answer may be for its readers, and alert before that age is reached."
        }
        "budget_burn" => {
            "Check that the objective is what users need, and that this burn was seen before they told."
        }
        "saturation" => {
            "Scale on utilisation before 80 %, and repeat the load test at twice the peak."
        }
        "exhaustion" => {
            "Give the pool the size that the peak needs, and each caller a deadline for its wait."
        }
        "kill_switch" => "Rehearse the switch in staging, and automate what made it necessary.",
        "kill_switch_source" => "Alert on an unreadable source, and deliver it atomically.",
        "canary_suspect" | "rollback" => {
            "Add the case that the canary failed to the tests that run before a deployment."
        }
        "canary_held" => {
            "Don't deploy while the dependency fails: check it before a rollout starts."
        }
        "canary_no_data" => "Give the canary a share that sees calls in every minute of the day.",
        "rollback_hook" => "Rehearse the rollback's hooks, and make each safe to be called twice.",
        "decision_store" => "Put the decision store where it survives what the service doesn't.",
        "rollout_inconclusive" => "Give the stage more traffic, or the rollout more time.",
        "check_panicked" => "Test the check against answers of every shape.",
        _ => return None,
    })
}
