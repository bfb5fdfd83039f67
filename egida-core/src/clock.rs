//! Clocks: scalar (Lamport 1978), vector (Mattern 1989), and vector with incarnations (Damani and Garg 1996).

use serde::{Deserialize, Serialize};

use crate::ids::{EventIndex, Incarnation, Rank};

/// A scalar logical clock: if an event happened before another, its time is less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogicalClock(pub u64);

impl LogicalClock {
    /// The time of the next event of this process.
    pub fn tick(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    /// The time of a receive of a message that was sent at `sent`.
    pub fn receive(&mut self, sent: Self) -> u64 {
        self.0 = self.0.max(sent.0);
        self.tick()
    }
}

/// How many events of each process a state depends on: one event happened before another if and only if its clock is less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VectorClock(Vec<EventIndex>);

impl VectorClock {
    /// The clock of a state that depends on nothing, among `ranks` processes.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        Self(vec![0; ranks as usize])
    }

    /// How many events of a process it counts.
    #[must_use]
    pub fn of(&self, rank: Rank) -> EventIndex {
        self.0.get(rank as usize).copied().unwrap_or(0)
    }

    /// Sets the count of a process, which never falls.
    pub fn advance(&mut self, rank: Rank, events: EventIndex) {
        if let Some(known) = self.0.get_mut(rank as usize) {
            *known = (*known).max(events);
        }
    }

    /// Depends on all that the other depends on, too.
    pub fn merge(&mut self, other: &Self) {
        for (known, &more) in self.0.iter_mut().zip(&other.0) {
            *known = (*known).max(more);
        }
    }

    /// Whether everything that this state depends on, the other depends on too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine <= theirs)
    }

    /// Whether neither is within the other.
    #[must_use]
    pub fn is_concurrent_with(&self, other: &Self) -> bool {
        !self.is_within(other) && !other.is_within(self)
    }
}

/// A vector clock that survives failures: each component is (incarnation, events), compared lexicographically, so that
/// what a process does after it lost events is not taken for what it did before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IncarnationClock(Vec<(Incarnation, EventIndex)>);

impl IncarnationClock {
    /// The clock of a state that depends on nothing, among `ranks` processes in their first incarnations.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        Self(vec![(1, 0); ranks as usize])
    }

    /// The component of a process.
    #[must_use]
    pub fn of(&self, rank: Rank) -> (Incarnation, EventIndex) {
        self.0.get(rank as usize).copied().unwrap_or((1, 0))
    }

    /// The time of the next event of `rank`.
    pub fn tick(&mut self, rank: Rank) {
        if let Some((_, events)) = self.0.get_mut(rank as usize) {
            *events += 1;
        }
    }

    /// `rank` begins another incarnation after a failure: its events are counted anew.
    pub fn restart(&mut self, rank: Rank) {
        if let Some(component) = self.0.get_mut(rank as usize) {
            *component = (component.0 + 1, 0);
        }
    }

    /// Depends on all that the other depends on, too.
    pub fn merge(&mut self, other: &Self) {
        for (known, &more) in self.0.iter_mut().zip(&other.0) {
            *known = (*known).max(more);
        }
    }

    /// Whether a state with this clock is an orphan once incarnation `incarnation` of `rank` is known to have ended, for
    /// good, after `events` events.
    #[must_use]
    pub fn is_orphaned_by(&self, rank: Rank, incarnation: Incarnation, events: EventIndex) -> bool {
        let (depended, count) = self.of(rank);
        depended == incarnation && count > events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_receive_is_later_than_its_send() {
        let (mut sender, mut receiver) = (LogicalClock(7), LogicalClock(3));
        let sent = LogicalClock(sender.tick());
        assert!(receiver.receive(sent) > sent.0);
    }

    #[test]
    fn concurrent_events_are_neither_before_nor_after() {
        let (mut one, mut other) = (VectorClock::new(2), VectorClock::new(2));
        one.advance(0, 1);
        other.advance(1, 1);
        assert!(one.is_concurrent_with(&other));
        other.merge(&one);
        assert!(one.is_within(&other) && !one.is_concurrent_with(&other));
    }

    #[test]
    fn a_state_is_an_orphan_of_lost_events_of_that_incarnation_only() {
        let (mut sender, mut receiver) = (IncarnationClock::new(2), IncarnationClock::new(2));
        sender.tick(0);
        sender.tick(0);
        receiver.merge(&sender);
        assert!(receiver.is_orphaned_by(0, 1, 1), "it depends on two events, one was found again");
        assert!(!receiver.is_orphaned_by(0, 1, 2));
        sender.restart(0);
        sender.tick(0);
        receiver.merge(&sender);
        assert_eq!(receiver.of(0), (2, 1));
        assert!(!receiver.is_orphaned_by(0, 1, 0), "the later incarnation is another history");
    }

    proptest! {
        #[test]
        fn a_merge_is_the_least_that_both_are_within(
            one in proptest::collection::vec(0u64..9, 4), other in proptest::collection::vec(0u64..9, 4)
        ) {
            let (one, other) = (VectorClock(one), VectorClock(other));
            let mut both = one.clone();
            both.merge(&other);
            prop_assert!(one.is_within(&both) && other.is_within(&both));
            for rank in 0..4 {
                prop_assert_eq!(both.of(rank), one.of(rank).max(other.of(rank)));
            }
        }
    }
}
