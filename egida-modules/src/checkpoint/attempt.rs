//! One attempt of an initiator to have all ranks take a checkpoint of the same line.

use std::collections::BTreeSet;

use egida_core::checkpoint::{Candidates, Line};
use egida_core::ids::Rank;

/// The rank that begins co-ordinated checkpoints.
pub(super) const INITIATOR: Rank = 0;

/// An attempt under way. It ends when all have done their part, when a checkpoint could not be written, or with the next
/// recovery, which voids it; however long that takes, no other is begun meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub index: u64,
    missing: BTreeSet<Rank>,
}

impl Attempt {
    /// An attempt that waits for all of `ranks` ranks.
    pub fn new(index: u64, ranks: usize) -> Self {
        Self { index, missing: (0..ranks as Rank).collect() }
    }

    /// A rank has done its part. Returns whether all have.
    pub fn done(&mut self, rank: Rank) -> bool {
        self.missing.remove(&rank);
        self.missing.is_empty()
    }
}

/// The newest line of which every rank has its checkpoint: the one of that index. All ranks return to it, survivors too.
pub(super) fn newest_common(candidates: &Candidates) -> Option<Line> {
    let place = |own: &[egida_core::checkpoint::Candidate], index: u64| {
        own.iter().rposition(|candidate| !candidate.current && candidate.head.index == index)
    };
    let of_first = candidates.iter().next()?.iter().rev().filter(|candidate| !candidate.current);
    of_first
        .map(|candidate| candidate.head.index)
        .find_map(|index| candidates.iter().map(|own| place(own, index)).collect())
}
