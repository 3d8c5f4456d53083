//! Decides what one channel is told, and when.
//!
//! Each subject has its news: what happened to it since the channel was last told. A message tells all of
//! them at once, so however much happens while a message has to wait, there is one message when it may go,
//! and it says how the subject stands then.
//!
//! A message waits for three things:
//!
//! - *the subject's gap*: so long after the last message about it, doubling with each, from `least` to
//!   `most`; back to `least` when nothing changed for `most`. What became graver than anything that was told
//!   in that time doesn't wait for it;
//! - *the channel's rate*: a burst, and one more each `every` (the generic cell rate algorithm);
//! - *the wait after a failed attempt*: doubling, from a second to five minutes.

use std::time::{Duration, SystemTime};

use super::message::Message;
use super::subject::Subject;
use crate::clock::Moment;
use crate::event::{Gravity, Notice, Turn};

/// So many subjects are kept; of more than so many that are open at once, nobody is told.
pub(super) const MOST_SUBJECTS: usize = 256;

/// How often a channel is told, and of what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) from: Gravity,
    pub(super) gap: (Duration, Duration),
    pub(super) burst: u32,
    pub(super) every: Duration,
}

/// The books of one channel.
#[derive(Debug)]
pub(super) struct Ledger {
    rules: Rules,
    subjects: Vec<Subject>,
    /// When the rate would be used up by nothing: the cell rate algorithm's theoretical arrival.
    arrival: Option<Moment>,
    /// Makes keys unlike those of other processes.
    prefix: u64,
    keys: u64,
    left_out: u64,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    Send(Message),
    Wait(Duration),
    Nothing,
}

impl Ledger {
    pub(super) fn new(rules: Rules, prefix: u64) -> Self {
        Self { rules, subjects: Vec::new(), arrival: None, prefix, keys: 0, left_out: 0 }
    }

    /// Takes a notice; `true` if there is something new to tell.
    pub(super) fn hear(&mut self, notice: &Notice, now: Moment, wall: SystemTime) -> bool {
        let known = self.subjects.iter().position(|subject| subject.name == notice.subject);
        let counts = notice.turn == Turn::Ends || notice.gravity >= self.rules.from;
        let at = match known {
            Some(at) => at,
            // Of an end, too: it may have overtaken its beginning.
            None if counts && self.make_room(notice.turn) => {
                self.subjects.push(Subject::new(notice, self.rules.gap.0, now));
                self.subjects.len() - 1
            }
            None => return false,
        };
        counts && self.subjects[at].hear(notice, self.rules.gap, now, wall)
    }

    /// Room for one more subject; an old one that is settled goes for it.
    fn make_room(&mut self, turn: Turn) -> bool {
        if self.subjects.len() < MOST_SUBJECTS {
            return true;
        }
        let settled = self.subjects.iter().enumerate().filter(|(_, subject)| subject.is_settled());
        let oldest = settled.min_by_key(|(_, subject)| subject.changed_at).map(|(at, _)| at);
        match oldest {
            Some(at) => _ = self.subjects.swap_remove(at),
            None => self.left_out += u64::from(turn != Turn::Ends),
        }
        oldest.is_some()
    }

    /// What to send now, the gravest first; or how long to wait until there may be something.
    pub(super) fn next(&mut self, now: Moment) -> Next {
        let due = |subject: &Subject| subject.due();
        let Some(first) = self.subjects.iter().filter_map(due).min() else { return Next::Nothing };
        let allowed = self.allowed_at(now);
        let at = first.max(allowed);
        if at > now {
            return Next::Wait(at.since(now));
        }
        let ripe =
            self.subjects.iter_mut().filter(|subject| subject.due().is_some_and(|at| at <= now));
        // Of the equally grave the one that waits longest; without any, `first` would not be due.
        let Some(subject) =
            ripe.max_by_key(|subject| (subject.weight(), std::cmp::Reverse(subject.changed_at)))
        else {
            return Next::Nothing;
        };
        let key = || {
            self.keys += 1;
            format!("{:016x}-{}", self.prefix, self.keys).into()
        };
        let message = subject.begin_to_send(key, self.left_out);
        let every = self.rules.every;
        self.arrival = Some(self.arrival.map_or(now, |arrival| arrival.max(now)).plus(every));
        Next::Send(message)
    }

    /// When the rate allows the next message.
    fn allowed_at(&self, now: Moment) -> Moment {
        let ahead = self.rules.every.saturating_mul(self.rules.burst.saturating_sub(1));
        match self.arrival {
            Some(arrival) if arrival.since(now) > ahead => now.plus(arrival.since(now) - ahead),
            _ => now,
        }
    }

    /// What was being sent was sent, or wasn't.
    pub(super) fn sent(&mut self, well: bool, now: Moment) {
        let most = self.rules.gap.1;
        if let Some(subject) = self.subjects.iter_mut().find(|subject| subject.is_being_sent()) {
            subject.sent(well, most, now);
        }
    }

    /// Subjects with news that the channel wasn't told yet.
    pub(super) fn waiting(&self) -> usize {
        self.subjects.iter().filter(|subject| subject.waits()).count()
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::super::message::State;
    use super::*;
    use crate::event::Severity;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const RULES: Rules = Rules {
        from: Gravity::Warning,
        gap: (MINUTE, Duration::from_secs(900)),
        burst: 10,
        every: MINUTE,
    };

    /// A ledger whose messages are sent each second, to a channel that works or doesn't.
    struct Rig {
        ledger: Ledger,
        now: Moment,
        works: bool,
        told: Vec<(u64, Message)>,
        /// Of those, what the channel took.
        took: Vec<Message>,
    }

    impl Rig {
        fn new() -> Self {
            let ledger = Ledger::new(RULES, 7);
            Self {
                ledger,
                now: Moment::from_nanos(1 << 40),
                works: true,
                told: Vec::new(),
                took: Vec::new(),
            }
        }

        fn second(&self) -> u64 {
            self.now.since(Moment::from_nanos(1 << 40)).as_secs()
        }

        fn hear(&mut self, notice: &Notice) -> bool {
            self.ledger.hear(notice, self.now, SystemTime::UNIX_EPOCH)
        }

        fn begins(&mut self, subject: &str) -> bool {
            self.hear(&Notice::new(subject, Turn::Begins, Gravity::Warning, "it began"))
        }

        fn ends(&mut self, subject: &str) -> bool {
            self.hear(&Notice::new(subject, Turn::Ends, Gravity::Note, "it ended"))
        }

        /// Sends what may go now.
        fn send(&mut self) {
            while let Next::Send(message) = self.ledger.next(self.now) {
                if self.works {
                    self.took.push(message.clone());
                }
                self.told.push((self.second(), message));
                self.ledger.sent(self.works, self.now);
            }
        }

        fn wait(&mut self, span: Duration) {
            self.send();
            let end = self.now.plus(span);
            while self.now < end {
                self.now = self.now.plus(Duration::from_millis(500));
                self.send();
            }
        }

        /// A thousand times; and an hour of quiet.
        fn flaps_for_half_an_hour(&mut self) {
            for _ in 0..1_000 {
                self.begins("x");
                self.wait(Duration::from_secs(1));
                self.ends("x");
                self.wait(Duration::from_secs(1));
            }
            self.wait(60 * MINUTE);
        }

        /// When, how it stood, how often it began.
        fn rows(&self) -> Vec<(u64, State, u64)> {
            self.told.iter().map(|(at, one)| (*at, one.state, one.times)).collect()
        }
    }

    #[test]
    fn a_thousand_flaps_within_a_minute_are_two_messages_and_the_last_says_how_it_stands() {
        let mut rig = Rig::new();
        rig.begins("x");
        rig.send();
        for _ in 0..1_000 {
            rig.ends("x");
            rig.begins("x");
            rig.send();
        }
        rig.ends("x");
        rig.wait(60 * MINUTE);
        assert_eq!(rig.rows(), [(0, State::Firing, 1), (60, State::Cleared, 1_000)]);
        let last = &rig.told[1].1;
        assert_eq!(last.text, "it began; then: it ended");
        assert_eq!(last.severity, "warning", "of what is cleared, how grave it was");
    }

    #[test]
    fn a_thousand_flaps_in_half_an_hour_are_seven_messages() {
        let mut rig = Rig::new();
        rig.flaps_for_half_an_hour();
        let times: Vec<u64> = rig.told.iter().map(|(at, _)| *at).collect();
        // After a gap of 1, 2, 4, 8, 15 and 15 minutes.
        assert_eq!(times, [0, 60, 180, 420, 900, 1_800, 2_700]);
        assert_eq!(rig.told.last().unwrap().1.state, State::Cleared);
        assert_eq!(
            rig.told.iter().map(|(_, one)| one.times).sum::<u64>(),
            1_000,
            "all are counted"
        );
    }

    #[test]
    fn what_lasts_is_told_once_and_its_end_at_once() {
        let mut rig = Rig::new();
        for _ in 0..600 {
            rig.begins("x");
            rig.wait(Duration::from_secs(1));
        }
        assert!(rig.ends("x"));
        assert!(!rig.ends("x"), "it is over");
        rig.wait(60 * MINUTE);
        assert_eq!(rig.rows(), [(0, State::Firing, 1), (600, State::Cleared, 0)]);
        rig.begins("x");
        rig.wait(MINUTE);
        assert_eq!(
            rig.rows()[2..],
            [(600 + 3_600, State::Firing, 1)],
            "it was quiet: at once again"
        );
    }

    #[test]
    fn when_it_was_quiet_for_the_longest_gap_the_gaps_are_short_again() {
        let mut rig = Rig::new();
        rig.flaps_for_half_an_hour();
        let (before, began) = (rig.told.len(), rig.second());
        rig.begins("x");
        rig.wait(2 * MINUTE);
        rig.ends("x");
        rig.wait(Duration::from_secs(1));
        assert_eq!(
            rig.rows()[before..],
            [(began, State::Firing, 1), (began + 120, State::Cleared, 0)]
        );
    }

    #[test]
    fn what_began_again_before_its_end_was_told_is_told_as_it_is() {
        let mut rig = Rig::new();
        rig.begins("x");
        rig.send();
        rig.ends("x");
        rig.begins("x");
        rig.wait(2 * MINUTE);
        assert_eq!(rig.rows(), [(0, State::Firing, 1), (60, State::Firing, 1)]);
        assert_eq!(rig.told[1].1.text, "it began", "and not that it ended");
    }

    #[test]
    fn what_is_over_before_its_turn_is_one_message_that_says_both() {
        let mut rig = Rig::new();
        rig.begins("x");
        rig.ends("x");
        rig.wait(MINUTE);
        assert_eq!(rig.rows(), [(0, State::Cleared, 1)]);
        assert_eq!(rig.told[0].1.to_string(), "[warning] cleared: it began; then: it ended");
    }

    #[test]
    fn what_becomes_graver_does_not_wait_and_is_no_second_beginning() {
        let mut rig = Rig::new();
        let of = |severity, gravity| {
            let mut notice = Notice::new("incident/1", Turn::Begins, gravity, "it goes on");
            notice.severity = Some(severity);
            notice
        };
        for (severity, gravity) in [
            (Severity::P3, Gravity::Warning),
            (Severity::P2, Gravity::Critical),
            (Severity::P2, Gravity::Critical),
            (Severity::P1, Gravity::Critical),
            (Severity::P1, Gravity::Critical),
        ] {
            rig.hear(&of(severity, gravity));
            rig.wait(Duration::from_secs(1));
        }
        // Of those that come again, graver is no news any more.
        rig.ends("incident/1");
        rig.hear(&of(Severity::P1, Gravity::Critical));
        rig.wait(Duration::from_secs(1));
        let told: Vec<_> =
            rig.told.iter().map(|(at, one)| (*at, one.severity, one.times)).collect();
        assert_eq!(told, [(0, "P3", 1), (1, "P2", 0), (3, "P1", 0)]);
        rig.ends("incident/1");
        rig.wait(60 * MINUTE);
        let (_, last) = rig.told.last().unwrap();
        assert_eq!(
            (last.state, last.severity, last.gravity),
            (State::Cleared, "P1", Gravity::Critical)
        );
    }

    #[test]
    fn what_could_not_be_sent_is_sent_again_later_and_later_until_it_is() {
        let mut rig = Rig::new();
        rig.works = false;
        rig.begins("x");
        rig.wait(Duration::from_secs(40));
        let times: Vec<u64> = rig.told.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 1, 3, 7, 15, 31]);
        assert!(rig.told.iter().all(|(_, one)| one.key == rig.told[0].1.key), "the same message");
        assert_eq!(rig.told[5].1.attempt, 6);

        rig.wait(60 * MINUTE);
        let last: Vec<u64> = rig.told.iter().rev().take(2).map(|(at, _)| *at).collect();
        assert_eq!(last[0] - last[1], 300, "at most five minutes apart");
        rig.told.truncate(6);

        // Then it ends, and the channel works again: one message, with a key of its own.
        rig.ends("x");
        rig.works = true;
        rig.wait(60 * MINUTE);
        assert_eq!(rig.told.len(), 7);
        let (_, last) = &rig.told[6];
        assert_eq!((last.state, last.times, last.attempt), (State::Cleared, 1, 1));
        assert_ne!(last.key, rig.told[0].1.key, "it says something else");
        assert_eq!(rig.ledger.waiting(), 0);
    }

    #[test]
    fn what_happens_while_a_message_is_sent_is_not_lost() {
        let mut rig = Rig::new();
        rig.begins("x");
        let Next::Send(first) = rig.ledger.next(rig.now) else { panic!("it is due") };
        rig.ends("x");
        rig.ledger.sent(false, rig.now);
        rig.wait(MINUTE);
        assert_eq!(first.state, State::Firing);
        assert_eq!(rig.rows(), [(1, State::Cleared, 1)]);
        assert_eq!(rig.told[0].1.text, "it began; then: it ended");
    }

    #[test]
    fn a_storm_of_subjects_is_told_by_the_rate_and_the_gravest_first() {
        let mut rig = Rig::new();
        for n in 0..30 {
            rig.begins(&format!("warning/{n}"));
        }
        rig.hear(&Notice::new("grave", Turn::Begins, Gravity::Critical, "it is bad"));
        rig.wait(Duration::from_secs(1));
        assert_eq!(rig.told.len(), 10);
        assert_eq!(&*rig.told[0].1.subject, "grave");
        for n in 0..30 {
            rig.ends(&format!("warning/{n}"));
        }
        rig.wait(60 * MINUTE);
        let minutes: Vec<u64> = rig.told[10..].iter().map(|(at, _)| at / 60).collect();
        assert_eq!(minutes[..20], (1..=20).collect::<Vec<_>>()[..], "one a minute");
        for n in 0..30 {
            let subject = format!("warning/{n}");
            let mut of_it = rig.told.iter().rev().filter(|(_, one)| *one.subject == subject);
            assert_eq!(of_it.next().unwrap().1.state, State::Cleared, "{subject}");
        }
    }

    #[test]
    fn more_subjects_than_are_kept_are_left_out_and_that_is_told_and_settled_ones_make_room() {
        let mut rig = Rig::new();
        for n in 0..MOST_SUBJECTS + 3 {
            assert_eq!(rig.begins(&n.to_string()), n < MOST_SUBJECTS);
        }
        assert!(!rig.ends("258"), "nobody was told that it began");
        rig.send();
        assert_eq!(rig.told[0].1.left_out, 3);
        assert_eq!(rig.ledger.subjects.len(), MOST_SUBJECTS);
        let told = rig.told[0].1.subject.to_string();
        rig.ends(&told);
        rig.wait(600 * MINUTE);
        assert!(rig.begins("258"));
        assert_eq!(rig.ledger.subjects.len(), MOST_SUBJECTS);
        assert!(!rig.ends(&told), "it had to go");
    }

    #[test]
    fn what_is_less_than_a_channel_wants_is_not_told_and_neither_is_its_end() {
        let mut rig = Rig::new();
        assert!(!rig.hear(&Notice::new("x", Turn::Begins, Gravity::Note, "it began")));
        assert!(!rig.ends("x"));
        assert!(!rig.hear(&Notice::new("y", Turn::Once, Gravity::Note, "it happened")));
        assert!(rig.hear(&Notice::new("y", Turn::Once, Gravity::Warning, "it happened")));
        rig.wait(MINUTE);
        assert_eq!(rig.rows(), [(0, State::Happened, 1)]);
    }

    #[test]
    fn what_overtakes_another_on_its_way_is_put_in_order() {
        let mut rig = Rig::new();
        let told = |rig: &mut Rig, ms: u64, turn| {
            let mut notice = Notice::new("x", turn, Gravity::Warning, "it is so");
            notice.at = Some(Moment::from_nanos(1 << 50).plus(Duration::from_millis(ms)));
            rig.hear(&notice)
        };
        // The end comes before its beginning: it was there, and is over.
        assert!(!told(&mut rig, 20, Turn::Ends));
        assert!(told(&mut rig, 10, Turn::Begins));
        rig.wait(60 * MINUTE);
        assert_eq!(rig.rows(), [(0, State::Cleared, 1)]);
        // The end comes after the next beginning: it goes on.
        told(&mut rig, 30, Turn::Begins);
        told(&mut rig, 50, Turn::Begins);
        assert!(!told(&mut rig, 40, Turn::Ends));
        rig.wait(60 * MINUTE);
        assert_eq!(rig.rows()[1..], [(3_600, State::Firing, 1)]);
        told(&mut rig, 60, Turn::Ends);
        rig.wait(60 * MINUTE);
        assert_eq!(rig.rows()[2..], [(7_200, State::Cleared, 0)]);
        // A clock that went back an hour hides nothing.
        let mut notice = Notice::new("x", Turn::Begins, Gravity::Warning, "it is so");
        notice.at = Some(Moment::from_nanos(1 << 40));
        rig.hear(&notice);
        rig.wait(60 * MINUTE);
        assert_eq!(rig.rows()[3..], [(10_800, State::Firing, 1)]);
    }

    #[test]
    fn a_text_is_one_line_and_not_too_long() {
        let mut rig = Rig::new();
        let text = format!("a\nb\0{}", "c".repeat(5_000));
        rig.hear(&Notice::new("x", Turn::Once, Gravity::Warning, text));
        rig.send();
        let said = &rig.told[0].1.text;
        assert!(said.starts_with("a b c") && said.len() == 1_000, "{said}");
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_makes_no_flood() {
        let mut rig = Rig::new();
        for n in 0..100 {
            rig.begins("x");
            rig.ends("x");
            rig.now = Moment::from_nanos((1 << 40) - n);
            rig.send();
        }
        assert_eq!(rig.told.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Subjects begin and end as they like, and the channel fails as it likes: in the end each is told
        /// as it stands, every beginning is counted once, and nothing is a flood.
        #[test]
        fn the_last_state_of_each_is_told_and_nothing_is_a_flood(
            steps in prop::collection::vec((0_u64..4, 0_usize..3, 0_u64..40, any::<bool>()), 1..200),
        ) {
            let mut rig = Rig::new();
            let mut holds = [false; 3];
            let mut begun = [0; 3];
            for (kind, subject, wait, works) in steps {
                rig.works = works;
                let name = subject.to_string();
                match kind {
                    0 | 1 => {
                        rig.begins(&name);
                        begun[subject] += u64::from(!holds[subject]);
                        holds[subject] = true;
                    }
                    2 => {
                        rig.ends(&name);
                        holds[subject] = false;
                    }
                    _ => rig.wait(Duration::from_secs(wait)),
                }
                if works {
                    rig.send();
                }
            }
            let before = rig.second();
            prop_assert!(rig.told.len() as u64 <= 10 + before / 60, "{:?}", rig.rows());
            rig.works = true;
            rig.wait(120 * MINUTE);
            prop_assert_eq!(rig.ledger.waiting(), 0);
            for subject in 0..3 {
                let name = subject.to_string();
                let of_it = || rig.took.iter().filter(|one| *one.subject == *name);
                prop_assert_eq!(of_it().map(|one| one.times).sum::<u64>(), begun[subject]);
                let want = if holds[subject] { State::Firing } else { State::Cleared };
                if let Some(last) = of_it().next_back() {
                    prop_assert_eq!(last.state, want);
                }
            }
        }
    }
}
