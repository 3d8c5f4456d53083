//! Windows over recent outcomes: exact, sliding, of fixed memory, without locks.
//!
//! A [`count`] window holds exactly the last *n* outcomes.

pub(crate) mod count;

pub(crate) use count::CountWindow;

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
        Self {
            failed: bits & 1 != 0,
            slow: bits & 2 != 0,
        }
    }
}
