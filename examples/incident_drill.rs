//! Three incidents, played in virtual time: a service that becomes slow, one that is down, and a new version
//! that answers wrongly. What its callers got, how soon the stack noticed, and how soon all was well again.
//!
//! ```sh
//! cargo run --release --example incident_drill --features cache,test-util
//! ```
//!
//! Nothing is waited for: with the feature `test-util`, seawall's clocks follow tokio's paused one. The stack is
//! what you would write; begin to read at [`payments`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall::canary::{CanaryConfig, CanaryHandle, Data};
use seawall::event::{Circuit, Event, Gravity, Kind};
use seawall::fallback::CachedConfig;
use seawall::key::Key;
use seawall::ratio::Ratio;
use seawall::stack::{self, Boxed};
use seawall::stale::Answer;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{ServiceExt, service_fn};

/// What is asked: an account's balance, or a charge to it.
#[derive(Clone, Copy)]
enum Request {
    Balance { account: u64 },
    Charge { account: u64 },
}

/// A balance, in cents.
type Cents = u64;
type Payments = Boxed<Request, Answer<Cents>, seawall::Error<Unavailable>>;

/// The service's 503.
#[derive(Debug)]
struct Unavailable;

/// The stack: the preset, told which calls are reads, and how to tell a wrong answer.
fn payments(service: &Service, log: &Arc<Log>) -> (Payments, CanaryHandle) {
    let log = Arc::clone(log);
    let stack = stack::payment("payments")
        .cached(CachedConfig::new("payments", |request: &Request| match request {
            Request::Balance { account } => Some(Key::of(account)),
            Request::Charge { .. } => None,
        }))
        .canary(CanaryConfig::new("payments-v2").no_warm_up(), |canary| {
            canary.check(
                |request: &Request, answer: &Answer<Cents>| {
                    if answer.value == right(*request) { Data::Ok } else { Data::Bad }
                },
            )
        })
        .observe(move |event: &Event| log.hear(event))
        .build()
        .expect("the settings are in their ranges");
    let (stable, new) = (service.clone(), service.clone());
    let v1 = service_fn(move |request| stable.clone().serve(request, false));
    let v2 = service_fn(move |request| new.clone().serve(request, true));
    let canary = stack.handles().canary.comparison.clone();
    (Boxed::new(stack.split(v1, v2)), canary)
}

fn right(request: Request) -> Cents {
    match request {
        Request::Balance { account } => 10_000 + account,
        Request::Charge { account } => 9_900 + account,
    }
}

/// What ails the service.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Slow,
    Down,
}

/// The payment service; the new version corrupts what it answers.
#[derive(Clone)]
struct Service(Arc<Mutex<(Fault, u64)>>);

impl Service {
    fn state(&self) -> MutexGuard<'_, (Fault, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fault: Fault) {
        *self.state() = (fault, 0);
    }

    async fn serve(self, request: Request, new: bool) -> Result<Answer<Cents>, Unavailable> {
        let fault = {
            let mut state = self.state();
            state.1 += 1;
            state.0
        };
        match fault {
            Fault::None => sleep(Duration::from_millis(120)).await,
            Fault::Slow => sleep(Duration::from_secs(8)).await,
            Fault::Down => return Err(Unavailable),
        }
        let corrupted = if new { 1_000_000 } else { 0 };
        Ok(Answer::fresh(right(request) + corrupted))
    }
}

/// What callers got since somebody last asked.
#[derive(Clone, Copy, Default)]
struct Got {
    fresh: u32,
    stale: u32,
    refused: u32,
    wrong: u32,
}

/// The timeline as it is printed, and what happened when.
struct Log {
    start: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    opened: Option<Instant>,
    closed: Option<Instant>,
    rolled_back: Option<Instant>,
    got: Got,
}

impl Log {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, what: &str) {
        let ms = self.start.elapsed().as_millis();
        println!("  {:>2}:{:02}.{}  {what}", ms / 60_000, ms / 1_000 % 60, ms / 100 % 10);
    }

    fn hear(&self, event: &Event) {
        let now = Instant::now();
        match &event.kind {
            Kind::Transition(step) => match step.to {
                // Probes that fail open it again and again; the first time is what counts.
                Circuit::Open if self.seen().opened.is_none() => {
                    self.seen().opened = Some(now);
                    self.say(&format!("{event}"));
                }
                Circuit::Closed => {
                    self.seen().closed = Some(now);
                    self.say(&format!("{event}"));
                }
                _ => {}
            },
            Kind::StaleShare(_) => self.say(&format!("{event}")),
            // Of the verdicts on the canary, those that speak against it.
            Kind::Judged(_) if event.kind.gravity() > Gravity::Note => {
                if event.kind.as_str() == "canary_roll_back" {
                    self.seen().rolled_back = Some(now);
                }
                self.say(&format!("{event}"));
            }
            _ => {}
        }
    }

    fn tell_minute(&self, sent: u64) {
        let Got { fresh, stale, refused, wrong } = std::mem::take(&mut self.seen().got);
        let mut line = format!(
            "   callers: {fresh} fresh, {stale} with the last known answer, {refused} refused"
        );
        if wrong > 0 {
            line += &format!(", {wrong} WRONG");
        }
        self.say(&format!("{line}; the service got {sent} calls"));
    }
}

/// A scene: callers come, fifty a second, for so long.
async fn play(payments: &Payments, service: &Service, log: &Arc<Log>, length: Duration) {
    const EVERY: Duration = Duration::from_millis(20);
    let (begin, mut told) = (Instant::now(), Instant::now());
    for call in 0..(length.as_millis() / EVERY.as_millis()) as u64 {
        sleep_until(begin + EVERY * call as u32).await;
        let account = call * 7 % 200;
        let request = match call % 7 {
            0 => Request::Charge { account },
            _ => Request::Balance { account },
        };
        let (payments, log) = (payments.clone(), Arc::clone(log));
        let teller = Arc::clone(&log);
        tokio::spawn(async move {
            let answer = timeout(Duration::from_secs(2), payments.oneshot(request)).await;
            let got = &mut log.seen().got;
            match answer {
                Ok(Ok(answer)) if answer.value != right(request) => got.wrong += 1,
                Ok(Ok(answer)) if answer.is_stale() => got.stale += 1,
                Ok(Ok(_)) => got.fresh += 1,
                _ => got.refused += 1,
            }
        });
        if told.elapsed() >= Duration::from_secs(60) {
            told = Instant::now();
            teller.tell_minute(std::mem::take(&mut service.state().1));
        }
    }
    sleep_until(begin + length).await;
}

/// Well, ill for so long, well again; then what is to be learnt.
async fn incident(title: &str, fault: Fault, begins: &str, ill: Duration) {
    println!("\n{title}\n");
    let (service, log) = stage();
    let (payments, _) = payments(&service, &log);
    let well = Duration::from_secs(20);
    log.say("all is well: 50 calls a second, 120 ms each");
    play(&payments, &service, &log, well).await;
    log.seen().got = Got::default();
    log.say(begins);
    service.set(fault);
    let trigger = Instant::now();
    play(&payments, &service, &log, ill).await;
    log.say("the service is well again");
    service.set(Fault::None);
    let over = Instant::now();
    log.seen().closed = None;
    play(&payments, &service, &log, well).await;
    let seen = log.seen();
    let since = |at: Option<Instant>, from: Instant| match at {
        Some(at) => format!("{:.1} s", at.saturating_duration_since(from).as_secs_f64()),
        None => "never".to_owned(),
    };
    println!(
        "\n  time to detect: {}    time to recover, once the service was well: {}",
        since(seen.opened, trigger),
        since(seen.closed, over),
    );
}

/// A new version gets a twentieth of the calls, and corrupts what it answers.
async fn bad_deploy() {
    println!("\n3. A bad deployment: the new version corrupts balances\n");
    let (service, log) = stage();
    let (payments, canary) = payments(&service, &log);
    log.say("all is well; the canary has no calls, and its baseline is learnt");
    play(&payments, &service, &log, Duration::from_secs(40)).await;
    log.seen().got = Got::default();
    log.say("version 2 is deployed, and gets 5 % of the calls");
    let trigger = Instant::now();
    canary.set_weight(Ratio::percent(5).expect("a share"));
    play(&payments, &service, &log, Duration::from_secs(60)).await;
    sleep(Duration::from_secs(2)).await;
    let seen = log.seen();
    let Got { wrong, fresh, .. } = seen.got;
    let found = seen.rolled_back.map(|at| at.saturating_duration_since(trigger).as_secs_f64());
    let answers = canary.snapshot().totals.bad_data.canary.calls;
    println!(
        "\n  time to detect and roll back: {} s, by {answers} answers of version 2\n  \
         wrong answers: {wrong}, all before the verdict; right ones: {fresh}",
        found.map_or("never".to_owned(), |seconds| format!("{seconds:.1}")),
    );
}

fn stage() -> (Service, Arc<Log>) {
    let service = Service(Arc::new(Mutex::new((Fault::None, 0))));
    (service, Arc::new(Log { start: Instant::now(), seen: Mutex::default() }))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    seawall::rng::seed_thread(1);
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let slow = "the service becomes slow: 8 s a call";
    incident("1. Latency: 120 ms become 8 s, for ten minutes", Fault::Slow, slow, minutes(10))
        .await;
    let down = "the service answers 503";
    incident("2. Outage: 503, for twelve minutes", Fault::Down, down, minutes(12)).await;
    bad_deploy().await;
}
