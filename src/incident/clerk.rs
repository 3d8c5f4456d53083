//! Decides what is an incident: which event opens one, what joins it, when it is over.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::impact::{Impact, Minute};
use super::record::{Entry, Incident, Key};
use crate::clock::Moment;
use crate::error::Room;
use crate::event::Severity;
use crate::event::{Event, Turn, overtakes};
use crate::ratio::Ratio;

/// What happened shortly before an incident belongs to its timeline: the change that caused it, maybe.
const LEAD_UP: Duration = Duration::from_secs(600);
const MOST_RECENT: usize = 32;
/// So many ends of symptoms are remembered, for beginnings that come after them.
const MOST_ENDED: usize = 64;

/// Keeps the books of one timeline.
#[derive(Debug)]
pub(super) struct Clerk {
    calm: Duration,
    keep: usize,
    anchor: (Moment, SystemTime),
    minute: Minute,
    /// Events of no incident.
    recent: VecDeque<Entry>,
    /// What ended last.
    ended: VecDeque<(Key, Moment)>,
    current: Option<Incident>,
    past: VecDeque<Incident>,
    opened: u64,
}

/// What changed about an incident, for those who are told.
pub(super) type Changed = Option<Incident>;

impl Clerk {
    pub(super) fn new(calm: Duration, keep: usize, anchor: (Moment, SystemTime)) -> Self {
        Self {
            calm,
            keep,
            anchor,
            minute: Minute::default(),
            recent: VecDeque::new(),
            ended: VecDeque::new(),
            current: None,
            past: VecDeque::new(),
            opened: 0,
        }
    }

    /// Takes what came of calls up to `now`.
    pub(super) fn look(&mut self, now: Moment, taken: (Impact, Option<Moment>)) -> Changed {
        self.minute.add(now, taken);
        let share = self.minute.sum().share().unwrap_or(Ratio::ZERO);
        let incident = self.current.as_mut()?;
        incident.impact.add(taken.0);
        let before = incident.severity;
        incident.worst_minute = incident.worst_minute.max(share);
        incident.severity = Severity::of(incident.worst_minute);
        let calm = incident.recovered_at.is_some() && now.since(incident.touched) >= self.calm;
        if calm {
            return self.close(now);
        }
        (incident.severity != before).then(|| incident.changed(now))
    }

    fn close(&mut self, now: Moment) -> Changed {
        let mut incident = self.current.take()?;
        incident.over = true;
        incident.changed(now);
        self.past.push_back(incident.clone());
        if self.past.len() > self.keep {
            self.past.pop_front();
        }
        Some(incident)
    }

    /// Takes an event. What came of calls up to then was [looked at](Self::look) before.
    pub(super) fn hear(&mut self, event: &Event) -> Changed {
        let entry = Entry::of(event);
        let symptom = self.in_order(event);
        let opens = symptom.is_some_and(|(_, turn)| turn != Turn::Ends);
        if self.current.is_none() {
            if !opens {
                return self.join_a_past_one(symptom.map(|(key, _)| key), entry);
            }
            self.open(event.at);
        }
        let incident = self.current.as_mut()?;
        let was_mitigated = incident.mitigated_at.is_some();
        let fresh = incident.first.iter().all(|entry| entry.at < incident.detected_at);
        incident.push(entry);
        if event.kind.mitigates() {
            incident.mitigated_at.get_or_insert(event.at);
        }
        let recovered = incident.recovered_at.is_some();
        if let Some((key, turn)) = symptom {
            incident.touched = event.at;
            incident.is_direct |= opens && !lags(&key);
            incident.open.retain(|(open, _)| *open != key);
            if turn == Turn::Begins {
                incident.open.push((key, event.at));
            }
            incident.recovered_at = match incident.recovered_at {
                _ if incident.is_ill() => None,
                // What ends late, or ends what wasn't there, tells of no trouble since.
                Some(before) if !opens || lags(&key) => Some(before),
                _ => Some(event.at),
            };
        }
        let changed = fresh
            || was_mitigated != incident.mitigated_at.is_some()
            || recovered != incident.recovered_at.is_some();
        changed.then(|| incident.changed(event.at))
    }

    /// The symptom, as it counts: events come from many threads, and one may come after a later one. What
    /// had ended when its beginning comes was there for a moment; what ended before it began again goes on.
    fn in_order(&mut self, event: &Event) -> Option<(Key, Turn)> {
        let symptom = event.kind.symptom()?;
        let key = (event.room, event.name, symptom.name);
        let later = |known: &(Key, Moment)| known.0 == key && overtakes(known.1, event.at);
        match symptom.turn {
            Turn::Begins if self.ended.iter().any(later) => return Some((key, Turn::Once)),
            Turn::Ends => {
                if self.current.as_ref().is_some_and(|incident| incident.open.iter().any(later)) {
                    return None;
                }
                self.ended.retain(|(ended, _)| *ended != key);
                if self.ended.len() >= MOST_ENDED {
                    self.ended.pop_front();
                }
                self.ended.push_back((key, event.at));
            }
            _ => {}
        }
        Some((key, symptom.turn))
    }

    /// Adds what somebody wrote; `false` if there is no incident to add it to.
    pub(super) fn note(&mut self, entry: Entry) -> bool {
        let incident = self.current.as_mut().or(self.past.back_mut());
        incident.map(|incident| incident.push(entry)).is_some()
    }

    fn open(&mut self, at: Moment) {
        self.opened += 1;
        let (began_at, impact) = self.minute.trouble();
        let share = self.minute.sum().share().unwrap_or(Ratio::ZERO);
        let mut incident = Incident {
            number: self.opened,
            began_at,
            detected_at: at,
            mitigated_at: None,
            recovered_at: None,
            over: false,
            severity: Severity::of(share),
            worst_minute: share,
            impact,
            first: Vec::new(),
            rest: VecDeque::new(),
            left_out: 0,
            open: Vec::new(),
            is_direct: false,
            touched: at,
            changed_at: at,
            anchor: self.anchor,
        };
        let lead_up = self.recent.drain(..).filter(|entry| at.since(entry.at) <= LEAD_UP);
        lead_up.for_each(|entry| incident.push(entry));
        self.current = Some(incident);
    }

    /// A symptom that lags ends long after what it told of: it belongs to that incident.
    fn join_a_past_one(&mut self, key: Option<Key>, entry: Entry) -> Changed {
        let its = key.and_then(|key| {
            self.past.iter_mut().rev().find_map(|incident| {
                let at = incident.open.iter().position(|(open, _)| *open == key)?;
                incident.open.remove(at);
                Some(incident)
            })
        });
        if let Some(incident) = its {
            let at = entry.at;
            incident.push(entry);
            return Some(incident.changed(at));
        }
        if self.recent.len() >= MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
        None
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.past.iter().chain(&self.current)
    }
}

impl Incident {
    /// It, to be told, as of `at`.
    fn changed(&mut self, at: Moment) -> Self {
        self.changed_at = self.changed_at.max(at);
        self.clone()
    }

    /// Is a symptom there that says that the trouble goes on?
    fn is_ill(&self) -> bool {
        self.open.iter().any(|(key, _)| !self.is_direct || !lags(key))
    }
}

/// Does this symptom end long after the trouble did? A burn alert by its windows, a share of stale answers
/// by the answers it is taken over.
fn lags((room, _, symptom): &Key) -> bool {
    *room == Room::Slo || *symptom == "stale_share"
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use crate::event::{Kind, PoolUse};
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    /// At so many ms the pool `database` is saturated (`true`), or isn't any more.
    fn told(clerk: &mut Clerk, ms: u64, saturated: bool) {
        let usage = PoolUse { used: 9, size: 10, mean: Ratio::ONE, peak: 9 };
        let kind = if saturated { Kind::Saturated(usage) } else { Kind::Cleared(usage) };
        let at = Moment::from_nanos(1 << 40).plus(Duration::from_millis(ms));
        clerk.hear(&Event { room: Room::Pool, name: "database", at, kind });
    }

    fn clerk() -> Clerk {
        Clerk::new(Duration::from_secs(60), 16, (Moment::from_nanos(1 << 40), UNIX_EPOCH))
    }

    fn last(clerk: &Clerk) -> &Incident {
        clerk.incidents().last().expect("an incident")
    }

    #[test]
    fn a_beginning_that_its_end_overtook_is_an_incident_that_is_over_already() {
        let mut clerk = clerk();
        told(&mut clerk, 20, false);
        told(&mut clerk, 10, true);
        let incident = last(&clerk);
        assert!(incident.open.is_empty() && incident.recovered_at.is_some(), "{incident:#?}");
        // And the next is as ever.
        told(&mut clerk, 30, true);
        assert_eq!((last(&clerk).number, last(&clerk).recovered_at), (1, None));
    }

    #[test]
    fn an_end_that_the_next_beginning_overtook_ends_nothing() {
        let mut clerk = clerk();
        told(&mut clerk, 10, true);
        told(&mut clerk, 30, true);
        told(&mut clerk, 20, false);
        assert_eq!(last(&clerk).recovered_at, None);
        assert_eq!(last(&clerk).entries().count(), 3, "it is told all the same");
        told(&mut clerk, 40, false);
        assert!(last(&clerk).recovered_at.is_some());
    }

    #[test]
    fn a_clock_that_went_back_an_hour_hides_no_symptom() {
        let mut clerk = clerk();
        told(&mut clerk, 3_600_000, true);
        told(&mut clerk, 3_600_010, false);
        told(&mut clerk, 10, true);
        assert_eq!(last(&clerk).recovered_at, None);
        told(&mut clerk, 20, false);
        assert!(last(&clerk).recovered_at.is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever begins and ends: an incident goes on while a symptom is there, has recovered when none is,
        /// is over when it was calm, and keeps its books bounded.
        #[test]
        fn an_incident_goes_on_exactly_while_a_symptom_is_there(
            steps in prop::collection::vec((0_usize..3, any::<bool>(), 0_u64..90), 1..200),
        ) {
            let mut clerk = clerk();
            let mut holds = [false; 3];
            let mut now = Moment::from_nanos(1 << 40);
            let mut touched = now;
            for (name, begins, seconds) in steps {
                now = now.plus(Duration::from_secs(seconds));
                clerk.look(now, (Impact::default(), None));
                if let Some(incident) = clerk.incidents().last() {
                    let calm = !holds.contains(&true) && now.since(touched) >= Duration::from_secs(60);
                    prop_assert_eq!(incident.over, calm);
                }
                let usage = PoolUse { used: 9, size: 10, mean: Ratio::ONE, peak: 9 };
                let kind = if begins { Kind::Saturated(usage) } else { Kind::Cleared(usage) };
                let names = ["a", "b", "c"];
                let goes_on = clerk.current.is_some();
                clerk.hear(&Event { room: Room::Pool, name: names[name], at: now, kind });
                holds[name] = begins;
                if begins || goes_on {
                    touched = now;
                }
                if let Some(incident) = clerk.incidents().last() {
                    prop_assert_eq!(incident.recovered_at.is_none(), holds.contains(&true));
                    prop_assert!(incident.entries().count() <= 256);
                    let order: Vec<_> = incident.entries().map(|entry| entry.at).collect();
                    prop_assert!(order.is_sorted());
                }
                prop_assert!(clerk.incidents().count() <= 17);
            }
        }
    }

    #[test]
    fn ends_that_are_remembered_are_bounded() {
        let mut clerk = clerk();
        for ms in 0..1_000 {
            let name: &'static str = Box::leak(ms.to_string().into_boxed_str());
            let at = Moment::from_nanos(ms << 20);
            let usage = PoolUse { used: 0, size: 10, mean: Ratio::ZERO, peak: 9 };
            clerk.hear(&Event { room: Room::Pool, name, at, kind: Kind::Cleared(usage) });
        }
        assert_eq!((clerk.ended.len(), clerk.recent.len()), (MOST_ENDED, MOST_RECENT));
    }
}
