//! What goes over the wire: kinds of calls, answers that can be verified, refusals.

use serde::{Deserialize, Serialize};

/// What a caller asks of the payment service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Quote,
    Methods,
    Status,
    Charge,
}

impl Kind {
    pub(crate) const READS: [Self; 3] = [Self::Quote, Self::Methods, Self::Status];

    pub(crate) const fn is_read(self) -> bool {
        !matches!(self, Self::Charge)
    }

    /// The collection that both services serve it under; a read's key follows after a slash.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Quote => "/quotes",
            Self::Methods => "/methods",
            Self::Status => "/payments",
            Self::Charge => "/charges",
        }
    }
}

/// The payment service's answer: it says whose it is and when it was given, so that nobody need
/// take it on trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    /// A read's key, or a charge's idempotency key.
    pub(crate) key: String,
    pub(crate) principal: String,
    /// Grows with every answer the service gives.
    pub(crate) sequence: u64,
    /// When it was given, on the clock of [`crate::clock`].
    pub(crate) issued_us: u64,
    /// What the caller came for.
    pub(crate) detail: String,
}

/// What a quote must say.
pub(crate) fn quote(key: &str) -> String {
    format!("{} cents, all taxes included", 100 + key.len() * 137)
}

/// What a charge asks for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) cents: u64,
}

/// The checkout service's answer to a call that its client refused: typed, so that a caller knows
/// whether the money may have moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The reason's name, such as `circuit_open`.
    pub(crate) refused: String,
    /// Did the call leave for the payment service?
    pub(crate) sent: bool,
}

/// The checkout service's answer to a call that failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) failed: String,
}
