//! The callers: an open loop, which never waits for an answer before it asks again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::header::{AGE, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::answer::Charge;
use crate::clock::{self, SECOND};
use crate::ledger::Ledger;
use crate::traffic::{self, Ask};
use crate::verify::{self, Got, Verdict};

/// A caller's patience.
pub(crate) const DEADLINE: u64 = 2 * SECOND;
/// Callers at a time in the warm-up.
const WARM_UP_CALLERS: usize = 32;

/// How many calls may be open at a time, by what the process may open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    calls: usize,
}

impl Limits {
    /// Asks for as many open files as the system will give.
    pub(crate) fn raise() -> Self {
        /// Kept for all else: listeners, standard streams, connections that are closing.
        const SPARE: u64 = 256;
        /// Both ends of both connections live in this process, and one is to spare.
        const PER_CALL: u64 = 5;
        /// Where the system doesn't say, or says there is no limit.
        const ASSUMED: u64 = 65_536;
        let files = rlimit::increase_nofile_limit(ASSUMED).unwrap_or(1_024).min(ASSUMED);
        Self { calls: (files.saturating_sub(SPARE) / PER_CALL).max(16) as usize }
    }
}

/// All callers of one run.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    http: Client<HttpConnector, Full<Bytes>>,
    checkout: SocketAddr,
    ledger: Arc<Ledger>,
    waiting: Arc<AtomicUsize>,
    limits: Limits,
}

impl Load {
    pub(crate) fn new(checkout: SocketAddr, ledger: Arc<Ledger>, limits: Limits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { http, checkout, ledger, waiting: Arc::default(), limits }
    }

    /// Reads every known thing once, as has happened long ago in a service that has been up for a
    /// while. Nothing of it is counted. Gives how many went unanswered.
    pub(crate) async fn warm_up(&self) -> usize {
        let mut callers = JoinSet::new();
        let mut unanswered = 0;
        for ask in traffic::all_known() {
            if callers.len() >= WARM_UP_CALLERS {
                unanswered += failed(callers.join_next().await);
            }
            let load = self.clone();
            callers.spawn(async move {
                let due = clock::now();
                load.call(&ask, due).await
            });
        }
        while !callers.is_empty() {
            unanswered += failed(callers.join_next().await);
        }
        unanswered
    }

    /// Makes one call, which was due at `due`, and leaves it to itself.
    pub(crate) fn offer(&self, ask: Ask, due: u64) {
        let phase = self.ledger.offer(&ask);
        // Relaxed: a counter nothing hangs on.
        if self.waiting.load(Ordering::Relaxed) >= self.limits.calls {
            self.ledger.no_socket();
            self.ledger.settle(phase, &ask, due, clock::now(), Verdict::Failed);
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let load = self.clone();
        tokio::spawn(async move {
            let verdict = load.call(&ask, due).await;
            load.waiting.fetch_sub(1, Ordering::Relaxed);
            load.ledger.settle(phase, &ask, due, clock::now(), verdict);
        });
    }

    /// Callers that still wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn call(&self, ask: &Ask, due: u64) -> Verdict {
        match timeout_at(clock::instant(due + DEADLINE), self.exchange(ask, due)).await {
            Ok(Some(verdict)) => verdict,
            Ok(None) | Err(_) => Verdict::Failed,
        }
    }

    async fn exchange(&self, ask: &Ask, due: u64) -> Option<Verdict> {
        let response = self.http.request(self.request(ask)?).await.ok()?;
        let status = response.status().as_u16();
        // A mark that can't be read is still a mark: of age 0, which then understates.
        let age = response
            .headers()
            .get(AGE)
            .map(|age| age.to_str().ok().and_then(|age| age.parse().ok()).unwrap_or(0));
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(verify::judge(ask, due, &Got { status, age, body: &body, at: clock::now() }))
    }

    fn request(&self, ask: &Ask) -> Option<Request<Full<Bytes>>> {
        let at = self.checkout;
        let path = ask.kind.path();
        let request = Request::builder()
            .header(AUTHORIZATION, format!("Bearer {}", ask.principal))
            .header(CONTENT_TYPE, "application/json");
        if ask.kind.is_read() {
            let uri = format!("http://{at}{path}/{}", ask.key);
            return request.uri(uri).body(Full::default()).ok();
        }
        let charge = serde_json::to_vec(&Charge { cents: ask.cents }).ok()?;
        request
            .method(Method::POST)
            .uri(format!("http://{at}{path}"))
            .header("idempotency-key", &ask.key)
            .body(Full::from(charge))
            .ok()
    }
}

fn failed<E>(ended: Option<Result<Verdict, E>>) -> usize {
    usize::from(!matches!(ended, Some(Ok(Verdict::Fresh))))
}
