//! The settings that all contenders share, so that they are set to the same work.

use std::time::Duration;

/// Calls in a count window.
pub const WINDOW: usize = 100;
/// Span of a time window.
pub const SPAN: Duration = Duration::from_secs(10);
/// Share of failures that opens a breaker.
pub const FAILURE_RATE: f64 = 0.5;
/// Failures in a row that open a breaker which has no window.
pub const FAILURES_IN_A_ROW: u32 = 5;
/// A call slower than this is slow, where a peer knows slow calls.
pub const SLOW: Duration = Duration::from_millis(500);
/// How long an open breaker refuses: longer than any run.
pub const STAYS_OPEN: Duration = Duration::from_secs(3600);
/// How long a breaker refuses where the case wants it half open at once.
pub const OPEN_FOR_A_MOMENT: Duration = Duration::from_nanos(1);
/// Concurrent calls that a bulkhead lets in: more than there ever are.
pub const LIMIT: usize = 1_000;
/// The timeout of one attempt.
pub const ATTEMPT: Duration = Duration::from_secs(1);
/// The deadline of a whole call.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// Attempts that a retry makes at most.
pub const ATTEMPTS: usize = 3;
/// The first wait between attempts.
pub const BACKOFF: Duration = Duration::from_millis(100);
/// Retries per first attempt that a budget allows.
pub const BUDGET: f32 = 0.2;
/// Retries per second that a budget always allows.
pub const BUDGET_FLOOR: u32 = 10;
/// Weights of the two arms of a canary.
pub const STABLE: u32 = 95;
/// See [`STABLE`].
pub const CANARY: u32 = 5;
/// A kept answer is written anew only when older than this.
pub const REFRESH: Duration = Duration::from_secs(1);
