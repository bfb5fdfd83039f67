//! Vector clocks for the lines of a trace (Mattern 1989): which event may have influenced which.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Event, Line};
use crate::ids::{Rank, Ssn};

/// The component of whoever coordinates recovery, in a file.
const RECOVERY: &str = "recovery";

/// How many lines of each place a line comes after, itself included: of each rank, and of recovery.
///
/// In a file it is an object: `{"0":12,"3":7,"recovery":2}`. What is not named is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    recovery: u64,
    ranks: Vec<u64>,
}

/// A line with its clock, as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// The line.
    #[serde(flatten)]
    pub line: Line,
    /// What it comes after.
    pub clock: Clock,
}

/// Gives the lines of a trace their clocks, one after another.
///
/// A rank is one place through all its lives, its node included. Influence goes with messages, from the send to each
/// arrival; from the death of a rank to whoever coordinates; and from there to incarnations that start and ranks that are
/// told. What determinants and logs carry from one rank to another's recovery goes through whoever coordinates.
#[derive(Debug)]
pub struct Clocks {
    recovery: Rc<Clock>,
    ranks: Vec<Rc<Clock>>,
    sent: HashMap<(Rank, Rank, Ssn), Rc<Clock>>,
    died: HashMap<Rank, Rc<Clock>>,
    started: HashMap<Rank, Rc<Clock>>,
    announced: Option<Rc<Clock>>,
}

impl Clock {
    /// How many lines of a rank it counts.
    #[must_use]
    pub fn of(&self, rank: Rank) -> u64 {
        self.ranks.get(rank as usize).copied().unwrap_or(0)
    }

    /// How many lines of recovery it counts.
    #[must_use]
    pub fn of_recovery(&self) -> u64 {
        self.recovery
    }

    /// Whether the line of this clock may have influenced the line of the other, or is it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.recovery <= other.recovery
            && (0..).zip(&self.ranks).all(|(rank, &count)| count <= other.of(rank))
    }

    fn merge(&mut self, other: &Self) {
        self.recovery = self.recovery.max(other.recovery);
        if self.ranks.len() < other.ranks.len() {
            self.ranks.resize(other.ranks.len(), 0);
        }
        for (count, &more) in self.ranks.iter_mut().zip(&other.ranks) {
            *count = (*count).max(more);
        }
    }

    fn tick(&mut self, place: Option<Rank>) {
        match place.map(|rank| rank as usize) {
            None => self.recovery += 1,
            Some(rank) => {
                if self.ranks.len() <= rank {
                    self.ranks.resize(rank + 1, 0);
                }
                self.ranks[rank] += 1;
            }
        }
    }

    /// The components that are not 0, by rank; last that of recovery.
    pub fn components(&self) -> impl Iterator<Item = (Option<Rank>, u64)> + '_ {
        let ranks = (0..).zip(&self.ranks).map(|(rank, &count)| (Some(rank), count));
        ranks.chain([(None, self.recovery)]).filter(|&(_, count)| count > 0)
    }
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (place, count) in self.components() {
            match place {
                Some(rank) => map.serialize_entry(&rank.to_string(), &count)?,
                None => map.serialize_entry(RECOVERY, &count)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Components)
    }
}

/// No place of a trace has a greater number: one that has is damage, and no reason to fill the memory.
const MAX_RANKS: usize = 1 << 20;

struct Components;

impl<'de> Visitor<'de> for Components {
    type Value = Clock;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counts by rank")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Clock, A::Error> {
        let mut clock = Clock::default();
        while let Some((place, count)) = map.next_entry::<String, u64>()? {
            if place == RECOVERY {
                clock.recovery = count;
                continue;
            }
            let rank = place.parse::<usize>().ok().filter(|&rank| rank < MAX_RANKS);
            let rank = rank.ok_or_else(|| A::Error::custom(format!("`{place}` is no rank")))?;
            if clock.ranks.len() <= rank {
                clock.ranks.resize(rank + 1, 0);
            }
            clock.ranks[rank] = count;
        }
        Ok(clock)
    }
}

impl Clocks {
    /// The clocks of a job of so many ranks in which nothing has happened.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        let none = Rc::new(Clock { recovery: 0, ranks: vec![0; ranks as usize] });
        Self {
            ranks: (0..ranks).map(|_| none.clone()).collect(),
            recovery: none,
            sent: HashMap::new(),
            died: HashMap::new(),
            started: HashMap::new(),
            announced: None,
        }
    }

    /// The clock of the next line.
    pub fn stamp(&mut self, line: &Line) -> Rc<Clock> {
        let learned = self.learned(line);
        let own = match line.rank {
            Some(rank) => self.ranks.get_mut(rank as usize),
            None => Some(&mut self.recovery),
        };
        // A rank that the job does not have: its line stands alone.
        let Some(own) = own else { return Rc::default() };
        let clock = Rc::make_mut(own);
        if let Some(learned) = learned {
            clock.merge(&learned);
        }
        clock.tick(line.rank);
        let clock = own.clone();
        self.remember(line, &clock);
        clock
    }

    /// What a line learns of other places.
    fn learned(&mut self, line: &Line) -> Option<Rc<Clock>> {
        match (&line.event, line.rank) {
            (Event::Arrive { source, ssn, .. } | Event::Drop { source, ssn, .. }, Some(rank)) => {
                self.sent.get(&(*source, rank, *ssn)).cloned()
            }
            (Event::Begin, Some(rank)) => self.started.remove(&rank),
            (Event::Token { .. }, Some(_)) => self.announced.clone(),
            (Event::Death { of, .. }, None) => self.died.remove(of),
            _ => None,
        }
    }

    /// What a line lets other places learn.
    fn remember(&mut self, line: &Line, clock: &Rc<Clock>) {
        match (&line.event, line.rank) {
            (&Event::Send { dest, ssn, skipped: false, .. }, Some(rank)) => {
                self.sent.insert((rank, dest, ssn), clock.clone());
            }
            (Event::Crash { .. }, Some(rank)) => {
                self.died.insert(rank, clock.clone());
            }
            (&Event::Start { of, .. }, None) => {
                self.started.insert(of, clock.clone());
            }
            (Event::Announce { .. }, None) => self.announced = Some(clock.clone()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Ended;

    fn line(rank: Option<Rank>, event: Event) -> Line {
        Line { time_ns: 0, rank, incarnation: None, event }
    }

    fn send(rank: Rank, dest: Rank, ssn: Ssn, again: bool, skipped: bool) -> Line {
        line(Some(rank), Event::Send { dest, ssn, len: 8, piggyback: 0, requires: 0, again, skipped })
    }

    fn arrive(rank: Rank, source: Rank, ssn: Ssn) -> Line {
        line(Some(rank), Event::Arrive { source, ssn, len: 8, piggyback: 0, again: false })
    }

    #[test]
    fn an_arrival_comes_after_its_send_and_nothing_else() {
        let mut clocks = Clocks::new(3);
        let sent = clocks.stamp(&send(0, 1, 0, false, false));
        let other = clocks.stamp(&send(2, 1, 0, false, false));
        let later = clocks.stamp(&send(0, 1, 1, false, false));
        let arrived = clocks.stamp(&arrive(1, 0, 0));
        assert!(sent.is_within(&arrived) && !arrived.is_within(&sent));
        assert!(!later.is_within(&arrived) && !other.is_within(&arrived));
        assert_eq!((arrived.of(0), arrived.of(1), arrived.of(2)), (1, 1, 0));
    }

    #[test]
    fn each_place_counts_its_own_lines_from_one() {
        let mut clocks = Clocks::new(2);
        for count in 1..5 {
            assert_eq!(clocks.stamp(&send(0, 1, count, false, false)).of(0), count);
            assert_eq!(clocks.stamp(&line(None, Event::Heal)).of_recovery(), count);
        }
    }

    #[test]
    fn a_send_that_is_skipped_leaves_the_message_what_it_was() {
        let mut clocks = Clocks::new(3);
        clocks.stamp(&send(0, 1, 0, false, false));
        clocks.stamp(&send(2, 0, 0, false, false));
        clocks.stamp(&arrive(0, 2, 0));
        clocks.stamp(&send(0, 1, 0, true, true));
        assert_eq!(clocks.stamp(&arrive(1, 0, 0)).of(2), 0);
        clocks.stamp(&send(0, 1, 0, true, false));
        assert_eq!(clocks.stamp(&arrive(1, 0, 0)).of(2), 1, "written again, it depends on more");
    }

    #[test]
    fn a_restart_comes_after_the_deaths_that_its_coordinator_heard_of() {
        let mut clocks = Clocks::new(2);
        let died = clocks.stamp(&line(Some(1), Event::Crash { cause: Ended::Failed }));
        clocks.stamp(&line(None, Event::Death { of: 1, lost: 1 }));
        clocks.stamp(&line(None, Event::Start { of: 0, next: 2, determinants: 0, messages: 0 }));
        let begun = clocks.stamp(&line(Some(0), Event::Begin));
        assert!(died.is_within(&begun));
        assert_eq!(begun.of_recovery(), 2);
    }

    #[test]
    fn a_line_of_a_rank_that_is_not_there_is_no_harm() {
        let mut clocks = Clocks::new(1);
        assert_eq!(*clocks.stamp(&send(7, 0, 0, false, false)), Clock::default());
    }
}
