//! Which class a request is of.

use crate::criticality::Criticality;

/// Tells what a request is worth. Closures do: `|request: &Request| ..`.
pub trait Rank<Req> {
    /// The class of `request`; `None` where none are told apart.
    fn rank(&self, request: &Req) -> Option<Criticality>;
}

/// All requests are of one class: the default [`Rank`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OneClass;

impl<Req> Rank<Req> for OneClass {
    #[inline]
    fn rank(&self, _: &Req) -> Option<Criticality> {
        None
    }
}

impl<F, Req> Rank<Req> for F
where
    F: Fn(&Req) -> Criticality,
{
    #[inline]
    fn rank(&self, request: &Req) -> Option<Criticality> {
        Some(self(request))
    }
}
