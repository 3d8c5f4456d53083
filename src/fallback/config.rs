//! What can be set on every fallback.

use crate::event::{Observe, Observers};
use crate::outcome::ByResult;

/// The settings of a [`FallbackLayer`](super::FallbackLayer), whatever its plan.
///
/// ```
/// use seawall::fallback::FallbackConfig;
/// use seawall::outcome::Outcome;
///
/// let config = FallbackConfig::new("quotes").classify(|result: Result<&u16, &std::io::Error>| {
///     match result {
///         Ok(500..) | Err(_) => Outcome::Failure,
///         Ok(_) => Outcome::Success,
///     }
/// });
/// ```
#[derive(Clone, Debug)]
pub struct FallbackConfig<C = ByResult> {
    pub(super) name: &'static str,
    pub(super) classify: C,
    pub(super) observers: Observers,
}

impl FallbackConfig {
    /// A fallback called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        Self { name, classify: ByResult, observers: Observers::default() }
    }
}

impl<C> FallbackConfig<C> {
    /// Which results are failures, to be answered for: those that it calls
    /// [`Failure`](crate::outcome::Outcome::Failure) or
    /// [`InDoubt`](crate::outcome::Outcome::InDoubt). Refusals by layers inside are answered for in
    /// any case. Default [`ByResult`].
    #[must_use]
    pub fn classify<D>(self, classify: D) -> FallbackConfig<D> {
        FallbackConfig { name: self.name, classify, observers: self.observers }
    }

    /// One more observer; it is attached when the layer is built.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }
}
