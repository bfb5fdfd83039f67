//! Numbers of incarnations only grow, and none is used before it is durable; survivors roll back only where the protocol says so, and
//! then at most once for each failure.

use std::collections::BTreeMap;

use egida_core::ids::{Incarnation, Rank};
use egida_core::recovery::Fate;

use super::Violation;

/// What the observer knows.
#[derive(Debug, Clone)]
pub struct Incarnations {
    begun: Vec<Incarnation>,
    durable: Vec<Incarnation>,
    /// On their way to stable storage: the round, and the numbers.
    persisting: Option<(u64, Vec<(Rank, Incarnation)>)>,
    /// Whether each incarnation that ended did so by rolling back, by its successor.
    ended: BTreeMap<(Rank, Incarnation), bool>,
    /// Whether survivors may be orphans.
    detects: bool,
}

impl Incarnations {
    /// An observer of a job in which nothing has happened.
    #[must_use]
    pub fn new(ranks: u32, detects: bool) -> Self {
        let (begun, durable) = (vec![0; ranks as usize], vec![1; ranks as usize]);
        Self { begun, durable, persisting: None, ended: BTreeMap::new(), detects }
    }

    /// Numbers go to stable storage.
    pub fn persist(&mut self, round: u64, numbers: &[(Rank, Incarnation)]) {
        self.persisting = Some((round, numbers.to_vec()));
    }

    /// The numbers of a round are there.
    pub fn are_durable(&mut self, round: u64) {
        if let Some((_, numbers)) = self.persisting.take_if(|(under_way, _)| *under_way == round) {
            for (rank, number) in numbers {
                self.durable[rank as usize] = number;
            }
        }
    }

    /// An incarnation begins.
    ///
    /// # Errors
    /// Its number was used before, or could be used again.
    pub fn begins(&mut self, rank: Rank, number: Incarnation) -> Result<(), Violation> {
        let (begun, durable) = (&mut self.begun[rank as usize], self.durable[rank as usize]);
        if number <= *begun || number > durable {
            return Err(Violation::Incarnation { rank, number, begun: *begun, durable });
        }
        *begun = number;
        Ok(())
    }

    /// A rank is recovered, and its memory has that fate; `next` is the number of its next incarnation.
    ///
    /// # Errors
    /// It survived, and rolls back without need.
    pub fn sealed(&mut self, rank: Rank, next: Incarnation, fate: Fate) -> Result<(), Violation> {
        let rolls_back = fate == Fate::RollsBack;
        self.ended.insert((rank, next), rolls_back);
        if !rolls_back {
            return Ok(());
        }
        let rollbacks = self.ended.iter().filter(|&(&(of, _), &back)| of == rank && back).count();
        let failures = self.ended.iter().filter(|&(&(of, _), &back)| of != rank && !back).count();
        match self.detects && rollbacks <= failures {
            true => Ok(()),
            false => Err(Violation::RolledBack { rank, rollbacks, failures }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_once_and_not_before_it_is_durable() {
        let mut seen = Incarnations::new(1, false);
        assert_eq!(seen.begins(0, 1), Ok(()));
        assert!(seen.begins(0, 1).is_err());
        seen.persist(1, &[(0, 2)]);
        assert!(seen.begins(0, 2).is_err());
        seen.are_durable(2);
        assert!(seen.begins(0, 2).is_err(), "another round's");
        seen.are_durable(1);
        assert_eq!(seen.begins(0, 2), Ok(()));
    }

    #[test]
    fn a_survivor_rolls_back_once_for_a_failure_and_only_where_it_may() {
        let mut seen = Incarnations::new(3, true);
        assert_eq!(seen.sealed(0, 2, Fate::Lost), Ok(()));
        assert_eq!(seen.sealed(1, 2, Fate::RollsBack), Ok(()));
        assert_eq!(seen.sealed(1, 2, Fate::RollsBack), Ok(()), "the round began anew");
        assert!(seen.sealed(1, 3, Fate::RollsBack).is_err());
        assert_eq!(seen.sealed(2, 2, Fate::RollsBack), Ok(()));
        assert!(Incarnations::new(2, false).sealed(1, 2, Fate::RollsBack).is_err());
    }
}
