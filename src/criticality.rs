//! What a call is worth, next to others.

use std::fmt;

/// How much a call is worth, next to other calls of the same service: which is let wait, or refused,
/// when not all can be served.
///
/// ```
/// use seawall::criticality::Criticality;
///
/// assert!(Criticality::Critical < Criticality::Background, "the most critical comes first");
/// assert_eq!(Criticality::default(), Criticality::Normal);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// Somebody loses money, or data, if it isn't served: a charge.
    Critical,
    /// Somebody waits for it.
    #[default]
    Normal,
    /// Nobody waits for it, or somebody can do without: a report, a prefetch.
    Background,
}

impl Criticality {
    /// All of them, the most critical first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Background];

    /// The name in metrics and messages: `critical`, `normal`, `background`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Background => "background",
        }
    }
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
