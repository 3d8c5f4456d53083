//! How a watcher knows which arm served a call.

use super::keys::Sticky;
use crate::verdict::Arm;

/// Tells the arm of a call, from its request or from its response.
///
/// [`ByRequest`] and [`ByResponse`] take closures.
pub trait Tell<Req, Res> {
    /// The arm, if the request says so; `None` if only the response can.
    fn by_request(&self, request: &Req) -> Option<Arm>;

    /// The arm, if the response says so; `None` leaves the call out. Only asked where the request didn't
    /// say.
    fn by_response(&self, response: &Res) -> Option<Arm>;
}

/// The request says it: such as a header that a mesh set, or the address that was chosen.
#[derive(Clone, Copy, Debug)]
pub struct ByRequest<F>(pub F);

impl<Req, Res, F: Fn(&Req) -> Arm> Tell<Req, Res> for ByRequest<F> {
    #[inline]
    fn by_request(&self, request: &Req) -> Option<Arm> {
        Some((self.0)(request))
    }

    fn by_response(&self, _: &Res) -> Option<Arm> {
        None
    }
}

/// The response says it, such as by a version header.
///
/// Second best: a call without a response says nothing of its arm, so errors of the service are left
/// out and only *responses* that are failures count; and a call that hangs isn't seen before it answers.
#[derive(Clone, Copy, Debug)]
pub struct ByResponse<F>(pub F);

impl<Req, Res, F: Fn(&Res) -> Option<Arm>> Tell<Req, Res> for ByResponse<F> {
    #[inline]
    fn by_request(&self, _: &Req) -> Option<Arm> {
        None
    }

    fn by_response(&self, response: &Res) -> Option<Arm> {
        (self.0)(response)
    }
}

/// The router knows: nobody else is asked.
#[derive(Clone, Copy, Debug)]
pub struct Routed;

impl<Req, Res> Tell<Req, Res> for Routed {
    fn by_request(&self, _: &Req) -> Option<Arm> {
        None
    }

    fn by_response(&self, _: &Res) -> Option<Arm> {
        None
    }
}

/// What is drawn for a version, and counted for it: each call, or each caller.
pub trait Unit<Req> {
    /// Whose call it is; `None` draws it by itself.
    fn caller(&self, request: &Req) -> Option<Sticky>;
}

/// Each call is drawn by itself.
impl<Req> Unit<Req> for Routed {
    #[inline]
    fn caller(&self, _: &Req) -> Option<Sticky> {
        None
    }
}

/// Callers stick to their version; made by [`Canary::sticky`](super::Canary::sticky).
#[derive(Clone, Copy, Debug)]
pub struct ByCaller<F>(pub(super) F);

impl<Req, F: Fn(&Req) -> Option<Sticky>> Unit<Req> for ByCaller<F> {
    #[inline]
    fn caller(&self, request: &Req) -> Option<Sticky> {
        (self.0)(request)
    }
}

impl<Req, Res, F> Tell<Req, Res> for ByCaller<F> {
    fn by_request(&self, _: &Req) -> Option<Arm> {
        None
    }

    fn by_response(&self, _: &Res) -> Option<Arm> {
        None
    }
}
