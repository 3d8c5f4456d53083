//! The counters that calls add to, the weight by which they are shared, and the tick that judges.
//!
//! A call reads the weight, and when it ends it adds to the counts of its thread. It makes no decision
//! and takes no lock. Every tick one call, whichever wins the swap of `next_tick`, takes the counts and
//! hands them to the [`Detector`]; the others go on. A tick that finds another still at work leaves the
//! counts to the next one.
//!
//! Where latency isn't measured, looking at the clock would cost more than all the rest. So the more calls a
//! thread has counted since the last tick, the fewer of them look: the first thirty-two all do, and from the
//! thousandth on one in 64. At a few calls a second each one looks.
//!
//! # Orderings
//! The weight and `next_tick` are words read for themselves: Relaxed. All else that a tick
//! touches lies under its lock. A weight that was set is seen by the next call that happens after; one
//! that overlaps may go by the old one, and is counted in the arm that served it.

use std::ops::DerefMut;
use std::sync::OnceLock;
use std::time::Duration;

use super::detector::Detector;
use super::histogram::{Counts, Histogram};
use super::interval::{Interval, Share, THRESHOLDS};
use super::keys::{Counts as CallCounts, Drawn, Keys, Mark, Sticky};
use super::rules::Rules;
use super::starts::{MOST_THRESHOLD, Place, Settler, Starts};
use super::tally::Tallies;
use crate::clock::{Moment, nanos};
use crate::ratio::Ratio;
use crate::rng;
use crate::stripe::Striped;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::verdict::{Arm, Evidence, Judgement, Totals, Verdict};

const MILLION: u64 = 1_000_000;
/// At most so many calls of a thread go by between two looks at the clock.
const MOST_STRIDE: u64 = 64;

/// So long, in ns, a caller counts once, where callers stick to a version; or for half of the time after
/// which there is no data.
const LONGEST_PERIOD: u64 = 30_000_000_000;
/// From so many calls of the baseline on, its quantiles are thresholds.
const ENOUGH_LATENCIES: f64 = 100.0;

/// Does a call look at the clock that finds so many counted on its thread since the last tick? After `n`
/// calls every `n/16`th does, rounded down to a power of two.
#[inline]
const fn looks(counted: u64) -> bool {
    let every = if counted < 16 * MOST_STRIDE { counted / 16 } else { MOST_STRIDE };
    counted & ((1 << (every | 1).ilog2()) - 1) == 0
}

/// What decides which calls the canary gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routing {
    /// The weight does.
    Split,
    /// Someone else does; we are told.
    Watch,
}

/// One canary and its baseline.
#[derive(Debug)]
pub(super) struct Engine {
    /// The canary's share of the calls, in millionths.
    weight: AtomicU64,
    /// When the next tick is due, in ns.
    next_tick: AtomicU64,
    tick: u64,
    only_watch: bool,
    /// Where callers stick to a version: who was counted.
    keys: OnceLock<Keys>,
    /// So long, in ns, a caller counts once.
    period: u64,
    tallies: Tallies,
    latency: Option<Latency>,
    judge: Mutex<Judge>,
}

/// What measures latency.
#[derive(Debug)]
struct Latency {
    starts: Starts,
    lasted: Striped<[Counts; 2]>,
}

/// What a tick works with.
#[derive(Debug)]
struct Judge {
    detector: Detector,
    routing: Routing,
    /// Was a call of the canary ever seen?
    canary_seen: bool,
    /// Were all calls taken from it, until a new comparison begins?
    withdrawn: bool,
    /// When a failed call, or a wrong answer, of it was first seen.
    first_bad: Option<Moment>,
    settler: Settler,
    canary: Histogram,
    baseline: Histogram,
    user_threshold: Option<u64>,
}

/// A call in flight: its arm, and where it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) arm: Arm,
    /// Its arm is known only now that it ends: it belongs to no cohort but the one of its end.
    late: bool,
    /// When it started, in ns, and its cohort; where latency is measured.
    started: Option<(u64, Option<Place>)>,
    /// Where its caller was counted, if callers stick to a version.
    mark: Option<Mark>,
}

impl Ticket {
    /// Is the arm still to be told?
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// The response said which arm it was.
    pub(super) fn told(self, arm: Arm) -> Self {
        Self { arm, ..self }
    }
}

/// It is time to judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    now: Moment,
    /// Since when, as it was read.
    due: u64,
}

/// An engine at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) verdict: Verdict,
    pub(super) evidence: Evidence,
    pub(super) totals: Totals,
    pub(super) weight: Ratio,
    pub(super) log_evidence: f64,
    pub(super) baseline_rate: f64,
    pub(super) dispersion: f64,
    pub(super) learned: bool,
    pub(super) alone: bool,
    pub(super) first_bad: Option<Moment>,
}

impl Engine {
    pub(super) fn new(
        rules: Rules,
        latency: bool,
        user_threshold: Option<Duration>,
        only_watch: bool,
    ) -> Self {
        Self {
            weight: AtomicU64::new(0),
            next_tick: AtomicU64::new(0),
            tick: rules.tick,
            only_watch,
            keys: OnceLock::new(),
            period: LONGEST_PERIOD.min(rules.no_data_after / 2),
            tallies: Tallies::new(),
            latency: latency.then(|| Latency {
                starts: Starts::new(),
                lasted: Striped::new(|| [Counts::new(), Counts::new()]),
            }),
            judge: Mutex::new(Judge {
                detector: Detector::of(rules),
                routing: Routing::Split,
                canary_seen: false,
                withdrawn: false,
                first_bad: None,
                settler: Settler::new(),
                canary: Histogram::new(),
                baseline: Histogram::new(),
                user_threshold: user_threshold.map(nanos),
            }),
        }
    }

    /// Someone else routes: the weight decides nothing.
    pub(super) fn only_listen(&self) {
        self.lock().routing = Routing::Watch;
    }

    /// Answers are checked from here on.
    pub(super) fn expect_checks(&self) {
        self.lock().detector.expect_checks();
    }

    /// How often it judges.
    pub(super) fn tick_length(&self) -> Duration {
        Duration::from_nanos(self.tick)
    }

    /// Does the canary get no calls?
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        // Relaxed: see "Orderings".
        self.weight.load(Ordering::Relaxed) == 0
    }

    /// Does the canary get all calls?
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        // Relaxed: see "Orderings".
        self.weight.load(Ordering::Relaxed) == MILLION
    }

    /// Callers stick to a version from here on; who is drawn hangs on `name`, until a rollout begins.
    pub(super) fn stick(&self, name: &str) {
        self.keys.get_or_init(|| Keys::new(name, self.period));
    }

    /// Draws the arm of a call: by whose it is, where callers stick to a version.
    #[inline(always)]
    pub(super) fn draw(&self, caller: Option<Sticky>) -> (Arm, Option<Drawn>) {
        let Some(caller) = caller else { return (self.draw_call(), None) };
        let Some(keys) = self.keys.get() else { return (self.draw_call(), None) };
        let drawn = keys.draw(caller);
        // Relaxed: see "Orderings".
        let is_canarys = drawn.place() < self.weight.load(Ordering::Relaxed);
        (if is_canarys { Arm::Canary } else { Arm::Baseline }, Some(drawn))
    }

    /// Draws the arm of one call.
    #[inline(always)]
    fn draw_call(&self) -> Arm {
        // Relaxed: see "Orderings".
        match self.weight.load(Ordering::Relaxed) {
            0 => Arm::Baseline,
            MILLION => Arm::Canary,
            weight if rng::below(rng::next(), MILLION) < weight => Arm::Canary,
            _ => Arm::Baseline,
        }
    }

    /// A call starts; `None`: which arm's will be [told](Ticket::told) when it ends.
    #[inline(always)]
    pub(super) fn start(&self, arm: Option<Arm>, now: impl FnOnce() -> Moment) -> Ticket {
        let started = self.latency.as_ref().map(|latency| {
            let now = now().as_nanos();
            (now, arm.and_then(|arm| latency.starts.start(arm, now)))
        });
        Ticket { arm: arm.unwrap_or(Arm::Baseline), late: arm.is_none(), started, mark: None }
    }

    /// A call that was drawn for `arm` starts; `None`: it doesn't count.
    #[inline(always)]
    pub(super) fn start_drawn(
        &self,
        arm: Arm,
        drawn: Option<Drawn>,
        now: impl FnOnce() -> Moment,
    ) -> Option<Ticket> {
        let Some(drawn) = drawn else { return Some(self.start(Some(arm), now)) };
        match self.keys.get().map(|keys| keys.count(drawn)) {
            None => Some(self.start(Some(arm), now)),
            Some(CallCounts::All(mark)) => {
                Some(Ticket { mark: Some(mark), ..self.start(Some(arm), now) })
            }
            Some(CallCounts::End(mark)) => {
                Some(Ticket { arm, late: false, started: None, mark: Some(mark) })
            }
            Some(CallCounts::Nothing) => None,
        }
    }

    /// A call that doesn't count looks whether it is time to judge, lest nobody does.
    pub(super) fn look(&self, now: Moment) -> Option<Due> {
        self.due(now, false)
    }

    /// The call ended; its outcome counts, and it is judged, if it is time to.
    #[cfg(test)]
    pub(super) fn end(
        &self,
        ticket: Ticket,
        failed: bool,
        now: impl FnOnce() -> Moment,
    ) -> Option<Judgement> {
        self.count(ticket, failed, now).and_then(|due| self.tick_due(due))
    }

    /// The call ended; its outcome counts. `Some`: it is time to [judge](Self::tick_due).
    #[inline(always)]
    pub(super) fn count(
        &self,
        ticket: Ticket,
        failed: bool,
        now: impl FnOnce() -> Moment,
    ) -> Option<Due> {
        let before = self.tallies.add(ticket.arm, failed);
        if failed {
            self.silence(&ticket);
        }
        if let (Some((started, place)), Some(latency)) = (ticket.started, &self.latency) {
            let now = now();
            let lasted = now.as_nanos().saturating_sub(started);
            let index = usize::from(ticket.arm == Arm::Baseline);
            latency.lasted.mine().1[index].add(lasted);
            let place =
                if ticket.late { latency.starts.start(ticket.arm, now.as_nanos()) } else { place };
            if let Some(place) = place {
                latency.starts.end(ticket.arm, place, lasted);
            }
            return self.due(now, Tallies::is_full(before));
        }
        if looks(before) {
            return self.due(now(), Tallies::is_full(before));
        }
        None
    }

    /// The call ended, and says nothing of its service.
    #[inline]
    pub(super) fn withdraw(&self, ticket: Ticket) {
        if let (Some((_, Some(place))), Some(latency)) = (ticket.started, &self.latency) {
            latency.starts.withdraw(ticket.arm, place);
        }
        if let (Some(mark), Some(keys)) = (ticket.mark, self.keys.get()) {
            keys.withdraw(mark);
        }
    }

    /// An answer was checked.
    pub(super) fn checked(&self, ticket: &Ticket, bad: bool) {
        self.tallies.add_checked(ticket.arm, bad);
        if bad {
            self.silence(ticket);
        }
    }

    /// Whose call it was is news once.
    fn silence(&self, ticket: &Ticket) {
        if let (Some(mark), Some(keys)) = (ticket.mark, self.keys.get()) {
            keys.failed(mark);
        }
    }

    /// Nobody was counted, where callers stick to a version.
    fn begin_era(&self) {
        if let Some(keys) = self.keys.get() {
            keys.begin_era();
        }
    }

    /// Is it time to judge, or no room for more counts?
    #[inline(always)]
    fn due(&self, now: Moment, full: bool) -> Option<Due> {
        // Relaxed: see "Orderings".
        let due = self.next_tick.load(Ordering::Relaxed);
        let ns = now.as_nanos();
        // If it is further away than a tick, the clock went back.
        let early = ns < due && due - ns <= self.tick && !full;
        (!early).then_some(Due { now, due })
    }

    /// Judges, since it is time to; but only one does.
    #[cold]
    pub(super) fn tick_due(&self, Due { now, due }: Due) -> Option<Judgement> {
        self.claim_tick(due, now.as_nanos()).then(|| self.try_tick(now)).flatten()
    }

    fn claim_tick(&self, due: u64, now: u64) -> bool {
        // Relaxed, both: whoever wins goes on to the lock; see "Orderings".
        let next = now.saturating_add(self.tick);
        self.next_tick.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn try_tick(&self, now: Moment) -> Option<Judgement> {
        let mut judge = self.judge.try_lock()?;
        self.judge(&mut judge, now)
    }

    /// Judges now, whether it is time or not: for who drives the clock when nobody calls.
    pub(super) fn tick(&self, now: Moment) -> Option<Judgement> {
        // Relaxed: see "Orderings".
        let due = self.next_tick.load(Ordering::Relaxed);
        let ns = now.as_nanos();
        if ns < due && due - ns <= self.tick {
            return None;
        }
        self.claim_tick(due, ns);
        self.judge(&mut self.lock(), now)
    }

    /// Takes all calls from the canary from here on, and until a new comparison begins; tells whether it
    /// had any.
    pub(super) fn take_out(&self, now: Moment) -> (bool, Option<Judgement>) {
        let mut judge = self.lock();
        let judgement = self.judge(&mut judge, now);
        judge.withdrawn = true;
        // Relaxed: see "Orderings".
        let had = self.weight.swap(0, Ordering::Relaxed) != 0;
        if had {
            judge.detector.new_stage(now);
        }
        (had, judgement)
    }

    /// Gives the canary this share of the calls from here on; refused once it was rolled back, or
    /// withdrawn.
    pub(super) fn set_weight(&self, weight: Ratio, now: Moment) -> (bool, Option<Judgement>) {
        let mut judge = self.lock();
        let judgement = self.judge(&mut judge, now);
        let over = judge.detector.verdict().is_roll_back() && !self.only_watch;
        let accepted = !(over || judge.withdrawn) || weight == Ratio::ZERO;
        // Relaxed: see "Orderings".
        if accepted && self.weight.load(Ordering::Relaxed) != u64::from(weight.ppm()) {
            judge.detector.new_stage(now);
            self.weight.store(u64::from(weight.ppm()), Ordering::Relaxed);
            self.begin_era();
        }
        (accepted, judgement)
    }

    /// Begins a new comparison, without calls for the canary. What was counted so far is of the old one.
    ///
    /// Where callers stick to a version, others are drawn for another `rollout`.
    pub(super) fn restart(&self, rollout: Option<&str>, now: Moment) -> Option<Judgement> {
        let mut judge = self.lock();
        // Relaxed: see "Orderings".
        self.weight.store(0, Ordering::Relaxed);
        self.judge(&mut judge, now);
        if let (Some(keys), Some(rollout)) = (self.keys.get(), rollout) {
            keys.begin_rollout(rollout);
        }
        self.begin_era();
        (judge.canary_seen, judge.withdrawn, judge.first_bad) = (false, false, None);
        judge.detector.restart(now)
    }

    /// The engine as it is, with what no tick has taken yet in the totals.
    pub(super) fn view(&self) -> View {
        let judge = self.lock();
        let detector = &judge.detector;
        let (errors, bad_data) = self.tallies.peek();
        let mut totals = detector.totals();
        totals.errors = totals.errors.plus(errors);
        totals.bad_data = totals.bad_data.plus(bad_data);
        let (baseline_rate, dispersion) = detector.baseline();
        View {
            verdict: detector.verdict(),
            evidence: detector.evidence(),
            totals,
            // Relaxed: see "Orderings".
            weight: Ratio::from_ppm(self.weight.load(Ordering::Relaxed) as u32)
                .unwrap_or(Ratio::ONE),
            log_evidence: detector.log_evidence(),
            baseline_rate,
            dispersion,
            learned: detector.has_learned(),
            alone: judge.routing == Routing::Split && self.is_full(),
            first_bad: judge.first_bad,
        }
    }

    fn lock(&self) -> impl DerefMut<Target = Judge> {
        self.judge.lock()
    }

    fn judge(&self, judge: &mut Judge, now: Moment) -> Option<Judgement> {
        if let Some(keys) = self.keys.get() {
            keys.tick(now.as_nanos());
        }
        let (errors, bad_data) = self.tallies.take();
        let mut interval = Interval { errors, bad_data, ..Interval::default() };
        if let Some(latency) = &self.latency {
            judge.measure(latency, now.as_nanos(), &mut interval);
        }
        judge.canary_seen |=
            errors.canary.calls > 0 || interval.slow.iter().any(|s| s.canary.calls > 0);
        if errors.canary.bad + bad_data.canary.bad > 0 {
            judge.first_bad.get_or_insert(now);
        }
        interval.share = match judge.routing {
            Routing::Split if self.is_drained() => Share::Baseline,
            Routing::Split if self.is_full() => Share::Canary,
            Routing::Watch if !judge.canary_seen => Share::Baseline,
            _ => Share::Both,
        };
        let judgement = judge.detector.tick(now, &interval);
        if let Some(keys) = self.keys.get() {
            keys.outage(judge.detector.verdict() == Verdict::Held);
        }
        if judgement.is_some_and(|j| j.to.is_roll_back()) && !self.only_watch {
            judge.detector.new_stage(now);
            // Relaxed: see "Orderings".
            self.weight.store(0, Ordering::Relaxed);
        }
        judgement
    }
}

impl Judge {
    /// Takes what was measured, settles what is due, and sets the thresholds of the next cohorts.
    fn measure(&mut self, latency: &Latency, now: u64, interval: &mut Interval) {
        let starts = &latency.starts;
        self.canary.take(latency.lasted.iter().map(|arms| &arms[0]));
        self.baseline.take(latency.lasted.iter().map(|arms| &arms[1]));
        interval.slow = self.settler.settle(starts, now);
        for (arm, histogram) in
            [(Arm::Canary, &mut self.canary), (Arm::Baseline, &mut self.baseline)]
        {
            histogram.none_running();
            let tell = |age, calls| histogram.still_running(age, calls);
            self.settler.running(starts, arm, now, tell);
        }
        if let (Some(canary), Some(baseline)) =
            (self.canary.quantile(0.99), self.baseline.quantile(0.99))
        {
            interval.lag = Duration::from_nanos(canary.abs_diff(baseline));
        }
        let mut thresholds = [None; THRESHOLDS];
        if self.baseline.calls() >= ENOUGH_LATENCIES {
            for (threshold, q) in thresholds.iter_mut().zip([0.5, 0.9, 0.99]) {
                let at = self.baseline.quantile(q);
                *threshold = at.map(|ns| ns.min(nanos(MOST_THRESHOLD)));
            }
        }
        thresholds[THRESHOLDS - 1] = self.user_threshold;
        self.settler.prepare(starts, now, thresholds);
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::canary::config::CanaryConfig;
    use crate::verdict::{Cause, Stream};
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    const START: u64 = 1 << 61;
    const MS: u64 = 1_000_000;

    /// An engine under open load: calls start at random, last as they are told, and end in order.
    struct Load {
        engine: Engine,
        now: u64,
        chance: u64,
        ends: BinaryHeap<Reverse<(u64, usize)>>,
        tickets: Vec<(Ticket, bool)>,
    }

    impl Load {
        fn new(config: CanaryConfig, seed: u64) -> Self {
            let rules = config.rules(false).unwrap();
            let engine = Engine::new(rules, true, config.slow_threshold, false);
            let ends = BinaryHeap::new();
            rng::seed_thread(seed);
            Self { engine, now: START, chance: rng::mix(seed), ends, tickets: Vec::new() }
        }

        fn random(&mut self) -> f64 {
            self.chance = self.chance.wrapping_add(1);
            (rng::mix(self.chance) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// Lognormal, of this median in ms, with a spread of one half.
        fn around(&mut self, median: f64) -> u64 {
            let (u, v) = (self.random().max(1e-12), self.random());
            let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            (median * (0.5 * normal).exp() * MS as f64) as u64
        }

        /// Runs for so many ms at `rate` calls a second, or until the canary is rolled back; `call` gives
        /// a call's length and whether it fails.
        fn run(&mut self, ms: u64, rate: f64, mut call: impl FnMut(&mut Self, Arm) -> (u64, bool)) {
            let until = self.now + ms * MS;
            while self.now < until && !self.engine.view().verdict.is_roll_back() {
                let gap = -self.random().max(1e-12).ln() / rate;
                self.now = (self.now + (gap * 1e9) as u64).min(until);
                self.end_before(self.now);
                let (arm, _) = self.engine.draw(None);
                let (lasts, fails) = call(self, arm);
                let now = Moment::from_nanos(self.now);
                let ticket = self.engine.start(Some(arm), || now);
                self.ends.push(Reverse((self.now + lasts, self.tickets.len())));
                self.tickets.push((ticket, fails));
            }
        }

        fn end_before(&mut self, until: u64) {
            while let Some(Reverse((at, index))) = self.ends.peek().copied() {
                if at > until {
                    return;
                }
                self.ends.pop();
                let (ticket, fails) = self.tickets[index];
                self.engine.end(ticket, fails, || Moment::from_nanos(at));
            }
        }

        fn weight(&mut self, percent: u32) {
            let weight = Ratio::percent(percent).unwrap();
            assert!(self.engine.set_weight(weight, Moment::from_nanos(self.now)).0);
        }
    }

    fn config() -> CanaryConfig {
        CanaryConfig::new("x").no_warm_up()
    }

    #[test]
    fn a_canary_that_takes_eight_seconds_is_out_before_its_first_call_ends() {
        let mut waits: Vec<u64> = (0..20)
            .map(|seed| {
                let mut load = Load::new(config(), seed);
                load.run(40_000, 200.0, |load, _| (load.around(120.0), false));
                load.weight(5);
                let mut first = None;
                load.run(8_000, 200.0, |load, arm| match arm {
                    Arm::Baseline => (load.around(120.0), false),
                    Arm::Canary => {
                        first.get_or_insert(load.now);
                        (8_000 * MS, false)
                    }
                });
                let verdict = load.engine.view().verdict;
                assert_eq!(verdict, Verdict::RollBack(Cause::Worse(Stream::Slow)), "seed {seed}");
                (load.now - first.unwrap()) / MS
            })
            .collect();
        waits.sort_unstable();
        println!("out after {waits:?} ms");
        assert!(waits[18] <= 3_000, "{waits:?}");
    }

    #[test]
    fn a_canary_half_as_slow_again_is_found_and_one_as_quick_is_not() {
        let found = |median: f64, ms: u64| {
            let mut load = Load::new(config(), 7);
            load.run(40_000, 200.0, |load, _| (load.around(120.0), false));
            load.weight(20);
            load.run(ms, 200.0, |load, arm| {
                (load.around(if arm == Arm::Canary { median } else { 120.0 }), false)
            });
            load.engine.view().verdict.is_roll_back()
        };
        assert!(found(180.0, 30_000));
        assert!(!found(120.0, 60_000));
    }

    #[test]
    fn an_outage_that_shows_sooner_in_a_quick_canary_rolls_nobody_back() {
        for seed in 0..3 {
            let mut load = Load::new(config(), seed);
            let latency = |arm| if arm == Arm::Canary { 10 * MS } else { 1_000 * MS };
            let mut phase = |ms, p| {
                load.run(ms, 400.0, |load, arm| (latency(arm), load.random() < p));
                if ms == 40_000 {
                    load.weight(50);
                }
            };
            phase(40_000, 0.001);
            phase(20_000, 0.001);
            phase(10_000, 0.5);
            phase(10_000, 0.001);
            let view = load.engine.view();
            assert!(!view.verdict.is_roll_back(), "{view:?}");
        }
    }

    #[test]
    fn where_latency_is_not_measured_a_busy_thread_seldom_looks_at_the_clock() {
        let config = config().errors_only(Duration::from_secs(1));
        let engine = Engine::new(config.rules(false).unwrap(), false, None, false);
        let mut now = START;
        let mut calls = |n: u64, gap: u64| {
            let mut looks = 0;
            for _ in 0..n {
                now += gap;
                let ticket = engine.start(Some(Arm::Baseline), || unreachable!());
                engine.end(ticket, false, || {
                    looks += 1;
                    Moment::from_nanos(now)
                });
            }
            looks
        };
        assert_eq!(calls(100, 100 * MS), 100, "ten calls a second: each looks");
        calls(1_000_000, 1_000);
        assert!(calls(100_000, 1_000) < 100_000 / 50);
        assert!((0..32).all(looks));
        let of_the_first = (0..1_000).filter(|counted| looks(*counted)).count();
        assert!(of_the_first < 150, "{of_the_first} of a tick's first thousand");
        assert_eq!(engine.view().totals.errors.baseline.calls, 1_100_100);
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::canary::config::CanaryConfig;
    use crate::clock::Moment;
    use crate::sync::race;
    use crate::verdict::Arms;

    const TICK: u64 = 250_000_000;
    const START: u64 = 1 << 61;

    fn at(ticks: u64) -> Moment {
        Moment::from_nanos(START + ticks * TICK)
    }

    fn engine() -> Engine {
        let config = CanaryConfig::new("x")
            .errors_only(Duration::from_millis(250))
            .learn(Duration::ZERO)
            .no_warm_up();
        Engine::new(config.rules(false).unwrap(), false, None, false)
    }

    /// One call starts and ends at `now`.
    fn call(engine: &Engine, arm: Arm, failed: bool, now: Moment) {
        let ticket = engine.start(Some(arm), || now);
        engine.end(ticket, failed, || now);
    }

    /// Two calls end while two ticks are due: each outcome is judged once, by one of them.
    #[test]
    fn no_outcome_is_lost_or_taken_twice_however_ticks_race() {
        race(
            engine,
            |engine| call(engine, Arm::Canary, true, at(1)),
            |engine| {
                call(engine, Arm::Baseline, false, at(1));
                engine.tick(at(2));
            },
            |engine, (), ()| {
                let totals = engine.view().totals.errors;
                assert_eq!(totals, Arms::new(1, 1, 1, 0));
                engine.tick(at(4));
                assert_eq!(engine.view().totals.errors, totals);
                assert_eq!(engine.tallies.peek(), Default::default());
            },
        );
    }

    /// A reader looks while a tick takes the counts: it sees each call, and none twice.
    #[test]
    fn a_reader_sees_each_call_once_while_a_tick_takes_them() {
        race(
            || {
                let engine = engine();
                engine.tallies.add(Arm::Canary, true);
                engine
            },
            |engine| _ = engine.tick(at(2)),
            |engine| engine.view().totals.errors,
            |_, (), seen| assert_eq!(seen, Arms::new(1, 1, 0, 0)),
        );
    }

    /// The canary is drained while a call draws its arm and ends: the call counts in the arm that it
    /// drew, whenever it ends, and what is drawn afterwards is the baseline's.
    #[test]
    fn a_weight_that_is_drained_holds_for_the_next_call_and_calls_in_flight_still_count() {
        race(
            || {
                let engine = engine();
                engine.set_weight(Ratio::ONE, at(1));
                engine
            },
            |engine| {
                let arm = engine.draw(None).0;
                call(engine, arm, true, at(1));
                arm
            },
            |engine| {
                engine.set_weight(Ratio::ZERO, at(1));
                assert_eq!(engine.draw(None).0, Arm::Baseline);
            },
            |engine, arm, ()| {
                let totals = engine.view().totals.errors;
                let calls = (totals.canary.calls, totals.baseline.calls);
                assert_eq!(calls, if arm == Arm::Canary { (1, 0) } else { (0, 1) });
                assert_eq!(engine.draw(None).0, Arm::Baseline);
            },
        );
    }

    /// A canary that the next tick rolls back.
    fn doomed() -> Engine {
        let engine = engine();
        engine.set_weight(Ratio::ONE, at(1));
        for tick in 2..6 {
            for _ in 0..50 {
                engine.tallies.add(Arm::Canary, true);
            }
            if tick < 5 {
                engine.tick(at(tick));
            }
        }
        engine
    }

    /// An operator gives the canary more while a tick rolls it back: it ends with nothing.
    #[test]
    fn a_canary_that_was_rolled_back_gets_no_calls_whoever_comes_last() {
        race(
            doomed,
            |engine| _ = engine.set_weight(Ratio::from_ppm(500_000).unwrap(), at(4)),
            |engine| _ = engine.tick(at(6)),
            |engine, (), ()| {
                engine.tick(at(8));
                assert!(engine.view().verdict.is_roll_back());
                assert!(engine.is_drained());
            },
        );
    }

    /// A tick rolls the canary back while a call is drawn: the call counts where it went, and one that
    /// begins once the verdict is known goes to the baseline.
    #[test]
    fn who_knows_of_the_roll_back_draws_the_baseline() {
        race(
            doomed,
            |engine| {
                let arm = engine.draw(None).0;
                call(engine, arm, true, at(5));
                arm
            },
            |engine| {
                let judgement = engine.tick(at(6));
                (judgement.is_some_and(|j| j.to.is_roll_back()), engine.draw(None).0)
            },
            |engine, arm, (rolled_back, next)| {
                assert!(!rolled_back || next == Arm::Baseline);
                engine.tick(at(8));
                assert!(engine.view().verdict.is_roll_back());
                assert_eq!(engine.draw(None).0, Arm::Baseline);
                let totals = engine.view().totals.errors;
                let of_baseline = u64::from(arm == Arm::Baseline);
                assert_eq!(totals.baseline.calls, of_baseline);
                assert_eq!(totals.canary.calls, 201 - of_baseline);
            },
        );
    }
}
