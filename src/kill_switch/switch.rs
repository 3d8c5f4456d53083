//! The switch itself: one word that calls read, and the telling of each flip.

use std::sync::Arc;

use parking_lot::Mutex;

use super::mode::Mode;
use super::source::Source;
use crate::clock::Clock;
use crate::error::Room;
use crate::event::{Flip, Kind, Observe, Observers, Sinks};
use crate::sync::{AtomicU32, Ordering};

/// The settings of a [`KillSwitch`].
#[derive(Clone, Debug)]
pub struct KillSwitchConfig {
    name: &'static str,
    mode: Mode,
    clock: Clock,
    observers: Observers,
}

impl KillSwitchConfig {
    /// A switch called `name` in refusals, events and metrics.
    pub fn new(name: &'static str) -> Self {
        let (clock, observers) = (Clock::default(), Observers::default());
        Self { name, mode: Mode::Run, clock, observers }
    }

    /// The position it starts in. Default [`Mode::Run`].
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The clock that stamps events. Default [`Clock::default`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One more observer; it is attached when the switch is made.
    #[must_use]
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.add(observer);
        self
    }
}

/// A named switch. Clones are the same switch, and so are all layers made from it.
#[derive(Clone, Debug)]
pub struct KillSwitch(Arc<Core>);

#[derive(Debug)]
struct Core {
    mode: AtomicU32,
    clock: Clock,
    sinks: Sinks,
    /// One flip at a time, so that the events tell what happened, in order; and what is wrong with the
    /// source, as last told.
    turn: Mutex<Option<String>>,
}

impl KillSwitch {
    /// A switch with these settings.
    pub fn new(config: KillSwitchConfig) -> Self {
        Self(Arc::new(Core {
            mode: AtomicU32::new(config.mode.word()),
            clock: config.clock,
            sinks: config.observers.attach(Room::KillSwitch, config.name),
            turn: Mutex::new(None),
        }))
    }

    /// Its position: one load.
    #[inline]
    pub fn mode(&self) -> Mode {
        // Relaxed: the position guards nothing but itself; a flip is seen by the next call or the one
        // after.
        Mode::from_word(self.0.mode.load(Ordering::Relaxed))
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.sinks.name()
    }

    pub(super) fn sinks(&self) -> &Sinks {
        &self.0.sinks
    }

    /// Flips it; `false` if it was there already. Each flip is an event with `actor` and `reason`.
    ///
    /// ```
    /// use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
    ///
    /// let switch = KillSwitch::new(KillSwitchConfig::new("payments"));
    /// assert!(switch.flip(Mode::Bypass, "alice", "seawall refuses good calls"));
    /// assert!(!switch.flip(Mode::Bypass, "bob", "the same"));
    /// assert_eq!(switch.mode(), Mode::Bypass);
    /// ```
    pub fn flip(&self, to: Mode, actor: &str, reason: &str) -> bool {
        let from = {
            let _turn = self.0.turn.lock();
            // Relaxed: as in `mode`; the lock orders flips among themselves.
            Mode::from_word(self.0.mode.swap(to.word(), Ordering::Relaxed))
        };
        if from == to {
            return false;
        }
        self.tell(Kind::Flipped(Flip {
            from: from.as_str(),
            to: to.as_str(),
            actor: actor.into(),
            reason: reason.into(),
        }));
        true
    }

    /// Asks `source` once, and flips to what it says. If it can't say, nothing is flipped, and an event
    /// tells so: once, until it can again, or another thing is wrong with it.
    pub fn consult<S: Source + ?Sized>(&self, source: &S) -> Mode {
        match source.read() {
            Ok(mode) => {
                *self.0.turn.lock() = None;
                if let Some(mode) = mode {
                    self.flip(mode, &source.name(), "the source says so");
                }
            }
            Err(error) => {
                let what = format!("{}: {error}", source.name());
                let known = self.0.turn.lock().replace(what.clone());
                if known.as_deref() != Some(&what) {
                    self.tell(Kind::SourceUnreadable(what.into()));
                }
            }
        }
        self.mode()
    }

    /// Panics caught in this switch's observers.
    pub fn observer_panics(&self) -> u64 {
        self.0.sinks.panics()
    }

    fn tell(&self, kind: Kind) {
        self.0.sinks.event(self.0.clock.now(), kind);
    }
}
