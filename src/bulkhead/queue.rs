//! Who waits for a place, and in what order.
//!
//! One line a class, as a list through a slab: joining, leaving from the middle and being served are a
//! few steps each, however many wait. A slot is its waiter's until the waiter leaves: places are
//! handed to it in its absence, and it finds out by looking.
//!
//! # Order
//! First come, first served, until the queue is *overloaded*: it hasn't been empty for a while. From
//! then on the newest is served first, since its caller still listens; who came first has waited
//! longest, and is the likeliest to have gone. And a full line lets the newest in and sends the oldest
//! away, at once, not when its time is over. (Facebook's adaptive LIFO: Ben Maurer, "Fail at Scale",
//! ACM Queue 13(8), 2015.)

use std::task::Waker;
use std::time::Duration;

use crate::clock::Moment;

/// No slot.
const NIL: u32 = u32::MAX;

/// What can be set of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// How many may wait in each line.
    pub(crate) length: u32,
    /// When the newest is served first: not empty for so long.
    pub(crate) newest_first_after: Option<Duration>,
}

/// How it stands with a call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on waiting.
    Waits,
    /// It has a place. Its slot is gone.
    Entered,
    /// A newer one has its place in the line. Its slot is gone.
    PushedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    /// A place is taken for it.
    Granted,
    /// A newer one has its place in the line.
    PushedOut,
}

#[derive(Debug)]
struct Slot {
    state: State,
    line: u8,
    waker: Option<Waker>,
    /// Towards the first of the line.
    before: u32,
    /// Towards the last of the line; in a free slot, the next free one.
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    first: u32,
    last: u32,
    len: u32,
}

/// All that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    slots: Vec<Slot>,
    free: u32,
    lines: [Line; 3],
    waiting: u32,
    /// Slots that are somebody's.
    held: u32,
    order: Order,
    /// Since when it isn't empty.
    busy_since: Option<Moment>,
}

impl Queue {
    pub(crate) fn new(order: Order) -> Self {
        let line = Line { first: NIL, last: NIL, len: 0 };
        let (slots, lines) = (Vec::new(), [line; 3]);
        Self { slots, free: NIL, lines, waiting: 0, held: 0, order, busy_since: None }
    }

    pub(crate) fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(crate) fn waits_in(&self, line: usize) -> bool {
        self.lines[line].len > 0
    }

    /// Would one who joins this line now be sent away?
    pub(crate) fn is_full(&self, line: usize, now: Moment) -> bool {
        self.order.length == 0
            || self.lines[line].len >= self.order.length && !self.newest_first(now)
    }

    fn newest_first(&self, now: Moment) -> bool {
        let since = self.busy_since.unwrap_or(now);
        self.order.newest_first_after.is_some_and(|after| now.since(since) >= after)
    }

    /// Joins a line. `None` if it is full; else the slot, and the waker of who was sent away for it.
    pub(crate) fn join(&mut self, line: usize, now: Moment) -> Option<(u32, Option<Waker>)> {
        if self.is_full(line, now) {
            return None;
        }
        // Before the oldest goes: the newest takes its place, so the queue isn't empty in between.
        let since = self.busy_since.unwrap_or(now);
        let mut away = None;
        if self.lines[line].len >= self.order.length {
            let oldest = self.lines[line].first;
            self.unlink(oldest);
            away = self.settle(oldest, State::PushedOut);
        }
        self.busy_since = Some(since);
        let last = self.lines[line].last;
        let slot =
            Slot { state: State::Waiting, line: line as u8, waker: None, before: last, after: NIL };
        let at = if self.free == NIL {
            self.slots.push(slot);
            self.slots.len() as u32 - 1
        } else {
            let at = self.free;
            self.free = self.slots[at as usize].after;
            self.slots[at as usize] = slot;
            at
        };
        match last {
            NIL => self.lines[line].first = at,
            last => self.slots[last as usize].after = at,
        }
        self.lines[line].last = at;
        self.lines[line].len += 1;
        self.waiting += 1;
        self.held += 1;
        Some((at, away))
    }

    /// Gives a place to whose turn it is in this line, and gives the waker.
    pub(crate) fn serve(&mut self, line: usize, now: Moment) -> Option<Waker> {
        let newest = self.newest_first(now);
        let at = if newest { self.lines[line].last } else { self.lines[line].first };
        debug_assert_ne!(at, NIL, "nobody waits in line {line}");
        self.unlink(at);
        self.settle(at, State::Granted)
    }

    /// Keeps the waker of one who waits, and gives the one it replaces.
    pub(crate) fn keep(&mut self, at: u32, waker: &Waker) -> Option<Waker> {
        let slot = &mut self.slots[at as usize];
        let kept = slot.waker.as_ref().is_some_and(|kept| kept.will_wake(waker));
        if slot.state == State::Waiting && !kept {
            return slot.waker.replace(waker.clone());
        }
        None
    }

    /// How it stands with this one; who doesn't wait any more leaves.
    pub(crate) fn settled(&mut self, at: u32) -> Standing {
        match self.slots[at as usize].state {
            State::Waiting => Standing::Waits,
            _ => self.leave(at).0,
        }
    }

    /// Leaves for good; gives how it stood, and the waker that isn't needed any more.
    pub(crate) fn leave(&mut self, at: u32) -> (Standing, Option<Waker>) {
        let standing = match self.slots[at as usize].state {
            State::Granted => Standing::Entered,
            State::PushedOut => Standing::PushedOut,
            State::Waiting => {
                self.unlink(at);
                Standing::Waits
            }
            State::Free => unreachable!("a ticket's slot is its own"),
        };
        let slot = &mut self.slots[at as usize];
        let waker = slot.waker.take();
        (slot.state, slot.after) = (State::Free, self.free);
        self.free = at;
        self.held -= 1;
        if self.held == 0 && self.slots.len() > 1_024 {
            // After a storm: what a hundred thousand waiters took is given back.
            (self.slots, self.free) = (Vec::new(), NIL);
        }
        (standing, waker)
    }

    fn settle(&mut self, at: u32, state: State) -> Option<Waker> {
        let slot = &mut self.slots[at as usize];
        slot.state = state;
        slot.waker.take()
    }

    fn unlink(&mut self, at: u32) {
        let Slot { line, before, after, .. } = self.slots[at as usize];
        let line = &mut self.lines[usize::from(line)];
        match before {
            NIL => line.first = after,
            before => self.slots[before as usize].after = after,
        }
        match after {
            NIL => line.last = before,
            after => self.slots[after as usize].before = before,
        }
        line.len -= 1;
        self.waiting -= 1;
        if self.waiting == 0 {
            self.busy_since = None;
        }
    }
}
