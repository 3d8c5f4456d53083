//! Objectives: what a layer records, and who hears of an alert.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::clock::{Clock, ManualClock};
use seawall::error::{BoxError, Carry, Error, Reason, Rejected, Room};
use seawall::event::{BurnAlert, Event, Kind};
use seawall::outcome::{Classify, Outcome};
use seawall::slo::{Alert, Objective, Slo, SloLayer, StaleAs};
use seawall::stale::{Answer, Cause, MarkStale, Staleness};
use tower::{Layer, ServiceExt, service_fn};

fn manual(objective: Objective) -> (Slo, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Slo::new(objective.clock(clock)).unwrap(), hand)
}

fn counted(slo: &Slo, hand: &ManualClock) -> (u64, u64) {
    hand.advance(Duration::from_secs(5));
    slo.tick();
    let snapshot = slo.snapshot();
    (snapshot.total, snapshot.bad)
}

type Reply = Result<u32, BoxError>;

async fn call(slo: &Slo, reply: fn() -> Reply) -> Reply {
    SloLayer::new(slo).layer(service_fn(move |()| std::future::ready(reply()))).oneshot(()).await
}

#[tokio::test]
async fn answers_are_good_errors_bad_and_refusals_nobodys_fault() {
    let (slo, hand) = manual(Objective::availability("payments", 0.99));
    for _ in 0..3 {
        call(&slo, || Ok(1)).await.unwrap();
    }
    call(&slo, || Err("503".into())).await.unwrap_err();
    let refused = || {
        let full = Rejected::new(Room::Bulkhead, Reason::BulkheadFull, "payments");
        Err(BoxError::from_rejected(full))
    };
    call(&slo, refused).await.unwrap_err();
    let timed_out = || {
        let late = Rejected::new(Room::Timeout, Reason::TimedOut, "payments").after_sending();
        Err(BoxError::from_rejected(late))
    };
    call(&slo, timed_out).await.unwrap_err();
    assert_eq!(counted(&slo, &hand), (5, 2), "the refusal that wasn't sent is not counted");
}

/// Refusals are failures: as the user sees it.
#[derive(Clone)]
struct UserSees;

impl Classify<u32, BoxError> for UserSees {
    fn classify(&self, result: Result<&u32, &BoxError>) -> Outcome {
        if result.is_ok() { Outcome::Success } else { Outcome::Failure }
    }

    fn rejected(&self, _: &Rejected) -> Outcome {
        Outcome::Failure
    }
}

#[tokio::test]
async fn what_a_refusal_is_can_be_said_explicitly() {
    let (slo, hand) = manual(Objective::availability("payments", 0.99));
    let refusing = service_fn(|()| async {
        let open = Rejected::new(Room::Breaker, Reason::CircuitOpen, "payments");
        Err::<u32, _>(BoxError::from_rejected(open))
    });
    let service = SloLayer::new(&slo).classify(UserSees).layer(refusing);
    service.oneshot(()).await.unwrap_err();
    assert_eq!(counted(&slo, &hand), (1, 1));
}

#[tokio::test]
async fn what_a_stale_answer_is_can_be_said_explicitly() {
    let staleness =
        Staleness { age: Duration::from_secs(9), cause: Cause::Failed(Outcome::Failure) };
    for (outcome, want) in
        [(Outcome::Success, (2, 0)), (Outcome::Failure, (2, 1)), (Outcome::Ignored, (1, 0))]
    {
        let (slo, hand) = manual(Objective::availability("payments", 0.99));
        let by = StaleAs::new(outcome, seawall::outcome::ByResult);
        let service = SloLayer::new(&slo).classify(by).layer(service_fn(move |stale: bool| {
            let answer = Answer::fresh(7);
            let answer = if stale { answer.mark_stale(staleness) } else { answer };
            async move { Ok::<_, Error<BoxError>>(answer) }
        }));
        service.clone().oneshot(false).await.unwrap();
        service.oneshot(true).await.unwrap();
        assert_eq!(counted(&slo, &hand), want, "{outcome:?}");
    }
}

#[tokio::test]
async fn an_objective_on_latency_counts_late_answers_as_bad() {
    let (clock, hand) = Clock::manual();
    let objective = Objective::latency("payments", 0.99, Duration::from_millis(400));
    let slo = Slo::new(objective.clock(clock)).unwrap();
    let takes = hand.clone();
    let service = SloLayer::new(&slo).layer(service_fn(move |ms: u64| {
        takes.advance(Duration::from_millis(ms));
        async { Ok::<_, BoxError>(()) }
    }));
    for ms in [399, 400, 8_000] {
        service.clone().oneshot(ms).await.unwrap();
    }
    assert_eq!(counted(&slo, &hand), (3, 2), "in less than 400 ms is good");
}

#[tokio::test]
async fn a_dropped_call_is_not_counted_and_a_panic_is_bad() {
    let (slo, hand) = manual(Objective::availability("payments", 0.99));
    let hangs = SloLayer::new(&slo).layer(service_fn(|()| std::future::pending::<Reply>()));
    let mut hanging = tokio_test::task::spawn(hangs.oneshot(()));
    assert!(hanging.poll().is_pending());
    drop(hanging);
    let panics = SloLayer::new(&slo).layer(service_fn(|()| async { panic!("told to") }));
    let panicked = tokio::spawn(async move {
        let _: Reply = panics.oneshot(()).await;
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(counted(&slo, &hand), (1, 1));
}

/// A second of a hundred calls, good or bad.
fn second_of<'a>(slo: &'a Slo, hand: &'a ManualClock) -> impl Fn(bool) + 'a {
    move |good| {
        (0..100).for_each(|_| slo.record(good));
        hand.advance(Duration::from_secs(1));
        slo.tick();
    }
}

#[test]
fn an_alert_is_told_once_when_it_fires_and_once_when_it_ends() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let objective = Objective::availability("payments", 0.999).observe(move |event: &Event| {
        if let Kind::Burn(burn) = &event.kind {
            log.lock().unwrap().push(*burn);
        }
    });
    let (slo, hand) = manual(objective);
    let second = second_of(&slo, &hand);
    (0..3_600).for_each(|_| second(true));
    (0..60).for_each(|_| second(false));
    assert!(slo.snapshot().firing(Alert::PageFast));
    let left = slo.snapshot().budget_left.unwrap();
    assert!(left < 0.0, "a minute of nothing is more than an hour's share: {left}");
    (0..600).for_each(|_| second(true));
    assert!(!slo.snapshot().firing(Alert::PageFast));

    let heard = heard.lock().unwrap();
    let pages: Vec<&BurnAlert> = heard.iter().filter(|burn| burn.alert == "page_fast").collect();
    assert_eq!(pages.iter().map(|burn| burn.fires).collect::<Vec<_>>(), [true, false]);
    assert!(pages[0].long_burn > 14.4 && pages[0].short_burn > 14.4, "{:?}", pages[0]);
    assert!(pages[1].short_burn <= 14.4, "the short window ends it: {:?}", pages[1]);
}

#[test]
fn calls_take_stock_by_themselves_while_there_are_many() {
    let (slo, hand) = manual(Objective::availability("payments", 0.999));
    for _ in 0..120 {
        for _ in 0..1_000 {
            slo.record(false);
        }
        hand.advance(Duration::from_secs(1));
    }
    assert!(slo.snapshot().firing(Alert::PageFast), "nobody called tick");
}

#[test]
fn a_clock_that_goes_back_or_jumps_an_hour_blinds_no_alert() {
    for jump in [false, true] {
        let (slo, hand) = manual(Objective::availability("payments", 0.999));
        let second = second_of(&slo, &hand);
        (0..3_600).for_each(|_| second(true));
        let hour = Duration::from_secs(3_600);
        if jump {
            hand.advance(hour)
        } else {
            hand.set_back(hour)
        }
        (0..120).for_each(|_| second(false));
        assert!(slo.snapshot().firing(Alert::PageFast), "jump: {jump}");
        (0..2 * 3_600).for_each(|_| second(true));
        assert!(!slo.snapshot().firing(Alert::PageFast), "jump: {jump}");
    }
}

#[test]
fn at_an_objective_of_everything_the_alert_reads_well_and_ends() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let objective = Objective::availability("ledger", 1.0);
    let (slo, hand) = manual(objective.observe(move |event: &Event| {
        log.lock().unwrap().push(event.to_string());
    }));
    for second in 0..(4 * 86_400) {
        slo.record(!(100..102).contains(&second));
        hand.advance(Duration::from_secs(1));
        slo.tick();
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard[0], "ledger: the error budget burns too fast (page_fast): no call may be bad");
    assert_eq!(heard.len(), 6, "three alerts, each once, and their ends: {heard:#?}");
    assert!(heard.iter().all(|text| !text.contains("inf") && !text.contains("NaN")), "{heard:#?}");
}

#[test]
fn absurd_objectives_are_typed_errors() {
    for target in [0.0, -1.0, 1.000_001, f64::NAN, f64::INFINITY] {
        let error = Slo::new(Objective::availability("x", target)).unwrap_err();
        assert_eq!(error.field(), "target", "{target}");
    }
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let objective = Objective::availability("x", 0.99).factors(14.4, factor, 1.0);
        assert_eq!(Slo::new(objective).unwrap_err().field(), "factors", "{factor}");
    }
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    for (long, short) in [
        (Duration::ZERO, Duration::ZERO),
        (minute, Duration::ZERO),
        (minute, minute),
        (minute, 2 * minute),
        (minute * 5, minute - Duration::from_nanos(1)),
        (minute * 5, minute + Duration::from_millis(1)),
        (30 * day + minute, minute),
        (Duration::MAX, minute),
    ] {
        for alert in Alert::ALL {
            let objective = Objective::availability("x", 0.99).windows(alert, long, short);
            let error = Slo::new(objective).unwrap_err();
            assert_eq!(error.field(), "windows", "{long:?} {short:?}: {error}");
        }
    }
    let widest = Objective::availability("x", 0.99).windows(Alert::Ticket, 30 * day, minute);
    assert_eq!(Slo::new(widest).unwrap().snapshot().burns.len(), 6, "each window once");
    let error = Slo::new(Objective::latency("x", 0.99, Duration::ZERO)).unwrap_err();
    assert_eq!(error.field(), "within");
    assert!(Slo::new(Objective::availability("x", 1.0)).is_ok());
}
