//! Callers that stick to a version: which one, and that each is news once.

use std::cell::Cell;
use std::future::{Future, ready};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seawall::canary::{Canary, CanaryConfig, CanaryHandle, Data, Sticky};
use seawall::clock::{Clock, ManualClock};
use seawall::error::Error;
use seawall::ratio::Ratio;
use seawall::rollout::RolloutConfig;
use seawall::stack;
use seawall::steer::Steer;
use seawall::verdict::{Arm, Cause, Stream, Verdict};
use tower::{Service, service_fn};

const TICK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

type Answer = Result<Arm, Error<Failed>>;

/// Judged from the first call on, by errors, in blocks of a tick.
fn config() -> (CanaryConfig, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config = CanaryConfig::new("payments").clock(clock).learn(Duration::ZERO).no_warm_up();
    (config.errors_only(TICK), hand)
}

fn percent(share: u32) -> Ratio {
    Ratio::percent(share).unwrap()
}

fn by_caller(caller: &u32) -> Option<Sticky> {
    Some(Sticky::of(caller.to_le_bytes()))
}

/// Two versions between which callers are shared out; `fails` says who has no luck with which.
struct Shared {
    service: Box<dyn FnMut(u32) -> Answer>,
    handle: CanaryHandle,
    hand: ManualClock,
}

fn shared(fails: impl Fn(u32, Arm) -> bool + Clone + 'static) -> Shared {
    let (config, hand) = config();
    let canary = Canary::new(config).unwrap().sticky(by_caller);
    let handle = canary.handle();
    let version = |arm| {
        let fails = fails.clone();
        service_fn(move |caller: u32| {
            ready(if fails(caller, arm) { Err(Error::Inner(Failed)) } else { Ok(arm) })
        })
    };
    let mut split = canary.split(version(Arm::Baseline), version(Arm::Canary));
    Shared { service: Box::new(move |caller| call(&mut split, caller)), handle, hand }
}

/// Readies and calls; the call is done at once.
fn call<S: Service<u32>>(service: &mut S, caller: u32) -> Result<S::Response, S::Error> {
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(cx), Poll::Ready(Ok(()))));
    let mut answer = std::pin::pin!(service.call(caller));
    match answer.as_mut().poll(cx) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("pending"),
    }
}

impl Shared {
    /// Who is served by the canary, of so many.
    fn canarys(&mut self, callers: u32) -> Vec<bool> {
        (0..callers).map(|caller| (self.service)(caller) == Ok(Arm::Canary)).collect()
    }

    fn counted(&self) -> u64 {
        let totals = self.handle.snapshot().totals.errors;
        totals.canary.calls + totals.baseline.calls
    }

    /// A tick's calls, of these callers.
    fn tick(&mut self, callers: impl IntoIterator<Item = u32>) {
        for caller in callers {
            let _ = (self.service)(caller);
        }
        self.hand.advance(TICK);
        self.handle.tick();
    }

    fn verdict(&self) -> Verdict {
        self.handle.snapshot().verdict
    }
}

fn count(canarys: &[bool]) -> usize {
    canarys.iter().filter(|is| **is).count()
}

#[test]
fn who_is_drawn_stays_drawn_as_the_share_grows_and_another_rollout_draws_others() {
    let mut shared = shared(|_, _| false);
    Steer::begin(&shared.handle, "deploy-1");
    let mut before = vec![false; 10_000];
    for share in [1, 5, 25, 50, 100] {
        shared.handle.set_weight(percent(share));
        let drawn = shared.canarys(10_000);
        assert_eq!(drawn, shared.canarys(10_000), "whoever comes back goes where it was");
        let left = before.iter().zip(&drawn).filter(|(was, is)| **was && !**is).count();
        assert_eq!(left, 0, "at {share} %");
        let (expected, found) = (f64::from(share) * 100.0, count(&drawn) as f64);
        let spread = (expected * (1.0 - expected / 10_000.0)).sqrt();
        assert!((found - expected).abs() <= 4.0 * spread, "{found} of {expected}");
        before = drawn;
    }
    let drawn = |shared: &mut Shared, rollout| {
        Steer::begin(&shared.handle, rollout);
        shared.handle.set_weight(percent(5));
        shared.canarys(10_000)
    };
    let (first, second) = (drawn(&mut shared, "deploy-1"), drawn(&mut shared, "deploy-2"));
    let mut elsewhere = self::shared(|_, _| false);
    assert_eq!(drawn(&mut elsewhere, "deploy-2"), second, "in every process the same");
    let both = first.iter().zip(&second).filter(|(a, b)| **a && **b).count();
    assert!(both < 60, "{both} of 500 are the guinea pigs again");
}

#[test]
fn a_caller_counts_once_in_a_period_and_again_in_the_next_stage() {
    let mut shared = shared(|_, _| false);
    shared.handle.set_weight(percent(5));
    // Nobody drives it: the calls themselves see that time goes by.
    let pass = |shared: &mut Shared, seconds: u64| {
        for _ in 0..seconds {
            shared.hand.advance(Duration::from_secs(1));
            shared.canarys(1_000);
            shared.canarys(1_000);
        }
        shared.counted() as f64 / 1_000.0
    };
    let first = pass(&mut shared, 10);
    assert!((1.0..1.35).contains(&first), "all, and some of them in their next period: {first}");
    let later = pass(&mut shared, 300) - first;
    assert!((9.7..10.1).contains(&later), "ten periods: {later}");
    shared.handle.set_weight(percent(25));
    let next = pass(&mut shared, 10) - first - later;
    assert!((1.0..1.35).contains(&next), "in the next stage: {next}");
}

/// One caller of the canary makes half of all calls, and they all fail, or every other does.
#[test]
fn one_noisy_caller_rolls_nobody_back() {
    for flaps in [false, true] {
        let noisy = Rc::new(Cell::new(u32::MAX));
        let (mark, n) = (Rc::clone(&noisy), Cell::new(0_u64));
        let mut shared = shared(move |caller, _| {
            n.set(n.get() + 1);
            caller == mark.get() && (!flaps || n.get() % 2 == 0)
        });
        shared.handle.set_weight(percent(5));
        let first = shared.canarys(400).iter().position(|is| *is).unwrap() as u32;
        noisy.set(first);
        for tick in 0..4 * 3_600_u32 {
            let others = (0..10).map(|i| (tick * 10 + i) % 400);
            shared.tick(others.flat_map(|other| [other, first]));
        }
        assert_eq!(shared.verdict(), Verdict::Promotable, "an hour of it, flapping: {flaps}");
        assert!(shared.handle.snapshot().totals.errors.canary.bad <= 1);
    }
}

/// One caller in a hundred always fails, and most calls come from a few: nobody's fault but theirs.
#[test]
fn callers_that_always_fail_blame_no_version_in_any_stage() {
    let rolled_back = |seed: &u64| -> bool {
        let mut shared = shared(|caller, _| caller % 100 == 17);
        Steer::begin(&shared.handle, &format!("deploy-{seed}"));
        let mut random = *seed;
        for share in [1, 5, 25, 50] {
            shared.handle.set_weight(percent(share));
            for _ in 0..100 {
                let mut caller = || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
                    (2_000.0 * unit.powi(4)) as u32
                };
                let callers: Vec<u32> = (0..100).map(|_| caller()).collect();
                shared.tick(callers);
            }
        }
        shared.verdict().is_roll_back()
    };
    let wrong = (0..40).filter(rolled_back).count();
    assert_eq!(wrong, 0, "of forty rollouts");
}

#[test]
fn a_version_that_fails_from_some_time_on_is_found_though_all_its_callers_are_known() {
    let broken = Rc::new(Cell::new(false));
    let is_broken = Rc::clone(&broken);
    let mut shared = shared(move |_, arm| arm == Arm::Canary && is_broken.get());
    shared.handle.set_weight(percent(5));
    for _ in 0..400 {
        shared.tick(0..1_000);
    }
    broken.set(true);
    let mut ticks = 0;
    while !shared.verdict().is_roll_back() && ticks < 1_000 {
        shared.tick(0..1_000);
        ticks += 1;
    }
    assert!(ticks <= 4 * 32, "within a period: {ticks} ticks");
    assert_eq!(shared.verdict(), Verdict::RollBack(Cause::Worse(Stream::Errors)));
}

#[test]
fn an_outage_of_both_rolls_nobody_back_and_silences_nobody_after_it() {
    let (down, broken) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (is_down, is_broken) = (Rc::clone(&down), Rc::clone(&broken));
    let mut shared = shared(move |_, arm| is_down.get() || arm == Arm::Canary && is_broken.get());
    shared.handle.set_weight(percent(25));
    let pass = |shared: &mut Shared, seconds: u32| {
        for _ in 0..4 * seconds {
            shared.tick(0..1_000);
        }
    };
    pass(&mut shared, 40);
    down.set(true);
    pass(&mut shared, 40);
    assert_eq!(shared.verdict(), Verdict::Held);
    down.set(false);
    pass(&mut shared, 60);
    assert!(!shared.verdict().is_roll_back() && shared.verdict() != Verdict::Held);
    let before = shared.handle.snapshot().totals.errors.canary;
    pass(&mut shared, 31);
    assert!(shared.handle.snapshot().totals.errors.canary.calls > before.calls, "they count again");
    broken.set(true);
    pass(&mut shared, 32);
    assert!(shared.verdict().is_roll_back());
}

#[test]
fn calls_that_are_nobodys_are_drawn_one_by_one_and_all_count() {
    let (config, _hand) = config();
    let canary = Canary::new(config).unwrap().sticky(|_: &u32| None);
    let handle = canary.handle();
    let version = |arm| service_fn(move |_: u32| ready(Ok::<_, Error<Failed>>(arm)));
    let mut split = canary.split(version(Arm::Baseline), version(Arm::Canary));
    handle.set_weight(percent(50));
    let drawn = (0..1_000).filter(|_| call(&mut split, 7) == Ok(Arm::Canary)).count();
    assert!((400..600).contains(&drawn), "{drawn}");
    let totals = handle.snapshot().totals.errors;
    assert_eq!(totals.canary.calls + totals.baseline.calls, 1_000);
}

#[test]
fn in_the_preset_a_rollouts_callers_keep_their_version_and_wrong_answers_roll_it_back() {
    let (clock, hand) = Clock::manual();
    let stack = stack::payment("ledger")
        .clock(clock)
        .no_ready_in_call()
        .canary(CanaryConfig::new("ledger-v2").learn(Duration::ZERO).no_warm_up(), |canary| {
            let check = |asked: &u32, told: &(u32, Arm)| match told.0 == *asked {
                true => Data::Ok,
                false => Data::Bad,
            };
            canary.sticky(by_caller).check(check)
        })
        .rollout(RolloutConfig::new("ledger").stages([0.3, 1.0]))
        .build()
        .unwrap();
    let version = |arm: Arm, adds: u32| {
        service_fn(move |asked: u32| ready(Ok::<_, Failed>((asked + adds, arm))))
    };
    let mut ledger = stack.split(version(Arm::Baseline, 0), version(Arm::Canary, 1));
    let handles = &stack.handles().canary;
    handles.rollout.start("deploy-117", "v2").unwrap();
    handles.rollout.tick();
    let mut drawn = |n: u32| -> Vec<Arm> {
        (0..n).map(|caller| call(&mut ledger, caller).unwrap().1).collect()
    };
    let first = drawn(20);
    assert!(first.contains(&Arm::Canary) && first.contains(&Arm::Baseline));
    assert_eq!(drawn(20), first);
    for _ in 0..40 {
        drawn(200);
        hand.advance(TICK);
        handles.rollout.tick();
    }
    let decided = handles.comparison.snapshot();
    assert_eq!(decided.verdict, Verdict::RollBack(Cause::Worse(Stream::BadData)));
    assert!(drawn(200).iter().all(|arm| *arm == Arm::Baseline), "everybody goes home");
}
