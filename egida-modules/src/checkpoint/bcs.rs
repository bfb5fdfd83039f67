//! Index-based checkpoints (Briatico, Ciuffoletti and Simoncini 1984).
//!
//! Checkpoints carry an index, messages that of their sender's newest checkpoint. A basic checkpoint takes the next index; a
//! message of a greater index is received only behind a checkpoint of that index. So no message goes from behind a checkpoint
//! of index k to before one of index k: the first checkpoints with an index of at least k are a line, for every k.

use egida_core::checkpoint::{Candidate, Candidates, CheckpointHead, Line};
use egida_core::ids::Rank;
use egida_core::wire::{Reader, WireError, put_varint};
use serde::{Deserialize, Serialize};

use super::induced::{Induced, Inducing};

/// The index of a rank's newest checkpoint.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Bcs {
    index: u64,
}

impl Bcs {
    /// The protocol at the program's beginning.
    #[must_use]
    pub fn start() -> Induced<Self> {
        Induced::new(Self::default())
    }
}

impl Inducing for Bcs {
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

    fn receive(&mut self, _: Rank, _: &u64) {}

    fn send(&mut self, _: Rank) {}

    fn capture(&mut self, head: &mut CheckpointHead, before: &[u64]) {
        // The label is in the image: whoever is restored from a forced checkpoint has its index.
        self.index = before.iter().copied().max().unwrap_or(self.index + 1);
        head.index = self.index;
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.index;
    }

    /// The line of the greatest index that every failed rank has. A survivor that has no checkpoint of it stays as it is.
    fn line(candidates: &Candidates) -> Option<Line> {
        let failed = candidates.iter().filter(|own| own.last().is_some_and(|last| !last.current));
        let Some(index) = failed.filter_map(|own| own.last().map(|last| last.head.index)).min() else {
            return Some(candidates.newest());
        };
        let is_later = |candidate: &Candidate| !candidate.current && candidate.head.index >= index;
        let at = |own: &[Candidate]| own.iter().position(is_later).or(own.len().checked_sub(1));
        candidates.iter().map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::{Admission, Command};

    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn a_message_of_a_greater_index_is_received_behind_a_checkpoint_of_that_index() {
        let mut two = ranks(2, |_| Bcs::start());
        let early = two[0].send(1);
        for index in 1..=3 {
            assert_eq!(two[0].timer(), [Command::TakeCheckpoint]);
            assert_eq!(two[0].checkpoint().0.index, index, "a basic one takes the next index");
            two[0].settle(true);
        }
        let late = two[0].send(1);
        assert_eq!(two[1].offer(&early), Admission::Admit);
        assert_eq!(two[1].offer(&late), Admission::CheckpointFirst);
        assert_eq!(two[1].checkpoint().0.index, 3, "not the next one: the message's");
        assert_eq!(two[1].offer(&late), Admission::Wait, "not before it is durable");
        two[1].settle(true);
        assert_eq!(two[1].offer(&late), Admission::Admit);
    }

    #[test]
    fn a_message_whose_checkpoint_fails_waits_for_another() {
        let mut two = ranks(2, |_| Bcs::start());
        two[0].checkpoint();
        let late = two[0].send(1);
        assert_eq!(two[1].offer(&late), Admission::CheckpointFirst);
        two[1].checkpoint();
        two[1].settle(false);
        assert_eq!(two[1].offer(&late), Admission::CheckpointFirst);
        assert_eq!(two[1].checkpoint().0.index, 1);
    }
}
