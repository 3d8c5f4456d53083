//! Two versions whose standing is set by hand, and the log of what is told.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::audit::Step;
use seawall::clock::{Clock, ManualClock};
use seawall::event::{Event, Kind};
use seawall::ratio::Ratio;
use seawall::rollout::{Rollout, RolloutConfig};
use seawall::steer::{Listener, Standing, Steer};
use seawall::verdict::{Cause, Judgement, Stream, Verdict};

pub(crate) const WORSE: Cause = Cause::Worse(Stream::Errors);

pub(crate) fn percent(share: u32) -> Ratio {
    Ratio::percent(share).unwrap()
}

/// Two versions without calls: their standing is what it is set to.
#[derive(Clone)]
pub(crate) struct Versions(Arc<Mutex<Inner>>);

struct Inner {
    standing: Standing,
    withdrawn: bool,
    begun: Vec<String>,
    listeners: Vec<Listener>,
}

impl Versions {
    pub(crate) fn new() -> Self {
        let standing = Standing::new(Verdict::Healthy);
        let (begun, listeners) = (Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Inner { standing, withdrawn: false, begun, listeners })))
    }

    pub(crate) fn weight(&self) -> Ratio {
        self.0.lock().unwrap().standing.weight
    }

    pub(crate) fn begun(&self) -> Vec<String> {
        self.0.lock().unwrap().begun.clone()
    }

    /// Sets the verdict without telling anybody.
    pub(crate) fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.0.lock().unwrap().standing);
    }

    /// Judges: sets the verdict, and tells on this thread.
    pub(crate) fn judge(&self, to: Verdict) {
        let (judgement, listeners) = {
            let mut inner = self.0.lock().unwrap();
            let from = std::mem::replace(&mut inner.standing.verdict, to);
            (judgement(from, to), inner.listeners.clone())
        };
        listeners.iter().for_each(|listener| listener.hear(&judgement));
    }
}

/// A judgement, such as only a comparison makes: one is made, and changed.
fn judgement(from: Verdict, to: Verdict) -> Judgement {
    use seawall::canary::{CanaryConfig, Detector, Interval};
    use seawall::verdict::Arms;
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("x").learn(Duration::ZERO).no_warm_up();
    let mut detector = Detector::new(&config).unwrap();
    loop {
        hand.advance(Duration::from_millis(250));
        let seen = Interval::of_errors(Arms::new(5, 5, 95, 1));
        if let Some(mut judgement) = detector.tick(clock.now(), &seen) {
            (judgement.from, judgement.to) = (from, to);
            return judgement;
        }
    }
}

impl Steer for Versions {
    fn standing(&self) -> Standing {
        self.0.lock().unwrap().standing
    }

    fn begin(&self, rollout: &str) {
        let mut inner = self.0.lock().unwrap();
        inner.begun.push(rollout.into());
        inner.withdrawn = false;
        let learned = inner.standing.learned;
        inner.standing = Standing::new(Verdict::Healthy);
        inner.standing.learned = learned;
    }

    fn set_weight(&self, weight: Ratio) -> bool {
        let mut inner = self.0.lock().unwrap();
        if !inner.withdrawn {
            inner.standing.weight = weight;
            inner.standing.alone = weight == Ratio::ONE;
        }
        !inner.withdrawn
    }

    fn withdraw(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.withdrawn = true;
        inner.standing.weight = Ratio::ZERO;
    }

    fn tick(&self) {}

    fn listen(&self, listener: Listener) {
        self.0.lock().unwrap().listeners.push(listener);
    }
}

/// What was told, step by step.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Step>>>);

impl Log {
    pub(crate) fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static + use<> {
        let log = Arc::clone(&self.0);
        move |event: &Event| {
            if let Kind::Rollout(audit) = &event.kind {
                log.lock().unwrap().push(audit.step.clone());
            }
        }
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(Step::as_str).collect()
    }

    /// As it would stand in a log file.
    pub(crate) fn text(&self) -> String {
        self.steps().iter().fold(String::new(), |mut text, step| {
            writeln!(text, "{step}").unwrap();
            text
        })
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.names().iter().filter(|found| **found == name).count()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A rollout of versions whose standing is set by hand, on a clock moved by hand.
pub(crate) struct Bench {
    pub(crate) versions: Versions,
    pub(crate) rollout: Rollout,
    pub(crate) log: Log,
    pub(crate) hand: ManualClock,
}

pub(crate) fn bench(set: impl FnOnce(RolloutConfig) -> RolloutConfig) -> Bench {
    let (clock, hand) = Clock::manual();
    let (versions, log) = (Versions::new(), Log::default());
    let config = RolloutConfig::new("payments").clock(clock).observe(log.observer());
    let rollout = Rollout::new(set(config), versions.clone()).unwrap();
    Bench { versions, rollout, log, hand }
}

impl Bench {
    /// Starts, and has the canary at its first stage.
    pub(crate) fn started(self) -> Self {
        self.rollout.start("deploy-1", "v2").unwrap();
        self.rollout.tick();
        self
    }

    /// So much time goes by, with a look each second.
    pub(crate) fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.hand.advance(Duration::from_secs(1));
            self.rollout.tick();
        }
    }

    /// The evidence for a promotion is there.
    pub(crate) fn prove(&self) {
        self.versions.stand(|standing| standing.verdict = Verdict::Promotable);
    }
}
