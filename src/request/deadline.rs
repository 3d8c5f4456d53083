//! Where a layer looks for a request's deadline, if it does.

use super::marked::Marked;
use crate::clock::Moment;

/// Reads and writes the deadline of a request, or leaves it alone.
///
/// A layer that works over any request takes one of these: [`NoDeadline`], which costs nothing, or
/// [`InRequest`], which asks that requests are [`Marked`].
pub trait Deadlines<Req> {
    /// Does it look at all? Where not, no clock is read.
    const LOOKS: bool;

    /// When `request` is of no use any more.
    fn deadline(&self, request: &Req) -> Option<Moment>;

    /// Gives `request` this deadline.
    fn set(&self, request: &mut Req, deadline: Moment);
}

/// Requests have no deadline that the layer knows of.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDeadline;

impl<Req> Deadlines<Req> for NoDeadline {
    const LOOKS: bool = false;

    #[inline]
    fn deadline(&self, _: &Req) -> Option<Moment> {
        None
    }

    #[inline]
    fn set(&self, _: &mut Req, _: Moment) {}
}

/// Requests carry their deadline: they are [`Marked`].
#[derive(Clone, Copy, Debug, Default)]
pub struct InRequest;

impl<Req: Marked> Deadlines<Req> for InRequest {
    const LOOKS: bool = true;

    #[inline]
    fn deadline(&self, request: &Req) -> Option<Moment> {
        request.deadline()
    }

    #[inline]
    fn set(&self, request: &mut Req, deadline: Moment) {
        request.set_deadline(deadline);
    }
}
