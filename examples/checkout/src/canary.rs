//! Two versions of the payment service behind one client: a bad deployment, and an outage of both.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::uri::{Authority, Scheme};
use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use seawall::audit::Step;
use seawall::canary::{CanaryConfig, Data};
use seawall::event::{Event, Kind as EventKind};
use seawall::http::ByStatus;
use seawall::rollout::{Command, Rollout, RolloutConfig};
use seawall::stack::{self, Boxed};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::answer::{self, Answer, Kind};
use crate::checkout;
use crate::client::{PaymentClient, Stack, Watch, Wire};
use crate::clock::{self, SECOND};
use crate::ledger::{Ledger, Tally};
use crate::load::{DEADLINE, Limits, Load};
use crate::payment::Payment;
use crate::run::{GRACE, SEED, Server, until};
use crate::script::Fault;
use crate::term;
use crate::traffic::Traffic;

/// A real rollout watches the baseline for 30 s; nobody wants to wait so long for a demonstration.
const LEARN: Duration = Duration::from_secs(5);
/// How long a story plays.
const LENGTH: u64 = 25 * SECOND;
/// When both versions are sick, in the second story.
const OUTAGE: std::ops::Range<u64> = 10 * SECOND..16 * SECOND;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// The new version quotes other amounts, quickly and with 200.
    Corrupted,
    /// What both versions need is down for a while.
    OutageInBoth,
}

/// What came of one story.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// How many calls the new version had got when it was rolled back; nothing if it wasn't.
    pub(crate) rolled_back_after_calls: Option<u64>,
    /// Wrong answers that callers got.
    pub(crate) wrong_served: u64,
    /// How often the command that undoes the deployment ran.
    pub(crate) hook_runs: u64,
    pub(crate) offered: u64,
    /// Why, by what evidence.
    pub(crate) explanation: Option<String>,
}

/// Both stories.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CanaryReport {
    pub(crate) corrupted_balances: Figures,
    pub(crate) outage_in_both: Figures,
}

impl CanaryReport {
    /// What must not be in a run that ends well.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Self { corrupted_balances: bad, outage_in_both: outage } = self;
        match bad.rolled_back_after_calls {
            None => problems.push("the bad version was not rolled back".to_owned()),
            // Only what the new version answered can be wrong.
            Some(calls) if bad.wrong_served > calls => {
                problems.push("wrong answers were served after the rollback".to_owned());
            }
            Some(_) => {}
        }
        if bad.hook_runs != 1 {
            problems.push(format!("the command ran {} times", bad.hook_runs));
        }
        if outage.rolled_back_after_calls.is_some() || outage.hook_runs > 0 {
            problems.push("a good version was rolled back for an outage of both".to_owned());
        }
        if outage.wrong_served > 0 {
            problems.push("wrong answers in the outage".to_owned());
        }
        problems
    }

    pub(crate) fn say(&self) {
        for (name, figures) in [
            ("corrupted balances", &self.corrupted_balances),
            ("outage in both", &self.outage_in_both),
        ] {
            let Figures { wrong_served, hook_runs, offered, .. } = figures;
            let ended = match (&figures.rolled_back_after_calls, &figures.explanation) {
                (Some(calls), Some(why)) => format!("rolled back after {calls} calls: {why}"),
                _ => "not rolled back".to_owned(),
            };
            term::say(&format!("{name}: {ended}"));
            term::say(&format!(
                "    {offered} calls offered, {wrong_served} wrong answers served, the command ran {hook_runs} x"
            ));
        }
    }
}

/// Plays both.
pub(crate) async fn play(
    rps: u32,
    limits: &Limits,
    stop: &watch::Receiver<bool>,
) -> Result<CanaryReport, String> {
    term::say("A new version at 5 % quotes wrong amounts:");
    let corrupted_balances = one(Story::Corrupted, rps, limits, stop.clone()).await?;
    term::say("What both versions need is down:");
    let outage_in_both = one(Story::OutageInBoth, rps, limits, stop.clone()).await?;
    Ok(CanaryReport { corrupted_balances, outage_in_both })
}

async fn one(
    story: Story,
    rps: u32,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) -> Result<Figures, String> {
    let (old, new) = (Payment::new(), Payment::new());
    let (olds, news) = (
        Server::start(Arc::clone(&old).router()).await?,
        Server::start(Arc::clone(&new).router()).await?,
    );
    let told = Arc::new(Told::default());
    let versions = versions(news.address, &told)?;
    let _driving = Driving(versions.driving);
    let client = PaymentClient::of(versions.stack);
    let checkouts = Server::start(checkout::router(client, olds.address)).await?;
    let ledger = Arc::new(Ledger::default());
    let load = Load::new(checkouts.address, Arc::clone(&ledger), *limits);
    load.warm_up().await;
    ledger.begin_phase();
    if story == Story::Corrupted {
        new.set(Fault::Corrupts);
    }
    versions.rollout.start("deploy-117", "v2").map_err(|refused| refused.to_string())?;

    let mut traffic = Traffic::new(SEED);
    let begun = clock::now();
    let mut due = begun;
    while due < begun + LENGTH {
        tokio::select! {
            biased;
            () = until(due) => {}
            _ = stop.wait_for(|&stop| stop) => break,
        }
        if story == Story::OutageInBoth {
            let sick = OUTAGE.contains(&(due - begun));
            let fault = if sick { Fault::Outage } else { Fault::Healthy };
            old.set(fault);
            new.set(fault);
        }
        load.offer(traffic.next(), due);
        due += traffic.gap(rps);
    }
    let last = clock::now() + DEADLINE + GRACE;
    while load.waiting() > 0 && clock::now() < last {
        until(clock::now() + SECOND / 100).await;
    }
    let mut sum = Tally::default();
    ledger.phases().iter().for_each(|phase| sum.add(phase));
    let rolled_back = told.decision.get();
    Ok(Figures {
        rolled_back_after_calls: rolled_back.map(|(calls, _)| *calls),
        wrong_served: sum.wrong_answers(),
        // Relaxed: a counter nothing hangs on.
        hook_runs: told.hook_runs.load(Ordering::Relaxed),
        offered: sum.offered,
        explanation: rolled_back.map(|(_, why)| why.clone()),
    })
}

/// What the rollout told.
#[derive(Debug, Default)]
struct Told {
    /// The new version's calls at the decision, and the decision.
    decision: OnceLock<(u64, String)>,
    hook_runs: AtomicU64,
}

impl Told {
    fn hear(&self, event: &Event) {
        let EventKind::Rollout(audit) = &event.kind else { return };
        term::say(&format!("    {audit}"));
        match &audit.step {
            Step::RollbackDecided(decision) => {
                let calls = decision.totals.errors.canary.calls;
                let _ = self.decision.set((calls, decision.to_string()));
            }
            Step::HookSucceeded(_) => {
                // Relaxed: a counter nothing hangs on.
                self.hook_runs.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// The client of both versions.
struct Versions {
    stack: Stack,
    rollout: Rollout,
    driving: JoinHandle<()>,
}

/// Ends with the story.
struct Driving(JoinHandle<()>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn versions(new: SocketAddr, told: &Arc<Told>) -> Result<Versions, String> {
    let watch = Arc::new(Watch::default());
    let old = Wire::new(Arc::clone(&watch));
    let new = Elsewhere { wire: Wire::new(watch), to: new };
    let told = Arc::clone(told);
    let by_status = ByStatus::new().connect_errors(|error: &Error| error.is_connect());
    let compare = CanaryConfig::new("payments-v2").learn(LEARN).no_warm_up();
    // A real one would be `kubectl argo rollouts abort payments`.
    let undo = Command::new("echo").args(["kubectl", "argo", "rollouts", "abort", "payments"]);
    let stack = stack::payment("payments")
        .http()
        .classify(by_status)
        .canary(compare, move |canary| {
            canary.classify(by_status).check_kept(
                |request: &Request<Full<Bytes>>| request.uri().path().to_owned(),
                |path: &String, response: &Response<seawall::http::Body<Incoming>>| {
                    response.body().as_bytes().map_or(Data::Skip, |body| amount(path, body))
                },
            )
        })
        .rollout(RolloutConfig::new("payments").stages([0.05, 1.0]).hook(undo))
        .observe(move |event: &Event| told.hear(event))
        .build()
        .map_err(|error| error.to_string())?;
    let rollout = stack.handles().canary.rollout.clone();
    let driving = tokio::spawn(stack.drive().run());
    Ok(Versions { stack: Boxed::new(stack.split(old, new)), rollout, driving })
}

/// Is it the amount that the quote must have?
fn amount(path: &str, body: &[u8]) -> Data {
    let Some(key) = path.strip_prefix(Kind::Quote.path()) else { return Data::Skip };
    match serde_json::from_slice::<Answer>(body) {
        Ok(found) if found.detail == answer::quote(key.trim_start_matches('/')) => Data::Ok,
        Ok(_) => Data::Bad,
        // Not an answer but a failure, which the classifier tells.
        Err(_) => Data::Skip,
    }
}

/// The same client, to another address.
#[derive(Clone, Debug)]
struct Elsewhere {
    wire: Wire,
    to: SocketAddr,
}

impl Service<Request<Full<Bytes>>> for Elsewhere {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.wire.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        if let Some(uri) = elsewhere(request.uri(), self.to) {
            *request.uri_mut() = uri;
        }
        self.wire.call(request)
    }
}

fn elsewhere(uri: &Uri, to: SocketAddr) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(to.to_string().parse::<Authority>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rolled_back: Option<u64>, wrong_served: u64, hook_runs: u64) -> Figures {
        let explanation = rolled_back.map(|_| "bad_data".to_owned());
        let rolled_back_after_calls = rolled_back;
        Figures { rolled_back_after_calls, wrong_served, hook_runs, offered: 1_000, explanation }
    }

    fn problems(bad: Figures, outage: Figures) -> usize {
        CanaryReport { corrupted_balances: bad, outage_in_both: outage }.problems().len()
    }

    #[test]
    fn a_run_ends_well_only_if_the_bad_version_goes_once_and_the_good_one_stays() {
        let (bad, outage) = (|| figures(Some(60), 40, 1), || figures(None, 0, 0));
        assert_eq!(problems(bad(), outage()), 0);
        assert_eq!(problems(figures(None, 400, 0), outage()), 2);
        assert_eq!(problems(figures(Some(60), 61, 1), outage()), 1);
        assert_eq!(problems(figures(Some(60), 40, 2), outage()), 1);
        assert_eq!(problems(bad(), figures(Some(9), 0, 1)), 1);
    }

    #[test]
    fn a_request_goes_to_the_other_address_as_it_is() {
        let uri: Uri = "http://127.0.0.1:1/quotes/key-1?x=y".parse().unwrap();
        let moved = elsewhere(&uri, "127.0.0.1:2".parse().unwrap()).unwrap();
        assert_eq!(moved.to_string(), "http://127.0.0.1:2/quotes/key-1?x=y");
    }

    #[test]
    fn only_a_quotes_amount_is_checked() {
        let found = |detail: String| {
            let answer = Answer {
                kind: Kind::Quote,
                key: "key-1".into(),
                principal: "m".into(),
                sequence: 1,
                issued_us: 1,
                detail,
            };
            serde_json::to_vec(&answer).unwrap()
        };
        assert_eq!(amount("/quotes/key-1", &found(answer::quote("key-1"))), Data::Ok);
        assert_eq!(amount("/quotes/key-1", &found("1 cents".into())), Data::Bad);
        assert_eq!(amount("/methods/key-1", &found("1 cents".into())), Data::Skip);
        assert_eq!(amount("/quotes/key-1", b"busy"), Data::Skip);
    }
}
