//! What is called when a rollout is rolled back.

use std::future::Future;
use std::sync::Arc;

use crate::audit::Decision;
use crate::error::BoxError;
use crate::work::{Async, Closure, Work};

/// What a hook is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookContext {
    /// The rollout's id.
    pub rollout: Arc<str>,
    /// The version that is rolled back.
    pub version: Arc<str>,
    /// Which decision of that rollout it was.
    pub seq: u64,
    /// `rollout:seq`: the same on each attempt, and after a restart. Whoever must not do it twice keeps
    /// it.
    pub key: Arc<str>,
    /// Which attempt, from 1 on.
    pub attempt: u32,
    /// Why, by what evidence and counts, at what stage.
    pub decision: Arc<Decision>,
    /// The process was restarted since: the hook may have been called before.
    pub recovered: bool,
}

/// Something to be done when a rollout is rolled back.
///
/// Called once the canary has no calls any more, off the path of any call. An `Err`, a panic, or taking
/// longer than the time limit is a failure, and it is called again, with the same key, a few times. What is
/// built in: [`Command`](super::Command), `Webhook` (feature `webhook`), and closures
/// ([`RolloutConfig::on_rollback`](super::RolloutConfig::on_rollback)).
pub trait Hook: Send + Sync + 'static {
    /// Its name, in what is told.
    fn name(&self) -> &str;

    /// The work of one attempt. Called on the task that drives the rollout: be quick, and leave the work to
    /// what is returned.
    fn call(&self, context: HookContext) -> Work;
}

impl<F, E> Hook for Closure<F>
where
    F: Fn(&HookContext) -> Result<(), E> + Send + Sync + 'static,
    E: Into<BoxError>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn call(&self, context: HookContext) -> Work {
        let work = Arc::clone(&self.work);
        Work::blocking(move || work(&context))
    }
}

impl<F, Fut, E> Hook for Async<F>
where
    F: Fn(HookContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn call(&self, context: HookContext) -> Work {
        Work::future((self.work)(context))
    }
}
