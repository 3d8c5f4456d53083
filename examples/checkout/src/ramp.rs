//! The load test: calls rise step by step to twice the peak, and one looks for the step that breaks.
//!
//! The payment service is made small enough to break on one machine. Callers come at random and don't wait
//! for one another, so a service that can't keep up is found out: its queue grows from step to step.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use crate::args::{LoadArgs, Mode};
use crate::checkout;
use crate::client::PaymentClient;
use crate::clock::{self, SECOND};
use crate::ledger::{Ledger, Tally};
use crate::load::{DEADLINE, Limits, Load};
use crate::payment::Payment;
use crate::progress;
use crate::run::{GRACE, SEED, Server, until};
use crate::traffic::Traffic;

/// What one step came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// Calls a second, as planned.
    pub(crate) rps: u32,
    pub(crate) offered: u64,
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) wrong: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) peak_in_flight: u64,
}

impl Step {
    fn of(rps: u32, tally: &Tally, peak: usize) -> Self {
        Self {
            rps,
            offered: tally.offered,
            fresh: tally.fresh,
            stale: tally.stale,
            refused: tally.refused,
            failed: tally.failed,
            wrong: tally.wrong_answers(),
            p50_ms: tally.wait_ms(0.5),
            p90_ms: tally.wait_ms(0.9),
            p99_ms: tally.wait_ms(0.99),
            p999_ms: tally.wait_ms(0.999),
            max_ms: tally.wait_ms(1.0),
            peak_in_flight: peak as u64,
        }
    }

    /// Nobody was failed: p99 within the callers' patience, and no errors.
    pub(crate) fn holds(&self) -> bool {
        self.failed + self.refused + self.wrong == 0 && self.p99_ms * 1e3 <= DEADLINE as f64
    }

    pub(crate) fn answered(&self) -> f64 {
        (self.fresh + self.stale) as f64 / self.offered.max(1) as f64
    }
}

/// All steps through one client.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Climb {
    pub(crate) mode: &'static str,
    /// The highest rate up to which every step held; `None` if the first one broke.
    pub(crate) holds_rps: Option<u32>,
    pub(crate) steps: Vec<Step>,
}

impl Climb {
    fn new(mode: Mode, steps: Vec<Step>) -> Self {
        let holds_rps = steps.iter().take_while(|step| step.holds()).last().map(|step| step.rps);
        Self { mode: mode.as_str(), holds_rps, steps }
    }
}

/// Climbs once; cut short by `stop`.
pub(crate) async fn climb(
    mode: Mode,
    args: &LoadArgs,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) -> Result<Climb, String> {
    let payment = Payment::with_workers(args.workers as usize);
    let client = PaymentClient::new(mode)?;
    let watch = Arc::clone(client.watch());
    let payments = Server::start(payment.router()).await?;
    let checkouts = Server::start(checkout::router(client, payments.address)).await?;
    let ledger = Arc::new(Ledger::default());
    let load = Load::new(checkouts.address, Arc::clone(&ledger), *limits);

    let seconds = args.seconds * args.steps;
    progress::header(mode, args.rate(args.steps - 1), f64::from(seconds));
    load.warm_up().await;

    let mut traffic = Traffic::new(SEED);
    let begun = clock::now();
    let (mut tick, mut end) = (begun + SECOND, begun);
    let mut played = Vec::new();
    'steps: for step in 0..args.steps {
        let rps = args.rate(step);
        let name = format!("{rps} rps");
        ledger.begin_phase();
        watch.take_peak();
        let mut due = end + traffic.gap(rps);
        end += u64::from(args.seconds) * SECOND;
        loop {
            let next = due.min(tick).min(end);
            tokio::select! {
                biased;
                () = until(next) => {}
                _ = stop.wait_for(|&stop| stop) => break 'steps,
            }
            if next == tick {
                progress::line((tick - begun) / SECOND, &name, &ledger.take_second(), &watch);
                tick += SECOND;
            } else if next == end {
                break;
            } else {
                load.offer(traffic.next(), due);
                due += traffic.gap(rps);
            }
        }
        played.push((rps, watch.take_peak()));
    }
    let last = clock::now() + DEADLINE + GRACE;
    while load.waiting() > 0 && clock::now() < last {
        until(clock::now() + SECOND / 100).await;
    }
    let tallies = ledger.phases();
    let steps = played.iter().zip(&tallies).map(|(&(rps, peak), tally)| Step::of(rps, tally, peak));
    Ok(Climb::new(mode, steps.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rps: u32, failed: u64, p99_ms: f64) -> Step {
        Step { failed, p99_ms, ..Step::of(rps, &Tally::default(), 0) }
    }

    #[test]
    fn the_breaking_point_is_the_last_step_before_the_first_that_breaks() {
        let holds = |steps| Climb::new(Mode::Bare, steps).holds_rps;
        let (good, late) = (|rps| step(rps, 0, 40.0), |rps| step(rps, 0, 2_001.0));
        assert_eq!(holds(vec![good(100), good(200), late(300), good(400)]), Some(200));
        assert_eq!(holds(vec![good(100), step(200, 1, 40.0)]), Some(100));
        assert_eq!(holds(vec![late(100), good(200)]), None);
        assert_eq!(holds(vec![good(100), good(200)]), Some(200));
    }
}
