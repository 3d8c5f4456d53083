//! Follows a source while the service runs.

use std::future::Future;
use std::time::Duration;

use super::source::Source;
use super::switch::KillSwitch;
use crate::error::{ConfigError, Room, check};
use crate::measure::{Level, Measure, Measurement};

impl KillSwitch {
    /// Consults `source` now and every `interval`, for as long as the future is polled.
    ///
    /// Spawn it, or select on it beside your server. Dropping it is safe at any point; the switch stays
    /// as it is. A source is read on the task's own thread: one that may block for long should be read
    /// elsewhere and [flipped](Self::flip) from there.
    ///
    /// # Errors
    /// [`ConfigError`] if `interval` is zero.
    pub fn follow<S: Source>(
        &self,
        source: S,
        interval: Duration,
    ) -> Result<impl Future<Output = ()> + use<S>, ConfigError> {
        check("interval", interval, "above zero", |interval| !interval.is_zero())?;
        let switch = self.clone();
        Ok(async move {
            loop {
                switch.consult(&source);
                tokio::time::sleep(interval).await;
            }
        })
    }
}

impl Measure for KillSwitch {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let mut show = |level| show(Measurement::new(Room::KillSwitch, self.name(), level));
        show(Level::Position(self.mode().as_str()));
        show(Level::HookPanics(self.observer_panics()));
    }
}
