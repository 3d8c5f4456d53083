//! The breaker as its documents tell it, in the plainest words: lists, and no thought of speed.
//!
//! Where the documents leave the library free, the model forks: a [`Fork`] is asked for each such
//! decision, and every answer gives one [`World`]. What is seen of the library must agree with at
//! least one of them. The freedoms are: *when*, within a cohort's width, a hanging call is counted;
//! whether a call that enters nothing into the window occasions that counting; whether a call that
//! starts after the clock went back is watched before it ends; which calls a ramp lets through.

use std::collections::VecDeque;

use seawall::event::{Circuit, Counts, Why};
use seawall::ratio::Ratio;

use crate::plan::{End, Settings, Shape};

/// Answers the questions that the documents leave open, and comes to every combination in turn.
#[derive(Default)]
pub(crate) struct Fork {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Fork {
    /// One of `0..options`.
    fn choose(&mut self, options: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, options));
        }
        let (choice, known) = self.taken[self.at];
        assert_eq!(known, options, "the model itself must repeat");
        self.at += 1;
        choice
    }

    /// On to the next combination, if there is one.
    pub(crate) fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, options)) = self.taken.pop() {
            if choice + 1 < options {
                self.taken.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    failed: bool,
    slow: bool,
}

const SLOW_FAILURE: Entry = Entry { failed: true, slow: true };

fn tally<'a>(entries: impl Iterator<Item = &'a Entry>) -> Counts {
    entries.fold(Counts::default(), |sum, entry| Counts {
        total: sum.total + 1,
        failures: sum.failures + u64::from(entry.failed),
        slow: sum.slow + u64::from(entry.slow),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: u64 },
    HalfOpen,
    Ramping { step: usize, until: u64 },
    ForcedOpen,
    ForcedClosed,
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Its outcome goes into the window.
    Counted,
    /// Its outcome decides a seat, unless the lease (until then) runs out.
    Probe { until: u64, decided: bool },
    /// It passes, and says nothing.
    Free,
}

/// What of a call the hung rule has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Unwatched,
    Watched,
    Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    id: u32,
    generation: u32,
    started: Option<u64>,
    role: Role,
    watch: Watch,
}

/// A transition, as it must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: Circuit,
    pub(crate) to: Circuit,
    /// Any of these is true.
    pub(crate) why: Vec<Why>,
    pub(crate) counts: Counts,
    pub(crate) generation: u32,
    pub(crate) share: Ratio,
    pub(crate) wait: Option<u64>,
    pub(crate) enforced: bool,
}

/// What the snapshot must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) state: Circuit,
    pub(crate) generation: u32,
    pub(crate) counts: Counts,
    pub(crate) probes: Counts,
    pub(crate) consecutive_failures: u16,
    pub(crate) consecutive_slow: u16,
    pub(crate) in_time: u64,
    pub(crate) retry_after: Option<u64>,
    pub(crate) shadowed: u64,
    pub(crate) stale: u64,
}

/// What a caller must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Admitted,
    CircuitOpen(Option<u64>),
    ForcedOpen,
    NotReady,
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct World {
    settings: Settings,
    now: u64,
    born: u64,
    state: State,
    generation: u32,
    /// With the bucket, where buckets count.
    window: VecDeque<(u64, Entry)>,
    /// Failures of hung calls that the next outcomes are to carry, over the last calls.
    owed: usize,
    /// The buckets of such failures, over the last span.
    late: Vec<u64>,
    failed_run: u16,
    slow_run: u16,
    calls: Vec<Call>,
    /// When the calls of this generation started, for their cohorts.
    starts: Vec<u64>,
    /// Since the calls of this generation began to be watched, the clock was set back.
    went_back: bool,
    seats: usize,
    round_began: u64,
    decided: Vec<Entry>,
    failed_rounds: u32,
    /// Until when the service asked to be left alone, at the latest.
    advised: u64,
    shadowed: u64,
    stale: u64,
    pub(crate) steps: Vec<Step>,
}

impl World {
    pub(crate) fn new(settings: Settings, now: u64, generation: u32) -> Self {
        Self {
            settings,
            now,
            born: now,
            state: State::Closed,
            generation,
            window: VecDeque::new(),
            owed: 0,
            late: Vec::new(),
            failed_run: 0,
            slow_run: 0,
            calls: Vec::new(),
            starts: Vec::new(),
            went_back: false,
            seats: 0,
            round_began: 0,
            decided: Vec::new(),
            failed_rounds: 0,
            advised: 0,
            shadowed: 0,
            stale: 0,
            steps: Vec::new(),
        }
    }

    pub(crate) fn at(&mut self, now: u64) {
        self.went_back |= now < self.now;
        self.now = now;
        self.steps.clear();
    }

    pub(crate) fn shown(&self) -> Shown {
        let retry_after = match self.state {
            State::Open { until } | State::Ramping { until, .. } => {
                (self.now < until).then(|| until - self.now)
            }
            _ => None,
        };
        Shown {
            state: self.circuit(),
            generation: self.generation,
            counts: self.counts(),
            probes: tally(self.decided.iter()),
            consecutive_failures: self.failed_run,
            consecutive_slow: self.slow_run,
            in_time: self.watched().count() as u64,
            retry_after,
            shadowed: self.shadowed,
            stale: self.stale,
        }
    }

    fn circuit(&self) -> Circuit {
        match self.state {
            State::Closed => Circuit::Closed,
            State::Open { .. } => Circuit::Open,
            State::HalfOpen => Circuit::HalfOpen,
            State::Ramping { .. } => Circuit::Ramping,
            State::ForcedOpen => Circuit::ForcedOpen,
            State::ForcedClosed => Circuit::ForcedClosed,
            State::Disabled => Circuit::Disabled,
        }
    }

    // ---- the window

    fn bucket(&self, at: u64) -> u64 {
        match self.settings.shape {
            Shape::Count(_) => 0,
            Shape::Time(span) => at.saturating_sub(self.born) / (span / 10),
        }
    }

    /// What one bucket holds.
    fn bucket_counts(&self, bucket: u64) -> Counts {
        let inside = self.window.iter().filter(|(of, _)| *of == bucket).map(|(_, entry)| entry);
        let mut counts = tally(inside);
        let late = self.late.iter().filter(|of| **of == bucket).count() + self.owed;
        counts.failures = (counts.failures + late as u64).min(counts.total);
        counts
    }

    fn counts(&self) -> Counts {
        let now = self.bucket(self.now);
        (now.saturating_sub(9)..=now).fold(Counts::default(), |sum, bucket| {
            let part = self.bucket_counts(bucket);
            Counts {
                total: sum.total + part.total,
                failures: sum.failures + part.failures,
                slow: sum.slow + part.slow,
            }
        })
    }

    fn enter(&mut self, entry: Entry) {
        self.failed_run = if entry.failed { self.failed_run + 1 } else { 0 };
        self.slow_run = if entry.slow { self.slow_run + 1 } else { 0 };
        self.push(entry);
    }

    /// Hanging calls are slow; of their failure nothing is known.
    fn enter_hung(&mut self, hung: u16) {
        self.slow_run += hung;
        let most = match self.settings.shape {
            Shape::Count(calls) => calls,
            Shape::Time(_) => usize::MAX,
        };
        for _ in 0..most.min(hung.into()) {
            self.push(Entry { failed: false, slow: true });
        }
    }

    fn push(&mut self, mut entry: Entry) {
        if self.owed > 0 && !entry.failed {
            (entry.failed, self.owed) = (true, self.owed - 1);
        }
        self.window.push_back((self.bucket(self.now), entry));
        if let Shape::Count(calls) = self.settings.shape {
            if self.window.len() > calls {
                self.window.pop_front();
            }
        }
        self.owe(0);
    }

    /// So many failures more are owed, and no more than there are outcomes to carry them.
    fn owe(&mut self, more: usize) {
        if let Shape::Count(calls) = self.settings.shape {
            let failed = self.window.iter().filter(|(_, entry)| entry.failed).count();
            self.owed = (self.owed + more).min(calls - failed);
        }
    }

    /// A call that was counted while it hung has ended.
    fn end_hung(&mut self, started: u64, failed: bool) {
        self.failed_run = if failed { self.failed_run + 1 } else { 0 };
        if !failed {
            return;
        }
        self.owe(1);
        if let Shape::Time(_) = self.settings.shape {
            let (threshold, _) = self.settings.slow.unwrap();
            let (from, now) = (self.bucket(started + threshold), self.bucket(self.now));
            let has_room = |bucket: &u64| {
                let part = self.bucket_counts(*bucket);
                part.failures < part.total
            };
            let from = if from + 10 > now { from } else { now };
            let mut inside = from..now;
            self.late.push(inside.find(has_room).unwrap_or(now));
        }
        self.judge();
    }

    // ---- the rules

    fn fired(&self, min_calls: u32) -> Vec<Why> {
        let counts = self.counts();
        let reached = |part: u64, ppm: u64| {
            counts.total >= u64::from(min_calls) && part * 1_000_000 >= ppm * counts.total
        };
        let ratio = |ppm: u64| Ratio::new(ppm as f64 / 1e6).unwrap();
        let mut why = Vec::new();
        if !matches!(self.state, State::Closed | State::Ramping { .. }) {
            return why;
        }
        if let Some(ppm) = self.settings.failure_ratio {
            if reached(counts.failures, ppm) {
                why.push(Why::FailureRatio(ratio(ppm)));
            }
        }
        if let Some((_, ppm)) = self.settings.slow {
            if reached(counts.slow, ppm) {
                why.push(Why::SlowRatio(ratio(ppm)));
            }
        }
        if let Some(calls) = self.settings.consecutive {
            if self.failed_run >= calls {
                why.push(Why::ConsecutiveFailures(calls));
            }
        }
        if let Some(calls) = self.settings.consecutive_slow {
            if self.slow_run >= calls {
                why.push(Why::ConsecutiveSlow(calls));
            }
        }
        if let Some(calls) = self.settings.failures {
            if counts.failures >= u64::from(calls) {
                why.push(Why::Failures(calls));
            }
        }
        why
    }

    /// The rules are asked after each entry.
    fn judge(&mut self) {
        let why = self.fired(self.settings.min_calls);
        if !why.is_empty() {
            self.trip(why);
        }
    }

    fn trip(&mut self, why: Vec<Why>) {
        match self.state {
            State::Ramping { step, .. } if step > 0 => {
                self.go(self.ramp_at(step - 1), why, self.counts());
            }
            State::Ramping { .. } => {
                self.failed_rounds += 1;
                self.open(why, self.counts());
            }
            _ => self.open(why, self.counts()),
        }
    }

    fn open(&mut self, why: Vec<Why>, counts: Counts) {
        let mut wait = self.settings.cool_down;
        for _ in 0..self.failed_rounds.min(100) {
            wait = (wait as u128 * u128::from(self.settings.factor_percent) / 100)
                .min(u128::from(self.settings.cap)) as u64;
        }
        let asked = self.advised.saturating_sub(self.now);
        let wait = wait.max(asked).min(self.settings.cap);
        let until = self.now.saturating_add(wait);
        self.go(State::Open { until }, why, counts);
    }

    fn ramp_at(&self, step: usize) -> State {
        if step < self.settings.ramp.len() {
            State::Ramping { step, until: self.now.saturating_add(self.settings.ramp_step) }
        } else {
            State::Closed
        }
    }

    /// A transition that begins a generation.
    fn go(&mut self, to: State, why: Vec<Why>, counts: Counts) {
        let from = self.circuit();
        self.generation = self.generation.wrapping_add(1);
        self.state = to;
        self.begin_anew();
        self.tell(from, why, counts);
    }

    fn begin_anew(&mut self) {
        // What opened the circuit stays to be seen until it recovers or an operator comes.
        if self.state == State::Closed {
            self.failed_rounds = 0;
        }
        if !matches!(self.state, State::Open { .. } | State::HalfOpen) {
            self.window.clear();
            self.late.clear();
            self.owed = 0;
            (self.failed_run, self.slow_run) = (0, 0);
            self.advised = 0;
        }
        self.decided.clear();
        self.seats = self.settings.probes;
        self.round_began = self.now;
        self.forget_watched();
    }

    fn tell(&mut self, from: Circuit, why: Vec<Why>, counts: Counts) {
        let (share, wait) = match self.state {
            State::Closed | State::ForcedClosed | State::Disabled => (1_000, None),
            State::Open { until } => (0, Some(until - self.now)),
            State::HalfOpen | State::ForcedOpen => (0, None),
            State::Ramping { step, until } => (self.settings.ramp[step], Some(until - self.now)),
        };
        self.steps.push(Step {
            from,
            to: self.circuit(),
            why,
            counts,
            generation: self.generation,
            share: Ratio::new(f64::from(share) / 1e3).unwrap(),
            wait,
            enforced: !self.settings.shadow,
        });
    }

    // ---- hanging calls

    fn watched(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.watch == Watch::Watched)
    }

    fn forget_watched(&mut self) {
        for call in &mut self.calls {
            call.watch = Watch::Unwatched;
        }
        self.starts.clear();
        self.went_back = false;
    }

    /// Counts calls that hang: all that must be by now, and perhaps some that may be. Those found at
    /// once are entered at once, and then judged.
    fn count_hung(&mut self, fork: &mut Fork) {
        let Some((threshold, _)) = self.settings.slow else {
            return;
        };
        let width = threshold / 8;
        let grain = width / (1 << 14) + 2;
        let mut starts: Vec<_> = self.watched().filter_map(|call| call.started).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut hung = 0;
        for start in starts {
            let together = start..=start + width + grain;
            let last = self.starts.iter().filter(|start| together.contains(start)).max();
            let (may, must) = (start + threshold - grain, last.unwrap() + threshold + grain);
            if self.now < may || (self.now < must && fork.choose(2) == 0) {
                break;
            }
            for call in &mut self.calls {
                if call.watch == Watch::Watched && call.started == Some(start) {
                    call.watch = Watch::Counted;
                    hung += 1;
                }
            }
        }
        if hung > 0 {
            self.enter_hung(hung);
            self.judge();
        }
    }

    // ---- admission

    /// Would a call be refused now? `None`: that is left open.
    pub(crate) fn would_refuse(&self) -> Option<bool> {
        if self.settings.shadow {
            return Some(false);
        }
        match self.state {
            State::Closed | State::ForcedClosed | State::Disabled => Some(false),
            State::ForcedOpen => Some(true),
            State::Open { until } => Some(self.now < until),
            State::HalfOpen => (!self.lease_over()).then(|| self.free_seats() == 0),
            State::Ramping { .. } => None,
        }
    }

    pub(crate) fn start(&mut self, id: u32, ready: bool, fork: &mut Fork) -> Answer {
        self.count_hung(fork);
        self.end_leases();
        self.end_step();
        let (role, refusal) = match self.state {
            State::Closed | State::ForcedClosed => (Role::Counted, None),
            State::Disabled => (Role::Free, None),
            State::ForcedOpen => (Role::Free, Some(Answer::ForcedOpen)),
            State::Open { until } if self.now < until => {
                (Role::Free, Some(Answer::CircuitOpen(Some(until - self.now))))
            }
            State::Open { .. } => {
                self.go(State::HalfOpen, vec![Why::CoolDownOver], self.counts());
                (self.probe(), None)
            }
            State::HalfOpen if self.free_seats() > 0 => (self.probe(), None),
            State::HalfOpen => (Role::Free, Some(Answer::CircuitOpen(self.next_lease_end()))),
            State::Ramping { until, .. } => match fork.choose(2) {
                0 => (Role::Counted, None),
                _ => (Role::Free, Some(Answer::CircuitOpen(Some(until - self.now)))),
            },
        };
        if let Some(refusal) = refusal {
            if !self.settings.shadow {
                return refusal;
            }
            self.shadowed += 1;
        }
        let mut watched = role == Role::Counted && self.settings.slow.is_some();
        let stamped = watched || matches!(role, Role::Probe { .. });
        if watched {
            self.starts.push(self.now);
            // A cohort that was counted before the clock went back may be in the way.
            watched = !self.went_back || fork.choose(2) == 0;
        }
        if !ready {
            return Answer::NotReady;
        }
        self.calls.push(Call {
            id,
            generation: self.generation,
            started: stamped.then_some(self.now),
            role,
            watch: if watched { Watch::Watched } else { Watch::Unwatched },
        });
        Answer::Admitted
    }

    /// A call was polled and is pending.
    pub(crate) fn pended(&mut self, id: u32) {
        let now = self.now;
        let call = self.calls.iter_mut().find(|call| call.id == id).unwrap();
        call.started.get_or_insert(now);
    }

    // ---- probes

    fn probe(&self) -> Role {
        Role::Probe {
            until: self.now.max(self.round_began).saturating_add(self.settings.lease),
            decided: false,
        }
    }

    fn free_seats(&self) -> usize {
        let taken = self.calls.iter().filter(|call| {
            call.generation == self.generation
                && matches!(call.role, Role::Probe { decided: false, .. })
        });
        self.seats - self.decided.len() - taken.count()
    }

    fn next_lease_end(&self) -> Option<u64> {
        let ends = self.calls.iter().filter_map(|call| match call.role {
            Role::Probe { until, decided: false } if call.generation == self.generation => {
                Some(until - self.now.max(self.round_began))
            }
            _ => None,
        });
        ends.min()
    }

    fn is_over(&self, call: &Call) -> bool {
        call.generation == self.generation
            && matches!(call.role, Role::Probe { until, decided: false } if self.now >= until)
    }

    fn lease_over(&self) -> bool {
        self.calls.iter().any(|call| self.is_over(call))
    }

    /// Probes whose lease ran out count as slow failures.
    fn end_leases(&mut self) {
        while let Some(at) = self.calls.iter().position(|call| self.is_over(call)) {
            if let Role::Probe { decided, .. } = &mut self.calls[at].role {
                *decided = true;
            }
            self.decide(SLOW_FAILURE);
        }
    }

    fn decide(&mut self, entry: Entry) {
        self.decided.push(entry);
        let counts = tally(self.decided.iter());
        let (seats, left) = (self.seats as u64, (self.seats - self.decided.len()) as u64);
        let bad = |part: u64, ppm: u64| part * 1_000_000 >= ppm * seats;
        let (fails, passes) = match self.settings.failure_ratio {
            Some(ppm) => (bad(counts.failures, ppm), !bad(counts.failures + left, ppm)),
            None => (counts.failures > 0, counts.failures == 0 && left == 0),
        };
        let (slow_fails, slow_passes) = match self.settings.slow {
            Some((_, ppm)) => (bad(counts.slow, ppm), !bad(counts.slow + left, ppm)),
            None => (false, true),
        };
        if fails || slow_fails || (entry.failed && left == 0) {
            self.failed_rounds += 1;
            self.open(vec![Why::Probes], counts);
        } else if passes && slow_passes && !entry.failed {
            self.go(self.ramp_at(0), vec![Why::Probes], counts);
        }
    }

    // ---- the ramp

    /// A step that is over is judged by the calls it saw, however few.
    fn end_step(&mut self) {
        let State::Ramping { step, until } = self.state else {
            return;
        };
        if self.now < until {
            return;
        }
        let counts = self.counts();
        let why = if counts.total > 0 { self.fired(1) } else { self.fired(u32::MAX) };
        if why.is_empty() {
            let from = self.circuit();
            self.state = self.ramp_at(step + 1);
            if self.state == State::Closed {
                self.failed_rounds = 0;
            }
            self.tell(from, vec![Why::RampHeld], counts);
        } else {
            self.trip(why);
        }
    }

    // ---- the end of a call

    pub(crate) fn end(&mut self, id: u32, end: End, fork: &mut Fork) {
        let (outcome, asked) = match end {
            End::Ok => (Some(false), None),
            End::Err | End::Sent | End::Panic => (Some(true), None),
            End::ErrAfter(wait) => (Some(true), Some(wait)),
            End::NotSent | End::Ignored => (None, None),
        };
        let slow_after = self.settings.slow.map_or(u64::MAX, |(after, _)| after);
        self.leave(id, asked, fork, |age| {
            outcome.map(|failed| Entry { failed, slow: age >= slow_after })
        });
    }

    pub(crate) fn cancel(&mut self, id: u32, fork: &mut Fork) {
        let counts_from = self.settings.cancels.unwrap_or(u64::MAX);
        self.leave(id, None, fork, |age| (age >= counts_from).then_some(SLOW_FAILURE));
    }

    fn leave(
        &mut self,
        id: u32,
        asked: Option<u64>,
        fork: &mut Fork,
        says: impl Fn(u64) -> Option<Entry>,
    ) {
        let call = |world: &Self| world.calls.iter().position(|call| call.id == id).unwrap();
        let age = self.calls[call(self)].started.map_or(0, |start| self.now.saturating_sub(start));
        let mut entry = says(age);
        let ending = &self.calls[call(self)];
        if ending.generation == self.generation && ending.role != Role::Free {
            let until = asked.map_or(0, |wait| self.now.saturating_add(wait));
            self.advised = self.advised.max(until);
        }
        let sure = entry.is_some() && self.calls[call(self)].role == Role::Counted;
        if sure || fork.choose(2) == 0 {
            self.count_hung(fork);
        }
        let call = self.calls.remove(call(self));
        if call.role == Role::Free {
            return;
        }
        let fresh = call.generation == self.generation;
        if let Role::Probe { until, .. } = call.role {
            if fresh && self.now >= until {
                entry = Some(SLOW_FAILURE);
            }
        }
        let Some(entry) = entry else {
            return;
        };
        match call.role {
            _ if !fresh => self.stale += 1,
            Role::Probe { decided: true, .. } => self.stale += 1,
            Role::Probe { .. } => self.decide(entry),
            _ if call.watch == Watch::Counted => {
                self.end_hung(call.started.unwrap(), entry.failed);
            }
            _ => {
                self.enter(entry);
                self.judge();
            }
        }
    }

    // ---- operators

    pub(crate) fn tick(&mut self, fork: &mut Fork) {
        self.count_hung(fork);
        self.end_leases();
        self.end_step();
    }

    pub(crate) fn order(&mut self, to: Circuit) {
        let state = match to {
            Circuit::ForcedOpen => State::ForcedOpen,
            Circuit::ForcedClosed => State::ForcedClosed,
            Circuit::Disabled => State::Disabled,
            _ => State::Closed,
        };
        if to == self.circuit() && to != Circuit::Closed {
            return;
        }
        let counts = match self.state {
            State::HalfOpen => tally(self.decided.iter()),
            _ => self.counts(),
        };
        self.go(state, vec![Why::Operator], counts);
    }

    pub(crate) fn reconfigure(&mut self, settings: Settings) {
        if self.settings.slow.map(|(after, _)| after) != settings.slow.map(|(after, _)| after) {
            self.forget_watched();
        }
        self.settings = settings;
    }
}
