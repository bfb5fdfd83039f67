//! Distributed snapshots (Chandy and Lamport 1985).
//!
//! The initiator takes a checkpoint and sends a marker on each channel; a rank that finds a marker takes its checkpoint before
//! it receives anything from behind it, and sends markers itself. A marker is a control message that names the place in the
//! channel where it stands: behind so many messages. So it shifts no message's number, and where it comes before the
//! messages ahead of it are read, the rank takes its checkpoint early, which is as consistent.
//!
//! The paper records the messages that are in a channel at the cut. Here they are in the send logs of their senders' images.

use std::collections::BTreeMap;

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank, Ssn};
use egida_core::module::checkpoint::decode;
use egida_core::module::{Admission, Arriving, Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::WireError;
use serde::{Deserialize, Serialize};

use super::attempt::{INITIATOR, Series, newest_common};

/// The protocol in one rank.
#[derive(Debug, Clone, Default)]
pub struct ChandyLamport {
    lines: Series,
    /// Where the newest marker of each rank stands on its channel.
    markers: BTreeMap<Rank, Marker>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Marker {
    index: u64,
    after: Ssn,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Message {
    Marker(Marker),
    Saved { index: u64, durable: bool },
}

impl ChandyLamport {
    fn settled(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber, durable: bool) {
        if let Some(index) = self.lines.settled(context.rank(), number, durable) {
            context.tell(INITIATOR, &Message::Saved { index, durable });
        }
    }
}

impl PiggybackCheckpointing for ChandyLamport {
    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let behind = self
            .markers
            .get(&message.source)
            .is_some_and(|marker| marker.index > self.lines.index() && message.ssn >= marker.after);
        Ok(if behind { Admission::CheckpointFirst } else { Admission::Admit })
    }
}

impl Checkpoint for ChandyLamport {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if self.lines.begin(context).is_some() {
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
            Message::Marker(marker) => {
                if self.lines.hear_of(marker.index) {
                    self.markers.insert(from, marker);
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

    fn captured(&mut self, context: &mut CheckpointContext<'_>, head: &CheckpointHead) {
        for other in context.others() {
            let after = head.sent.get(other as usize).copied().unwrap_or(0);
            context.tell(other, &Message::Marker(Marker { index: head.index, after }));
        }
    }

    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, true);
    }

    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, false);
    }

    fn recovered(&mut self, _: &mut CheckpointContext<'_>) {
        self.lines.recovered();
        self.markers.clear();
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
    use crate::checkpoint::by_hand::{ranks, tells};

    #[test]
    fn a_checkpoint_is_taken_before_the_first_message_behind_a_marker() {
        let mut three = ranks(3, |_| ChandyLamport::default());
        let before = three[0].send(1);
        assert_eq!(three[0].timer(), [Command::TakeCheckpoint]);
        let (head, markers) = three[0].checkpoint();
        assert_eq!((head.index, tells(&markers)), (1, 2));
        let behind = three[0].send(1);
        assert_eq!(three[1].hear(0, &markers), [Command::TakeCheckpoint]);
        assert_eq!(three[1].offer(&before), Admission::Admit, "it stands before the marker");
        assert_eq!(three[1].offer(&behind), Admission::CheckpointFirst);
        let (head, markers) = three[1].checkpoint();
        assert_eq!((head.index, tells(&markers)), (1, 2), "it sends markers itself");
        assert_eq!(three[1].offer(&behind), Admission::Admit);
        assert_eq!(three[0].hear(1, &markers), [], "who has taken its part takes no other");
    }

    #[test]
    fn the_initiator_begins_another_when_all_have_theirs_or_one_failed() {
        let mut two = ranks(2, |_| ChandyLamport::default());
        for (durable, next) in [(true, 2), (false, 3)] {
            two[0].timer();
            let (_, markers) = two[0].checkpoint();
            two[0].settle(true);
            assert_eq!(two[0].timer(), [], "one is under way");
            two[1].hear(0, &markers);
            two[1].checkpoint();
            let told = two[1].settle(durable);
            two[0].hear(1, &told);
            assert_eq!(two[0].timer(), [Command::TakeCheckpoint]);
            two[0].when(|protocol, context| protocol.recovered(context));
            assert_eq!(two[0].protocol.lines.index() + 1, next);
        }
    }
}
