//! A stack that is built: a layer, and the handles to its parts.
#![allow(clippy::type_complexity)] // the parts, by name

use tower_layer::{Identity, Layer};
use tower_service::Service;

use super::arm::Guard;
use super::boxed::Boxed;
use super::driven::Driven;
use super::part::CanaryLayers;
use crate::canary::{Canary, Split};
use crate::drive::Drive;
use crate::kill_switch::{Bypass, KillSwitchLayer};
use crate::measure::{Measure, Measurement};

/// The layers of a stack, outermost first; the kill switch stands inside the fallback, and has a way
/// past all of them but the objective.
#[derive(Clone, Copy, Debug)]
pub struct Layers<O, F, X, D, C, A> {
    pub(super) slo: O,
    pub(super) fallback: F,
    pub(super) switch: X,
    pub(super) deadline: D,
    pub(super) canary: C,
    pub(super) arm: A,
}

impl<O, F, X, D, C, A> Layers<O, F, X, D, C, A> {
    /// The outer layers around what `inside` makes of `client`; the way past them leads to `client`.
    fn around<L, G>(&self, client: L, inside: impl FnOnce(L) -> G) -> O::Service
    where
        D: Layer<G>,
        X: Layer<D::Service> + Past<L, F::Service>,
        F: Layer<<X as Layer<D::Service>>::Service>,
        O: Layer<X::Around>,
    {
        self.slo.layer(self.switch.past(client, |client| {
            self.fallback.layer(self.switch.layer(self.deadline.layer(inside(client))))
        }))
    }
}

impl<S, O, F, X, D, C, A> Layer<S> for Layers<O, F, X, D, C, A>
where
    A: Guard<S>,
    C: Layer<A::Service>,
    D: Layer<C::Service>,
    X: Layer<D::Service> + Past<A::Client, F::Service>,
    F: Layer<<X as Layer<D::Service>>::Service>,
    O: Layer<X::Around>,
{
    type Service = O::Service;

    fn layer(&self, client: S) -> Self::Service {
        self.around(self.arm.client(client), |client| self.canary.layer(self.arm.guard(client)))
    }
}

/// Layers around two clients, the two versions of one service.
pub trait SplitLayer<S, N> {
    /// The service made of both.
    type Service;

    /// Around `baseline` and `canary`.
    fn split(&self, baseline: S, canary: N) -> Self::Service;
}

impl<S, N, O, F, X, D, C, K, U, A, B> SplitLayer<S, N>
    for Layers<O, F, X, D, CanaryLayers<Canary<C, K, U>, B>, A>
where
    A: Guard<S>,
    B: Guard<N>,
    D: Layer<Split<A::Service, B::Service, C, K, U>>,
    X: Layer<D::Service> + Past<A::Client, F::Service>,
    F: Layer<<X as Layer<D::Service>>::Service>,
    O: Layer<X::Around>,
{
    type Service = O::Service;

    fn split(&self, baseline: S, canary: N) -> Self::Service {
        let CanaryLayers { canary: trial, arm } = &self.canary;
        self.around(self.arm.client(baseline), |baseline| {
            trial.split(self.arm.guard(baseline), arm.guard(arm.client(canary)))
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

/// How an operator reaches the parts of a stack; `()` for those that are left out or replaced. Where
/// there is a canary, retry, breaker, bulkhead and timeout are the baseline's.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Handles<O, F, X, D, C, Y, B, K, T> {
    /// The objective.
    pub slo: O,
    /// The fallback's.
    pub fallback: F,
    /// The kill switch.
    pub switch: X,
    /// The deadline's.
    pub deadline: D,
    /// The comparison, and the canary's arm.
    pub canary: C,
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

    /// Around the two versions of one service, of a stack with a [`canary`](super::Payment::canary). Both
    /// clients answer and fail by the same types. A kill switch's bypass leads to the baseline.
    pub fn split<S, N>(&self, baseline: S, canary: N) -> L::Service
    where
        L: SplitLayer<S, N>,
    {
        self.layers.split(baseline, canary)
    }

    /// Around `client`, as a type that can be named; one allocation a call. For two versions:
    /// [`Boxed::new`] of what [`split`](Self::split) gives.
    pub fn boxed<S, Req, Res, E>(&self, client: S) -> Boxed<Req, Res, E>
    where
        L: Layer<S>,
        L::Service: Service<Req, Response = Res, Error = E> + Clone + Send + Sync + 'static,
        <L::Service as Service<Req>>::Future: Send + 'static,
    {
        Boxed::new(self.service(client))
    }

    /// All that must happen when nobody calls: alerts that end, pools that are looked at, circuits that
    /// move on, a canary that is judged, a rollout with its hooks. Spawn it once a stack. What else is to be
    /// driven, such as a kill switch that [follows](crate::kill_switch::KillSwitch::follow) a file, is
    /// added to it.
    ///
    /// ```
    /// use seawall::kill_switch::{File, KillSwitch, KillSwitchConfig};
    /// use seawall::stack;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), seawall::ConfigError> {
    /// let switch = KillSwitch::new(KillSwitchConfig::new("payments"));
    /// let stack = stack::payment("payments").kill_switch(&switch).build()?;
    /// let file = switch.follow(File::new("/etc/switches/payments"), Duration::from_secs(2))?;
    /// let driving = tokio::spawn(stack.drive().tick(file).run());
    /// # driving.abort();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn drive(&self) -> Drive
    where
        Hs: Driven,
    {
        self.handles.driven(Drive::new())
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

/// All parts that can be reached.
impl<O, F, X, D, C, Y, B, K, T> Measure for Handles<O, F, X, D, C, Y, B, K, T>
where
    O: Measure,
    F: Measure,
    X: Measure,
    D: Measure,
    C: Measure,
    Y: Measure,
    B: Measure,
    K: Measure,
    T: Measure,
{
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let parts: [&dyn Measure; 9] = [
            &self.slo,
            &self.fallback,
            &self.switch,
            &self.deadline,
            &self.canary,
            &self.retry,
            &self.breaker,
            &self.bulkhead,
            &self.timeout,
        ];
        parts.into_iter().for_each(|part| part.measure(show));
    }
}
