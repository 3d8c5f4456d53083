//! A retry storm, in virtual time: a service that goes under for ten seconds, and the clients that
//! keep it there, or don't. The figures stand in the documentation of `seawall::retry`; this prints them:
//!
//! ```text
//! cargo test --release --features test-util --test storm -- --nocapture
//! ```
//!
//! The service has workers and a queue, and finishes what it has begun though nobody waits for it any
//! more. Callers come by themselves (open loop), and give an attempt up after a second. For ten seconds
//! the service is five times as slow; then it is well again. What happens next depends on the retries
//! alone: at 60 % load there is room for 1.2 times the calls, and none for 3 times.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use seawall::budget::{Budget, BudgetConfig};
use seawall::error::Error;
use seawall::request::Ask;
use seawall::retry::{RetryConfig, RetryHandle, RetryLayer};
use seawall::timeout::{TimeoutConfig, TimeoutLayer};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};
use tower::{ServiceBuilder, ServiceExt, service_fn};

const WORKERS: usize = 50;
const QUEUE: usize = 1_000;
const SERVICE_TIME: Duration = Duration::from_millis(120);
/// 60 % of what the workers can do.
const CALLS_PER_SECOND: u64 = 250;
const ATTEMPT: Duration = Duration::from_secs(1);

const TRIGGER_AT: u64 = 10;
const TRIGGER_ENDS: u64 = 20;
const END: u64 = 60;
const SLOWER: u32 = 5;
const BAD: std::ops::Range<usize> = TRIGGER_AT as usize + 1..TRIGGER_ENDS as usize + 5;

type Failure = Error<&'static str>;

/// Workers and a queue.
struct Server {
    busy: usize,
    queue: VecDeque<oneshot::Sender<()>>,
    slower: bool,
    /// Calls that came, by second.
    came: Vec<u32>,
    start: Instant,
}

type Shared = Rc<RefCell<Server>>;

fn serve(server: &Shared) -> Result<oneshot::Receiver<()>, Failure> {
    let mut state = server.borrow_mut();
    let second = state.start.elapsed().as_secs() as usize;
    if let Some(came) = state.came.get_mut(second) {
        *came += 1;
    }
    let (answer, answered) = oneshot::channel();
    if state.busy < WORKERS {
        state.busy += 1;
        spawn_local(work(Rc::clone(server), answer));
    } else if state.queue.len() < QUEUE {
        state.queue.push_back(answer);
    } else {
        return Err(Error::Inner("the queue is full"));
    }
    Ok(answered)
}

/// One worker: goes on with the queue, whoever still waits.
async fn work(server: Shared, mut answer: oneshot::Sender<()>) {
    loop {
        let slower = if server.borrow().slower { SLOWER } else { 1 };
        sleep(SERVICE_TIME * slower).await;
        let _ = answer.send(());
        let mut state = server.borrow_mut();
        match state.queue.pop_front() {
            Some(next) => answer = next,
            None => {
                state.busy -= 1;
                return;
            }
        }
    }
}

/// What became of the calls that began in each second: the share that was answered, in percent.
struct Seen {
    answered: Vec<u32>,
    came: Vec<u32>,
    retry: RetryHandle,
}

impl Seen {
    /// The second after the trigger from which on all calls were answered, to 99 %.
    fn recovered_after(&self) -> Option<u64> {
        let well = |answered: &u32| *answered >= 99;
        let bad = self.answered.iter().rposition(|answered| !well(answered))?;
        let from = bad as u64 + 1;
        (from < END - 2).then(|| from.saturating_sub(TRIGGER_ENDS))
    }

    fn answered_in_the_end(&self) -> u32 {
        let last = &self.answered[END as usize - 12..END as usize - 2];
        last.iter().sum::<u32>() / last.len() as u32
    }

    /// The calls that came in the bad time, for each that the callers made: from a second after the
    /// trigger's beginning, when the first attempts were given up, to five after its end.
    fn amplification(&self) -> f64 {
        let bad = &self.came[BAD];
        f64::from(bad.iter().sum::<u32>()) / (CALLS_PER_SECOND * bad.len() as u64) as f64
    }
}

fn run(attempts: u32, budget: BudgetConfig) -> Seen {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async move {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let server = Rc::new(RefCell::new(Server {
            busy: 0,
            queue: VecDeque::new(),
            slower: false,
            came: vec![0; END as usize],
            start,
        }));
        let config = RetryConfig::new("storm").attempts(attempts).seed(1);
        let retry = RetryLayer::new(config.budget(Budget::new(budget).unwrap())).unwrap();
        let handle = retry.handle();
        let backend = Rc::clone(&server);
        let client = ServiceBuilder::new()
            .layer(retry)
            .layer(TimeoutLayer::new(TimeoutConfig::new("storm").limit(ATTEMPT)).unwrap())
            .service(service_fn(move |_: Ask<()>| {
                let accepted = serve(&backend);
                async move {
                    accepted?.await.map_err(|_| Error::Inner("gone"))?;
                    Ok::<_, Failure>(())
                }
            }));
        let answered = Rc::new(RefCell::new(vec![0_u32; END as usize]));
        for i in 0..END * CALLS_PER_SECOND {
            let due = start + Duration::from_nanos(1_000_000_000 / CALLS_PER_SECOND * i);
            sleep_until(due).await;
            let now = Instant::now();
            server.borrow_mut().slower = (at(TRIGGER_AT)..at(TRIGGER_ENDS)).contains(&now);
            let (client, answered) = (client.clone(), Rc::clone(&answered));
            let second = (i / CALLS_PER_SECOND) as usize;
            spawn_local(async move {
                if client.oneshot(Ask::read(())).await.is_ok() {
                    answered.borrow_mut()[second] += 1;
                }
            });
        }
        sleep(ATTEMPT * 4).await;
        let percent = |calls: &u32| calls * 100 / CALLS_PER_SECOND as u32;
        let answered = answered.borrow().iter().map(percent).collect();
        let came = server.borrow().came.clone();
        Seen { answered, came, retry: handle }
    })
}

/// The row of the documentation's table, which must be there as it is printed.
fn tell(client: &str, seen: &Seen) {
    let calls = seen.amplification();
    let again = match seen.recovered_after() {
        Some(seconds) => format!("after {seconds} s"),
        None => format!(
            "**never**: {} % in the end, {} s after the trigger",
            seen.answered_in_the_end(),
            END - TRIGGER_ENDS
        ),
    };
    let row = format!("| {client} | {calls:.2} | {again} |");
    println!("{row}");
    for documented in [include_str!("../src/retry/mod.rs"), include_str!("../src/guide/retry.md")] {
        assert!(documented.contains(&row), "the documentation says otherwise: {row}");
    }
}

#[test]
fn retries_without_a_budget_keep_the_service_down_long_after_the_trigger() {
    // A ratio of 1 with this burst never says no: at most three attempts, and nothing else.
    let unlimited = BudgetConfig::new().ratio(1.0).burst(1_000_000).floor(1_000_000);
    let seen = run(3, unlimited);
    assert_eq!(seen.retry.snapshot().budget_empty, 0);
    assert!(seen.answered[..TRIGGER_AT as usize - 1].iter().all(|&percent| percent == 100));
    assert!(seen.answered_in_the_end() < 5, "{}", seen.answered_in_the_end());
    assert_eq!(seen.recovered_after(), None, "forty seconds after the trigger");
    assert!(seen.amplification() > 2.5, "{}", seen.amplification());
    tell("three attempts, no budget", &seen);
}

#[test]
fn with_a_budget_the_service_recovers_within_ten_seconds_of_the_trigger() {
    let seen = run(3, BudgetConfig::new());
    let after = seen.recovered_after().expect("recovered");
    assert!(after <= 10, "{after} s");
    assert_eq!(seen.answered_in_the_end(), 100);
    // A fifth, a floor of one a second, and a burst of twenty.
    let seconds = BAD.len() as f64;
    let most = 1.2 + (20.0 + seconds) / (CALLS_PER_SECOND as f64 * seconds);
    assert!(seen.amplification() <= most, "{}", seen.amplification());
    tell("three attempts, default `Budget`", &seen);
}

#[test]
fn a_client_that_never_retries_recovers_no_sooner_than_the_queue_drains() {
    let seen = run(1, BudgetConfig::new());
    assert_eq!(seen.answered_in_the_end(), 100);
    tell("no retry", &seen);
}
