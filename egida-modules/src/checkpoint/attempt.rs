//! What co-ordinated protocols have in common: lines of checkpoints that are numbered by an index, and the attempts of an initiator to
//! have all ranks take their checkpoints of one.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank};
use egida_core::module::CheckpointContext;
use egida_core::module::checkpoint::{decode, encode};
use egida_core::wire::WireError;

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

/// Which lines a rank has checkpoints of and knows of, where nobody waits: each takes its checkpoint when it hears of a line, and tells the
/// initiator what became of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    /// The index of the newest line that this rank has taken a checkpoint of.
    index: u64,
    /// The index of the newest that it knows of.
    wanted: u64,
    /// Which line a checkpoint on its way to stable storage belongs to.
    unsettled: BTreeMap<CheckpointNumber, u64>,
    /// The initiator's attempt.
    attempt: Option<Attempt>,
}

impl Series {
    /// The index of the newest line that this rank has taken a checkpoint of.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The initiator begins a line, unless one is under way; others do not.
    pub fn begin(&mut self, context: &CheckpointContext<'_>) -> Option<u64> {
        if context.rank() != INITIATOR || self.attempt.is_some() {
            return None;
        }
        self.wanted = self.wanted.max(self.index) + 1;
        self.attempt = Some(Attempt::new(self.wanted, context.sent().len()));
        Some(self.wanted)
    }

    /// There is a line of that index. Returns whether this rank has still to take its checkpoint of it.
    pub fn hear_of(&mut self, index: u64) -> bool {
        self.wanted = self.wanted.max(index);
        index > self.index
    }

    /// A checkpoint is taken: of the newest line that is known of.
    pub fn capture(&mut self, head: &mut CheckpointHead) {
        self.index = self.wanted;
        head.index = self.index;
        self.unsettled.insert(head.number, self.index);
    }

    /// What became of a checkpoint of this rank. Returns the index of its line where the initiator, which is another rank, is to be told.
    pub fn settled(&mut self, rank: Rank, number: CheckpointNumber, durable: bool) -> Option<u64> {
        let index = self.unsettled.remove(&number)?;
        if rank == INITIATOR {
            self.saved(INITIATOR, index, durable);
            return None;
        }
        Some(index)
    }

    /// What became of a rank's checkpoint of the line of that index, as the initiator hears it.
    pub fn saved(&mut self, rank: Rank, index: u64, durable: bool) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.index == index) else { return };
        if !durable || attempt.done(rank) {
            self.attempt = None;
        }
    }

    /// A recovery voids what is under way.
    pub fn recovered(&mut self) {
        self.attempt = None;
        self.wanted = self.index;
    }

    /// The part of the state that belongs to the process's history.
    pub fn save(&self) -> Vec<u8> {
        encode(&self.index)
    }

    /// Takes on what [`Series::save`] gave.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are none.
    pub fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.index = decode(state)?;
        self.wanted = self.index;
        Ok(())
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
