//! Windows over recent outcomes: exact, sliding, of fixed memory, without locks.
//!
//! A [`count`] window holds exactly the last *n* outcomes; a [`time`] window those of the last span,
//! to a tenth of it; [`cohort`]s tell of calls that haven't ended.

pub(crate) mod cohort;
pub(crate) mod count;
pub(crate) mod time;

pub(crate) use cohort::{Cohorts, End, Place};
pub(crate) use count::CountWindow;
pub(crate) use time::TimeWindow;

use crate::clock::Moment;
use crate::event::Counts;

/// A window of either kind.
#[derive(Debug)]
pub(crate) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    /// Does it need to know when calls end?
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self, Self::Time(_))
    }

    /// Counts `n` calls that ended so; gives the counts that this very record made (zero, if there
    /// is nothing bad among them), or `None` if the window has gone on to another generation.
    #[inline]
    pub(crate) fn record(
        &self,
        entry: Entry,
        n: u64,
        generation: u32,
        now: impl FnOnce() -> Moment,
    ) -> Option<Counts> {
        match self {
            Self::Count(window) => window.record_all(entry, n, generation),
            Self::Time(window) => window.record(entry, n, generation, now()),
        }
    }

    /// Counts a failure of a call that was entered at `since` or later, before it failed: no call more.
    /// Gives the counts that this made, or `None` as [`record`](Self::record) does.
    pub(crate) fn fail(&self, generation: u32, since: Moment, now: Moment) -> Option<Counts> {
        match self {
            Self::Count(window) => window.owe(generation),
            Self::Time(window) => window.fail(generation, since, now),
        }
    }

    pub(crate) fn counts(&self, now: impl FnOnce() -> Moment) -> Counts {
        match self {
            Self::Count(window) => window.counts(),
            Self::Time(window) => window.counts(now()),
        }
    }

    /// Empties it for a new generation; later records of older ones change nothing.
    pub(crate) fn reset(&self, generation: u32) {
        match self {
            Self::Count(window) => window.reset(generation),
            Self::Time(window) => window.reset(generation),
        }
    }
}

/// What one call adds to a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

impl Entry {
    const fn bits(self) -> u64 {
        self.failed as u64 | (self.slow as u64) << 1
    }

    const fn from_bits(bits: u64) -> Self {
        Self { failed: bits & 1 != 0, slow: bits & 2 != 0 }
    }
}
