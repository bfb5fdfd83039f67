//! Which part of a rank's past still stands.

use egida_core::ids::Rank;

/// So much of what a rank did, in an epoch of it: a dependence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Which epoch of the rank.
    pub epoch: usize,
    /// How much, from the rank's beginning on.
    pub count: u64,
}

/// The epochs of each rank. One ends when something of what the rank did turns out never to have happened: it is kept up to
/// a point, and goes on from there another way.
#[derive(Debug, Clone)]
pub(super) struct Epochs(Vec<Vec<u64>>);

impl Epochs {
    /// The first epoch of each.
    pub fn new(ranks: u32) -> Self {
        Self(vec![Vec::new(); ranks as usize])
    }

    /// So much of what a rank has done up to now.
    pub fn extent(&self, rank: Rank, count: u64) -> Extent {
        Extent { epoch: self.0[rank as usize].len(), count }
    }

    /// An epoch of a rank ends; so much is kept.
    pub fn end(&mut self, rank: Rank, kept: u64) {
        self.0[rank as usize].push(kept);
    }

    /// Whether some of that turned out never to have happened.
    pub fn is_void(&self, rank: Rank, extent: Extent) -> bool {
        self.0[rank as usize][extent.epoch..].iter().any(|&kept| kept < extent.count)
    }

    /// Both together; what is void stays so.
    pub fn join(&self, rank: Rank, one: Extent, other: Extent) -> Extent {
        match (self.is_void(rank, one), self.is_void(rank, other)) {
            (true, _) => one,
            (false, true) => other,
            (false, false) => self.extent(rank, one.count.max(other.count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_through_all_epochs_stands() {
        let mut epochs = Epochs::new(1);
        let (two, five) = (epochs.extent(0, 2), epochs.extent(0, 5));
        epochs.end(0, 3);
        assert!(!epochs.is_void(0, two) && epochs.is_void(0, five));
        let four = epochs.extent(0, 4);
        assert_eq!(epochs.join(0, two, four), four);
        assert_eq!(epochs.join(0, four, five), five, "what is void stays so");
        epochs.end(0, 1);
        assert!(epochs.is_void(0, two) && epochs.is_void(0, four));
    }
}
