//! Counts calls in one add, and takes stock every five seconds.
//!
//! # Orderings
//! A call adds to its stripe's word, Relaxed; the stock-taker swaps each word for zero, Relaxed: a call
//! is in exactly one stock, this one or the next, and nothing else is handed over. Stock is taken under
//! a lock that calls only try.

use std::time::Duration;

use parking_lot::Mutex;

use super::ring::{Ring, Tally};
use super::rules::{Alert, Burn, Rules, Snapshot, Window, fires, keeps_firing};
use super::windows::Windows;
use crate::clock::{Moment, nanos};
use crate::stripe::Striped;
use crate::sync::{AtomicU64, Ordering};

/// How often stock is taken, in ns.
const TICK: u64 = 5_000_000_000;
/// A stripe looks at the clock once in so many calls.
const LOOK_EVERY: u64 = 256;

/// Counts, rings and alerts of one objective.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Calls (high 32 bits) and bad calls (low) since stock was last taken.
    words: Striped<AtomicU64>,
    /// When stock is to be taken next, in ns.
    due: AtomicU64,
    stock: Mutex<Stock>,
    rules: Rules,
}

#[derive(Debug)]
struct Stock {
    /// How long it has been counted, in ns, as of the last look at the clock: what the clock went forward.
    age: u64,
    looked: Moment,
    windows: Windows,
    /// The budget's period: 30 days by the hour.
    period: Ring,
    all: Tally,
    firing: [bool; 3],
}

/// An alert that began to fire, or ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) alert: Alert,
    pub(crate) fires: bool,
    /// The burn over its long and its short window.
    pub(crate) burns: (f64, f64),
    pub(crate) budget_left: f64,
}

impl Engine {
    pub(crate) fn new(rules: Rules, start: Moment) -> Self {
        let stock = Stock {
            age: 0,
            looked: start,
            windows: Windows::of(&rules),
            period: Ring::new(720, Duration::from_secs(3_600)),
            all: Tally::default(),
            firing: [false; 3],
        };
        Self {
            words: Striped::new(|| AtomicU64::new(0)),
            due: AtomicU64::new(start.as_nanos().saturating_add(TICK)),
            stock: Mutex::new(stock),
            rules,
        }
    }

    /// Counts a call; `true` if it is time to look at the clock.
    #[inline(always)]
    pub(crate) fn record(&self, good: bool) -> bool {
        // Relaxed: see "Orderings".
        let before = self.words.mine().1.fetch_add(1 << 32 | u64::from(!good), Ordering::Relaxed);
        (before >> 32) % LOOK_EVERY == LOOK_EVERY - 1
    }

    /// Takes stock, if it is time: what changed, most urgent first.
    pub(crate) fn tick(&self, now: Moment) -> impl Iterator<Item = Change> + use<> {
        let mut changes = [None; 3];
        // Relaxed: a hint; the lock decides. What is due only after more than a tick was so by a clock that
        // went back; a tick more, since another may have taken stock after this one read the clock.
        let due = self.due.load(Ordering::Relaxed);
        if now.as_nanos() >= due || due - now.as_nanos() > 2 * TICK {
            if let Some(mut stock) = self.stock.try_lock() {
                let age = stock.age_at(now);
                (stock.age, stock.looked) = (age, now);
                // At the next multiple of a tick, so that late looks don't add up.
                let due = now.as_nanos().saturating_add(TICK - age % TICK);
                // Relaxed: as above.
                self.due.store(due, Ordering::Relaxed);
                let taken = self.take();
                changes = stock.add(age, taken, &self.rules);
            }
        }
        changes.into_iter().flatten()
    }

    fn take(&self) -> Tally {
        let mut sum = Tally::default();
        for word in self.words.iter() {
            // Relaxed: see "Orderings".
            let word = word.swap(0, Ordering::Relaxed);
            sum.total += word >> 32;
            sum.bad += word & u64::from(u32::MAX);
        }
        sum
    }

    /// The share of good calls that is asked for.
    pub(crate) fn target(&self) -> f64 {
        1.0 - self.rules.allowed
    }

    /// As of the last tick.
    pub(crate) fn snapshot(&self, now: Moment) -> Snapshot {
        let stock = self.stock.lock();
        stock.snapshot(stock.age_at(now), self.rules.allowed)
    }
}

impl Stock {
    /// A clock that goes back makes nobody younger.
    fn age_at(&self, now: Moment) -> u64 {
        self.age.saturating_add(nanos(now.since(self.looked)))
    }

    fn add(&mut self, age: u64, tally: Tally, rules: &Rules) -> [Option<Change>; 3] {
        let allowed = rules.allowed;
        for ring in self.windows.rings.iter_mut().chain([&mut self.period]) {
            ring.add(age, tally);
        }
        self.all.total = self.all.total.saturating_add(tally.total);
        self.all.bad = self.all.bad.saturating_add(tally.bad);
        Alert::ALL.map(|alert| {
            let (long, short) = self.windows.places[alert as usize];
            let (long, short) = (self.window(long, age), self.window(short, age));
            let judge = if self.firing[alert as usize] { keeps_firing } else { fires };
            let fires = judge(long, short, rules.alerts[alert as usize].factor, allowed);
            if self.firing[alert as usize] == fires {
                return None;
            }
            self.firing[alert as usize] = fires;
            let burn = |window: Window| window.burn(allowed).unwrap_or(0.0);
            let budget_left = self.budget_left(allowed).unwrap_or(1.0);
            Some(Change { alert, fires, burns: (burn(long), burn(short)), budget_left })
        })
    }

    fn window(&self, index: usize, age: u64) -> Window {
        let ring = &self.windows.rings[index];
        Window { tally: ring.sum(), span: ring.span(), filled: age.min(ring.span()) }
    }

    fn budget_left(&self, allowed: f64) -> Option<f64> {
        let Tally { total, bad } = self.period.sum();
        match (total, bad) {
            (0, _) => None,
            (_, 0) => Some(1.0),
            (total, bad) => Some(1.0 - bad as f64 / (allowed * total as f64)),
        }
    }

    fn snapshot(&self, age: u64, allowed: f64) -> Snapshot {
        let burn = |index: usize| {
            let window = self.window(index, age);
            Burn {
                window: self.windows.names[index],
                span: Duration::from_nanos(window.span),
                total: window.tally.total,
                bad: window.tally.bad,
                rate: window.burn(allowed),
            }
        };
        Snapshot {
            burns: (0..self.windows.rings.len()).map(burn).collect(),
            budget_left: self.budget_left(allowed),
            total: self.all.total,
            bad: self.all.bad,
            firing: self.firing,
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::super::rules::{AlertRule, WORKBOOK};
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    /// Longer than the longest window.
    const HEALTHY: u64 = 73 * 3_600;

    /// The workbook's, where so large a share may be bad.
    fn rules(allowed: f64) -> Rules {
        Rules { allowed, alerts: WORKBOOK }
    }

    /// When each alert fires and ends, in seconds after the trouble began, at 200 calls a second of which
    /// `bad(second)` are bad.
    fn alerts(
        rules: Rules,
        healthy: u64,
        seconds: u64,
        bad: impl Fn(u64) -> u64,
    ) -> [(Option<u64>, Option<u64>); 3] {
        let engine = Engine::new(rules, Moment::from_nanos(0));
        let mut stock = engine.stock.lock();
        let mut seen = [(None, None); 3];
        for tick in 1..=(healthy + seconds) / 5 {
            let end = tick * 5;
            let bad = (end - 5..end).filter(|&s| s >= healthy).map(|s| bad(s - healthy)).sum();
            let age = end * SECOND - 1;
            let changes = stock.add(age, Tally { total: 1_000, bad }, &rules);
            for change in changes.into_iter().flatten() {
                let seen = &mut seen[change.alert as usize];
                let at = Some(end - healthy);
                if change.fires {
                    seen.0 = seen.0.or(at);
                } else {
                    seen.1 = at;
                }
            }
        }
        seen
    }

    /// As an alert's times should be: the nominal one, less what a ring's quantisation takes, or a tick
    /// more.
    fn is_about(got: Option<u64>, nominal: Option<f64>) -> bool {
        match (got, nominal) {
            (None, None) => true,
            (Some(got), Some(nominal)) => {
                (nominal * 0.98 - 5.0..=nominal + 5.0).contains(&(got as f64))
            }
            _ => false,
        }
    }

    #[test]
    fn alerts_fire_and_end_when_the_workbooks_formulas_say() {
        type Times = (Option<f64>, Option<f64>);
        type Row<'a> = (&'a str, f64, u64, &'a dyn Fn(u64) -> u64, [Times; 3]);
        let none: Times = (None, None);
        let fires = |at: f64| (Some(at), None);
        let until = |at: f64, end: f64| (Some(at), Some(end));
        let day = 24 * 3_600;
        let rows: [Row<'_>; 9] = [
            (
                "99.9 %, all bad for 600 s",
                0.001,
                day,
                &|s| if s < 600 { 200 } else { 0 },
                [until(51.84, 895.68), until(129.6, 2_389.2), until(259.2, 22_178.4)],
            ),
            (
                "99.9 %, all bad for 50 s",
                0.001,
                day,
                &|s| if s < 50 { 200 } else { 0 },
                [none, none, none],
            ),
            (
                "99.9 %, all bad for 60 s",
                0.001,
                day,
                &|s| if s < 60 { 200 } else { 0 },
                [until(51.84, 355.68), none, none],
            ),
            ("99.9 %, 2 %", 0.001, day, &|_| 4, [fires(2_592.0), fires(6_480.0), fires(12_960.0)]),
            ("99.9 %, 1 %", 0.001, 2 * day, &|_| 2, [none, fires(12_960.0), fires(25_920.0)]),
            ("99.9 %, 0.5 %", 0.001, 2 * day, &|_| 1, [none, none, fires(51_840.0)]),
            (
                "99.9 %, 0.1 %: a burn of exactly 1",
                0.001,
                4 * day,
                &|s| u64::from(s % 5 == 0),
                [none, none, none],
            ),
            ("99 %, all bad", 0.01, day, &|_| 200, [fires(518.4), fires(1_296.0), fires(2_592.0)]),
            (
                "99.9 %, 30 s bad in each 300 s",
                0.001,
                day,
                &|s| if s % 300 < 30 { 200 } else { 0 },
                [fires(321.84), fires(1_209.6), fires(2_419.0)],
            ),
        ];
        for (what, allowed, seconds, bad, want) in rows {
            let got = alerts(rules(allowed), HEALTHY, seconds, bad);
            for (alert, (got, want)) in Alert::ALL.into_iter().zip(got.into_iter().zip(want)) {
                assert!(is_about(got.0, want.0), "{what}: {alert} fires {got:?}, not {want:?}");
                // What goes on for ever may flicker at the edge of a bucket; only an end counts.
                if want.1.is_some() {
                    assert!(is_about(got.1, want.1), "{what}: {alert} ends {got:?}, not {want:?}");
                }
            }
        }
    }

    #[test]
    fn alerts_over_other_windows_fire_and_end_by_the_same_formulas() {
        let rule = |factor, long, short| {
            let [long, short] = [long, short].map(Duration::from_secs);
            AlertRule { factor, long, short }
        };
        // Two that share a window with each other, one with a name of its own.
        let alerts_of =
            [rule(10.0, 1_800, 120), rule(4.0, 7_200, 1_800), rule(2.0, 7 * 86_400, 90 * 60)];
        let rules = Rules { allowed: 0.01, alerts: alerts_of };
        let engine = Engine::new(rules, Moment::from_nanos(0));
        let names: Vec<_> =
            engine.snapshot(Moment::from_nanos(0)).burns.iter().map(|burn| burn.window).collect();
        assert_eq!(names, ["2m", "30m", "90m", "2h", "7d"]);
        let bad = |s| if s < 900 { 200 } else { 0 };
        let got = alerts(rules, 8 * 86_400, 86_400, bad);
        for ((alert, rule), got) in Alert::ALL.into_iter().zip(alerts_of).zip(got) {
            let [long, short] = [rule.long, rule.short].map(|span| span.as_secs_f64());
            let share = rule.factor * 0.01;
            let fires = share * long;
            if fires > 900.0 {
                assert_eq!(got, (None, None), "{alert} takes {fires} s");
                continue;
            }
            // A tenth below its factor it ends.
            let ends = 900.0 + short * (1.0 - share * 0.9);
            let about = |got: Option<u64>, nominal: f64, width: f64| {
                let got = got.expect("it came to that") as f64;
                assert!(
                    (nominal - width..=nominal + 5.0).contains(&got),
                    "{alert}: {got}, {nominal}"
                );
            };
            about(got.0, fires, 5.0 + long / 60.0);
            about(got.1, ends, 5.0 + short / 12.0);
        }
    }

    #[test]
    fn a_burn_that_hovers_at_its_factor_is_one_alert() {
        let engine = Engine::new(rules(0.01), Moment::from_nanos(0));
        let mut stock = engine.stock.lock();
        let mut told = 0;
        for tick in 1..=(4 * 720) {
            // 15 % or 13.8 % bad, for five minutes each: burns of 15 and 13.8 around 14.4.
            let bad = if tick / 60 % 2 == 0 { 150 } else { 138 };
            let tally = Tally { total: 1_000, bad };
            let changes = stock.add(tick * 5 * SECOND - 1, tally, &rules(0.01));
            told += changes.into_iter().flatten().filter(|c| c.alert == Alert::PageFast).count();
        }
        assert_eq!(told, 1);
    }

    #[test]
    fn a_fresh_process_fires_no_sooner_than_an_old_one() {
        // Ten healthy minutes, then all bad: as with a full history, not at the first error.
        let [fast, slow, _] = alerts(rules(0.001), 600, 1_200, |_| 200);
        assert!(is_about(fast.0, Some(51.84)), "{fast:?}");
        assert!(is_about(slow.0, Some(129.6)), "{slow:?}");
    }

    #[test]
    fn at_ten_calls_an_hour_one_failure_pages_nobody_and_two_do() {
        for (failures, pages) in [(1, false), (2, true)] {
            let engine = Engine::new(rules(0.001), Moment::from_nanos(0));
            let mut stock = engine.stock.lock();
            let mut paged = false;
            for tick in 1..=(80 * 3_600 / 5) {
                let second = tick * 5;
                let call = second % 360 == 0;
                // In the last hour, one failure after the other.
                let failed = call && second > 79 * 3_600 && second <= 79 * 3_600 + 360 * failures;
                let tally = Tally { total: call.into(), bad: failed.into() };
                let changes = stock.add(second * SECOND - 1, tally, &rules(0.001));
                paged |= changes
                    .into_iter()
                    .flatten()
                    .any(|change| change.fires && change.alert == Alert::PageFast);
            }
            assert_eq!(paged, pages, "{failures} failures");
        }
    }

    #[test]
    fn no_traffic_neither_fires_nor_keeps_firing() {
        let [fast, _, _] = alerts(rules(0.001), HEALTHY, 600, |_| 0);
        assert_eq!(fast, (None, None));
        let engine = Engine::new(rules(0.001), Moment::from_nanos(0));
        let mut stock = engine.stock.lock();
        stock.add(5 * SECOND, Tally { total: 500, bad: 500 }, &rules(0.001));
        let nothing = Tally::default();
        for tick in 2..=(4 * 24 * 720) {
            stock.add(tick * 5 * SECOND, nothing, &rules(0.001));
        }
        assert_eq!(stock.firing, [false; 3]);
        assert_eq!(stock.snapshot(0, 0.001).burns[0].rate, None);
    }

    #[test]
    fn a_target_of_everything_fires_at_the_second_bad_call() {
        let [fast, ..] = alerts(rules(0.0), HEALTHY, 60, |s| u64::from(s == 7));
        assert_eq!(fast, (None, None), "one may be anything");
        let [fast, ..] = alerts(rules(0.0), HEALTHY, 60, |s| u64::from(s == 7 || s == 12));
        assert_eq!(fast.0, Some(15));
    }

    #[test]
    fn the_budget_is_what_the_period_allows_less_what_was_bad() {
        let engine = Engine::new(rules(0.01), Moment::from_nanos(0));
        let mut stock = engine.stock.lock();
        assert_eq!(stock.budget_left(0.01), None);
        stock.add(SECOND, Tally { total: 10_000, bad: 25 }, &rules(0.01));
        assert_eq!(stock.budget_left(0.01), Some(0.75));
        stock.add(SECOND, Tally { total: 0, bad: 175 }, &rules(0.01));
        assert_eq!(stock.budget_left(0.01), Some(-1.0));
    }

    #[test]
    fn eight_threads_lose_no_call() {
        let engine = Engine::new(rules(0.001), Moment::from_nanos(0));
        let mut stocks = Vec::new();
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        for i in 0..50_000 {
                            engine.record(i % 5 != 0);
                        }
                    })
                })
                .collect();
            while !callers.iter().all(|caller| caller.is_finished()) {
                stocks.push(engine.take());
            }
        });
        stocks.push(engine.take());
        let sum = |of: fn(&Tally) -> u64| stocks.iter().map(of).sum::<u64>();
        assert_eq!((sum(|t| t.total), sum(|t| t.bad)), (400_000, 80_000));
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::super::rules::WORKBOOK;
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two calls and a stock-taking: each call is in exactly one stock.
    #[test]
    fn no_call_is_lost_or_counted_twice() {
        loom::model(|| {
            let start = Moment::from_nanos(1 << 40);
            let engine = Arc::new(Engine::new(Rules { allowed: 0.001, alerts: WORKBOOK }, start));
            let caller = {
                let engine = Arc::clone(&engine);
                thread::spawn(move || {
                    engine.record(false);
                    engine.record(true);
                })
            };
            let first = engine.take();
            caller.join().unwrap();
            let second = engine.take();
            assert_eq!((first.total + second.total, first.bad + second.bad), (2, 1));
        });
    }
}
