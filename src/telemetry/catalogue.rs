//! Every metric there is: name, type, unit, labels, help.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Only grows, until the process ends.
    Counter,
    /// A level, that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Type {
    /// As Prometheus calls it: `counter`, `gauge`, `histogram`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share: 0 to 1 (a budget that is overspent is below 0).
    Ratio,
    /// 1 or 0: so, or not.
    Truth,
    /// Nats: natural logarithms of likelihood ratios.
    Nats,
    /// How many times as fast as allowed.
    Times,
}

impl Unit {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Truth => "0 or 1",
            Self::Nats => "nats",
            Self::Times => "times",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// What it is counted in.
    pub unit: Unit,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub help: &'static str,
}

/// Defines the metrics, each as a constant, and the list of all.
macro_rules! catalogue {
    ($($id:ident: $name:literal, $kind:ident, $unit:ident, [$($label:literal),*], $help:literal;)*) => {
        $(
            pub(super) const $id: &Metric = &Metric {
                name: $name,
                kind: Type::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric there is.
        ///
        /// ```
        /// use seawall::telemetry::CATALOGUE;
        ///
        /// assert!(CATALOGUE.iter().all(|metric| metric.name.starts_with("seawall_")));
        /// ```
        pub const CATALOGUE: &[Metric] = &[$(*$id),*];
    };
}

catalogue! {
    CALLS: "seawall_calls_total", Counter, Count, ["name", "layer", "outcome"],
        "Calls that ended, as a layer saw them; a hedge counts both of its calls.";
    SLOW: "seawall_slow_calls_total", Counter, Count, ["name", "layer"],
        "Calls that were slow by the layer's own threshold.";
    DURATION: "seawall_call_duration_seconds", Histogram, Seconds, ["name", "outcome"],
        "How long calls took that were not answered at once, inside the breaker. Opt-in.";
    REFUSALS: "seawall_refusals_total", Counter, Count, ["name", "layer", "reason"],
        "Calls that a layer refused, or gave up on.";
    BREAKER_STATE: "seawall_breaker_state", Gauge, Truth, ["name", "state"],
        "1 for the state that the circuit is in, 0 for the others.";
    TRANSITIONS: "seawall_breaker_transitions_total", Counter, Count,
        ["name", "from", "to", "reason"],
        "Steps of the circuit from one state to another.";
    FAILURE_RATIO: "seawall_breaker_failure_ratio", Gauge, Ratio, ["name"],
        "The share of failures in the circuit's window.";
    SLOW_RATIO: "seawall_breaker_slow_ratio", Gauge, Ratio, ["name"],
        "The share of slow calls in the circuit's window.";
    IN_FLIGHT: "seawall_bulkhead_in_flight", Gauge, Count, ["name"],
        "Calls in flight in the bulkhead.";
    LIMIT: "seawall_bulkhead_limit", Gauge, Count, ["name"],
        "How many calls may be in flight in the bulkhead.";
    WAITING: "seawall_bulkhead_waiting", Gauge, Count, ["name"],
        "Calls that wait for a place in the bulkhead.";
    UTILIZATION: "seawall_bulkhead_utilization_ratio", Gauge, Ratio, ["name"],
        "The share of the bulkhead's places that is taken.";
    POOL_IN_USE: "seawall_pool_in_use", Gauge, Count, ["name"],
        "How much of a watched pool is in use.";
    POOL_SIZE: "seawall_pool_size", Gauge, Count, ["name"],
        "How much there is of a watched pool.";
    POOL_UTILIZATION: "seawall_pool_utilization_ratio", Gauge, Ratio, ["name"],
        "The share of a watched pool that is in use.";
    SATURATED: "seawall_saturated", Gauge, Truth, ["name", "layer"],
        "1 while more than 80 % of a bulkhead or pool are in use, on average over ten seconds.";
    EXHAUSTIONS: "seawall_exhaustions_total", Counter, Count, ["name", "layer"],
        "How often nothing was left of a bulkhead or pool, and somebody was turned away.";
    RETRIES: "seawall_retry_attempts_total", Counter, Count, ["name"],
        "Attempts after the first.";
    RETRY_BUDGET: "seawall_retry_budget_ratio", Gauge, Ratio, ["name"],
        "What is left of the retry budget, as a share of the most it holds.";
    HEDGES: "seawall_hedge_attempts_total", Counter, Count, ["name"],
        "Second calls made because the first was slow.";
    HEDGE_BUDGET: "seawall_hedge_budget_ratio", Gauge, Ratio, ["name"],
        "What is left of the hedge's budget, as a share of the most it holds.";
    ANSWERS: "seawall_cache_answers_total", Counter, Count, ["name", "state"],
        "What callers of the fallback got: a fresh answer, a stale one or another substitute, none.";
    CACHE_BYTES: "seawall_cache_bytes", Gauge, Bytes, ["name"],
        "Bytes of the kept responses.";
    CACHE_ENTRIES: "seawall_cache_entries", Gauge, Count, ["name"],
        "Kept responses.";
    STALE_RATIO: "seawall_cache_stale_ratio", Gauge, Ratio, ["name"],
        "The share of stale answers among the recent ones.";
    BURN_RATE: "seawall_slo_burn_rate", Gauge, Times, ["slo", "window"],
        "How fast the objective's error budget burns; 1 uses it up in 30 days.";
    BUDGET_REMAINING: "seawall_slo_budget_remaining_ratio", Gauge, Ratio, ["slo"],
        "What is left of the objective's error budget; below 0 it is overspent.";
    SLO_TARGET: "seawall_slo_target_ratio", Gauge, Ratio, ["slo"],
        "The share of good calls that the objective asks for.";
    SLO_CALLS: "seawall_slo_calls_total", Counter, Count, ["slo"],
        "Calls recorded against the objective.";
    SLO_BAD_CALLS: "seawall_slo_bad_calls_total", Counter, Count, ["slo"],
        "Bad calls recorded against the objective.";
    SLO_FIRING: "seawall_slo_alert_firing", Gauge, Truth, ["slo", "alert"],
        "1 while the process's own burn alert fires.";
    CANARY_VERDICT: "seawall_canary_verdict", Gauge, Truth, ["name", "verdict"],
        "1 for what is to be thought of the canary, 0 for the others.";
    CANARY_WEIGHT: "seawall_canary_weight_ratio", Gauge, Ratio, ["name"],
        "The canary's share of the calls.";
    CANARY_EVIDENCE: "seawall_canary_evidence_nats", Gauge, Nats, ["name"],
        "The evidence that the canary is worse.";
    CANARY_CALLS: "seawall_canary_calls", Gauge, Count, ["name", "arm"],
        "Calls of each arm that count in the comparison, since it began.";
    CANARY_FAILED_CALLS: "seawall_canary_failed_calls", Gauge, Count, ["name", "arm"],
        "Calls of each arm that failed, since the comparison began.";
    ROLLBACKS: "seawall_rollbacks_total", Counter, Count, ["name", "result"],
        "Canaries to be taken out: judged so, decided so, and what came of it: complete, degraded, or only a dry_run.";
    ROLLOUT_STEPS: "seawall_rollout_steps_total", Counter, Count, ["name", "step"],
        "Steps of rollouts.";
    KILL_SWITCH: "seawall_kill_switch_position", Gauge, Truth, ["name", "position"],
        "1 for the position that the kill switch is in, 0 for the others.";
    FLIPS: "seawall_kill_switch_flips_total", Counter, Count, ["name", "to"],
        "Flips of the kill switch.";
    UNREADABLE: "seawall_kill_switch_source_errors_total", Counter, Count, ["name"],
        "How often the kill switch's source became unreadable.";
    RECONFIGURED: "seawall_reconfigurations_total", Counter, Count, ["name", "layer"],
        "Changes of live settings.";
    HOOK_PANICS: "seawall_hook_panics_total", Counter, Count, ["name", "layer"],
        "Panics caught in observers, checks and hooks.";
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for metric in CATALOGUE {
            let Metric { name, kind, unit, labels, help } = metric;
            assert!(seen.insert(name), "{name} is there twice");
            let counts = *kind == Type::Counter;
            assert_eq!(name.ends_with("_total"), counts, "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(base.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
            assert_eq!(base.ends_with("_bytes"), *unit == Unit::Bytes, "{name}");
            assert_eq!(base.ends_with("_ratio"), *unit == Unit::Ratio, "{name}");
            assert_eq!(base.ends_with("_nats"), *unit == Unit::Nats, "{name}");
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(plain(name) && labels.iter().all(|label| plain(label)), "{name}");
            assert!(matches!(labels[0], "name" | "slo"), "{name} says whose it is");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}");
        }
    }
}
