//! Where a rollout stands, in one word; whatever decides it swaps that word, and one swap wins.
//!
//! The detector, an operator's abort and a promotion may all decide at the same moment. Each reads the
//! word, makes its move from what it read, and swaps the word only if it is still the same. So a rollout
//! is rolled back once, however many ask for it; and since an abort moves from *any* stage, a promotion
//! that is under way can't outrun it: its next move finds another word.
//!
//! # Orderings
//! AcqRel on the swap that wins, Acquire on loads: who sees a state sees what was written before it was
//! entered, such as the rollout's id.

use crate::sync::{AtomicU64, Ordering};

/// What a rollout is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Nothing was started yet; the canary has no calls.
    Idle,
    /// A rollout is being started.
    Starting,
    /// The baseline is watched alone; the canary has no calls yet.
    Learning,
    /// The canary has the share of the calls that belongs to the stage.
    Stage,
    /// It was decided to roll back: the canary has no calls, and hooks run.
    RollingBack,
    /// Rolled back, and all hooks did their work. Final.
    RolledBack,
    /// Rolled back, and some hooks gave up. Final.
    RolledBackDegraded,
    /// The canary is the version now. Final.
    Promoted,
}

impl Phase {
    /// The name in metrics: `idle`, `learning`, `stage`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Learning => "learning",
            Self::Stage => "stage",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::RolledBackDegraded => "rolled_back_degraded",
            Self::Promoted => "promoted",
        }
    }

    /// Can it still be rolled back?
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Starting | Self::Learning | Self::Stage)
    }

    /// May another rollout be started?
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Idle | Self::RolledBack | Self::RolledBackDegraded | Self::Promoted)
    }

    /// Was it rolled back, and is that over?
    pub(crate) const fn is_rolled_back(self) -> bool {
        matches!(self, Self::RolledBack | Self::RolledBackDegraded)
    }

    const ALL: [Self; 8] = [
        Self::Idle,
        Self::Starting,
        Self::Learning,
        Self::Stage,
        Self::RollingBack,
        Self::RolledBack,
        Self::RolledBackDegraded,
        Self::Promoted,
    ];
}

/// A rollout's state, and its moves.
///
/// ```text
///  63      48 47                16 15       8 7      4   3   2    0
/// +----------+--------------------+----------+--------+------+-----+
/// |  epoch   |        seq         |  stage   |   -    | held |phase|
/// +----------+--------------------+----------+--------+------+-----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// An operator holds it: nothing is promoted.
    pub(crate) held: bool,
    /// Which stage; of meaning from [`Phase::Stage`] on.
    pub(crate) stage: u8,
    /// How many decisions were made.
    pub(crate) seq: u32,
    /// One more with each rollout that is started; wraps.
    pub(crate) epoch: u16,
}

impl State {
    pub(crate) const IDLE: Self =
        Self { phase: Phase::Idle, held: false, stage: 0, seq: 0, epoch: 0 };

    const fn word(self) -> u64 {
        self.phase as u64
            | (self.held as u64) << 3
            | (self.stage as u64) << 8
            | (self.seq as u64) << 16
            | (self.epoch as u64) << 48
    }

    fn from_word(word: u64) -> Self {
        Self {
            phase: Phase::ALL[(word & 7) as usize],
            held: word >> 3 & 1 == 1,
            stage: (word >> 8) as u8,
            seq: (word >> 16) as u32,
            epoch: (word >> 48) as u16,
        }
    }

    /// Another rollout begins, where none is under way.
    pub(crate) fn starting(self) -> Option<Self> {
        let epoch = self.epoch.wrapping_add(1);
        self.phase.is_over().then_some(Self { phase: Phase::Starting, epoch, ..Self::IDLE })
    }

    /// It has begun.
    pub(crate) fn learning(self) -> Option<Self> {
        (self.phase == Phase::Starting).then_some(Self { phase: Phase::Learning, ..self })
    }

    /// It goes on after a restart of the process: `stage` is entered once the baseline is known, and `seq`
    /// goes on from there.
    pub(crate) fn resumed(self, stage: u8, seq: u32) -> Self {
        Self { stage, seq, ..self }
    }

    /// The canary gets its first calls.
    pub(crate) fn entered(self) -> Option<Self> {
        let may = self.phase == Phase::Learning && !self.held;
        may.then_some(Self { phase: Phase::Stage, ..self })
    }

    /// The canary gets the next stage's calls.
    pub(crate) fn next(self, stages: u8) -> Option<Self> {
        let may = self.phase == Phase::Stage && !self.held && self.stage + 1 < stages;
        may.then_some(Self { stage: self.stage + 1, seq: self.seq.wrapping_add(1), ..self })
    }

    /// The last stage held: final.
    pub(crate) fn promoted(self, stages: u8) -> Option<Self> {
        let may = self.phase == Phase::Stage && !self.held && self.stage + 1 == stages;
        may.then_some(Self { phase: Phase::Promoted, seq: self.seq.wrapping_add(1), ..self })
    }

    /// It is to be rolled back, whatever it is at, unless that is final.
    pub(crate) fn rolling_back(self) -> Option<Self> {
        let seq = self.seq.wrapping_add(1);
        self.phase.is_open().then_some(Self { phase: Phase::RollingBack, seq, ..self })
    }

    /// The hooks are through.
    pub(crate) fn rolled_back(self, all_did: bool) -> Option<Self> {
        let phase = if all_did { Phase::RolledBack } else { Phase::RolledBackDegraded };
        (self.phase == Phase::RollingBack).then_some(Self { phase, ..self })
    }

    /// An operator holds it, or lets it go on.
    pub(crate) fn holding(self, held: bool) -> Option<Self> {
        (self.phase.is_open() && self.held != held).then_some(Self { held, ..self })
    }
}

/// The word that holds a [`State`].
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new(state: State) -> Self {
        Self(AtomicU64::new(state.word()))
    }

    pub(crate) fn load(&self) -> State {
        // Acquire: pairs with the swap in `decide`.
        State::from_word(self.0.load(Ordering::Acquire))
    }

    /// Makes a move, if it can be made from where things stand: gives the state before and after. One of
    /// many that decide at once wins; the others move from what it left, or not at all.
    pub(crate) fn decide(
        &self,
        make: impl Fn(State) -> Option<State>,
    ) -> Result<(State, State), State> {
        // Acquire: pairs with the swap below.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let from = State::from_word(word);
            let to = make(from).ok_or(from)?;
            // AcqRel: publishes what was written before the move, and sees what was before the last one;
            // Acquire where it fails, for the same sight of whoever won.
            let swapped =
                self.0.compare_exchange(word, to.word(), Ordering::AcqRel, Ordering::Acquire);
            match swapped {
                Ok(_) => return Ok((from, to)),
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    fn at(phase: Phase, stage: u8) -> State {
        State { phase, held: false, stage, seq: 7, epoch: u16::MAX }
    }

    #[test]
    fn every_state_survives_its_word() {
        for phase in Phase::ALL {
            for held in [false, true] {
                let state = State { held, seq: u32::MAX, stage: 255, ..at(phase, 0) };
                assert_eq!(State::from_word(state.word()), state);
            }
        }
    }

    #[test]
    fn an_abort_moves_from_all_that_is_not_final_and_from_nothing_else() {
        for phase in Phase::ALL {
            assert_eq!(at(phase, 3).rolling_back().is_some(), phase.is_open(), "{phase:?}");
            assert!(!(phase.is_open() && phase.is_over()));
        }
    }

    #[test]
    fn what_is_held_is_neither_entered_nor_promoted_and_can_be_aborted() {
        for phase in [Phase::Learning, Phase::Stage] {
            let held = at(phase, 4).holding(true).unwrap();
            assert_eq!(held.holding(true), None);
            assert!(held.entered().or(held.next(9)).or(held.promoted(5)).is_none());
            assert!(held.rolling_back().is_some());
        }
    }

    #[test]
    fn promotion_goes_stage_by_stage_and_is_final_after_the_last() {
        let second = at(Phase::Stage, 0).next(2).unwrap();
        assert_eq!((second.stage, second.seq), (1, 8));
        assert_eq!(second.next(2), None);
        assert_eq!(at(Phase::Stage, 0).promoted(2), None);
        let over = second.promoted(2).unwrap();
        assert_eq!((over.phase, over.rolling_back()), (Phase::Promoted, None));
        let again = over.starting().unwrap();
        assert_eq!((again.epoch, again.seq, again.stage), (0, 0, 0), "the epoch wraps");
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::Mutex;
    use loom::sync::Arc;
    use loom::thread;

    const STAGES: u8 = 2;
    /// What a withdrawn canary has.
    const GONE: Option<u32> = None;

    /// A rollout at its last stage but one, and the weight it steers: under a lock, and refused once it is
    /// withdrawn, as a canary's is.
    struct Rollout {
        word: Word,
        weight: Mutex<Option<u32>>,
        decided: AtomicU64,
    }

    impl Rollout {
        fn new() -> Arc<Self> {
            let state = State { phase: Phase::Stage, ..State::IDLE };
            let (weight, decided) = (Mutex::new(Some(50)), AtomicU64::new(0));
            Arc::new(Self { word: Word::new(state), weight, decided })
        }

        fn roll_back(&self) -> bool {
            let won = self.word.decide(State::rolling_back).is_ok();
            if won {
                *self.weight.lock() = GONE;
                self.decided.fetch_add(1, Ordering::Relaxed);
            }
            won
        }

        fn promote(&self) {
            if self.word.decide(|state| state.next(STAGES)).is_ok() {
                if let Some(weight) = &mut *self.weight.lock() {
                    *weight = 100;
                }
            }
        }

        fn weight(&self) -> Option<u32> {
            *self.weight.lock()
        }
    }

    /// An operator aborts, a stage is promoted, and the detector decides, at once: one decision, and the
    /// abort's outcome, whoever came first.
    #[test]
    fn abort_promotion_and_detector_at_once_make_one_decision_and_the_abort_wins() {
        loom::model(|| {
            let rollout = Rollout::new();
            let other = |act: fn(&Rollout)| {
                let rollout = Arc::clone(&rollout);
                thread::spawn(move || act(&rollout))
            };
            let promoter = other(Rollout::promote);
            let detector = other(|rollout| _ = rollout.roll_back());
            rollout.roll_back();
            // Whoever won, the state is decided when the abort returns.
            assert_eq!(rollout.word.load().phase, Phase::RollingBack);
            promoter.join().unwrap();
            detector.join().unwrap();
            assert_eq!(rollout.decided.load(Ordering::Relaxed), 1);
            assert_eq!(rollout.weight(), GONE);
            assert_eq!(rollout.word.load().phase, Phase::RollingBack);
        });
    }

    /// The last stage becomes final while an operator aborts: one of them, never both.
    #[test]
    fn an_abort_and_a_final_promotion_are_never_both_true() {
        loom::model(|| {
            let rollout = Rollout::new();
            rollout.promote();
            let other = {
                let rollout = Arc::clone(&rollout);
                thread::spawn(move || rollout.word.decide(|state| state.promoted(STAGES)).is_ok())
            };
            let aborted = rollout.roll_back();
            let promoted = other.join().unwrap();
            assert!(aborted != promoted);
            assert_eq!(rollout.weight() == GONE, aborted);
        });
    }
}
