//! Non-blocking co-ordinated checkpoints by an index (Elnozahy, Johnson and Zwaenepoel 1992; Lai and Yang 1987 for the idea).
//!
//! The initiator begins a line with the next index and asks everyone for a checkpoint of it. Messages carry the index of
//! their sender's newest checkpoint: one of a later line is received only after a checkpoint of that line. So nobody waits for
//! anybody, and channels need not be FIFO. A message of an earlier line is in transit across the cut; its sender's image has it.

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank};
use egida_core::module::checkpoint::decode;
use egida_core::module::{Admission, Arriving, Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::{Reader, WireError, put_varint};
use serde::{Deserialize, Serialize};

use super::attempt::{INITIATOR, Series, newest_common};

/// The protocol in one rank.
#[derive(Debug, Clone, Default)]
pub struct Index {
    lines: Series,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Message {
    Request { index: u64 },
    Saved { index: u64, durable: bool },
}

impl Index {
    fn settled(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber, durable: bool) {
        if let Some(index) = self.lines.settled(context.rank(), number, durable) {
            context.tell(INITIATOR, &Message::Saved { index, durable });
        }
    }
}

impl PiggybackCheckpointing for Index {
    fn phrase(&self) -> Option<&'static str> {
        Some("checkpoint counter")
    }

    fn piggyback(&mut self, _: Rank, out: &mut Vec<u8>) {
        put_varint(out, self.lines.index());
    }

    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let is_later = self.lines.hear_of(Reader::new(message.piggyback).varint()?);
        Ok(if is_later { Admission::CheckpointFirst } else { Admission::Admit })
    }
}

impl Checkpoint for Index {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if let Some(index) = self.lines.begin(context) {
            context.tell_others(&Message::Request { index });
            context.take_checkpoint();
        }
    }

    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        match decode(message)? {
            Message::Request { index } => {
                if self.lines.hear_of(index) {
                    context.take_checkpoint();
                }
            }
            Message::Saved { index, durable } => self.lines.saved(from, index, durable),
        }
        Ok(())
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.lines.index();
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        self.lines.capture(head);
    }

    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, true);
    }

    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, false);
    }

    fn recovered(&mut self, _: &mut CheckpointContext<'_>) {
        self.lines.recovered();
    }

    fn line(&self, candidates: &Candidates) -> Option<Line> {
        newest_common(candidates)
    }

    fn save(&self) -> Vec<u8> {
        self.lines.save()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.lines.load(state)
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::Command;

    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn a_message_of_a_later_line_is_received_behind_a_checkpoint_of_it() {
        let mut three = ranks(3, |_| Index::default());
        let asked = three[0].timer();
        assert_eq!(three[0].checkpoint().0.index, 1);
        // Rank 2 has not heard of the line when the message comes, and then takes one checkpoint, not two.
        let message = three[0].send(2);
        assert_eq!(three[2].offer(&message), Admission::CheckpointFirst);
        assert_eq!(three[2].checkpoint().0.index, 1);
        assert_eq!(three[2].offer(&message), Admission::Admit);
        assert_eq!(three[2].hear(0, &asked), []);
        let old = three[1].send(2);
        assert_eq!(three[2].offer(&old), Admission::Admit, "it is in transit across the line");
        assert_eq!(three[1].hear(0, &asked), [Command::TakeCheckpoint]);
    }

    #[test]
    fn the_line_is_the_newest_that_all_have() {
        let head =
            |rank, number, index| CheckpointHead { number, index, ..CheckpointHead::beginning(rank, 2) };
        let zero = vec![head(0, 1, 1), head(0, 2, 2), head(0, 3, 3)];
        let one = vec![head(1, 1, 1), head(1, 2, 2)];
        let candidates = Candidates::of_checkpoints(&[zero, one]);
        assert_eq!(Index::default().line(&candidates), Some(vec![1, 1]));
    }

    #[test]
    fn who_is_restored_has_the_index_of_its_checkpoint() {
        let mut two = ranks(2, |_| Index::default());
        two[0].timer();
        two[0].checkpoint();
        let mut restored = Index::default();
        restored.load(&two[0].protocol.save()).unwrap();
        assert_eq!(restored.lines.index(), 1);
        assert!(restored.load(b"").is_err());
    }
}
