//! A stack that is built: a layer, and the handles to its parts.

use tower_layer::{Identity, Layer};
use tower_service::Service;

use super::boxed::Boxed;
use super::lift::{Lift, LiftLayer};
use crate::kill_switch::{Bypass, KillSwitchLayer};

/// The layers of a stack, outermost first; the kill switch stands inside the fallback, and has a way
/// past all of them.
#[derive(Clone, Copy, Debug)]
pub struct Layers<F, X, Y, B, K, T, R, H> {
    pub(super) fallback: F,
    pub(super) switch: X,
    pub(super) retry: Y,
    pub(super) breaker: B,
    pub(super) bulkhead: K,
    pub(super) timeout: T,
    pub(super) ready: R,
    pub(super) lift: LiftLayer,
    pub(super) buffer: H,
}

impl<S, F, X, Y, B, K, T, R, H> Layer<S> for Layers<F, X, Y, B, K, T, R, H>
where
    H: Layer<S>,
    R: Layer<Lift<H::Service>>,
    T: Layer<R::Service>,
    K: Layer<T::Service>,
    B: Layer<K::Service>,
    Y: Layer<B::Service>,
    X: Layer<Y::Service> + Past<Lift<H::Service>, F::Service>,
    F: Layer<<X as Layer<Y::Service>>::Service>,
{
    type Service = <X as Past<Lift<H::Service>, F::Service>>::Around;

    fn layer(&self, client: S) -> Self::Service {
        let client = self.lift.layer(self.buffer.layer(client));
        self.switch.past(client, |client| {
            let attempt = self.timeout.layer(self.ready.layer(client));
            let guarded = self.breaker.layer(self.bulkhead.layer(attempt));
            self.fallback.layer(self.switch.layer(self.retry.layer(guarded)))
        })
    }
}

/// The way past the layers `W` around a client `S`, where there is one: a kill switch's bypass.
pub trait Past<S, W> {
    /// The service with that way.
    type Around;

    /// Makes the layered service of `client`, and the way past it.
    fn past(&self, client: S, layered: impl FnOnce(S) -> W) -> Self::Around;
}

/// No switch, no way past.
impl<S, W> Past<S, W> for Identity {
    type Around = W;

    fn past(&self, client: S, layered: impl FnOnce(S) -> W) -> W {
        layered(client)
    }
}

impl<S: Clone, W> Past<S, W> for KillSwitchLayer {
    type Around = Bypass<W, S>;

    fn past(&self, client: S, layered: impl FnOnce(S) -> W) -> Self::Around {
        Bypass::new(self.switch().clone(), layered(client.clone()), client)
    }
}

/// How an operator reaches the parts of a stack; `()` for those that are left out or replaced.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Handles<F, X, Y, B, K, T> {
    /// The fallback's.
    pub fallback: F,
    /// The kill switch.
    pub switch: X,
    /// The retry's.
    pub retry: Y,
    /// The breaker's.
    pub breaker: B,
    /// The bulkhead's.
    pub bulkhead: K,
    /// The attempt timeout's.
    pub timeout: T,
}

/// A stack of layers; made by [`Payment::build`](super::Payment::build).
///
/// One value is one circuit, one limit, one cache, shared by every service it makes and every clone of
/// them. The services' error is [`Error<E>`](crate::Error) of the client's error `E`.
#[derive(Clone, Copy, Debug)]
pub struct Stack<L, Hs> {
    layers: L,
    handles: Hs,
}

impl<L, Hs> Stack<L, Hs> {
    pub(super) fn new(layers: L, handles: Hs) -> Self {
        Self { layers, handles }
    }

    /// Around `client`.
    pub fn service<S>(&self, client: S) -> L::Service
    where
        L: Layer<S>,
    {
        self.layers.layer(client)
    }

    /// Around `client`, as a type that can be named; one allocation a call.
    pub fn boxed<S, Req, Res, E>(&self, client: S) -> Boxed<Req, Res, E>
    where
        L: Layer<S>,
        L::Service: Service<Req, Response = Res, Error = E> + Clone + Send + Sync + 'static,
        <L::Service as Service<Req>>::Future: Send + 'static,
    {
        Boxed::new(self.service(client))
    }

    /// Reaches every part that can be reached.
    pub fn handles(&self) -> &Hs {
        &self.handles
    }
}

impl<S, L: Layer<S>, Hs> Layer<S> for Stack<L, Hs> {
    type Service = L::Service;

    fn layer(&self, client: S) -> Self::Service {
        self.service(client)
    }
}
