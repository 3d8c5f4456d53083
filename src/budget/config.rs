//! What can be set.

use super::bucket::Terms;
use crate::clock::Clock;
use crate::error::{ConfigError, check};
use crate::ratio::Ratio;

/// A million tokens, or a million a second: more than anyone means.
const MOST: u32 = 1_000_000;

/// The settings of a [`Budget`](super::Budget). All are live but the clock.
///
/// ```
/// use seawall::budget::{Budget, BudgetConfig};
///
/// let error = Budget::new(BudgetConfig::new().ratio(1.5)).unwrap_err();
/// assert_eq!(error.to_string(), "ratio is 1.5, but must be from 0 to 1");
/// ```
#[derive(Clone, Debug)]
pub struct BudgetConfig {
    ratio: f64,
    floor: u32,
    burst: u32,
    doubt_cost: u32,
    pub(super) clock: Clock,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl BudgetConfig {
    /// A fifth of the calls may be repeated, and one a second in any case.
    pub fn new() -> Self {
        Self { ratio: 0.2, floor: 1, burst: 20, doubt_cost: 2, clock: Clock::default() }
    }

    /// How many repetitions a first attempt earns. Default 0.2; 0 to 1. Live.
    #[must_use]
    pub fn ratio(mut self, ratio: impl Into<f64>) -> Self {
        self.ratio = ratio.into();
        self
    }

    /// How many repetitions a second earns, so that a client with few calls may repeat one. Default 1;
    /// 0 to 1,000,000. Live.
    ///
    /// It comes on top of the ratio, for each budget: fifty clients with a floor of ten send five
    /// hundred calls a second to a service that is down.
    #[must_use]
    pub fn floor(mut self, per_second: u32) -> Self {
        self.floor = per_second;
        self
    }

    /// The most that is ever saved up, and what a budget starts with. Default 20; from `doubt_cost` to
    /// 1,000,000. Live.
    #[must_use]
    pub fn burst(mut self, tokens: u32) -> Self {
        self.burst = tokens;
        self
    }

    /// What it costs to repeat a call that was given up unanswered. Default 2; from 1 to `burst`. Live.
    ///
    /// A call that timed out cost the other side more than one that failed at once, and may still keep
    /// it busy. An error that came back costs one token, also where it leaves in doubt what was done: at
    /// two, a service that fails in 15 % of its calls would have used up the budget of 20 %. Two is what the
    /// AWS SDKs take in proportion ("standard" retry mode: 10 against 5).
    #[must_use]
    pub fn doubt_cost(mut self, tokens: u32) -> Self {
        self.doubt_cost = tokens;
        self
    }

    /// The clock of the floor. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn terms(&self) -> Result<Terms, ConfigError> {
        let ratio = Ratio::new(self.ratio)
            .ok_or_else(|| ConfigError::new("ratio", self.ratio, "from 0 to 1"))?;
        let floor = check("floor", self.floor, "from 0 to 1000000", |&floor| floor <= MOST)?;
        let burst =
            check("burst", self.burst, "from 1 to 1000000", |burst| (1..=MOST).contains(burst))?;
        let doubt = check("doubt_cost", self.doubt_cost, "from 1 to burst", |cost| {
            (1..=burst).contains(cost)
        })?;
        Ok(Terms::new(ratio, floor, burst, doubt))
    }
}
