//! What of a stack must happen when nobody calls.

use super::arm::ArmHandles;
use super::part::CanaryHandles;
use super::stacked::Handles;
use crate::breaker::CircuitBreakerHandle;
use crate::bulkhead::BulkheadHandle;
use crate::drive::Drive;
use crate::kill_switch::KillSwitch;
use crate::retry::RetryHandle;
use crate::rollout::Rollout;
use crate::slo::Slo;
use crate::timeout::TimeoutHandle;

/// A handle to a part that may have something to do when nobody calls.
pub trait Driven {
    /// Adds it to what is driven.
    #[must_use]
    fn driven(&self, drive: Drive) -> Drive;
}

/// Parts that have nothing to do by themselves.
macro_rules! idle {
    ($($handle:ty),*) => {
        $(impl Driven for $handle {
            fn driven(&self, drive: Drive) -> Drive {
                drive
            }
        })*
    };
}

// A switch follows the sources that it is told to: they are added beside.
idle!((), KillSwitch, RetryHandle, TimeoutHandle);

#[cfg(feature = "cache")]
impl<T> Driven for crate::fallback::CachedHandle<T> {
    fn driven(&self, drive: Drive) -> Drive {
        drive
    }
}

/// Parts that tick.
macro_rules! ticks {
    ($($handle:ty),*) => {
        $(impl Driven for $handle {
            fn driven(&self, drive: Drive) -> Drive {
                drive.tick(self.clone())
            }
        })*
    };
}

ticks!(Slo, CircuitBreakerHandle, BulkheadHandle);

impl Driven for Rollout {
    fn driven(&self, drive: Drive) -> Drive {
        drive.with(self.drive())
    }
}

impl<A: Driven, R: Driven> Driven for CanaryHandles<A, R> {
    fn driven(&self, drive: Drive) -> Drive {
        self.rollout.driven(self.arm.driven(drive.tick(self.comparison.clone())))
    }
}

impl<Y, B, K, T> Driven for ArmHandles<Y, B, K, T>
where
    Y: Driven,
    B: Driven,
    K: Driven,
    T: Driven,
{
    fn driven(&self, drive: Drive) -> Drive {
        let drive = self.breaker.driven(self.retry.driven(drive));
        self.timeout.driven(self.bulkhead.driven(drive))
    }
}

impl<O, F, X, D, C, Y, B, K, T> Driven for Handles<O, F, X, D, C, Y, B, K, T>
where
    O: Driven,
    F: Driven,
    X: Driven,
    D: Driven,
    C: Driven,
    Y: Driven,
    B: Driven,
    K: Driven,
    T: Driven,
{
    fn driven(&self, drive: Drive) -> Drive {
        let drive = self.switch.driven(self.fallback.driven(self.slo.driven(drive)));
        let drive = self.canary.driven(self.deadline.driven(drive));
        let drive = self.breaker.driven(self.retry.driven(drive));
        self.timeout.driven(self.bulkhead.driven(drive))
    }
}
