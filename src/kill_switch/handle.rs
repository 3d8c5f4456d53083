//! Follows a source while the service runs.

use std::time::Duration;

use super::source::Source;
use super::switch::KillSwitch;
use crate::error::{ConfigError, Room, check};
use crate::measure::{Level, Measure, Measurement};
use crate::tick::Tick;

impl KillSwitch {
    /// Consults `source` every `interval`, once it is [driven](crate::drive::Drive), first at once.
    ///
    /// ```
    /// use seawall::drive::Drive;
    /// use seawall::kill_switch::{File, KillSwitch, KillSwitchConfig};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), seawall::ConfigError> {
    /// let switch = KillSwitch::new(KillSwitchConfig::new("payments"));
    /// let file = switch.follow(File::new("/etc/switches/payments"), Duration::from_secs(2))?;
    /// let driving = tokio::spawn(Drive::new().tick(file).run());
    /// # driving.abort();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// When it isn't driven any more the switch stays as it is. A source is read on the driving task's own
    /// thread: one that may block for long should be read elsewhere and [flipped](Self::flip) from there.
    ///
    /// # Errors
    /// [`ConfigError`] if `interval` is zero.
    pub fn follow<S: Source>(
        &self,
        source: S,
        interval: Duration,
    ) -> Result<Follow<S>, ConfigError> {
        check("interval", interval, "above zero", |interval| !interval.is_zero())?;
        Ok(Follow { switch: self.clone(), source, interval })
    }
}

/// A switch that follows a source; made by [`KillSwitch::follow`].
#[derive(Clone, Debug)]
pub struct Follow<S> {
    switch: KillSwitch,
    source: S,
    interval: Duration,
}

impl<S: Source + Send + Sync + 'static> Tick for Follow<S> {
    fn every(&self) -> Duration {
        self.interval
    }

    fn tick(&self) {
        self.switch.consult(&self.source);
    }
}

impl Measure for KillSwitch {
    fn measure(&self, show: &mut dyn FnMut(Measurement)) {
        let mut show = |level| show(Measurement::new(Room::KillSwitch, self.name(), level));
        show(Level::Position(self.mode().as_str()));
        show(Level::HookPanics(self.observer_panics()));
    }
}
