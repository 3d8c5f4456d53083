//! One run: a plan, a contender, and all that was seen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::contenders::{Client, Contender, Site};
use super::downstream::{Answer, Downstream, Request};
use super::record::{Outcome, Record, Row, Second, Seen};
use super::rng::Rng;
use super::scenarios::Plan;
use super::trace::{Arrival, arrivals};
use super::{Nanos, SECOND, world_time};

/// How long a caller waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the plan with this contender's clients between the callers and the service.
pub(super) fn run(plan: &Plan, contender: &Contender) -> Row {
    let arrivals = Arc::new(arrivals(plan));
    let world = world(plan.clone(), *contender, Arc::clone(&arrivals));
    let (record, tally) = world_time::in_virtual_time(plan.seed, world);
    Row::new(plan, contender.name, &arrivals, record, &tally)
}

/// What all callers share.
struct Stage {
    plan: Plan,
    downstream: Downstream,
    clients: Vec<Box<dyn Client>>,
    record: Mutex<Record>,
    start: Instant,
}

async fn world(
    plan: Plan,
    contender: Contender,
    arrivals: Arc<Vec<Arrival>>,
) -> (Record, super::downstream::Tally) {
    let attempts = plan.scenario.repeats as usize + 1;
    let measured = (plan.trigger, plan.over);
    let numbers = arrivals.len() * attempts;
    let downstream = Downstream::new(plan.script.clone(), plan.seed, measured, numbers);
    let start = Instant::now();
    let site = Site { downstream: downstream.clone(), plan: plan.clone() };
    let clients = (0..plan.scenario.clients).map(|number| (contender.make)(&site, number));
    let record = Record {
        seen: vec![Seen::default(); arrivals.len()],
        seconds: vec![Second::default(); plan.seconds() + 10],
        first_kept_off: None,
    };
    let stage = Arc::new(Stage {
        clients: clients.collect(),
        record: Mutex::new(record),
        downstream: downstream.clone(),
        start,
        plan,
    });
    let driver = tokio::spawn(downstream.clone().drive());
    let watch = tokio::spawn(watch(Arc::clone(&stage)));
    for (index, arrival) in arrivals.iter().enumerate() {
        sleep_until(start + Duration::from_nanos(arrival.at)).await;
        tokio::spawn(caller(Arc::clone(&stage), index, *arrival));
    }
    // The last callers' patience, repetitions included.
    tokio::time::sleep(PATIENCE * 2 * attempts as u32).await;
    driver.abort();
    watch.abort();
    let record = std::mem::take(&mut *stage.lock());
    (record, downstream.tally())
}

/// How much the service has on its hands, second by second.
async fn watch(stage: Arc<Stage>) {
    for second in 0..stage.plan.seconds() {
        sleep_until(stage.start + Duration::from_secs(second as u64 + 1)).await;
        let in_flight = stage.downstream.in_flight() as u32;
        stage.lock().seconds[second].in_flight = in_flight;
    }
}

/// One caller: asks, waits, and perhaps asks again.
async fn caller(stage: Arc<Stage>, index: usize, arrival: Arrival) {
    let attempts = stage.plan.scenario.repeats + 1;
    let began = stage.now();
    let mut seen = Seen::default();
    for attempt in 0..attempts {
        let id = index as u64 * attempts + attempt;
        let keyed = stage.plan.scenario.keyed;
        let request = Request { id, key: arrival.key, kind: arrival.kind, keyed };
        let asked = stage.now();
        let reply = stage.clients[arrival.client].call(request);
        let result = timeout_at(stage.start + Duration::from_nanos(asked) + PATIENCE, reply).await;
        seen = Seen {
            outcome: judge(&request, asked, result.unwrap_or(None)),
            took: stage.now() - began,
            reached: stage.downstream.reached(id),
        };
        stage.note(asked, seen);
        if seen.outcome != Outcome::Failed {
            break;
        }
        if attempt + 1 < attempts {
            let pause = Rng::of(stage.plan.seed ^ 0x9a5e, id).between(0.2, 1.0);
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        }
    }
    stage.lock().seen[index] = seen;
}

fn judge(request: &Request, asked: Nanos, answer: Option<Answer>) -> Outcome {
    let Some(answer) = answer else {
        return Outcome::Failed;
    };
    let another = (answer.key, answer.kind) != (request.key, request.kind)
        || (!request.is_read() && answer.id != request.id);
    let old = answer.given_at < asked;
    if another || answer.corrupted || (old && !answer.stale) || (answer.stale && !request.is_read())
    {
        Outcome::Wrong
    } else if answer.stale {
        Outcome::Stale
    } else {
        Outcome::Fresh
    }
}

impl Stage {
    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Nanos {
        self.start.elapsed().as_nanos() as Nanos
    }

    fn note(&self, asked: Nanos, seen: Seen) {
        let now = self.now();
        let mut record = self.lock();
        if let Some(second) = record.seconds.get_mut((asked / SECOND) as usize) {
            second.offered += 1;
        }
        if !seen.reached && asked >= self.plan.trigger && record.first_kept_off.is_none() {
            record.first_kept_off = Some(now);
        }
        if let Some(second) = record.seconds.get_mut((now / SECOND) as usize) {
            match seen.outcome {
                Outcome::Fresh => second.fresh += 1,
                Outcome::Stale => second.stale += 1,
                Outcome::Failed | Outcome::Wrong => second.failed += 1,
            }
            second.kept_off += u32::from(!seen.reached);
        }
    }
}
