//! The map that a careful user writes behind a fallback whose crate keeps no answers.
//!
//! It keeps the last good answer per key; a healthy call reads, and writes only when the entry is
//! a second old, so that calls do not queue up for the lock. It knows no bound on memory, no
//! maximal age and no principal: the least that can be called the same work.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use crate::{stopwatch, terms};

/// Last good answers by key.
#[derive(Debug)]
pub(crate) struct StaleMap<A> {
    kept: Arc<RwLock<HashMap<u64, (A, Instant)>>>,
}

// By hand: derived, they would ask answers to be the same.
impl<A> Clone for StaleMap<A> {
    fn clone(&self) -> Self {
        Self { kept: Arc::clone(&self.kept) }
    }
}

impl<A> Default for StaleMap<A> {
    fn default() -> Self {
        Self { kept: Arc::default() }
    }
}

impl<A: Copy> StaleMap<A> {
    /// Keeps a fresh answer, unless the one that is there is young.
    pub(crate) fn keep(&self, key: u64, answer: A) {
        let now = stopwatch::now();
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let young = |at: Instant| now.saturating_duration_since(at) < terms::REFRESH;
        if kept.get(&key).is_some_and(|&(_, at)| young(at)) {
            return;
        }
        drop(kept);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key, (answer, now));
    }

    /// The last good answer; it is for the caller to mark it.
    pub(crate) fn stale(&self, key: u64) -> Option<A> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key).map(|&(answer, _)| answer)
    }
}
