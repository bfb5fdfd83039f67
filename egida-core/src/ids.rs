//! The numbers that name things: ranks, incarnations, positions.

/// A process of the job, numbered from 0 as in `MPI_COMM_WORLD`.
pub type Rank = u32;

/// Which life of a rank: the first is 1, and every restart adds one.
pub type Incarnation = u32;

/// Which history of a rank, from 1: one more after each failure that may have lost events. An incarnation that merely rolls
/// back goes on in the version that it had.
pub type Version = u32;

/// The send sequence number of a message on its channel, from 0.
pub type Ssn = u64;

/// The number of a non-deterministic event of a process, from 0: the paper's `desn`.
pub type EventIndex = u64;

/// A position in a rank's journal: how many entries stand before it.
pub type Position = u64;

/// The number of a checkpoint of a rank, from 1; 0 is the program's beginning.
pub type CheckpointNumber = u64;

/// What fails as one: a node where the failure unit is the node, else a process.
pub type Domain = u32;

/// Which failure domain each rank belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains {
    of_rank: Vec<Domain>,
}

impl Domains {
    /// `ranks` ranks, `per_domain` (at least one) neighbours to each domain.
    #[must_use]
    pub fn blocks(ranks: u32, per_domain: u32) -> Self {
        let per_domain = per_domain.max(1);
        Self { of_rank: (0..ranks).map(|rank| rank / per_domain).collect() }
    }

    /// The domain of a rank.
    #[must_use]
    pub fn of(&self, rank: Rank) -> Domain {
        self.of_rank[rank as usize]
    }

    /// How many domains there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.of_rank.last().map_or(0, |last| last + 1)
    }

    /// How many ranks there are.
    #[must_use]
    pub fn ranks(&self) -> u32 {
        u32::try_from(self.of_rank.len()).unwrap_or(u32::MAX)
    }

    /// The ranks of a domain.
    pub fn members(&self, domain: Domain) -> impl Iterator<Item = Rank> + '_ {
        (0..self.ranks()).filter(move |&rank| self.of(rank) == domain)
    }
}

#[cfg(test)]
mod tests {
    use super::Domains;

    #[test]
    fn blocks_of_two() {
        let domains = Domains::blocks(5, 2);
        assert_eq!((0..5).map(|rank| domains.of(rank)).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
        assert_eq!(domains.count(), 3);
        assert_eq!(domains.members(1).collect::<Vec<_>>(), [2, 3]);
    }
}
