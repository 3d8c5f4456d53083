//! Which of several states holds, as one gauge a state: exactly one of them is 1.
//!
//! Reports of transitions come from many threads and may overtake each other, so each carries its
//! generation, and the newest is kept in one word. Whoever writes the gauges looks at the word again
//! afterwards: if a newer report came meanwhile, it writes again. So the last to write writes the newest.
//!
//! # Orderings
//! AcqRel on the word: what a thread writes to the gauges after it read a word is at least as new as
//! that word, and the one who sees a newer word writes again.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Gauge;

use super::catalogue::Metric;
use super::registry::Registry;

/// The gauges of one instance's states.
pub(super) struct StateSet {
    states: Box<[(&'static str, Gauge)]>,
    /// Generation (high 32 bits) and the state's place (low 32).
    newest: AtomicU64,
}

impl StateSet {
    /// Of `metric`, whose labels are a name and the state; `states[0]` holds first.
    pub(super) fn new(
        registry: &Registry,
        metric: &Metric,
        name: &'static str,
        states: &[&'static str],
    ) -> Self {
        let gauge = |&state| (state, registry.gauge(metric, &[name, state]));
        let set = Self { states: states.iter().map(gauge).collect(), newest: AtomicU64::new(0) };
        set.write(0);
        set
    }

    /// `state` holds, as of `generation`; an older report changes nothing.
    pub(super) fn enter(&self, state: &str, generation: u32) {
        let Some(place) = self.states.iter().position(|(name, _)| *name == state) else { return };
        let word = u64::from(generation) << 32 | place as u64;
        let newer = |now: u64| {
            // Generations wrap: the one that is less than half a turn ahead is the newer.
            let ahead = generation.wrapping_sub((now >> 32) as u32);
            (ahead != 0 && ahead < 1 << 31).then_some(word)
        };
        // AcqRel: see "Orderings".
        if self.newest.fetch_update(Ordering::AcqRel, Ordering::Acquire, newer).is_ok() {
            self.settle(word);
        }
    }

    /// `state` holds now, by whoever looked last.
    pub(super) fn set(&self, state: &str) {
        if let Some(place) = self.states.iter().position(|(name, _)| *name == state) {
            self.write(place);
        }
    }

    fn settle(&self, mut word: u64) {
        loop {
            self.write(word as u32 as usize);
            // Acquire: see "Orderings".
            let now = self.newest.load(Ordering::Acquire);
            if now == word {
                return;
            }
            word = now;
        }
    }

    fn write(&self, place: usize) {
        for (at, (_, gauge)) in self.states.iter().enumerate() {
            gauge.set(if at == place { 1.0 } else { 0.0 });
        }
    }
}
