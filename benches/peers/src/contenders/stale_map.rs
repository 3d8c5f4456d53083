//! The map that a careful user writes behind a fallback whose crate keeps no answers.
//!
//! It keeps the last good answer per key; a healthy call reads, and writes only when the entry is
//! a second old, so that calls do not queue up for the lock. It knows no bound on memory, no
//! maximal age and no principal: the least that can be called the same work.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use crate::backend::Answer;
use crate::{stopwatch, terms};

/// Last good answers by key.
#[derive(Clone, Debug, Default)]
pub(super) struct StaleMap {
    kept: Arc<RwLock<HashMap<u64, (Answer, Instant)>>>,
}

impl StaleMap {
    /// Keeps a fresh answer, unless the one that is there is young.
    pub(super) fn keep(&self, answer: Answer) {
        let now = stopwatch::now();
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let young = |at: Instant| now.saturating_duration_since(at) < terms::REFRESH;
        if kept.get(&answer.key).is_some_and(|&(_, at)| young(at)) {
            return;
        }
        drop(kept);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(answer.key, (answer, now));
    }

    /// The last good answer, marked.
    pub(super) fn stale(&self, key: u64) -> Option<Answer> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key).map(|&(answer, _)| Answer { stale: true, ..answer })
    }
}
