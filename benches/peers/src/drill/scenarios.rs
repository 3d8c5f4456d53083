//! The questions: what goes wrong, for how long, and who calls meanwhile.

use super::downstream::{Version, WORK, WORKERS};
use super::rng::Rng;
use super::script::{Episode, Fault, Script};
use super::{Nanos, SECOND, nanos};

/// Calls a second in healthy times: 60 % of what the workers can do.
pub(super) const RATE: f64 = 0.6 * CAPACITY;
/// Calls a second that the workers can do.
pub(super) const CAPACITY: f64 = WORKERS as f64 / WORK;
/// All is well for so long before: caches fill, windows too. In seconds.
const BEFORE: f64 = 300.0;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// The service is ill, once.
    Ill(Fault),
    /// Ill and well in turn, each for so many seconds.
    Flaps(Fault, f64),
    /// More callers come than it can serve: so many times its capacity.
    Surge(f64),
    /// A new version gets a twentieth of the calls.
    Deploy(Version),
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// One line for the report.
    pub(super) about: &'static str,
    pub(super) what: What,
    /// How long it lasts.
    seconds: f64,
    /// How long is watched after it.
    after: f64,
    /// So many processes call, each with its own stack.
    pub(super) clients: usize,
    /// Users repeat what failed, up to so often.
    pub(super) repeats: u64,
    /// Charges carry an idempotency key.
    pub(super) keyed: bool,
}

const PLAIN: Scenario = Scenario {
    name: "",
    about: "",
    what: What::Ill(Fault::Down),
    seconds: 60.0,
    after: 30.0,
    clients: 1,
    repeats: 0,
    keyed: false,
};

pub(super) const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "latency",
        about: "120 ms becomes 8 s for 10 minutes at peak",
        what: What::Ill(Fault::Slow(8.0 / WORK)),
        seconds: 600.0,
        ..PLAIN
    },
    Scenario { name: "outage", about: "503 for 12 minutes", seconds: 720.0, ..PLAIN },
    Scenario {
        name: "hang",
        about: "accepts calls and never answers, for 5 minutes",
        what: What::Ill(Fault::Hang),
        seconds: 300.0,
        ..PLAIN
    },
    Scenario {
        name: "bad-deploy-errors",
        about: "a new version at 5 % fails in 30 % of its calls",
        what: What::Deploy(Version::New { errors: 0.3, corrupts: false }),
        after: 10.0,
        ..PLAIN
    },
    Scenario {
        name: "bad-deploy-corrupts",
        about: "a new version at 5 % answers with corrupted balances",
        what: What::Deploy(Version::New { errors: 0.0, corrupts: true }),
        after: 10.0,
        ..PLAIN
    },
    Scenario {
        name: "surge-2x",
        about: "twice the calls that the service can do, for a minute",
        what: What::Surge(2.0),
        ..PLAIN
    },
    Scenario {
        name: "surge-4x",
        about: "four times the calls that the service can do, for a minute",
        what: What::Surge(4.0),
        ..PLAIN
    },
    Scenario {
        name: "storm",
        about: "five times as slow for 10 s; users repeat what failed up to 3 times",
        what: What::Ill(Fault::Slow(5.0)),
        seconds: 10.0,
        after: 90.0,
        repeats: 3,
        ..PLAIN
    },
    Scenario {
        name: "storm-50",
        about: "the same, through 50 clients that know nothing of one another",
        what: What::Ill(Fault::Slow(5.0)),
        seconds: 10.0,
        after: 90.0,
        clients: 50,
        repeats: 3,
        ..PLAIN
    },
    Scenario {
        name: "flap",
        about: "503 for 30 s, well for 30 s, five times",
        what: What::Flaps(Fault::Down, 30.0),
        seconds: 300.0,
        ..PLAIN
    },
    Scenario {
        name: "grey",
        about: "15 % of the calls fail, for 2 minutes; charges must not be made twice",
        what: What::Ill(Fault::Errors(0.15)),
        seconds: 120.0,
        ..PLAIN
    },
    Scenario {
        name: "grey-keys",
        about: "the same, and charges carry idempotency keys",
        what: What::Ill(Fault::Errors(0.15)),
        seconds: 120.0,
        keyed: true,
        ..PLAIN
    },
    Scenario {
        name: "fleet",
        about: "503 for 220 s through 50 clients that know nothing of one another",
        seconds: 220.0,
        clients: 50,
        ..PLAIN
    },
];

/// A scenario with its times.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    /// When it begins to go wrong, and when that is over.
    pub(super) trigger: Nanos,
    pub(super) over: Nanos,
    pub(super) end: Nanos,
    pub(super) script: Script,
    /// From, to, calls a second.
    pub(super) rates: Vec<(Nanos, Nanos, f64)>,
}

impl Scenario {
    /// Seed 1 is the playbook's: round lengths, at a round time. Any other begins up to 10 s later and
    /// lasts 0.7 to 1.3 times as long, so that no fixed wait is lucky.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        let mut rng = Rng::of(seed, 0x91a4);
        let regular = seed == 1;
        let mut vary = |seconds: f64| {
            let times = rng.between(0.7, 1.3);
            nanos(if regular { seconds } else { seconds * times })
        };
        let length = vary(self.seconds);
        let mut turns = Vec::new();
        if let What::Flaps(_, each) = self.what {
            let mut lasted = 0;
            while lasted < length {
                turns.push((vary(each), vary(each)));
                lasted = turns.iter().map(|(ill, well)| ill + well).sum();
            }
        }
        let late = if regular { 0.0 } else { rng.between(0.0, 10.0) };
        let trigger = nanos(BEFORE + late);
        let mut over = trigger + length;
        let episodes = match self.what {
            What::Ill(fault) => vec![Episode { from: trigger, to: over, fault }],
            What::Flaps(fault, _) => {
                let mut from = trigger;
                let mut episodes = Vec::new();
                for (ill, well) in turns {
                    episodes.push(Episode { from, to: from + ill, fault });
                    over = from + ill;
                    from = over + well;
                }
                episodes
            }
            What::Surge(_) | What::Deploy(_) => Vec::new(),
        };
        let end = over + nanos(self.after);
        let surge = match self.what {
            What::Surge(times) => times * CAPACITY,
            _ => RATE,
        };
        let rates = vec![(0, trigger, RATE), (trigger, over, surge), (over, end, RATE)];
        Plan { scenario: *self, seed, trigger, over, end, script: Script(episodes), rates }
    }
}

impl Plan {
    pub(super) fn seconds(&self) -> usize {
        self.end.div_ceil(SECOND) as usize
    }

    /// The version that gets a share of the calls from the trigger on.
    pub(super) fn deploys(&self) -> Option<Version> {
        match self.scenario.what {
            What::Deploy(version) => Some(version),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seed_is_regular_and_the_others_are_not() {
        for scenario in SCENARIOS {
            let plan = scenario.plan(1);
            assert_eq!(plan.trigger, nanos(BEFORE));
            let lasts = |plan: &Plan| plan.over - plan.trigger;
            let others: Vec<_> = (2..10).map(|seed| scenario.plan(seed)).collect();
            assert!(others.iter().all(|other| lasts(other) % SECOND != 0));
            assert!(others.iter().any(|other| lasts(other) > lasts(&plan)));
            assert!(others.iter().any(|other| lasts(other) < lasts(&plan)));
        }
    }

    #[test]
    fn names_are_told_once() {
        let names: std::collections::HashSet<_> = SCENARIOS.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
