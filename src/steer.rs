//! What a rollout steers: two versions that are compared, and the share of the calls that one of them
//! gets.
//!
//! [`CanaryHandle`](crate::canary::CanaryHandle) is one. Where something else shares the calls out, such as
//! a mesh, implement it over a handle and set the mesh's weight beside the handle's.

use std::fmt;
use std::sync::Arc;

use crate::clock::Moment;
use crate::ratio::Ratio;
use crate::verdict::{Evidence, Judgement, Totals, Verdict};

/// How two versions stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// What is to be thought of the canary.
    pub verdict: Verdict,
    /// The evidence for it.
    pub evidence: Evidence,
    /// What was counted since the comparison began.
    pub totals: Totals,
    /// The canary's share of the calls.
    pub weight: Ratio,
    /// Is enough known of the baseline for the canary to get calls?
    pub learned: bool,
    /// Has the canary all the calls, so that there is nothing to compare it with?
    pub alone: bool,
    /// When the canary's first bad call was seen.
    pub first_bad_at: Option<Moment>,
}

impl Standing {
    /// A standing with this verdict; no evidence, no counts, no calls for the canary.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            evidence: Evidence::default(),
            totals: Totals::default(),
            weight: Ratio::ZERO,
            learned: true,
            alone: false,
            first_bad_at: None,
        }
    }
}

/// Shares calls between two versions, and compares them.
///
/// No method may block for long, or call a listener while it holds a lock that another method takes.
pub trait Steer: Send + Sync + 'static {
    /// How the two stand.
    fn standing(&self) -> Standing;

    /// Begins a new comparison: the canary has no calls, and nothing speaks against it. `rollout` is its
    /// id; where callers stick to a version, it decides who is drawn.
    fn begin(&self, rollout: &str);

    /// Gives the canary this share of the calls from the next one on. `false`, and nothing is changed, if
    /// it was [withdrawn](Self::withdraw).
    fn set_weight(&self, weight: Ratio) -> bool;

    /// Takes all calls from the canary, from the next one on and until a new comparison
    /// [begins](Self::begin): whoever sets a weight at the same moment, or later, is refused. Can't fail.
    fn withdraw(&self);

    /// Judges, if it is time to.
    fn tick(&self);

    /// Calls `listener` on each judgement from here on, on the thread that judged.
    fn listen(&self, listener: Listener);
}

/// Hears of judgements.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(&Judgement) + Send + Sync>);

impl Listener {
    /// Calls `hear` on each.
    pub fn new(hear: impl Fn(&Judgement) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// There was a judgement.
    pub fn hear(&self, judgement: &Judgement) {
        (self.0)(judgement);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
