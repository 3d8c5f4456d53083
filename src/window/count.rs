//! Exactly the last *n* outcomes, really sliding, in O(1) a record and without a lock.
//!
//! # How it works
//! All that a verdict needs lies in one word: where the next outcome goes (`head`), whether the
//! ring is full, how many failures and slow calls it holds, the generation, how often the ring has
//! come round (`lap`), and the newest outcome itself. A record is one compare-and-swap of that word:
//! it counts the new outcome in and the oldest one out in the same step, so every value the word
//! ever has is the exact count of some sequence of the records.
//!
//! The outcomes themselves lie in a ring of cells, from which the oldest is read when its turn comes
//! to leave. The newest is in the word only; whoever records next first copies it to its cell, and
//! since all do so, anyone can: nobody waits for a thread that stopped half-way. A cell carries the
//! tag of the lap and generation that filled it, so a copy that arrives late finds a newer tag, or
//! its own, and does nothing.
//!
//! A full ring without failures and slow calls doesn't change when one more success comes: that
//! record, the common one, reads one word and writes nothing.
//!
//! # A failure that comes after its call
//! A call that hung is entered as slow while it runs, and may fail in the end. Its cell lies in the
//! middle of the ring by then, or is gone, and a cell and the word can't be changed in one step. So the
//! failure is *owed*: counted in the word at once, and carried by the next outcome that isn't a failure
//! itself. Total and failures are those of the calls; the failure stays for as many outcomes as one that
//! comes with its call. What is owed never exceeds the outcomes that could carry it.
//!
//! # Orderings
//! The word is changed by AcqRel swaps, so whoever reads a word also sees the cells that were
//! copied before it. Cells are changed by AcqRel swaps too: who finds a copy already made and goes
//! on to publish a word passes it on.

use super::Entry;
use crate::event::Counts;
use crate::sync::{AtomicU64, Ordering};

/// The largest ring.
pub(crate) const MAX: usize = 4095;

/// Where each field lies in the word, for a ring of `n`.
///
/// ```text
///  63            ...              0
/// +------------+-----+------+------+------+----------+------+--------+
/// | generation | lap | owed | head | slow | failures | full | newest |
/// |    rest/2  | rest|  v   |  w   |  w   |    w     |  1   |   2    |
/// +------------+-----+------+------+------+----------+------+--------+
///                                w = bits to hold n, v = the same, ten at most
/// ```
#[derive(Clone, Copy, Debug)]
struct Layout {
    n: u64,
    width: u32,
    owed_bits: u32,
    lap_bits: u32,
    /// Where the generation begins.
    generation: u32,
    /// What of a word tells a full ring without failures and slow calls, where only `FULL` is set, and its
    /// generation.
    spots: u64,
}

/// At most 1,023 failures are owed at a time.
const OWED_BITS: u32 = 10;

const NEWEST: u32 = 0;
const FULL: u32 = 2;
const FAILURES: u32 = 3;

impl Layout {
    fn new(n: usize) -> Self {
        let width = usize::BITS - n.leading_zeros();
        let owed_bits = width.min(OWED_BITS);
        let rest = 64 - FAILURES - 3 * width - owed_bits;
        let lap_bits = rest.div_ceil(2);
        let layout = Self { n: n as u64, width, owed_bits, lap_bits, generation: 0, spots: 0 };
        let head = ((1 << width) - 1) << layout.head();
        let lap = ((1 << lap_bits) - 1) << layout.lap();
        Self { generation: layout.lap() + lap_bits, spots: !(head | lap), ..layout }
    }

    const fn slow(self) -> u32 {
        FAILURES + self.width
    }

    const fn head(self) -> u32 {
        FAILURES + 2 * self.width
    }

    const fn owed(self) -> u32 {
        FAILURES + 3 * self.width
    }

    const fn lap(self) -> u32 {
        self.owed() + self.owed_bits
    }

    const fn generation(self) -> u32 {
        self.generation
    }

    /// What of a cell is the outcome and its tag; above it, copies are counted.
    const fn tagged_mask(self) -> u64 {
        u64::MAX >> (self.lap() - 2)
    }

    /// The part of `generation` that the word can hold.
    const fn generation_mask(self) -> u64 {
        u64::MAX >> self.generation()
    }

    fn unpack(self, word: u64) -> Ring {
        let field = |at: u32, bits: u32| (word >> at) & ((1 << bits) - 1);
        Ring {
            generation: word >> self.generation(),
            lap: field(self.lap(), self.lap_bits),
            owed: field(self.owed(), self.owed_bits),
            head: field(self.head(), self.width),
            slow: field(self.slow(), self.width),
            failures: field(FAILURES, self.width),
            full: field(FULL, 1) == 1,
            newest: Entry::from_bits(field(NEWEST, 2)),
        }
    }

    const fn pack(self, ring: Ring) -> u64 {
        ring.generation << self.generation()
            | ring.lap << self.lap()
            | ring.owed << self.owed()
            | ring.head << self.head()
            | ring.slow << self.slow()
            | ring.failures << FAILURES
            | (ring.full as u64) << FULL
            | ring.newest.bits() << NEWEST
    }
}

/// The word, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ring {
    generation: u64,
    lap: u64,
    /// Failures that the next outcomes are to carry.
    owed: u64,
    head: u64,
    slow: u64,
    failures: u64,
    full: bool,
    newest: Entry,
}

impl Ring {
    const fn empty(generation: u64) -> Self {
        let newest = Entry { failed: false, slow: false };
        Self { generation, lap: 0, owed: 0, head: 0, slow: 0, failures: 0, full: false, newest }
    }

    const fn is_spotless(&self) -> bool {
        self.full && self.failures == 0 && self.slow == 0 && self.owed == 0
    }

    fn counts(&self, n: u64) -> Counts {
        let total = if self.full { n } else { self.head };
        Counts { total, failures: (self.failures + self.owed).min(total), slow: self.slow }
    }

    /// Where the newest outcome's cell is, and the tag it gets; `None` before the first record.
    const fn newest_cell(&self, layout: Layout) -> Option<(usize, u64)> {
        let (index, lap) = match (self.head, self.full) {
            (0, false) => return None,
            (0, true) => (layout.n - 1, self.lap.wrapping_sub(1)),
            (head, _) => (head - 1, self.lap),
        };
        let tag = self.generation << layout.lap_bits | lap & ((1 << layout.lap_bits) - 1);
        Some((index as usize, tag << 2 | self.newest.bits()))
    }

    /// The ring after one more `entry`, with `oldest` leaving if it is full.
    ///
    /// A writer that fell behind may have read `oldest` from a later lap: then it counts out what
    /// this ring never held, and no sum may run over. That ring is never seen: the word has moved on
    /// before the cell was filled anew, so the swap fails.
    fn with(self, entry: Entry, oldest: Entry, layout: Layout) -> Self {
        let out = if self.full { oldest } else { Entry::default() };
        let carries = !entry.failed && self.owed > 0;
        let entry = Entry { failed: entry.failed || carries, ..entry };
        let came_round = self.head + 1 == layout.n;
        Self {
            lap: (self.lap + u64::from(came_round)) & ((1 << layout.lap_bits) - 1),
            head: if came_round { 0 } else { self.head + 1 },
            slow: (self.slow + u64::from(entry.slow)).saturating_sub(out.slow.into()),
            failures: (self.failures + u64::from(entry.failed)).saturating_sub(out.failed.into()),
            owed: self.owed - u64::from(carries),
            full: self.full || came_round,
            newest: entry,
            ..self
        }
        .owing_at_most_its_room(layout)
    }

    /// The ring with one more failure of a call that is in it, or was.
    fn owing(self, layout: Layout) -> Self {
        Self { owed: self.owed + 1, ..self }.owing_at_most_its_room(layout)
    }

    fn owing_at_most_its_room(self, layout: Layout) -> Self {
        let most = (layout.n.saturating_sub(self.failures)).min((1 << layout.owed_bits) - 1);
        Self { owed: self.owed.min(most), ..self }
    }
}

/// The last *n* outcomes of one generation.
#[derive(Debug)]
pub(crate) struct CountWindow {
    word: AtomicU64,
    cells: Box<[AtomicU64]>,
    layout: Layout,
}

impl CountWindow {
    /// An empty window of the last `n` outcomes, `n` in `1..=MAX`.
    pub(crate) fn new(n: usize, generation: u32) -> Self {
        debug_assert!((1..=MAX).contains(&n));
        let layout = Layout::new(n);
        let ring = Ring::empty(u64::from(generation) & layout.generation_mask());
        Self {
            word: AtomicU64::new(layout.pack(ring)),
            // All ones is a tag of no early lap, and outcomes are read from full rings only.
            cells: (0..n).map(|_| AtomicU64::new(u64::MAX)).collect(),
            layout,
        }
    }

    /// Counts `entry` in; gives the counts that this very record made, or `None` if the window
    /// has gone on to another generation.
    #[inline]
    pub(crate) fn record(&self, entry: Entry, generation: u32) -> Option<Counts> {
        // Acquire: pairs with the Release half of the swaps below, so the cells are there.
        let word = self.word.load(Ordering::Acquire);
        let ring = self.layout.unpack(word);
        if ring.generation != u64::from(generation) & self.layout.generation_mask() {
            return None;
        }
        if ring.is_spotless() && entry == Entry::default() {
            return Some(ring.counts(self.layout.n));
        }
        self.record_in(word, entry)
    }

    /// Is it full, without failures and slow calls? Then it doesn't change when one more success comes.
    #[inline]
    pub(crate) fn is_spotless(&self, generation: u32) -> bool {
        // Acquire: as in `record`.
        let word = self.word.load(Ordering::Acquire);
        word & self.layout.spots == u64::from(generation) << self.layout.generation() | 1 << FULL
    }

    /// [`record`](Self::record), `n` times over, or as often as fills the ring.
    #[inline]
    pub(crate) fn record_all(&self, entry: Entry, n: u64, generation: u32) -> Option<Counts> {
        for _ in 1..n.min(self.layout.n) {
            self.record(entry, generation)?;
        }
        self.record(entry, generation)
    }

    /// Counts a failure of a call that was entered before it failed; gives the counts that this made,
    /// or `None` if the window has gone on to another generation.
    pub(crate) fn owe(&self, generation: u32) -> Option<Counts> {
        let generation = u64::from(generation) & self.layout.generation_mask();
        // Acquire: as in `record`.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let ring = self.layout.unpack(word);
            if ring.generation != generation {
                return None;
            }
            let next = ring.owing(self.layout);
            // AcqRel: hands on what it took, as every swap of the word.
            match self.word.compare_exchange_weak(
                word,
                self.layout.pack(next),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(next.counts(self.layout.n)),
                Err(now) => word = now,
            }
        }
    }

    fn record_in(&self, mut word: u64, entry: Entry) -> Option<Counts> {
        let generation = self.layout.unpack(word).generation;
        loop {
            let ring = self.layout.unpack(word);
            if ring.generation != generation {
                return None;
            }
            if ring.is_spotless() && entry == Entry::default() {
                return Some(ring.counts(self.layout.n));
            }
            let oldest = match self.settle_newest(ring, word) {
                // Acquire: the cell was copied before a word that we have read (see "Orderings").
                Ok(()) => Entry::from_bits(self.cells[ring.head as usize].load(Ordering::Acquire)),
                Err(now) => {
                    word = now;
                    continue;
                }
            };
            let next = ring.with(entry, oldest, self.layout);
            // AcqRel: Release hands on the cell copied above; Acquire takes others' cells.
            match self.word.compare_exchange_weak(
                word,
                self.layout.pack(next),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(next.counts(self.layout.n)),
                Err(now) => word = now,
            }
        }
    }

    /// Copies the newest outcome from the word to its cell, unless someone has; `Err` is the newer
    /// word if it moved on meanwhile.
    fn settle_newest(&self, ring: Ring, word: u64) -> Result<(), u64> {
        let Some((index, tagged)) = ring.newest_cell(self.layout) else {
            return Ok(());
        };
        // Acquire: pairs with the Release of the swap below, by whoever made the copy.
        let mut found = self.cells[index].load(Ordering::Acquire);
        let mask = self.layout.tagged_mask();
        while found & mask != tagged {
            // The cell is the one to fill only while the word still says so: else `found` may be
            // of a later lap. Acquire: as for every look at the word; after the look at the cell.
            let now = self.word.load(Ordering::Acquire);
            if now != word {
                return Err(now);
            }
            // One copy more, wrapping: whoever is held up here, for however many laps, finds another.
            let copy = (found & !mask).wrapping_add(mask.wrapping_add(1)) | tagged;
            // AcqRel: Release passes the copy on, Acquire takes the one that came first.
            match self.cells[index].compare_exchange(
                found,
                copy,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => break,
                // Someone made this very copy; or one that a reset had overtaken arrived late.
                Err(other) => found = other,
            }
        }
        Ok(())
    }

    /// Empties the window for a new generation; later records of older ones change nothing.
    pub(crate) fn reset(&self, generation: u32) {
        let ring = Ring::empty(u64::from(generation) & self.layout.generation_mask());
        // AcqRel swap, not a store: it stays in the chain of words that hand on the cells.
        self.word.swap(self.layout.pack(ring), Ordering::AcqRel);
    }

    /// The counts at this moment.
    pub(crate) fn counts(&self) -> Counts {
        // Relaxed: the word is read for itself, no cell behind it.
        self.layout.unpack(self.word.load(Ordering::Relaxed)).counts(self.layout.n)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const OK: Entry = Entry { failed: false, slow: false };
    const FAILED: Entry = Entry { failed: true, slow: false };
    const SLOW: Entry = Entry { failed: false, slow: true };

    #[test]
    fn old_outcomes_leave_one_by_one() {
        let window = CountWindow::new(3, 0);
        for (entry, failures) in [(FAILED, 1), (FAILED, 2), (OK, 2), (OK, 1), (OK, 0), (OK, 0)] {
            assert_eq!(window.record(entry, 0).unwrap().failures, failures);
        }
        assert_eq!(window.counts(), Counts { total: 3, failures: 0, slow: 0 });
    }

    #[test]
    fn an_outcome_of_a_later_lap_does_not_panic_a_writer_that_fell_behind() {
        let layout = Layout::new(4);
        let full = Ring { full: true, ..Ring::empty(0) };
        let both = Entry { failed: true, slow: true };
        // Read too late; the swap of what comes of it fails.
        let _never_seen = layout.pack(full.with(OK, both, layout));
    }

    #[test]
    fn a_spotless_full_window_is_not_written() {
        let window = CountWindow::new(4, 9);
        for _ in 0..4 {
            window.record(OK, 9);
        }
        let before = window.word.load(Ordering::Relaxed);
        for _ in 0..10 {
            assert_eq!(window.record(OK, 9).unwrap().total, 4);
        }
        assert_eq!(window.word.load(Ordering::Relaxed), before);
    }

    #[test]
    fn ten_thousand_successes_do_not_delay_the_next_half_window_of_failures() {
        let window = CountWindow::new(100, 0);
        for _ in 0..10_000 {
            window.record(OK, 0);
        }
        for i in 1..=50 {
            assert_eq!(window.record(FAILED, 0).unwrap().failures, i);
        }
    }

    #[test]
    fn an_older_generation_changes_nothing() {
        let window = CountWindow::new(4, 0);
        window.record(FAILED, 0);
        window.reset(1);
        assert_eq!(window.record(FAILED, 0), None);
        assert_eq!(window.counts(), Counts::default());
        assert_eq!(window.record(SLOW, 1), Some(Counts { total: 1, failures: 0, slow: 1 }));
    }

    #[test]
    fn a_generation_is_told_from_the_one_before_the_last_too() {
        for (n, bits) in [(1, 6), (100, 6), (MAX, 6)] {
            let window = CountWindow::new(n, 0);
            for next in (1..bits).map(|bit| 1 << bit) {
                window.reset(next);
                assert_eq!((window.record(FAILED, 0), window.owe(0)), (None, None), "{n}: {next}");
                assert!(window.record(FAILED, next).is_some());
            }
        }
    }

    #[test]
    fn a_tag_fits_a_cell_exactly_below_the_count_of_its_copies() {
        for n in [1, 2, 100, 1_023, 1_024, MAX] {
            let layout = Layout::new(n);
            let (generation, lap) = (layout.generation_mask(), (1 << layout.lap_bits) - 1);
            let newest = Entry { failed: true, slow: true };
            let ring = Ring { generation, lap, newest, head: 1, ..Ring::empty(0) };
            let (_, tagged) = ring.newest_cell(layout).unwrap();
            assert_eq!(tagged, layout.tagged_mask(), "{n}");
            let (_, tagged) = Ring { head: 1, ..Ring::empty(0) }.newest_cell(layout).unwrap();
            assert_eq!(tagged, 0, "{n}");
            assert_eq!(layout.unpack(layout.pack(ring)), ring, "{n}");
        }
    }

    #[test]
    fn a_cells_tag_changes_with_each_lap() {
        let window = CountWindow::new(2, 0);
        let mut tags = std::collections::HashSet::new();
        for _ in 0..9 {
            window.record(FAILED, 0);
            window.record(FAILED, 0);
            tags.insert(window.cells[0].load(Ordering::Relaxed) & window.layout.tagged_mask());
        }
        assert_eq!(tags.len(), 9);
    }

    #[test]
    fn a_copy_that_comes_late_finds_the_cell_changed_however_many_laps_later() {
        let window = CountWindow::new(MAX, 0);
        let tag = |cell: u64| cell & window.layout.tagged_mask();
        window.record(FAILED, 0);
        window.record(FAILED, 0);
        let held_up = window.cells[0].load(Ordering::Relaxed);
        // Until the tags have come round.
        for _ in 0..MAX << window.layout.lap_bits {
            window.record(FAILED, 0);
        }
        let now = window.cells[0].load(Ordering::Relaxed);
        assert_eq!(tag(now), tag(held_up));
        assert_ne!(now, held_up);
    }

    #[test]
    fn a_failure_that_is_owed_is_carried_by_the_next_outcome_that_is_none() {
        let window = CountWindow::new(4, 0);
        let failures = |counts: Option<Counts>| counts.map(|c| (c.total, c.failures, c.slow));
        assert_eq!(failures(window.owe(0)), Some((0, 0, 0)), "seen when there is a call");
        assert_eq!(failures(window.record(SLOW, 0)), Some((1, 1, 1)));
        assert_eq!(failures(window.record(FAILED, 0)), Some((2, 2, 1)));
        assert_eq!(failures(window.record(OK, 0)), Some((3, 2, 1)));
        assert_eq!(failures(window.owe(0)), Some((3, 3, 1)));
        assert_eq!(failures(window.owe(0)), Some((3, 3, 1)), "no more than there are calls");
        assert_eq!(failures(window.record(OK, 0)), Some((4, 4, 1)));
        // The slow one leaves, which carried the first; the last of the owed is carried now.
        assert_eq!(failures(window.record(OK, 0)), Some((4, 3, 0)));
        for left in [2, 2, 1, 0] {
            assert_eq!(failures(window.record(OK, 0)), Some((4, left, 0)));
        }
    }

    #[test]
    fn a_full_window_of_failures_owes_none_and_a_spotless_one_that_owes_is_written() {
        let window = CountWindow::new(3, 0);
        for _ in 0..3 {
            window.record(FAILED, 0);
        }
        assert_eq!(window.owe(0).unwrap().failures, 3);
        for left in [2, 1, 0, 0] {
            assert_eq!(window.record(OK, 0).unwrap().failures, left);
        }
        assert_eq!(window.owe(0).unwrap().failures, 1);
        for left in [1, 1, 1, 0] {
            assert_eq!(window.record(OK, 0).unwrap().failures, left);
        }
    }

    #[test]
    fn the_largest_ring_owes_a_thousand_failures_and_touches_no_next_field() {
        let window = CountWindow::new(MAX, 0);
        for _ in 0..2 * MAX {
            window.record(OK, 0);
        }
        for _ in 0..2_000 {
            window.owe(0);
        }
        assert_eq!(window.counts(), Counts { total: MAX as u64, failures: 1_023, slow: 0 });
        for _ in 0..MAX {
            window.record(OK, 0);
        }
        assert_eq!(window.counts().failures, 1_023);
        for _ in 0..1_023 {
            window.record(OK, 0);
        }
        assert_eq!(window.counts(), Counts { total: MAX as u64, failures: 0, slow: 0 });
    }

    #[test]
    fn the_largest_ring_keeps_its_fields_apart() {
        let window = CountWindow::new(MAX, u32::MAX);
        for _ in 0..2 * MAX {
            window.record(Entry { failed: true, slow: true }, u32::MAX);
        }
        let n = MAX as u64;
        assert_eq!(window.counts(), Counts { total: n, failures: n, slow: n });
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Record(Entry),
        Owe,
        Reset,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let entry =
            (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Entry { failed, slow });
        let step = prop_oneof![
            60 => entry.prop_map(Step::Record),
            30 => Just(Step::Record(OK)),
            10 => Just(Step::Owe),
            1 => Just(Step::Reset)
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn it_equals_a_naive_queue(n in 1_usize..12, steps in steps()) {
            let window = CountWindow::new(n, 0);
            let mut naive: VecDeque<Entry> = VecDeque::new();
            let (mut generation, mut owed) = (0, 0);
            for step in steps {
                match step {
                    Step::Record(mut entry) => {
                        if naive.len() == n {
                            naive.pop_front();
                        }
                        if owed > 0 && !entry.failed {
                            (entry.failed, owed) = (true, owed - 1);
                        }
                        naive.push_back(entry);
                    }
                    Step::Owe => owed += 1,
                    Step::Reset => {
                        generation += 1;
                        owed = 0;
                        naive.clear();
                        window.reset(generation);
                    }
                }
                let failed = naive.iter().filter(|e| e.failed).count();
                owed = owed.min(n - failed);
                let want = Counts {
                    total: naive.len() as u64,
                    failures: naive.len().min(failed + owed) as u64,
                    slow: naive.iter().filter(|e| e.slow).count() as u64,
                };
                match step {
                    Step::Record(entry) => {
                        prop_assert_eq!(window.record(entry, generation), Some(want));
                    }
                    Step::Owe => prop_assert_eq!(window.owe(generation), Some(want)),
                    Step::Reset => {}
                }
                prop_assert_eq!(window.counts(), want);
            }
        }
    }

    #[test]
    fn threads_lose_nothing() {
        let window = CountWindow::new(7, 0);
        std::thread::scope(|scope| {
            for t in 0..4_u64 {
                let window = &window;
                scope.spawn(move || {
                    for i in 0..50_000 {
                        let entry = Entry { failed: (i * 7 + t) % 3 == 0, slow: (i + t) % 5 == 0 };
                        let counts = window.record(entry, 0).unwrap();
                        assert!(counts.failures <= counts.total && counts.slow <= counts.total);
                    }
                });
            }
        });
        // After a full lap of known outcomes nothing of the storm may be left.
        for _ in 0..7 {
            window.record(SLOW, 0);
        }
        assert_eq!(window.counts(), Counts { total: 7, failures: 0, slow: 7 });
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const OK: Entry = Entry { failed: false, slow: false };
    const FAILED: Entry = Entry { failed: true, slow: false };

    fn failures(window: &CountWindow, of: u64) -> u64 {
        let counts = window.counts();
        assert_eq!((counts.total, counts.slow), (of, 0));
        counts.failures
    }

    /// Two threads record into a full ring of two; afterwards a lap of successes must leave
    /// nothing, whatever the interleaving: no outcome was lost or left behind.
    #[test]
    fn records_that_overlap_are_each_counted_once() {
        race(
            || {
                let window = CountWindow::new(2, 0);
                window.record(FAILED, 0);
                window.record(OK, 0);
                window
            },
            |window| window.record(OK, 0).unwrap(),
            |window| window.record(FAILED, 0).unwrap(),
            |window, one, other| {
                for counts in [one, other] {
                    assert_eq!(counts.total, 2);
                    assert!(counts.failures <= 2);
                }
                assert_eq!(failures(window, 2), 1, "in either order of the two");
                window.record(OK, 0);
                window.record(OK, 0);
                assert_eq!(failures(window, 2), 0);
            },
        );
    }

    /// A record of the old generation races a reset: it lands before it, or not at all.
    #[test]
    fn a_late_record_never_touches_the_next_generation() {
        race(
            || {
                let window = CountWindow::new(2, 0);
                window.record(FAILED, 0);
                window
            },
            |window| {
                window.reset(1);
                window.record(OK, 1);
            },
            |window| {
                window.record(FAILED, 0);
            },
            |window, (), ()| {
                assert_eq!(failures(window, 1), 0);
                window.record(FAILED, 1);
                window.record(OK, 1);
                assert_eq!(failures(window, 2), 1);
                window.record(OK, 1);
                assert_eq!(failures(window, 2), 0);
            },
        );
    }
    /// A failure is owed while an outcome is recorded, into a ring that is full: both are counted, once.
    #[test]
    fn a_failure_that_is_owed_is_counted_beside_a_record() {
        for entry in [OK, FAILED] {
            race(
                || {
                    let window = CountWindow::new(3, 0);
                    for _ in 0..3 {
                        window.record(OK, 0);
                    }
                    window
                },
                |window| window.owe(0).unwrap(),
                move |window| window.record(entry, 0).unwrap(),
                move |window, _, _| {
                    let known = u64::from(entry.failed);
                    assert_eq!(failures(window, 3), 1 + known);
                    window.record(OK, 0);
                    window.record(OK, 0);
                    assert_eq!(failures(window, 3), 1 + known, "the next has carried it");
                    window.record(OK, 0);
                    window.record(OK, 0);
                    assert_eq!(failures(window, 3), 0);
                },
            );
        }
    }

    /// Two failures are owed at once.
    #[test]
    fn failures_that_are_owed_at_once_are_each_counted() {
        race(
            || {
                let window = CountWindow::new(2, 0);
                window.record(OK, 0);
                window.record(OK, 0);
                window
            },
            |window| window.owe(0).unwrap(),
            |window| window.owe(0).unwrap(),
            |window, one, other| {
                assert_eq!(one.failures.max(other.failures), 2);
                assert_eq!(failures(window, 2), 2);
            },
        );
    }

    /// A failure that is owed in the old generation races a reset.
    #[test]
    fn a_late_failure_never_touches_the_next_generation() {
        race(
            || {
                let window = CountWindow::new(2, 0);
                window.record(OK, 0);
                window
            },
            |window| window.owe(0),
            |window| {
                window.reset(1);
                window.record(OK, 1)
            },
            |window, _, _| assert_eq!(failures(window, 1), 0),
        );
    }
}
