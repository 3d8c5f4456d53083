//! What is said of a canary, in the words that all rooms and listeners share.

use std::fmt;

/// One of the two versions that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The version that is known.
    Baseline,
    /// The version on trial.
    Canary,
}

impl Arm {
    /// The name in metrics: `baseline`, `canary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What about the calls is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stream {
    /// Calls that failed.
    Errors,
    /// Calls that took longer than the baseline's quantiles, or run that long already.
    Slow,
    /// Answers that a check found wrong.
    BadData,
}

impl Stream {
    /// The name in metrics: `errors`, `slow`, `bad_data`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::BadData => "bad_data",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a canary is suspected, or is to be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It is worse than the baseline; the stream that says so most.
    Worse(Stream),
    /// It fails more than any version may, whatever the baseline does.
    AbsoluteGuard,
    /// Its breaker opened twice without closing in between, and the baseline's was closed all the while.
    BreakerOpen,
}

impl Cause {
    /// The name in metrics: `errors`, `slow`, `bad_data`, `absolute_guard`, `breaker_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worse(stream) => stream.as_str(),
            Self::AbsoluteGuard => "absolute_guard",
            Self::BreakerOpen => "breaker_open",
        }
    }
}

/// What is to be thought of a canary now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// No calls are sent to the canary.
    Idle,
    /// The baseline is watched alone, to know how it behaves.
    Learning,
    /// The canary has just begun, and is judged by the absolute guard alone.
    WarmingUp,
    /// Nothing speaks against it, and not enough for it.
    Healthy,
    /// It is not worse than the baseline by more than the margin, and has been so for long enough.
    Promotable,
    /// The evidence has crossed the line; it must still be across one block later.
    Suspect(Cause),
    /// The baseline itself fails: nothing is promoted, and nobody rolled back for failing too.
    Held,
    /// One arm had no calls for too long. That neither passes nor fails.
    NoData(Arm),
    /// It is worse, and to be taken out. Final, until a new comparison begins.
    RollBack(Cause),
}

impl Verdict {
    /// The name in metrics: `idle`, `learning`, ..., `roll_back`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Learning => "learning",
            Self::WarmingUp => "warming_up",
            Self::Healthy => "healthy",
            Self::Promotable => "promotable",
            Self::Suspect(_) => "suspect",
            Self::Held => "held",
            Self::NoData(_) => "no_data",
            Self::RollBack(_) => "roll_back",
        }
    }

    /// Is the canary to be taken out?
    pub const fn is_roll_back(self) -> bool {
        matches!(self, Self::RollBack(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Suspect(cause) | Self::RollBack(cause) => write!(f, " ({})", cause.as_str()),
            Self::NoData(arm) => write!(f, " ({arm})"),
            _ => Ok(()),
        }
    }
}

/// Calls of one arm, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that count.
    pub calls: u64,
    /// Those that failed, were slow, or answered wrongly; never more than `calls`.
    pub bad: u64,
}

impl Tally {
    /// `bad` of `calls`.
    pub const fn new(calls: u64, bad: u64) -> Self {
        Self { calls, bad: if bad < calls { bad } else { calls } }
    }

    /// With another's calls.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            bad: self.bad.saturating_add(other.bad),
        }
    }

    /// Without those counted `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        let calls = self.calls.saturating_sub(before.calls);
        Self::new(calls, self.bad.saturating_sub(before.bad))
    }

    /// The share of bad calls; `None` without calls.
    pub fn rate(self) -> Option<f64> {
        (self.calls > 0).then(|| self.bad as f64 / self.calls as f64)
    }
}

/// What both arms did in the same time: the unit in which evidence is weighed.
///
/// ```
/// use seawall::verdict::Arms;
///
/// let block = Arms::new(5, 4, 95, 1);
/// assert_eq!(block.canary.rate(), Some(0.8));
/// assert_eq!(block.baseline.bad, 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arms {
    /// The version on trial.
    pub canary: Tally,
    /// The version that is known.
    pub baseline: Tally,
}

impl Arms {
    /// `canary_bad` of `canary_calls`, and `baseline_bad` of `baseline_calls`.
    pub const fn new(
        canary_calls: u64,
        canary_bad: u64,
        baseline_calls: u64,
        baseline_bad: u64,
    ) -> Self {
        Self {
            canary: Tally::new(canary_calls, canary_bad),
            baseline: Tally::new(baseline_calls, baseline_bad),
        }
    }

    /// With another's calls.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            canary: self.canary.plus(other.canary),
            baseline: self.baseline.plus(other.baseline),
        }
    }
}

/// Evidence: the logarithm of how much likelier the data are if the canary is worse; in millionths of
/// a nat.
///
/// Whole numbers, so that what carries it can be compared. ln 1000 = 6.9 nats is a chance of one in a
/// thousand of being wrong, ever.
///
/// ```
/// use seawall::verdict::Nats;
///
/// let line = Nats::new(1000_f64.ln());
/// assert_eq!(line.to_string(), "6.91");
/// assert!(Nats::new(f64::NEG_INFINITY) < Nats::new(0.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nats(i64);

impl Nats {
    /// `nats`, to the nearest millionth; what is too large or too small for that stays at the end.
    pub fn new(nats: f64) -> Self {
        // `as` saturates, and makes zero of NaN.
        Self((nats * 1e6).round() as i64)
    }
}

impl From<Nats> for f64 {
    fn from(nats: Nats) -> f64 {
        nats.0 as f64 / 1e6
    }
}

impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", f64::from(*self))
    }
}

/// The evidence at one moment, stream by stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// Of all streams together that the canary is worse; the verdict goes by this.
    pub worse: Nats,
    /// Where [`worse`](Self::worse) makes the canary suspect.
    pub line: Nats,
    /// Of its errors alone.
    pub errors: Nats,
    /// Of its latency alone; zero where it isn't measured.
    pub slow: Nats,
    /// Of its wrong answers alone; zero where none are looked for.
    pub bad_data: Nats,
    /// That it fails more than the absolute guard lets pass.
    pub guard: Nats,
    /// That it is *not* worse by more than the margin.
    pub not_worse: Nats,
    /// Where [`not_worse`](Self::not_worse) makes it promotable.
    pub promotion_line: Nats,
}

/// What was counted since the comparison began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Calls that failed.
    pub errors: Arms,
    /// Calls slower than the baseline's median, or than the lowest threshold there is.
    pub slow: Arms,
    /// Answers that were checked, and those found wrong.
    pub bad_data: Arms,
}

/// One change of the verdict, with all that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// The verdict before.
    pub from: Verdict,
    /// The verdict now.
    pub to: Verdict,
    /// The evidence.
    pub evidence: Evidence,
    /// The counts.
    pub totals: Totals,
}
