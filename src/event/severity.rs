//! How bad an incident is, and how often it asks for an update.

use std::fmt;
use std::time::Duration;

use crate::ratio::Ratio;

/// How bad an incident is: by the share of calls, over the worst minute, that failed or were refused
/// without an answer. A stale answer, or another substitute, weighs half.
///
/// ```
/// use seawall::event::Severity;
/// use seawall::ratio::Ratio;
/// use std::time::Duration;
///
/// let severity = Severity::of(Ratio::percent(12).unwrap());
/// assert_eq!(severity, Severity::P2);
/// assert_eq!(severity.update_every(), Some(Duration::from_secs(30 * 60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Half of the calls or more: the service is down for most.
    P1,
    /// 5 % or more: a significant part fails.
    P2,
    /// 0.1 % or more: a few are affected.
    P3,
    /// Less, or nothing that callers could see.
    P4,
}

impl Severity {
    /// By the share of calls that were failed: from 50 % on P1, from 5 % P2, from 0.1 % P3.
    pub const fn of(failed: Ratio) -> Self {
        match failed.ppm() {
            500_000.. => Self::P1,
            50_000.. => Self::P2,
            1_000.. => Self::P3,
            _ => Self::P4,
        }
    }

    /// How often stakeholders are told, even if there is nothing new: 15 minutes, 30 minutes, a day;
    /// `None` where a ticket is enough.
    pub const fn update_every(self) -> Option<Duration> {
        match self {
            Self::P1 => Some(Duration::from_secs(15 * 60)),
            Self::P2 => Some(Duration::from_secs(30 * 60)),
            Self::P3 => Some(Duration::from_secs(24 * 60 * 60)),
            Self::P4 => None,
        }
    }

    /// Whom it calls, in a sentence.
    pub const fn asks_for(self) -> &'static str {
        match self {
            Self::P1 => "Wake the one on call, name a coordinator, open a channel at once.",
            Self::P2 => {
                "Tell the one on call and the lead at once; say whether there is a way around it."
            }
            Self::P3 => {
                "Mend it in the current sprint; there is a way around it, or few are affected."
            }
            Self::P4 => "Write a ticket, and take it up with the next sprint.",
        }
    }

    /// `P1` to `P4`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_was_failed_decides_exactly() {
        let of = |ppm| Severity::of(Ratio::from_ppm(ppm).unwrap());
        let rows = [
            (1_000_000, Severity::P1),
            (500_000, Severity::P1),
            (499_999, Severity::P2),
            (50_000, Severity::P2),
            (49_999, Severity::P3),
            (1_000, Severity::P3),
            (999, Severity::P4),
            (0, Severity::P4),
        ];
        for (ppm, severity) in rows {
            assert_eq!(of(ppm), severity, "{ppm}");
        }
    }

    #[test]
    fn the_worse_the_more_often_it_is_told() {
        let minutes =
            |severity: Severity| severity.update_every().map(|every| every.as_secs() / 60);
        assert_eq!(minutes(Severity::P1), Some(15));
        assert_eq!(minutes(Severity::P2), Some(30));
        assert_eq!(minutes(Severity::P3), Some(24 * 60));
        assert_eq!(minutes(Severity::P4), None);
    }
}
