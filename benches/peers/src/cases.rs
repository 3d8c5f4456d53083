//! What is measured: one entry per case, with its floor.

use crate::backend::{Ask, Request};
use crate::floor::Floor;

/// Which layers a case puts around the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// None.
    Bare,
    /// A circuit breaker over the last calls.
    BreakerCount,
    /// A circuit breaker over the last seconds, that minds slow calls too.
    BreakerTime,
    /// As `BreakerCount`, but an open circuit is half open again at once.
    BreakerFlap,
    /// A limit on concurrent calls.
    Bulkhead,
    /// A timeout per call.
    Timeout,
    /// Retries under a budget.
    Retry,
    /// A split between two arms, each call recorded for the verdict.
    Canary,
    /// As `Canary`, and latency measured: slow calls are evidence, and blocks as long as needed.
    CanaryMeasured,
    /// A service level objective: each call recorded.
    Slo,
    /// Answers kept per key, served marked as stale while the breaker inside is open.
    StaleAnswer,
    /// A cache key from method, path, query and principal.
    HttpKey,
    /// Everything that a payment client wants: see [`Work::STACK`].
    Stack,
    /// A circuit breaker with an observer that feeds a metrics recorder.
    Metrics,
}

impl Work {
    /// The layers of the whole stack, outermost first, as far as a contender has them.
    pub const STACK: &'static str = "kill switch, SLO, kept answers, deadline, canary split, and \
         per arm retry + budget, breaker, bulkhead, attempt timeout";
}

/// How calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// One clone of the service per thread, polled with a waker that does nothing.
    Polled,
    /// A clone per call, as axum makes.
    ClonedPerCall,
    /// One task per thread on a multi-threaded tokio runtime with as many workers.
    OnRuntime,
}

/// What a healthy call through the case's layers comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The backend's answer.
    Fresh,
    /// A kept answer, marked as such.
    Stale,
    /// A refusal.
    Error,
    /// Any of them, in turns.
    Mixed,
}

/// A case.
#[derive(Debug)]
pub struct Case {
    /// As printed.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    /// The layers.
    pub work: Work,
    /// How calls are made.
    pub manner: Manner,
    /// The requests, in turn, over and over.
    pub requests: &'static [Request],
    /// Healthy calls made before anything is measured: windows are full, keys are known.
    pub healthy_before: u32,
    /// Failing calls made after those: they open the circuit.
    pub failing_before: u32,
    /// What must come of a healthy call, before and after the measurement.
    pub expect: Seen,
    /// What the work can't be done without.
    pub floor: Floor,
}

const KEY: u64 = 0x5ea_a11;
const OK: Request = Request { key: KEY, ask: Ask::Answer };
const FAILS: Request = Request { key: KEY, ask: Ask::Fail };
const PENDS: Request = Request { key: KEY, ask: Ask::PendOnce };

const ALL_OK: &[Request] = &[OK];
const ALL_FAIL: &[Request] = &[FAILS];
const ALL_PEND: &[Request] = &[PENDS];
const ONE_IN_4_FAILS: &[Request] = &[OK, OK, OK, FAILS];
const ONE_IN_20_FAILS: &[Request] = &[
    OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, FAILS, //
];

/// Enough to fill any window, and for caches and branch predictors to settle.
const WARM: u32 = 1_000;
/// What a time window of ten seconds holds at 1,000 calls a second: peers that keep a record per
/// call are shown at a modest rate, not at the benchmark's.
const BUSY: u32 = 10_000;
/// Failing calls that outweigh the healthy ones before in any window.
const OUTAGE: u32 = 4_000;

const PLAIN: Case = Case {
    name: "bare",
    about: "the backend alone",
    work: Work::Bare,
    manner: Manner::Polled,
    requests: ALL_OK,
    healthy_before: WARM,
    failing_before: 0,
    expect: Seen::Fresh,
    floor: Floor::NOTHING,
};

// In each floor:
// - `private`: read-modify-writes on a word that no other thread writes (at most now and then).
//   A future that outlives its service owns a share of the layer's state: a count up and down, 2.
// - `shared`: on a word that every thread writes, because what it holds must be exact.

/// All cases, in the order in which they are printed.
pub static CASES: &[Case] = &[
    PLAIN,
    Case {
        name: "breaker_count_closed",
        about: "circuit breaker, last 100 calls, closed, all healthy",
        work: Work::BreakerCount,
        // The share of the state. A full window without failures needs no record of a success.
        floor: Floor { private: 2, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "breaker_time_closed",
        about: "circuit breaker, last 10 s (10,000 calls in it at the start), slow calls minded",
        work: Work::BreakerTime,
        healthy_before: BUSY,
        // When it began and when it ended; the share, the call in and out of those that may hang,
        // and the record.
        floor: Floor { clocks: 2, private: 5, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "breaker_open_refusal",
        about: "circuit breaker, open: a refusal",
        work: Work::BreakerCount,
        failing_before: OUTAGE,
        expect: Seen::Error,
        // Is the cool-down over? Nothing is held on to.
        floor: Floor { clocks: 1, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "bulkhead_free",
        about: "limit of 1,000 concurrent calls, a permit is free",
        work: Work::Bulkhead,
        // The share; the permit taken and given back: an exact limit is one word for all.
        floor: Floor { private: 2, shared: 2, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "timeout_ready",
        about: "timeout, the answer is there at the first poll",
        work: Work::Timeout,
        // No timer is needed for what is already there.
        floor: Floor::NOTHING,
        ..PLAIN
    },
    Case {
        name: "timeout_pending",
        about: "timeout, the answer is there at the second poll",
        work: Work::Timeout,
        requests: ALL_PEND,
        // When the timer shall fire; tokio's timer wheel locked and unlocked to arm it, and again
        // to disarm it.
        floor: Floor { clocks: 1, shared: 4, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "retry_first_ok",
        about: "retry with a budget, the first attempt succeeds",
        work: Work::Retry,
        // The share, and the deposit (which may be kept per thread and summed on a withdrawal).
        floor: Floor { private: 3, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "canary_split",
        about: "95 : 5 split, outcome recorded for the verdict",
        work: Work::Canary,
        // The share and the record, per thread.
        floor: Floor { private: 3, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "canary_split_measured",
        about: "95 : 5 split, outcome and latency recorded, slow calls seen while they run",
        work: Work::CanaryMeasured,
        // The share, the start, the outcome, the latency and the end, per thread; and how long it took.
        floor: Floor { clocks: 2, private: 6, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "slo_record",
        about: "service level objective, outcome recorded",
        work: Work::Slo,
        // As above.
        floor: Floor { private: 3, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "stale_answer",
        about: "the circuit is open, a kept answer is served and marked as stale",
        work: Work::StaleAnswer,
        failing_before: OUTAGE,
        expect: Seen::Stale,
        // Is the cool-down over, and how old is the answer: one reading serves both. The store's
        // shard locked for reading and unlocked.
        floor: Floor { clocks: 1, shared: 2, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "http_key",
        about: "cache key from method, path, query and principal",
        work: Work::HttpKey,
        // Hashing is arithmetic.
        floor: Floor::NOTHING,
        ..PLAIN
    },
    Case {
        name: "stack_closed",
        about: Work::STACK,
        work: Work::Stack,
        // When it began and when it ended; one share for the whole stack, one record each for SLO,
        // canary and budget, three writes of the breaker as in `breaker_time_closed`; the permit,
        // and the look at the age of the kept answer.
        floor: Floor { clocks: 2, private: 8, shared: 4 },
        ..PLAIN
    },
    Case {
        name: "stack_open_stale",
        about: "the whole stack while the circuit is open: a kept answer",
        work: Work::Stack,
        failing_before: OUTAGE,
        expect: Seen::Stale,
        // As `stale_answer`; and the share, and a record for the SLO.
        floor: Floor { clocks: 1, private: 3, shared: 2 },
        ..PLAIN
    },
    Case {
        name: "metrics_on",
        about: "circuit breaker with an observer that feeds a metrics recorder",
        work: Work::Metrics,
        // The share, and one counter.
        floor: Floor { private: 3, ..Floor::NOTHING },
        ..PLAIN
    },
    // From here on, what hurts.
    Case {
        name: "cloned_breaker_count",
        about: "as breaker_count_closed, the service cloned for each call",
        work: Work::BreakerCount,
        manner: Manner::ClonedPerCall,
        // The clone owns a share too.
        floor: Floor { private: 4, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "cloned_stack",
        about: "as stack_closed, the service cloned for each call",
        work: Work::Stack,
        manner: Manner::ClonedPerCall,
        floor: Floor { clocks: 2, private: 10, shared: 4 },
        ..PLAIN
    },
    Case {
        name: "failing_5pc_breaker_count",
        about: "circuit breaker, last 100 calls, closed, one call in 20 fails",
        work: Work::BreakerCount,
        requests: ONE_IN_20_FAILS,
        // The share; and the record: with failures in it, the window is one word for all.
        floor: Floor { private: 2, shared: 1, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "failing_25pc_breaker_count",
        about: "circuit breaker, last 100 calls, closed, one call in four fails",
        work: Work::BreakerCount,
        requests: ONE_IN_4_FAILS,
        floor: Floor { private: 2, shared: 1, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "half_open_contended",
        about: "circuit breaker with a cool-down of 1 ns, all calls fail: a probe or a refusal",
        work: Work::BreakerFlap,
        requests: ALL_FAIL,
        failing_before: OUTAGE,
        expect: Seen::Mixed,
        // A call in turn asks whether the cool-down is over, takes the probe, fails and opens
        // again (which starts a cool-down).
        floor: Floor { clocks: 2, private: 2, shared: 2 },
        ..PLAIN
    },
    Case {
        name: "runtime_timeout_pending",
        about: "as timeout_pending, as tasks on a tokio runtime",
        work: Work::Timeout,
        manner: Manner::OnRuntime,
        requests: ALL_PEND,
        floor: Floor { clocks: 1, shared: 4, ..Floor::NOTHING },
        ..PLAIN
    },
    Case {
        name: "runtime_stack_pending",
        about: "as stack_closed, answers at the second poll, as tasks on a tokio runtime",
        work: Work::Stack,
        manner: Manner::OnRuntime,
        requests: ALL_PEND,
        // As `stack_closed`, and one timer for the nearest of the two deadlines.
        floor: Floor { clocks: 2, private: 8, shared: 8 },
        ..PLAIN
    },
];

/// The case of this name.
pub fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}
