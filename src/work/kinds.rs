//! The kinds of work there are.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::BoxError;

/// A future that does the work.
pub type WorkFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A function that does the work, and may block.
pub type BlockingWork = Box<dyn FnOnce(&Abandoned) -> Result<(), BoxError> + Send>;

/// What is to be done, and how: by a future, or by a function that may block.
pub enum Work {
    /// By a future, polled where its owner is driven. It must not block.
    Future(WorkFuture),
    /// By a function that may block, on a thread of its own. If it takes too long it is told so, and
    /// abandoned there.
    Blocking(BlockingWork),
}

impl Work {
    /// By a future.
    pub fn future<E: Into<BoxError>>(
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self {
        Self::Future(Box::pin(async move { work.await.map_err(Into::into) }))
    }

    /// By a function that may block, and ends by itself.
    pub fn blocking<E: Into<BoxError>>(
        work: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Self {
        Self::Blocking(Box::new(move |_| work().map_err(Into::into)))
    }
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

/// A function with a name, that may block.
pub(crate) struct Closure<F> {
    pub(crate) name: &'static str,
    pub(crate) work: Arc<F>,
}

/// A function with a name, that makes a future.
pub(crate) struct Async<F> {
    pub(crate) name: &'static str,
    pub(crate) work: F,
}
