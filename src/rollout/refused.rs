//! Why an order was refused.

use std::fmt;
use std::time::Duration;

/// Why an order was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No rollout is under way.
    NotRunning,
    /// One is under way already; abort it first.
    Running,
    /// The last one is being rolled back; its hooks aren't through.
    RollingBack,
    /// It was decided already: rolled back, or promoted.
    AlreadyDecided,
    /// This version was rolled back a short while ago; so long is left.
    CoolingDown(Duration),
    /// It isn't shown yet that the canary is good, or the stage has only begun.
    NotProven,
    /// The absolute guard speaks against the canary.
    Guarded,
    /// An operator holds it.
    OnHold,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "no rollout is under way",
            Self::Running => "a rollout is under way already",
            Self::RollingBack => "the last rollout is still being rolled back",
            Self::AlreadyDecided => "it was decided already",
            Self::CoolingDown(left) => {
                return write!(f, "this version was rolled back, and cools down for {left:?}");
            }
            Self::NotProven => "it isn't shown yet that the canary is good",
            Self::Guarded => "the canary fails more than any version may",
            Self::OnHold => "it is on hold",
        })
    }
}

impl std::error::Error for Refused {}
