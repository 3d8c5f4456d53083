//! What can be set, and checked once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::hook::{Hook, HookContext};
use super::rules::Rules;
use super::store::DecisionStore;
use crate::clock::Clock;
use crate::error::{BoxError, ConfigError, check};
use crate::event::{Observe, Observers};
use crate::ratio::Ratio;
use crate::work::{Async, Closure};

const DAY: Duration = Duration::from_secs(86_400);
const MOST_STAGES: usize = 32;

/// The settings of a [`Rollout`](super::Rollout).
#[derive(Clone)]
pub struct RolloutConfig {
    pub(super) name: &'static str,
    stages: Vec<f64>,
    dwell: Duration,
    max_dwell: Duration,
    promote_in_the_end: bool,
    by_hand: bool,
    pub(super) cool_down: Duration,
    pub(super) dry_run: bool,
    pub(super) hooks: Vec<Arc<dyn Hook>>,
    pub(super) patience: Patience,
    pub(super) store: Option<Arc<dyn DecisionStore>>,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
}

/// How long hooks are waited for, and how often they are tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) time_limit: Duration,
    pub(super) retries: u32,
    pub(super) backoff: (Duration, Duration),
    pub(super) budget: Duration,
    pub(super) parallel: bool,
}

impl RolloutConfig {
    /// A rollout called `name` in events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            stages: vec![0.01, 0.05, 0.25, 0.5, 1.0],
            dwell: Duration::from_secs(60),
            max_dwell: Duration::from_secs(30 * 60),
            promote_in_the_end: false,
            by_hand: false,
            cool_down: Duration::from_secs(10 * 60),
            dry_run: false,
            hooks: Vec::new(),
            patience: Patience {
                time_limit: Duration::from_secs(5),
                retries: 3,
                backoff: (Duration::from_millis(200), Duration::from_secs(5)),
                budget: Duration::from_secs(60),
                parallel: false,
            },
            store: None,
            clock: Clock::default(),
            observers: Observers::default(),
        }
    }

    /// The shares of the calls that the canary gets, one after the other. Default 1, 5, 25, 50 and 100 %;
    /// from 1 to 32 of them, each above 0, at most 1, and above the one before.
    ///
    /// With a last stage below 1 a part of the calls stays with the baseline, and the comparison goes on
    /// to the end: with all the calls there is only the absolute guard.
    #[must_use]
    pub fn stages<R: Into<f64>>(mut self, shares: impl IntoIterator<Item = R>) -> Self {
        self.stages = shares.into_iter().map(Into::into).collect();
        self
    }

    /// A stage lasts at least so long. Default 60 s; 1 s ..= a day.
    ///
    /// Promotion asks for evidence, too (but for the last stage, if it is all the calls). A canary with a
    /// [dwell](crate::canary::CanaryConfig::dwell) of its own is promoted after the longer one.
    #[must_use]
    pub fn dwell(mut self, time: Duration) -> Self {
        self.dwell = time;
        self
    }

    /// After so long without enough evidence to promote a stage is
    /// [inconclusive](crate::audit::Step::Inconclusive): it stays, and somebody is told. Default 30 min; from
    /// the dwell to 30 days.
    #[must_use]
    pub fn max_dwell(mut self, time: Duration) -> Self {
        self.max_dwell = time;
        self
    }

    /// Promotes a stage that has lasted its longest time and has nothing against it, though it isn't
    /// proven. Default `false`.
    #[must_use]
    pub fn promote_in_the_end(mut self, promote: bool) -> Self {
        self.promote_in_the_end = promote;
        self
    }

    /// Only an operator promotes, by [`Rollout::promote`](super::Rollout::promote). Rollbacks stay
    /// automatic. Default `false`.
    #[must_use]
    pub fn promote_by_hand(mut self, by_hand: bool) -> Self {
        self.by_hand = by_hand;
        self
    }

    /// A version that was rolled back isn't started again within this time, unless
    /// [forced](super::Rollout::force_start). Default 10 min; up to a day.
    #[must_use]
    pub fn cool_down(mut self, time: Duration) -> Self {
        self.cool_down = time;
        self
    }

    /// Decides and tells, and touches nothing: sets no weight, calls no hook, saves nothing. Default
    /// `false`.
    ///
    /// Set [`CanaryConfig::only_watch`](crate::canary::CanaryConfig::only_watch), too, or the canary takes
    /// itself out (the preset does it).
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// One more hook, called after those before it when the rollout is rolled back.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Calls `work` when the rollout is rolled back, on a thread of its own: it may block.
    ///
    /// In a test with tokio's paused time no such thread is waited for: its time is up at once, and it counts
    /// as a failed attempt, though it may do its work. Use
    /// [`on_rollback_async`](Self::on_rollback_async) there.
    ///
    /// ```
    /// use seawall::rollout::{HookContext, RolloutConfig};
    ///
    /// let config = RolloutConfig::new("payments").on_rollback("page", |context: &HookContext| {
    ///     println!("{} was rolled back: {}", context.version, context.decision);
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// ```
    #[must_use]
    pub fn on_rollback<F, E>(self, name: &'static str, work: F) -> Self
    where
        F: Fn(&HookContext) -> Result<(), E> + Send + Sync + 'static,
        E: Into<BoxError> + 'static,
    {
        self.hook(Closure { name, work: Arc::new(work) })
    }

    /// Awaits what `work` gives when the rollout is rolled back. It must not block.
    #[must_use]
    pub fn on_rollback_async<F, Fut, E>(self, name: &'static str, work: F) -> Self
    where
        F: Fn(HookContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.hook(Async { name, work })
    }

    /// One attempt of a hook may take so long. Default 5 s; above zero, at most the
    /// [budget](Self::hook_budget).
    #[must_use]
    pub fn hook_time_limit(mut self, limit: Duration) -> Self {
        self.patience.time_limit = limit;
        self
    }

    /// A hook that fails is tried again so often. Default 3; up to 100.
    #[must_use]
    pub fn hook_retries(mut self, retries: u32) -> Self {
        self.patience.retries = retries;
        self
    }

    /// Between attempts a hook is given so long, doubling from `least` to `most`, of which a random half to
    /// all is waited. Default 200 ms and 5 s; least above zero, most from least to an hour.
    #[must_use]
    pub fn hook_backoff(mut self, least: Duration, most: Duration) -> Self {
        self.patience.backoff = (least, most);
        self
    }

    /// All attempts of a hook together may take so long. Default 60 s; above zero, up to a day.
    #[must_use]
    pub fn hook_budget(mut self, budget: Duration) -> Self {
        self.patience.budget = budget;
        self
    }

    /// Calls all hooks at once, not one after the other. Default `false`.
    #[must_use]
    pub fn parallel_hooks(mut self, parallel: bool) -> Self {
        self.patience.parallel = parallel;
        self
    }

    /// Remembers decisions in `store`. Default: they are forgotten when the process ends.
    #[must_use]
    pub fn store(mut self, store: impl DecisionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The clock. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the rollout is made.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }

    pub(super) fn rules(&self) -> Result<Rules, ConfigError> {
        let range = "from 1 to 32 shares, each above 0, at most 1, and above the one before";
        let shares: Option<Vec<Ratio>> = self.stages.iter().map(|s| Ratio::new(*s)).collect();
        let stages = shares
            .filter(|shares| (1..=MOST_STAGES).contains(&shares.len()))
            .filter(|shares| shares[0] > Ratio::ZERO)
            .filter(|shares| shares.windows(2).all(|pair| pair[0] < pair[1]))
            .ok_or_else(|| ConfigError::new("stages", &self.stages, range))?;
        let second = Duration::from_secs(1);
        check("dwell", self.dwell, "from 1s to a day", |time| (second..=DAY).contains(time))?;
        check("max_dwell", self.max_dwell, "from the dwell to 30 days", |time| {
            (self.dwell..=DAY * 30).contains(time)
        })?;
        check("cool_down", self.cool_down, "at most a day", |time| *time <= DAY)?;
        let Patience { time_limit, retries, backoff, budget, .. } = self.patience;
        let some = |time: &Duration| !time.is_zero();
        check("hook_budget", budget, "above zero, up to a day", |time| some(time) && *time <= DAY)?;
        check("hook_time_limit", time_limit, "above zero, at most the budget", |time| {
            some(time) && *time <= budget
        })?;
        check("hook_retries", retries, "at most 100", |retries| *retries <= 100)?;
        let range = "least above zero, most from least to an hour";
        check("hook_backoff", backoff, range, |(least, most)| {
            some(least) && least <= most && *most <= DAY / 24
        })?;
        Ok(Rules {
            stages: stages.into(),
            dwell: self.dwell,
            max_dwell: self.max_dwell,
            promote_in_the_end: self.promote_in_the_end,
            by_hand: self.by_hand,
        })
    }
}

impl RolloutConfig {
    /// On the stack's clock, for the stack's observers.
    pub(crate) fn share(mut self, clock: Option<&Clock>, observers: &Observers) -> Self {
        if let Some(clock) = clock {
            self.clock = clock.clone();
        }
        self.observers.extend(observers);
        self
    }

    /// Is it only decided and told?
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl fmt::Debug for RolloutConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks: Vec<&str> = self.hooks.iter().map(|hook| hook.name()).collect();
        f.debug_struct("RolloutConfig")
            .field("name", &self.name)
            .field("stages", &self.stages)
            .field("dwell", &self.dwell)
            .field("hooks", &hooks)
            .finish_non_exhaustive()
    }
}
