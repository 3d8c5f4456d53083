//! The payment service: a finite number of workers, a believable service time, and a fault switch.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::Semaphore;

use crate::answer::{self, Answer, Charge, Kind};
use crate::clock;
use crate::rng::Rng;
use crate::script::Fault;

/// How many calls it works on at a time; the others queue.
const WORKERS: usize = 256;
const MEDIAN_MS: f64 = 20.0;
const SPREAD: f64 = 0.4;
const LEAST_MS: f64 = 5.0;
const MOST_MS: f64 = 120.0;
const SLOW: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(crate) struct Payment {
    fault: RwLock<Fault>,
    /// Calls that came while it was sick, since they were last taken.
    sick_calls: AtomicU64,
    calls: AtomicU64,
    sequence: AtomicU64,
    workers: Semaphore,
    /// How often each idempotency key was charged.
    charges: Mutex<HashMap<String, u32>>,
}

impl Payment {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_workers(WORKERS)
    }

    pub(crate) fn with_workers(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            fault: RwLock::new(Fault::Healthy),
            sick_calls: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            workers: Semaphore::new(workers),
            charges: Mutex::default(),
        })
    }

    pub(crate) fn router(self: Arc<Self>) -> Router {
        let mut router = Router::new();
        for kind in Kind::READS {
            let path = format!("{}/{{key}}", kind.path());
            router = router
                .route(&path, get(move |state, key, headers| read(kind, state, key, headers)));
        }
        router.route(Kind::Charge.path(), post(charge)).with_state(self)
    }

    /// Flips the fault switch. Calls that are already here end as they would have.
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Calls that came while it was sick, since this was last asked.
    pub(crate) fn take_sick_calls(&self) -> u64 {
        // Relaxed: a counter nothing hangs on.
        self.sick_calls.swap(0, Ordering::Relaxed)
    }

    /// Idempotency keys that were charged more than once.
    pub(crate) fn double_charges(&self) -> u64 {
        let charges = self.charges.lock().unwrap_or_else(PoisonError::into_inner);
        charges.values().filter(|&&times| times > 1).count() as u64
    }

    fn fault(&self) -> Fault {
        *self.fault.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work of one call, as well as it is able to when the call comes: whoever came to a
    /// hung service is not answered when it is well again.
    async fn work(&self) -> Result<(), StatusCode> {
        let fault = self.fault();
        if fault != Fault::Healthy {
            self.sick_calls.fetch_add(1, Ordering::Relaxed);
        }
        // An outage is told at the door; every other fault holds a worker.
        if fault == Fault::Outage {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let _worker = self.workers.acquire().await;
        match fault {
            Fault::Hang => pending().await,
            Fault::Slow => tokio::time::sleep(SLOW).await,
            _ => tokio::time::sleep(self.service_time()).await,
        }
        Ok(())
    }

    fn service_time(&self) -> Duration {
        let mut rng = Rng::new(self.calls.fetch_add(1, Ordering::Relaxed));
        let ms = rng.lognormal(MEDIAN_MS, SPREAD).clamp(LEAST_MS, MOST_MS);
        Duration::from_secs_f64(ms / 1e3)
    }

    fn answer(&self, kind: Kind, key: String, principal: String, detail: String) -> Json<Answer> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        Json(Answer { kind, key, principal, sequence, issued_us: clock::now(), detail })
    }
}

async fn read(
    kind: Kind,
    State(payment): State<Arc<Payment>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Answer>, StatusCode> {
    let principal = principal(&headers)?;
    payment.work().await?;
    let detail = match kind {
        Kind::Quote if payment.fault() == Fault::Corrupts => "1 cent".to_owned(),
        Kind::Quote => answer::quote(&key),
        Kind::Methods => "card, transfer, wallet".to_owned(),
        Kind::Status => "captured".to_owned(),
        Kind::Charge => return Err(StatusCode::METHOD_NOT_ALLOWED),
    };
    Ok(payment.answer(kind, key, principal, detail))
}

async fn charge(
    State(payment): State<Arc<Payment>>,
    headers: HeaderMap,
    Json(charge): Json<Charge>,
) -> Result<Json<Answer>, StatusCode> {
    let principal = principal(&headers)?;
    let key = text(&headers, "idempotency-key").ok_or(StatusCode::BAD_REQUEST)?.to_owned();
    payment.work().await?;
    {
        // A kinder service would answer a known key again without charging. This one charges, so
        // that a client which repeats what it must not is found out.
        let mut charges = payment.charges.lock().unwrap_or_else(PoisonError::into_inner);
        *charges.entry(key.clone()).or_default() += 1;
    }
    Ok(payment.answer(Kind::Charge, key, principal, format!("charged {} cents", charge.cents)))
}

fn principal(headers: &HeaderMap) -> Result<String, StatusCode> {
    text(headers, AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::to_owned)
        .ok_or(StatusCode::UNAUTHORIZED)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_charged_twice_is_found_out() {
        let payment = Payment::new();
        let asked = headers(&[("authorization", "Bearer m-1"), ("idempotency-key", "c-1")]);
        for doubles in [0, 1] {
            let state = State(Arc::clone(&payment));
            let answer = charge(state, asked.clone(), Json(Charge { cents: 5 })).await;
            assert!(answer.is_ok());
            assert_eq!(payment.double_charges(), doubles);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_while_it_is_sick_and_only_then() {
        let payment = Payment::new();
        assert_eq!(payment.work().await, Ok(()));
        assert_eq!(payment.take_sick_calls(), 0);
        payment.set(Fault::Outage);
        assert_eq!(payment.work().await, Err(StatusCode::SERVICE_UNAVAILABLE));
        payment.set(Fault::Slow);
        let before = tokio::time::Instant::now();
        assert_eq!(payment.work().await, Ok(()));
        assert!(before.elapsed() >= SLOW);
        assert_eq!(payment.take_sick_calls(), 2);
        assert_eq!(payment.take_sick_calls(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_call_never_ends_and_gives_its_worker_back_when_dropped() {
        let payment = Payment::new();
        payment.set(Fault::Hang);
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, payment.work()).await.is_err());
        assert_eq!(payment.workers.available_permits(), WORKERS);
    }

    #[tokio::test]
    async fn nobody_is_served_without_a_principal() {
        let payment = Payment::new();
        let answer =
            read(Kind::Quote, State(payment), Path("k".to_owned()), HeaderMap::new()).await;
        assert_eq!(answer.unwrap_err(), StatusCode::UNAUTHORIZED);
    }
}
