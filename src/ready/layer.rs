//! Makes services that wait for readiness in the call.

use tower_layer::Layer;

use super::service::ReadyInCall;

/// Moves the wait for readiness into the call. It has no settings, and shares nothing.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ReadyInCallLayer {}

impl ReadyInCallLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for ReadyInCallLayer {
    type Service = ReadyInCall<S>;

    fn layer(&self, inner: S) -> ReadyInCall<S> {
        ReadyInCall::new(inner)
    }
}
