//! Makes services whose calls are recorded against one objective.

use std::sync::Arc;

use tower_layer::Layer;

use super::handle::{Core, Slo};
use super::service::Observed;
use crate::local::Owner;
use crate::outcome::ByResult;

/// Records every call against an [`Slo`]: one layer value is one objective, shared by every service it
/// makes and every clone of them.
///
/// It changes nothing about the calls. Outermost, it sees what the caller sees: a stale answer is then a
/// success, unless the classifier says otherwise ([`StaleAs`](super::StaleAs)), and a refusal that comes
/// through is nobody's fault by default ([`Outcome::Ignored`](crate::outcome::Outcome)); to your users it
/// is a failure, so say so ([`RefusedAs`](super::RefusedAs)):
///
/// ```
/// use seawall::outcome::{ByResult, Outcome};
/// use seawall::slo::{Objective, RefusedAs, Slo, SloLayer};
///
/// let slo = Slo::new(Objective::availability("checkout", 0.999)).unwrap();
/// let layer = SloLayer::new(&slo).classify(RefusedAs::new(Outcome::Failure, ByResult));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct SloLayer<C = ByResult> {
    core: Arc<Core>,
    classify: C,
}

impl SloLayer {
    /// Records against `slo`: `Ok` is good, `Err` is bad.
    pub fn new(slo: &Slo) -> Self {
        Self { core: Arc::clone(&slo.0), classify: ByResult }
    }
}

impl<C> SloLayer<C> {
    /// Who tells how calls ended. Failures and calls in doubt are bad; ignored ones aren't counted.
    #[must_use]
    pub fn classify<N>(self, classify: N) -> SloLayer<N> {
        SloLayer { core: self.core, classify }
    }
}

impl<S, C: Clone> Layer<S> for SloLayer<C> {
    type Service = Observed<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Observed::new(inner, Owner::new(Arc::clone(&self.core)), self.classify.clone())
    }
}
