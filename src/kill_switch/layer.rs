//! Puts a switch before a service, and a way past layers.

use tower_layer::Layer;

use super::service::{Bypass, Switched};
use super::switch::KillSwitch;

/// Refuses calls while its [`KillSwitch`] is on [`Halt`](super::Mode::Halt).
///
/// It belongs inside the fallback, so that reads are still answered. For
/// [`Bypass`](super::Mode::Bypass) to have an effect, a [`BypassLayer`](super::BypassLayer) is needed
/// around the layers that are to be bypassed; the preset has both.
#[derive(Clone, Debug)]
pub struct KillSwitchLayer(KillSwitch);

impl KillSwitchLayer {
    /// Obeys `switch`.
    pub fn new(switch: &KillSwitch) -> Self {
        Self(switch.clone())
    }

    /// The switch that it obeys.
    pub fn switch(&self) -> &KillSwitch {
        &self.0
    }
}

impl<S> Layer<S> for KillSwitchLayer {
    type Service = Switched<S>;

    fn layer(&self, inner: S) -> Switched<S> {
        Switched::new(inner, self.0.clone())
    }
}

/// Puts the layers `L` around a service, and a way past them for
/// [`Bypass`](super::Mode::Bypass).
///
/// The client is cloned once when the layer is applied: one goes into the layers, the other stands
/// beside them.
#[derive(Clone, Debug)]
pub struct BypassLayer<L> {
    switch: KillSwitch,
    layers: L,
}

impl<L> BypassLayer<L> {
    /// Leads past `layers` while `switch` is on bypass.
    pub fn new(switch: &KillSwitch, layers: L) -> Self {
        Self { switch: switch.clone(), layers }
    }
}

impl<S: Clone, L: Layer<S>> Layer<S> for BypassLayer<L> {
    type Service = Bypass<L::Service, S>;

    fn layer(&self, client: S) -> Self::Service {
        Bypass::new(self.switch.clone(), self.layers.layer(client.clone()), client)
    }
}
