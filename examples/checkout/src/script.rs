//! The script of the incident: which fault, when, for how long.

use std::time::Duration;

/// What ails the payment service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Healthy,
    /// Answers 503 at once.
    Outage,
    /// Accepts, and never answers.
    Hang,
    /// Answers after 8 s.
    Slow,
    /// Answers quickly, with 200, and wrongly.
    Corrupts,
}

impl Fault {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Healthy => "the service is healthy",
            Self::Outage => "the service answers 503 at once",
            Self::Hang => "the service accepts and never answers",
            Self::Slow => "the service answers after 8 s",
            Self::Corrupts => "the service answers with wrong amounts",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    pub(crate) length: Duration,
}

/// Each phase with its seconds out of forty.
const PHASES: [(&str, Fault, f64); 7] = [
    ("normal", Fault::Healthy, 3.0),
    ("outage", Fault::Outage, 8.0),
    ("after outage", Fault::Healthy, 5.0),
    ("hang", Fault::Hang, 7.0),
    ("after hang", Fault::Healthy, 5.0),
    ("latency", Fault::Slow, 7.0),
    ("after latency", Fault::Healthy, 5.0),
];
/// A recovery needs this long to be seen, however short the rest is: at worst a slow probe and the
/// longest cool-down after it, the ramp, and one second in which all is fresh.
const LEAST_RECOVERY: f64 = 4.0;

fn is_recovery(name: &str) -> bool {
    name.starts_with("after")
}

/// The incident, `seconds` long in all.
pub(crate) fn incident(seconds: f64) -> Vec<Phase> {
    let sum = |of: fn(&str) -> bool| -> f64 {
        PHASES.iter().filter(|(name, ..)| of(name)).map(|(.., weight)| weight).sum()
    };
    let recoveries = sum(is_recovery);
    let others = sum(|name| !is_recovery(name));
    let count = PHASES.iter().filter(|(name, ..)| is_recovery(name)).count() as f64;
    let recovery = (seconds * recoveries / (recoveries + others) / count).max(LEAST_RECOVERY);
    let rest = (seconds - recovery * count) / others;
    PHASES
        .iter()
        .map(|&(name, fault, weight)| {
            let length = if is_recovery(name) { recovery } else { weight * rest };
            Phase { name, fault, length: Duration::from_secs_f64(length) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(seconds: f64) -> Vec<f64> {
        incident(seconds).iter().map(|phase| phase.length.as_secs_f64()).collect()
    }

    #[test]
    fn forty_seconds_are_played_as_written() {
        assert_eq!(lengths(40.0), [3.0, 8.0, 5.0, 7.0, 5.0, 7.0, 5.0]);
    }

    #[test]
    fn other_lengths_scale_and_fill_the_time() {
        assert_eq!(lengths(80.0), [6.0, 16.0, 10.0, 14.0, 10.0, 14.0, 10.0]);
        for seconds in [20.0, 23.0, 31.5, 600.0] {
            assert!((lengths(seconds).iter().sum::<f64>() - seconds).abs() < 1e-6);
        }
    }

    #[test]
    fn a_short_script_keeps_its_recoveries_long_enough_to_be_seen() {
        let lengths = lengths(20.0);
        assert_eq!([lengths[2], lengths[4], lengths[6]], [LEAST_RECOVERY; 3]);
        assert!(lengths.iter().all(|&length| length > 0.9), "{lengths:?}");
    }
}
