//! Carries out what was decided: saves, and calls hooks, beside all calls.
//!
//! One job after the other, in the order of the decisions. A job is taken off only when it is done: if the
//! future that works on it is dropped, whoever drives the rollout next does it again, with the same key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::config::Patience;
use super::core::{Core, Job, Rollback};
use super::hook::{Hook, HookContext};
use super::record::{Record, Saved};
use super::store::DecisionStore;
use crate::attempt::{self, Boxed, Failure};
use crate::audit::{HookStep, Step};
use crate::rng;
use crate::work::Abandoned;

/// How often a rollout looks whether something is due.
const EVERY: Duration = Duration::from_millis(250);

/// What the handles of one rollout share.
pub(super) struct Shared {
    pub(super) core: Core,
    pub(super) hooks: Vec<Arc<dyn Hook>>,
    pub(super) patience: Patience,
    pub(super) store: Option<Arc<dyn DecisionStore>>,
    pub(super) notify: Arc<Notify>,
    /// One at a time carries out; another waits to take over.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks: Vec<&str> = self.hooks.iter().map(|hook| hook.name()).collect();
        f.debug_struct("Shared")
            .field("core", &self.core)
            .field("hooks", &hooks)
            .finish_non_exhaustive()
    }
}

/// Ticks, and carries out jobs, for as long as it is polled.
pub(super) async fn drive(shared: Arc<Shared>) {
    let ticking = Arc::clone(&shared);
    let ticks: Boxed<()> = Box::pin(async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            ticking.core.tick();
        }
    });
    let jobs: Boxed<()> = Box::pin(async move {
        let _turn = shared.turn.lock().await;
        loop {
            while let Some(job) = shared.core.job() {
                carry_out(&shared, job).await;
                shared.core.done();
            }
            shared.notify.notified().await;
        }
    });
    attempt::all([ticks, jobs].into()).await;
}

async fn carry_out(shared: &Arc<Shared>, job: Job) {
    match job {
        Job::Save(record) => save(shared, record).await,
        Job::RollBack(rollback) => roll_back(shared, rollback).await,
    }
}

async fn save(shared: &Shared, record: Record) {
    let Some(store) = shared.store.clone() else { return };
    let seq = record.seq;
    let work = move |_: &Abandoned| store.save(&record).map_err(Into::into);
    if let Err(failure) = attempt::on_a_thread(Box::new(work), shared.patience.time_limit).await {
        shared.core.tell(seq, Step::StoreFailed(failure.to_string().into()));
    }
}

async fn roll_back(shared: &Arc<Shared>, rollback: Rollback) {
    let seq = rollback.state.seq;
    let record = |saved| {
        let (rollout, version) = (Arc::clone(&rollback.rollout), Arc::clone(&rollback.version));
        Record::new(rollout, version, seq, saved)
    };
    let mut failed = 0;
    if !shared.core.is_dry_run() {
        if rollback.recovered {
            shared.core.tell(seq, Step::Recovered);
        } else {
            save(shared, record(Saved::Decided(Arc::clone(&rollback.decision)))).await;
        }
        failed = call_hooks(shared, &rollback).await;
        save(shared, record(Saved::RolledBack { failed_hooks: failed })).await;
    }
    shared.core.rolled_back(&rollback, failed);
}

/// Calls all hooks; gives how many gave up.
async fn call_hooks(shared: &Arc<Shared>, rollback: &Rollback) -> u32 {
    let call = |hook: &Arc<dyn Hook>| -> Boxed<bool> {
        let (shared, hook) = (Arc::clone(shared), Arc::clone(hook));
        let context = HookContext {
            rollout: Arc::clone(&rollback.rollout),
            version: Arc::clone(&rollback.version),
            seq: u64::from(rollback.state.seq),
            key: format!("{}:{}", rollback.rollout, rollback.state.seq).into(),
            attempt: 1,
            decision: Arc::clone(&rollback.decision),
            recovered: rollback.recovered,
        };
        Box::pin(async move { call_hook(&shared, &*hook, context).await })
    };
    let did = if shared.patience.parallel {
        attempt::all(shared.hooks.iter().map(call).collect()).await
    } else {
        let mut did = Vec::new();
        for hook in &shared.hooks {
            did.push(call(hook).await);
        }
        did
    };
    did.into_iter().filter(|did| !did).count() as u32
}

/// Calls one hook, until it did its work or there is no patience left.
async fn call_hook(shared: &Shared, hook: &dyn Hook, mut context: HookContext) -> bool {
    let Patience { time_limit, retries, budget, .. } = shared.patience;
    let name: Arc<str> = hook.name().into();
    let began = Instant::now();
    let tell = |step| shared.core.tell(context.seq as u32, step);
    loop {
        let attempt = context.attempt;
        let mut step = HookStep::new(Arc::clone(&name), attempt, Arc::clone(&context.key));
        tell(Step::HookAttempted(step.clone()));
        let limit = time_limit.min(budget.saturating_sub(began.elapsed()));
        let Err(failure) = attempt::once(|| hook.call(context.clone()), limit).await else {
            tell(Step::HookSucceeded(step));
            return true;
        };
        let wait = shared.patience.wait_after(attempt);
        step.gave_up = attempt > retries || began.elapsed().saturating_add(wait) >= budget;
        step.error = Some(failure.to_string().into());
        let gave_up = step.gave_up;
        tell(match failure {
            Failure::Panicked(_) => Step::HookPanicked(step),
            _ => Step::HookFailed(step),
        });
        if gave_up {
            return false;
        }
        sleep(wait).await;
        context.attempt += 1;
    }
}

impl Patience {
    /// How long to wait after this attempt: doubling, of which a random half to all.
    fn wait_after(&self, attempt: u32) -> Duration {
        let (least, most) = self.backoff;
        let doubled = least.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        let longest = doubled.min(most);
        let half = longest / 2;
        half + Duration::from_nanos(rng::below(rng::next(), half.as_nanos() as u64 + 1))
    }
}
