//! Index-based checkpoints with fewer indices (Vieira, Garcia and Buzato 2001, "lazy" indexing over Briatico et al. 1984).
//!
//! As BCS, but a basic checkpoint takes a new index only if a message of the present index came since the last checkpoint.
//! Otherwise it takes the place of the one before in the same line: whatever was received in between was sent before the line.
//! So indices grow more slowly, and fewer messages force checkpoints.

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::Rank;
use egida_core::wire::{Reader, WireError, put_varint};
use serde::{Deserialize, Serialize};

use super::induced::{Induced, Inducing};

/// The index of a rank's newest checkpoint, and whether the next may have the same.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LazyBcs {
    index: u64,
    /// Whether a message of this index was received since the newest checkpoint.
    is_used: bool,
}

impl LazyBcs {
    /// The protocol at the program's beginning. The beginning is a checkpoint of its own, which nothing replaces.
    #[must_use]
    pub fn start() -> Induced<Self> {
        Induced::new(Self { index: 0, is_used: false })
    }
}

impl Inducing for LazyBcs {
    type Piggyback = u64;

    const PHRASE: &'static str = "checkpoint counter";

    fn encode(&self, _: Rank, out: &mut Vec<u8>) {
        put_varint(out, self.index);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Result<u64, WireError> {
        reader.varint()
    }

    fn forces(&self, &index: &u64) -> bool {
        index > self.index
    }

    fn receive(&mut self, _: Rank, &index: &u64) {
        self.is_used |= index >= self.index;
    }

    fn send(&mut self, _: Rank) {}

    fn capture(&mut self, head: &mut CheckpointHead, before: &[u64]) {
        let forced = before.iter().copied().max();
        self.index = forced.unwrap_or(self.index + u64::from(self.is_used));
        self.is_used = false;
        head.index = self.index;
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.index;
    }

    /// The indices alone would hold the line back: that of a rank that receives nothing never grows. They see to it that no
    /// checkpoint is useless; which of them go together, the counts say.
    fn line(candidates: &Candidates) -> Option<Line> {
        candidates.maximum()
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::Admission;

    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn a_basic_checkpoint_takes_a_new_index_only_where_the_present_one_was_received() {
        let mut two = ranks(2, |_| LazyBcs::start());
        assert_eq!(two[0].checkpoint().0.index, 0);
        two[0].settle(true);
        let message = two[1].send(0);
        assert_eq!(two[0].offer(&message), Admission::Admit);
        assert_eq!(two[0].checkpoint().0.index, 1);
        two[0].settle(true);
        assert_eq!(two[0].checkpoint().0.index, 1, "nothing came since");
        two[0].settle(true);
        let behind = two[1].send(0);
        assert_eq!(two[0].offer(&behind), Admission::Admit);
        assert_eq!(two[0].checkpoint().0.index, 1, "what came has an older index");
    }
}
