//! The user's word on an answer: for what no status code tells.
//!
//! A version that corrupts balances answers quickly and with 200. Only somebody who knows what a balance
//! must look like can say so.

/// What a check finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The answer is right.
    Ok,
    /// The answer is wrong.
    Bad,
    /// It can't be told, or doesn't concern the check.
    Skip,
}

/// Checks answers, where their requests matter by what was kept of them.
///
/// Made by [`Canary::check`](super::Canary::check) and [`Canary::check_kept`](super::Canary::check_kept),
/// or written by hand. It runs on the thread that polls the call: be quick. A panic in it is caught,
/// counted, and taken for [`Data::Skip`].
pub trait Check<Req, Res> {
    /// What is kept of a request until its answer comes.
    type Kept;

    /// Keeps of the request what the check will need. Only asked for calls that will be checked.
    fn keep(&self, request: &Req) -> Self::Kept;

    /// Is this the answer to that request?
    fn check(&self, kept: &Self::Kept, response: &Res) -> Data;
}

/// Checks nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheck;

impl<Req, Res> Check<Req, Res> for NoCheck {
    type Kept = ();

    #[inline]
    fn keep(&self, _: &Req) {}

    #[inline]
    fn check(&self, (): &(), _: &Res) -> Data {
        Data::Skip
    }
}

/// Checks by a function of the request, which is cloned for that, and its response.
#[derive(Clone, Copy, Debug)]
pub struct Whole<F>(pub(super) F);

impl<Req, Res, F> Check<Req, Res> for Whole<F>
where
    Req: Clone,
    F: Fn(&Req, &Res) -> Data,
{
    type Kept = Req;

    fn keep(&self, request: &Req) -> Req {
        request.clone()
    }

    fn check(&self, kept: &Req, response: &Res) -> Data {
        (self.0)(kept, response)
    }
}

/// Checks by a function of what another function kept of the request, and the response.
#[derive(Clone, Copy, Debug)]
pub struct Kept<K, F>(pub(super) K, pub(super) F);

impl<Req, Res, T, K, F> Check<Req, Res> for Kept<K, F>
where
    K: Fn(&Req) -> T,
    F: Fn(&T, &Res) -> Data,
{
    type Kept = T;

    fn keep(&self, request: &Req) -> T {
        (self.0)(request)
    }

    fn check(&self, kept: &T, response: &Res) -> Data {
        (self.1)(kept, response)
    }
}
