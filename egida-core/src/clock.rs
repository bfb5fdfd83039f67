//! Clocks: scalar (Lamport 1978), vector (Mattern 1989), and vector with incarnations (Damani and Garg 1996).

use serde::{Deserialize, Serialize};

use crate::ids::{EventIndex, Rank, Version};
use crate::wire::{Reader, WireError, put_varint};

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

/// A vector clock that survives failures: each component is (version, events), compared lexicographically, so that what a
/// process does after it lost events is not taken for what it did before (Damani and Garg 1996, the fault-tolerant vector
/// clock). Events are counted through: a version begins with as many as its predecessor is known to have had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IncarnationClock(Vec<(Version, EventIndex)>);

impl IncarnationClock {
    /// The clock of a state that depends on nothing, among `ranks` processes in their first versions.
    #[must_use]
    pub fn new(ranks: u32) -> Self {
        Self(vec![(1, 0); ranks as usize])
    }

    /// The component of a process.
    #[must_use]
    pub fn of(&self, rank: Rank) -> (Version, EventIndex) {
        self.0.get(rank as usize).copied().unwrap_or((1, 0))
    }

    /// All components, by rank.
    pub fn components(&self) -> impl Iterator<Item = (Rank, Version, EventIndex)> + '_ {
        self.0.iter().zip(0..).map(|(&(version, events), rank)| (rank, version, events))
    }

    /// Sets the component of a process, which never falls.
    pub fn advance(&mut self, rank: Rank, version: Version, events: EventIndex) {
        if let Some(known) = self.0.get_mut(rank as usize) {
            *known = (*known).max((version, events));
        }
    }

    /// Depends on all that the other depends on, too.
    pub fn merge(&mut self, other: &Self) {
        for (known, &more) in self.0.iter_mut().zip(&other.0) {
            *known = (*known).max(more);
        }
    }

    /// Whether a state with this clock depends on an event that `token` says is lost.
    #[must_use]
    pub fn is_orphaned_by(&self, token: &Token) -> bool {
        let (version, events) = self.of(token.rank);
        version == token.version && events > token.events
    }

    /// Appends the compact form: how many components, then version and events of each.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for &(version, events) in &self.0 {
            put_varint(out, u64::from(version));
            put_varint(out, events);
        }
    }

    /// Reads what [`IncarnationClock::encode`] wrote.
    ///
    /// # Errors
    /// [`WireError`] where the bytes are cut short or a version is out of range.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let components = reader.rank()?;
        if components as usize > reader.rest().len() {
            return Err(WireError::Short);
        }
        (0..components).map(|_| Ok((reader.rank()?, reader.varint()?))).collect::<Result<_, _>>().map(Self)
    }
}

/// The end of a version of a process: what came after its first `events` events is lost for good (Damani and Garg 1996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    /// The process.
    pub rank: Rank,
    /// Which of its versions ended.
    pub version: Version,
    /// How many events of the process are left.
    pub events: EventIndex,
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
    fn a_state_is_an_orphan_of_lost_events_of_that_version_only() {
        let (mut sender, mut receiver) = (IncarnationClock::new(2), IncarnationClock::new(2));
        sender.advance(0, 1, 2);
        receiver.merge(&sender);
        let ended = |events| Token { rank: 0, version: 1, events };
        assert!(receiver.is_orphaned_by(&ended(1)), "it depends on two events, one was found again");
        assert!(!receiver.is_orphaned_by(&ended(2)));
        sender.advance(0, 2, 1);
        receiver.merge(&sender);
        assert_eq!(receiver.of(0), (2, 1));
        assert!(!receiver.is_orphaned_by(&ended(0)), "the later version is another history");
    }

    #[test]
    fn a_clock_comes_back_from_its_bytes_and_a_short_one_does_not() {
        let mut clock = IncarnationClock::new(3);
        clock.advance(1, 4, 1 << 33);
        let mut bytes = Vec::new();
        clock.encode(&mut bytes);
        assert_eq!(IncarnationClock::decode(&mut Reader::new(&bytes)).unwrap(), clock);
        for cut in 0..bytes.len() {
            assert!(IncarnationClock::decode(&mut Reader::new(&bytes[..cut])).is_err());
        }
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
