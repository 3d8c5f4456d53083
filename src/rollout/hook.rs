//! What is called when a rollout is rolled back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::Decision;
use crate::error::BoxError;

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

/// A future that does a hook's work.
pub type HookFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A function that does a hook's work, and may block.
pub type BlockingWork = Box<dyn FnOnce(&Abandoned) -> Result<(), BoxError> + Send>;

/// How a hook does its work.
pub enum Work {
    /// By a future, polled where [`Rollout::drive`](super::Rollout::drive) is. It must not block.
    Future(HookFuture),
    /// By a function that may block, on a thread of its own. If it takes too long it is told so, and
    /// abandoned there.
    Blocking(BlockingWork),
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Future(_) => "Future",
            Self::Blocking(_) => "Blocking",
        })
    }
}

/// Tells blocking work that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    /// Has it taken too long?
    pub fn is_abandoned(&self) -> bool {
        // Relaxed: a flag that guards nothing else.
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn abandon(&self) {
        // Relaxed: as above.
        self.0.store(true, Ordering::Relaxed);
    }
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

/// A function that may block.
pub(super) struct Closure<F> {
    pub(super) name: &'static str,
    pub(super) work: Arc<F>,
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
        Work::Blocking(Box::new(move |_| work(&context).map_err(Into::into)))
    }
}

/// A function that makes a future.
pub(super) struct Async<F> {
    pub(super) name: &'static str,
    pub(super) work: F,
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
        let work = (self.work)(context);
        Work::Future(Box::pin(async move { work.await.map_err(Into::into) }))
    }
}
