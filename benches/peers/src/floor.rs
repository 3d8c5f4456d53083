//! The floor of a case: what no implementation can do without, measured in the same run.
//!
//! The bare call, the clock readings and the atomic read-modify-writes that the case's promise
//! takes (each case says which, in [`crate::cases`]). Hashing, branching and copying are left out,
//! so a floor is a bound from below and not a target that can be met.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cases::Seen;
use crate::drive::{Caller, Spent, Task};
use crate::stopwatch;

/// How much of each a case takes, per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Readings of the monotonic clock.
    pub clocks: u32,
    /// Read-modify-writes on a word of the thread's own.
    pub private: u32,
    /// Read-modify-writes on a word that all threads write.
    pub shared: u32,
}

impl Floor {
    /// The bare call and no more.
    pub const NOTHING: Self = Self { clocks: 0, private: 0, shared: 0 };

    /// Each primitive that it takes, with how many.
    pub fn parts(self) -> impl Iterator<Item = (Primitive, u32)> {
        [
            (Primitive::Clock, self.clocks),
            (Primitive::Private, self.private),
            (Primitive::Shared, self.shared),
        ]
        .into_iter()
        .filter(|&(_, count)| count > 0)
    }
}

/// What floors are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    /// A reading of the monotonic clock.
    Clock,
    /// A read-modify-write on a word of the thread's own.
    Private,
    /// A read-modify-write on a word that all threads write.
    Shared,
}

impl Primitive {
    /// Takes turns with the contenders, as one of them.
    pub fn caller(self) -> Box<dyn Caller> {
        Box::new(Loop { primitive: self, word: Arc::default() })
    }
}

/// Alone on its cache lines (two: processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Word(AtomicU64);

#[derive(Debug)]
struct Loop {
    primitive: Primitive,
    word: Arc<Word>,
}

impl Caller for Loop {
    fn another(&self) -> Box<dyn Caller> {
        let word = match self.primitive {
            Primitive::Shared => Arc::clone(&self.word),
            Primitive::Clock | Primitive::Private => Arc::default(),
        };
        Box::new(Self { primitive: self.primitive, word })
    }

    fn run(&mut self, calls: u64) {
        match self.primitive {
            Primitive::Clock => (0..calls).for_each(|_| _ = black_box(stopwatch::now())),
            Primitive::Private | Primitive::Shared => {
                let word = &self.word.0;
                (0..calls).for_each(|_| _ = black_box(word.fetch_add(1, Ordering::AcqRel)));
            }
        }
    }

    fn run_as_task(mut self: Box<Self>, calls: u64) -> Task {
        Box::pin(async move {
            let spent = Spent::by(|| self.run(calls));
            (self as Box<dyn Caller>, spent)
        })
    }

    fn look(&mut self) -> Seen {
        Seen::Mixed
    }
}
