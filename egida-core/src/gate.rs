//! Gates: what must be stable before an event may take effect.

use crate::ids::{CheckpointNumber, Domain, Position, Rank};

/// Which of a rank's stores a condition is about: an index into the stack's list of storages.
pub type StoreId = u8;

/// The most stores one specification may name for one rank.
pub const MAX_STORES: usize = 4;

/// One condition of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The store holds every entry of the rank's journal below the position that is for it.
    Stable {
        /// The store.
        store: StoreId,
        /// The position.
        position: Position,
    },
    /// So many failure domains hold every determinant in the rank's journal below the position.
    Held {
        /// How many, the rank's own included.
        domains: Domain,
        /// The position.
        position: Position,
    },
    /// The journal of another rank is stable below the position.
    Other {
        /// Whose journal.
        rank: Rank,
        /// The position.
        position: Position,
    },
    /// Recovery will never again return the rank to a state before its checkpoint of that number.
    Line {
        /// The checkpoint.
        checkpoint: CheckpointNumber,
    },
}

/// A conjunction of conditions. An empty one is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    stable: [Position; MAX_STORES],
    held: Option<(Domain, Position)>,
    others: Vec<(Rank, Position)>,
    line: CheckpointNumber,
}

impl Gate {
    /// The open gate.
    #[must_use]
    pub const fn open() -> Self {
        Self { stable: [0; MAX_STORES], held: None, others: Vec::new(), line: 0 }
    }

    /// A gate of one condition.
    #[must_use]
    pub fn on(condition: Condition) -> Self {
        let mut gate = Self::open();
        gate.and(condition);
        gate
    }

    /// Adds a condition. Positions are prefixes, so of two conditions on one store the later one is both.
    pub fn and(&mut self, condition: Condition) {
        match condition {
            Condition::Stable { store, position } => {
                let slot = &mut self.stable[usize::from(store) % MAX_STORES];
                *slot = (*slot).max(position);
            }
            Condition::Held { domains, position } => {
                let (most, last) = self.held.unwrap_or_default();
                self.held = Some((most.max(domains), last.max(position)));
            }
            Condition::Other { rank, position } => {
                match self.others.iter_mut().find(|(other, _)| *other == rank) {
                    Some((_, last)) => *last = (*last).max(position),
                    None => self.others.push((rank, position)),
                }
            }
            Condition::Line { checkpoint } => self.line = self.line.max(checkpoint),
        }
    }

    /// Adds all conditions of another gate.
    pub fn join(&mut self, other: &Gate) {
        for condition in other.conditions() {
            self.and(condition);
        }
    }

    /// Its conditions.
    pub fn conditions(&self) -> impl Iterator<Item = Condition> + '_ {
        let stable = self
            .stable
            .iter()
            .enumerate()
            .filter(|&(_, &position)| position > 0)
            .map(|(store, &position)| Condition::Stable { store: store as StoreId, position });
        let held = self.held.map(|(domains, position)| Condition::Held { domains, position });
        let others = self.others.iter().map(|&(rank, position)| Condition::Other { rank, position });
        let line = (self.line > 0).then_some(Condition::Line { checkpoint: self.line });
        stable.chain(held).chain(others).chain(line)
    }

    /// Whether there is nothing to wait for at all.
    #[must_use]
    #[inline]
    pub fn is_open(&self) -> bool {
        self.stable == [0; MAX_STORES] && self.held.is_none() && self.others.is_empty() && self.line == 0
    }

    /// The position that a store must have reached: what a record's header carries, where one store is enough.
    #[must_use]
    pub fn position(&self, store: StoreId) -> Position {
        self.stable[usize::from(store) % MAX_STORES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_position_of_a_store_counts() {
        let mut gate = Gate::on(Condition::Stable { store: 0, position: 5 });
        gate.and(Condition::Stable { store: 0, position: 3 });
        gate.and(Condition::Held { domains: 2, position: 9 });
        assert_eq!(gate.position(0), 5);
        assert_eq!(gate.conditions().count(), 2);
        assert!(!gate.is_open());
        assert!(Gate::open().is_open());
    }
}
