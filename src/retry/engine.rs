//! Decides whether a call is made again, and when. Time, randomness and outcomes are passed in.

use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use crate::budget::Cost;
use crate::clock::Moment;
use crate::error::Reason;
use crate::live::Live;
use crate::outcome::Outcome;
use crate::request::Operation;
use crate::rng;
use crate::sync::{AtomicU64, Ordering};

/// The settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    /// No attempt begins later than this after the first, in nanoseconds.
    pub(crate) total: u64,
}

const ATTEMPTS: usize = 0;
const WORDS: usize = 6;

impl Settings {
    fn words(self) -> [u64; WORDS] {
        let Backoff { jitter, base, cap, advice_cap } = self.backoff;
        let decorrelated = u64::from(jitter == Jitter::Decorrelated);
        [self.attempts.into(), decorrelated, base, cap, advice_cap, self.total]
    }

    fn of([attempts, decorrelated, base, cap, advice_cap, total]: [u64; WORDS]) -> Self {
        let jitter = if decorrelated == 0 { Jitter::Full } else { Jitter::Decorrelated };
        let backoff = Backoff { jitter, base, cap, advice_cap };
        Self { attempts: attempts as u32, backoff, total }
    }
}

/// What is known when an attempt has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// A layer inside refused it: nothing was sent.
    pub(crate) refused: bool,
    /// A layer inside gave it up: it was sent, and no answer came.
    pub(crate) unanswered: bool,
    pub(crate) operation: Operation,
    /// Attempts made, and how many may be.
    pub(crate) made: u32,
    pub(crate) limit: u32,
}

/// Should an attempt that ended so be repeated, time and budget permitting?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// No: it is the answer.
    No,
    /// It failed, and was the last there may be.
    Spent,
    /// It failed, but may have been carried out, and must not be done twice.
    Unsafe,
    /// Yes, at this price.
    Yes(Cost),
}

impl Ended {
    pub(crate) const fn worth_repeating(self) -> Worth {
        let cost = match self.outcome {
            Outcome::Success | Outcome::Ignored => return Worth::No,
            // A circuit that is open now is open in a moment.
            _ if self.refused => return Worth::No,
            Outcome::InDoubt if !self.operation.may_repeat_in_doubt() => return Worth::Unsafe,
            // What was given up still keeps the other side busy; an error that came back does not.
            _ if self.unanswered => Cost::InDoubt,
            Outcome::InDoubt | Outcome::Failure => Cost::One,
        };
        if self.made < self.limit { Worth::Yes(cost) } else { Worth::Spent }
    }
}

/// The end of time: a deadline that is none.
pub(crate) const NEVER: Moment = Moment::from_nanos(u64::MAX);

/// When a call began, when it must be over, and how it waited so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) began: Moment,
    pub(crate) deadline: Moment,
    /// Attempts made.
    pub(crate) made: u32,
    /// The last wait that was drawn, 0 before the first.
    pub(crate) drawn: u64,
}

/// A wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// As drawn, for the next draw.
    pub(crate) drawn: u64,
    /// With what the service asked for.
    pub(crate) length: Duration,
}

/// The settings that hold now, the source of jitter, and what was counted.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Live<WORDS>,
    seed: u64,
    draws: AtomicU64,
    pub(crate) counts: Counts,
}

impl Engine {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings: Live::new(settings.words()),
            seed,
            draws: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::of(self.settings.read([0, 1, 2, 3, 4, 5]))
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.settings.publish(settings.words());
    }

    /// The most attempts of a call that begins now.
    #[inline]
    pub(crate) fn attempts(&self) -> u32 {
        let [attempts] = self.settings.read([ATTEMPTS]);
        attempts as u32
    }

    /// How long to wait for the next attempt, or why there is none: it would begin too late.
    pub(crate) fn wait(
        &self,
        pace: Pace,
        advice: Option<Duration>,
        now: Moment,
    ) -> Result<Wait, Reason> {
        let Settings { backoff, total, .. } = self.settings();
        // Relaxed: any number that no one else got will do.
        let bits = rng::mix(self.seed ^ rng::mix(self.draws.fetch_add(1, Ordering::Relaxed)));
        let drawn = backoff.draw(pace.made.saturating_sub(1), pace.drawn, bits);
        let length = Duration::from_nanos(backoff.after_advice(drawn, advice));
        if Self::over(pace, total, now.plus(length)) {
            return Err(Reason::DeadlinePassed);
        }
        Ok(Wait { drawn, length })
    }

    /// Is it too late for an attempt that begins now?
    pub(crate) fn too_late(&self, pace: Pace, now: Moment) -> bool {
        Self::over(pace, self.settings().total, now)
    }

    fn over(pace: Pace, total: u64, at: Moment) -> bool {
        at >= pace.began.plus(Duration::from_nanos(total)) || at >= pace.deadline
    }
}

/// Counted where something went wrong: a call that succeeds at once writes nothing here.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) retries: Counter,
    pub(crate) recovered: Counter,
    pub(crate) exhausted: Counter,
    pub(crate) in_doubt: Counter,
    pub(crate) not_repeatable: Counter,
    pub(crate) budget_empty: Counter,
    pub(crate) too_late: Counter,
    pub(crate) not_ready: Counter,
    pub(crate) refused: Counter,
    pub(crate) hook_panics: Counter,
}

impl Default for Counts {
    fn default() -> Self {
        let new = || Counter(AtomicU64::new(0));
        Self {
            retries: new(),
            recovered: new(),
            exhausted: new(),
            in_doubt: new(),
            not_repeatable: new(),
            budget_empty: new(),
            too_late: new(),
            not_ready: new(),
            refused: new(),
            hook_panics: new(),
        }
    }
}

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        // Relaxed: a counter nothing hangs on.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const START: Moment = Moment::from_nanos(1 << 61);
    const BACKOFF: Backoff =
        Backoff { jitter: Jitter::Full, base: SECOND / 20, cap: SECOND, advice_cap: 10 * SECOND };

    fn engine() -> Engine {
        Engine::new(Settings { attempts: 3, backoff: BACKOFF, total: 5 * SECOND }, 42)
    }

    const PACE: Pace = Pace { began: START, deadline: NEVER, made: 1, drawn: 0 };

    fn ended(outcome: Outcome, operation: Operation) -> Ended {
        Ended { outcome, refused: false, unanswered: false, operation, made: 1, limit: 3 }
    }

    #[test]
    fn a_failure_is_repeated_and_doubt_only_where_it_was_declared() {
        use Operation::{Idempotent, Once, Read};
        for (outcome, operation, worth) in [
            (Outcome::Success, Read, Worth::No),
            (Outcome::Ignored, Read, Worth::No),
            (Outcome::Failure, Once, Worth::Yes(Cost::One)),
            (Outcome::Failure, Read, Worth::Yes(Cost::One)),
            (Outcome::InDoubt, Once, Worth::Unsafe),
            (Outcome::InDoubt, Idempotent, Worth::Yes(Cost::One)),
            (Outcome::InDoubt, Read, Worth::Yes(Cost::One)),
        ] {
            let ended = ended(outcome, operation);
            assert_eq!(ended.worth_repeating(), worth, "{outcome:?} {operation:?}");
            let last = Ended { made: 3, ..ended };
            assert!(!matches!(last.worth_repeating(), Worth::Yes(_)), "{outcome:?} {operation:?}");
            if worth == Worth::Yes(Cost::One) {
                let given_up = Ended { unanswered: true, ..ended };
                assert_eq!(given_up.worth_repeating(), Worth::Yes(Cost::InDoubt));
            }
            let refused = Ended { refused: true, ..ended };
            assert_eq!(refused.worth_repeating(), Worth::No, "{outcome:?} {operation:?}");
        }
    }

    #[test]
    fn nothing_begins_at_the_deadline_or_after_the_total() {
        let engine = engine();
        let advice = |secs| Some(Duration::from_secs(secs));
        assert!(engine.wait(PACE, None, START).is_ok());
        assert!(engine.wait(PACE, advice(4), START).is_ok());
        assert_eq!(engine.wait(PACE, advice(5), START), Err(Reason::DeadlinePassed));
        let soon = Pace { deadline: START.plus(Duration::from_secs(2)), ..PACE };
        assert!(engine.wait(soon, advice(1), START).is_ok());
        assert_eq!(engine.wait(soon, advice(2), START), Err(Reason::DeadlinePassed));
        assert!(!engine.too_late(soon, START.plus(Duration::from_nanos(2 * SECOND - 1))));
        assert!(engine.too_late(soon, START.plus(Duration::from_secs(2))));
        let end_of_time = Moment::from_nanos(u64::MAX);
        assert!(engine.wait(PACE, advice(u64::MAX), end_of_time).is_err(), "saturates");
    }

    #[test]
    fn the_same_seed_gives_the_same_waits_and_each_call_its_own() {
        let waits = || {
            let engine = engine();
            (0..20).map(|_| engine.wait(PACE, None, START).unwrap().drawn).collect::<Vec<_>>()
        };
        assert_eq!(waits(), waits());
        let mut sorted = waits();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 20);
    }

    #[test]
    fn settings_are_kept_as_they_are() {
        let engine = engine();
        let other = Settings {
            attempts: 7,
            backoff: Backoff { jitter: Jitter::Decorrelated, base: 1, cap: 2, advice_cap: 3 },
            total: 4,
        };
        engine.set(other);
        assert_eq!(engine.settings(), other);
        assert_eq!(engine.attempts(), 7);
    }
}
