//! What goes wrong, and when.

use super::Nanos;

/// How a service can be ill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Answers 503 after a few milliseconds, and does no work.
    Down,
    /// Accepts calls and never answers: what came then gets no answer after the fault either.
    Hang,
    /// Workers take so many times as long.
    Slow(f64),
    /// This share of the calls fails after the work, with an error that doesn't say what was done.
    Errors(f64),
}

/// A time in which one fault holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Episode {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    pub(super) fault: Fault,
}

/// All episodes, in order, not overlapping.
#[derive(Clone, Debug, Default)]
pub(super) struct Script(pub(super) Vec<Episode>);

impl Script {
    /// What is wrong at this time.
    pub(super) fn at(&self, at: Nanos) -> Option<Fault> {
        let next = self.0.partition_point(|episode| episode.to <= at);
        self.0.get(next).filter(|episode| episode.from <= at).map(|episode| episode.fault)
    }

    /// How many times as long a worker takes that begins at this time.
    pub(super) fn slowness(&self, at: Nanos) -> f64 {
        match self.at(at) {
            Some(Fault::Slow(times)) => times,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_holds_from_its_first_moment_to_before_its_last() {
        let down = |from, to| Episode { from, to, fault: Fault::Down };
        let script = Script(vec![down(10, 20), down(30, 40)]);
        let ill: Vec<Nanos> = (0..50).filter(|&at| script.at(at).is_some()).collect();
        assert_eq!(ill, (10..20).chain(30..40).collect::<Vec<_>>());
    }
}
