//! The checkout service's payment client: bare, or through seawall.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use seawall::ConfigError;
use seawall::event::{Event, Kind};
use seawall::http::{BufferError, ByStatus};
use seawall::incident::{Timeline, TimelineConfig};
use seawall::retry::RetryConfig;
use seawall::stack::{self, Boxed};
use tower::ServiceExt;
use tower_service::Service;

use crate::args::Mode;
use crate::clock;

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// seawall refused it, or gave it up.
    Refused {
        reason: &'static str,
        /// Did it leave for the payment service?
        sent: bool,
    },
    /// The client failed by itself.
    Failed(String),
}

/// A payment client of one mode or the other; clones share their connections and their state.
#[derive(Clone, Debug)]
pub(crate) struct PaymentClient {
    way: Way,
    watch: Arc<Watch>,
    timeline: Timeline,
}

#[derive(Clone, Debug)]
enum Way {
    /// What most services run with: a good client, and nothing around it. It has no timeout of its
    /// own; a caller that gives up ends its call.
    Bare(Wire),
    /// The same client behind seawall's preset.
    Seawall(Stack),
}

pub(crate) type Stack = Boxed<
    Request<Full<Bytes>>,
    Response<seawall::http::Body<Incoming>>,
    seawall::Error<BufferError<Error, hyper::Error>>,
>;

/// The preset as it comes, but for three things: which errors of this client mean that nothing was sent,
/// one repetition of what may be repeated, and who is told: of the circuit's states, and of all that makes
/// an incident.
fn stack(wire: Wire, watch: &Arc<Watch>, timeline: &Timeline) -> Result<Stack, ConfigError> {
    let told = Arc::clone(watch);
    let by_status = ByStatus::new().connect_errors(|error: &Error| error.is_connect());
    let stack = stack::payment("payments")
        .http()
        .classify(by_status)
        .retry(RetryConfig::new("payments").attempts(2), by_status.for_retry())
        .observe(move |event: &Event| {
            if let Kind::Transition(step) = &event.kind {
                told.circuit_came_to(step.to.as_str());
            }
        })
        .observe(timeline.clone())
        .build()?;
    watch.circuit_came_to(stack.handles().breaker.snapshot().state.as_str());
    Ok(stack.boxed(wire))
}

impl PaymentClient {
    pub(crate) fn new(mode: Mode) -> Result<Self, String> {
        let watch = Arc::new(Watch::default());
        let timeline = Timeline::new(TimelineConfig::new());
        let wire = Wire::new(Arc::clone(&watch));
        let way = match mode {
            Mode::Bare => Way::Bare(wire),
            Mode::Seawall => {
                Way::Seawall(stack(wire, &watch, &timeline).map_err(|e| e.to_string())?)
            }
        };
        Ok(Self { way, watch, timeline })
    }

    /// Through a stack that is built already.
    pub(crate) fn of(stack: Stack) -> Self {
        let timeline = Timeline::new(TimelineConfig::new());
        Self { way: Way::Seawall(stack), watch: Arc::default(), timeline }
    }

    /// What can be seen of it from outside.
    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// The incidents that seawall saw; the bare client sees none.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) async fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Trouble> {
        match &self.way {
            Way::Bare(wire) => {
                // Ready at all times: see `Wire::poll_ready`.
                let answered = wire.clone().call(request).await;
                whole(answered.map_err(|error| Trouble::Failed(chain(&error)))?).await
            }
            Way::Seawall(stack) => match stack.clone().oneshot(request).await {
                Ok(response) => whole(response).await,
                Err(seawall::Error::Rejected(refused)) => {
                    Err(Trouble::Refused { reason: refused.reason.as_str(), sent: refused.sent() })
                }
                Err(seawall::Error::Inner(error)) => Err(Trouble::Failed(chain(&error))),
            },
        }
    }
}

async fn whole<B>(response: Response<B>) -> Result<Response<Bytes>, Trouble>
where
    B: Body<Data = Bytes, Error: fmt::Display>,
{
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
        Err(error) => Err(Trouble::Failed(error.to_string())),
    }
}

/// An error with its causes: the outermost alone seldom says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The HTTP client itself, the same in both modes, with a gauge on it.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    http: Client<HttpConnector, Full<Bytes>>,
    watch: Arc<Watch>,
}

impl Wire {
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { http, watch }
    }
}

impl Service<Request<Full<Bytes>>> for Wire {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let inside = Inside::enter(&self.watch);
        let response = self.http.request(request);
        Box::pin(async move {
            let _inside = inside;
            response.await
        })
    }
}

/// What is seen of a client from outside: its calls in flight, and its circuit's states.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    in_flight: AtomicUsize,
    peak: AtomicUsize,
    /// Each state that the circuit came to, and when.
    circuit: Mutex<Vec<(u64, &'static str)>>,
}

impl Watch {
    /// Calls that wait for the payment service now.
    pub(crate) fn in_flight(&self) -> usize {
        // Relaxed, here and below: counters nothing hangs on.
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The most that waited at a time since this was last asked.
    pub(crate) fn take_peak(&self) -> usize {
        self.peak.swap(self.in_flight(), Ordering::Relaxed)
    }

    /// The circuit came to `state`.
    pub(crate) fn circuit_came_to(&self, state: &'static str) {
        self.states().push((clock::now(), state));
    }

    /// The circuit's state; `None` where there is no circuit, or it has not moved yet.
    pub(crate) fn circuit(&self) -> Option<&'static str> {
        self.states().last().map(|&(_, state)| state)
    }

    /// When the circuit first came to be open, from `start` up to `end`.
    pub(crate) fn opened_between(&self, start: u64, end: u64) -> Option<u64> {
        let states = self.states();
        let opened = |&&(at, state): &&(u64, &str)| state == "open" && (start..end).contains(&at);
        states.iter().find(opened).map(|&(at, _)| at)
    }

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<(u64, &'static str)>> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call in flight; dropped, it is out again, however it ended.
struct Inside(Arc<Watch>);

impl Inside {
    fn enter(watch: &Arc<Watch>) -> Self {
        let now = watch.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        watch.peak.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(watch))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_told_once_and_never_falls_below_what_is_in_flight() {
        let watch = Arc::new(Watch::default());
        let first = Inside::enter(&watch);
        drop(Inside::enter(&watch));
        assert_eq!((watch.in_flight(), watch.take_peak(), watch.take_peak()), (1, 2, 1));
        drop(first);
        assert_eq!((watch.take_peak(), watch.take_peak()), (1, 0));
    }

    #[test]
    fn the_first_opening_in_a_fault_is_found() {
        let watch = Watch::default();
        assert_eq!(watch.circuit(), None);
        let start = clock::now();
        watch.circuit_came_to("half_open");
        watch.circuit_came_to("open");
        watch.circuit_came_to("closed");
        let end = clock::now() + 1;
        assert_eq!(watch.circuit(), Some("closed"));
        assert!(watch.opened_between(start, end).is_some());
        assert_eq!(watch.opened_between(end, end + 9), None);
    }
}
