//! Turns: for a while, all clients of one contestant send request after request.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};

use super::report::{Report, Row};
use super::server::Server;
use super::{Plan, contestants};
use crate::args::Failure;
use crate::cost::median;
use crate::{machine, runtimes, stopwatch};

/// A client, bare or wrapped.
pub(super) trait Contestant: fmt::Debug {
    /// As printed.
    fn name(&self) -> &'static str;

    /// One turn on this runtime.
    fn turn(&self, runtime: &Runtime, plan: Plan) -> Result<Turn, Failure>;
}

/// What came of a turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Requests per second.
    pub(super) rate: f64,
    /// How long each took.
    pub(super) latencies: Vec<Duration>,
}

/// Makes a contestant of a client.
pub(super) fn contestant<S, B>(
    name: &'static str,
    address: SocketAddr,
    client: S,
) -> Box<dyn Contestant>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Failure> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failure> + Send,
{
    let uri = format!("http://{address}/accounts/5ea-a11").parse().expect("a valid address");
    Box::new(Wrapped { name, uri, client })
}

struct Wrapped<S> {
    name: &'static str,
    uri: Uri,
    client: S,
}

impl<S> fmt::Debug for Wrapped<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S, B> Contestant for Wrapped<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Failure> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failure> + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn turn(&self, runtime: &Runtime, plan: Plan) -> Result<Turn, Failure> {
        runtime.block_on(async {
            let start = stopwatch::now();
            let tasks: Vec<_> = (0..plan.clients)
                .map(|_| tokio::spawn(requests(self.client.clone(), self.uri.clone(), plan.turn)))
                .collect();
            let mut turn = Turn::default();
            for task in tasks {
                turn.latencies.extend(task.await??);
            }
            turn.rate = turn.latencies.len() as f64 / start.elapsed().as_secs_f64();
            Ok(turn)
        })
    }
}

/// One client: request after request until the turn is over.
async fn requests<S, B>(mut client: S, uri: Uri, turn: Duration) -> Result<Vec<Duration>, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<Failure>,
    B: Body,
    B::Error: Into<Failure>,
{
    let mut latencies = Vec::new();
    let start = stopwatch::now();
    let mut sent = start;
    while sent.duration_since(start) < turn {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri.clone();
        let client = client.ready().await.map_err(Into::into)?;
        let response = client.call(request).await.map_err(Into::into)?;
        let status = response.status();
        response.into_body().collect().await.map_err(Into::into)?;
        if status != StatusCode::OK {
            return Err(format!("answered {status}").into());
        }
        let read = stopwatch::now();
        latencies.push(read - sent);
        sent = read;
    }
    Ok(latencies)
}

/// All turns of all contestants.
pub(super) fn measure(plan: Plan) -> Result<Report, Failure> {
    let server = Server::start()?;
    let runtime = runtimes::with_workers(1);
    let contestants = contestants::all(server.address);
    for contestant in &contestants {
        contestant.turn(&runtime, plan)?; // Connects; caches and branch predictors settle.
    }
    let (bare, wrapped) = contestants.split_first().expect("the bare client is there");
    let mut all = Tally::default();
    let mut rows = Vec::new();
    for contestant in wrapped {
        let (mut own, mut ratios) = (Tally::default(), Vec::new());
        for pair in 0..plan.pairs {
            // Bare first, then last, and so on: what grows in time helps and hurts both.
            let (without, with) = if pair % 2 == 0 {
                let without = bare.turn(&runtime, plan)?;
                (without, contestant.turn(&runtime, plan)?)
            } else {
                let with = contestant.turn(&runtime, plan)?;
                (bare.turn(&runtime, plan)?, with)
            };
            ratios.push(with.rate / without.rate);
            all.add(without);
            own.add(with);
        }
        rows.push(own.row(contestant.name(), Some(median(ratios))));
    }
    rows.insert(0, all.row(bare.name(), None));
    Ok(Report { machine: machine::describe(), clients: plan.clients, rows })
}

/// All turns of one contestant.
#[derive(Debug, Default)]
struct Tally {
    rates: Vec<f64>,
    latencies: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, turn: Turn) {
        self.rates.push(turn.rate);
        self.latencies.extend(turn.latencies);
    }

    fn row(mut self, contender: &'static str, ratio: Option<f64>) -> Row {
        self.latencies.sort_unstable();
        let rank = |percent: usize| {
            let index = self.latencies.len().saturating_sub(1) * percent / 100;
            self.latencies.get(index).copied().unwrap_or_default()
        };
        let (p50, p99) = (rank(50), rank(99));
        Row { contender, requests: self.latencies.len(), rps: median(self.rates), p50, p99, ratio }
    }
}
