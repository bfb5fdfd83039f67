//! The network: delays, and partitions between failure domains.

use std::collections::BTreeSet;

use egida_core::ids::{Domain, Rank, Ssn};

use crate::application::mix;
use crate::scheduler::Time;

/// What lies between the nodes.
///
/// Each message takes its own time, so that messages on different channels overtake each other; a channel itself is FIFO. At
/// most one partition stands at a time. What is sent across it arrives after it is healed.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// What a message takes at most.
    pub longest: Time,
    /// Drawn by the scheduler before each step; every message of the step takes its delay from it.
    pub draw: u64,
    /// Messages that take longer than others: from whom, to whom, number, how much longer.
    pub late: Vec<(Rank, Rank, Ssn, Time)>,
    cut: Option<Cut>,
}

#[derive(Debug, Clone)]
struct Cut {
    away: BTreeSet<Domain>,
    until: Time,
}

impl Network {
    /// How long this message takes.
    #[must_use]
    pub fn delay(&self, source: Rank, dest: Rank, ssn: Ssn) -> Time {
        let late = self.late.iter().find(|late| (late.0, late.1, late.2) == (source, dest, ssn));
        let usual = 1 + mix(self.draw, (u64::from(dest) << 32) ^ ssn) % self.longest.max(1);
        usual + late.map_or(0, |late| late.3)
    }

    /// Cuts these domains off from the others, and from whoever coordinates.
    pub fn cut(&mut self, away: BTreeSet<Domain>, until: Time) {
        self.cut = Some(Cut { away, until });
    }

    /// Every domain reaches every other again.
    pub fn heal(&mut self) {
        self.cut = None;
    }

    /// A domain that was cut off lives on elsewhere, on this side: it was given up, and is started anew.
    pub fn moved(&mut self, domain: Domain) {
        if let Some(cut) = &mut self.cut {
            cut.away.remove(&domain);
        }
    }

    /// Until when these domains are cut off from each other, if they are.
    #[must_use]
    pub fn cut_until(&self, one: Domain, other: Domain) -> Option<Time> {
        let cut = self.cut.as_ref()?;
        (cut.away.contains(&one) != cut.away.contains(&other)).then_some(cut.until)
    }

    /// Until when a domain is cut off from whoever coordinates, if it is.
    #[must_use]
    pub fn away_until(&self, domain: Domain) -> Option<Time> {
        self.cut.as_ref().filter(|cut| cut.away.contains(&domain)).map(|cut| cut.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_between_the_sides_and_a_domain_that_moved_is_on_this_one() {
        let mut network = Network::default();
        network.cut([1, 2].into(), 50);
        assert_eq!(network.cut_until(1, 2), None);
        assert_eq!(network.cut_until(0, 2), Some(50));
        network.moved(2);
        assert_eq!((network.cut_until(0, 2), network.cut_until(1, 2)), (None, Some(50)));
        assert_eq!((network.away_until(1), network.away_until(0)), (Some(50), None));
        network.heal();
        assert_eq!(network.cut_until(0, 1), None);
    }
}
