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
use egida_core::module::checkpoint::{decode, encode};
use egida_core::module::{Admission, Arriving, Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::WireError;
use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, INITIATOR, newest_common};

/// The protocol in one rank.
#[derive(Debug, Clone, Default)]
pub struct ChandyLamport {
    /// The index of the newest snapshot that this rank has taken its part of.
    index: u64,
    /// The index of the newest that it knows of.
    wanted: u64,
    /// Where the newest marker of each rank stands on its channel.
    markers: BTreeMap<Rank, Marker>,
    /// Which snapshot a checkpoint on its way to stable storage belongs to.
    unsettled: BTreeMap<CheckpointNumber, u64>,
    /// The initiator's attempt.
    attempt: Option<Attempt>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Marker {
    index: u64,
    after: Ssn,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Marker(Marker),
    Saved { index: u64, durable: bool },
}

impl ChandyLamport {
    fn saved(&mut self, rank: Rank, index: u64, durable: bool) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.index == index) else { return };
        if !durable || attempt.done(rank) {
            self.attempt = None;
        }
    }

    fn settled(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber, durable: bool) {
        let Some(index) = self.unsettled.remove(&number) else { return };
        match context.rank() {
            INITIATOR => self.saved(INITIATOR, index, durable),
            _ => context.tell(INITIATOR, &Message::Saved { index, durable }),
        }
    }
}

impl PiggybackCheckpointing for ChandyLamport {
    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let behind = self
            .markers
            .get(&message.source)
            .is_some_and(|marker| marker.index > self.index && message.ssn >= marker.after);
        Ok(if behind { Admission::CheckpointFirst } else { Admission::Admit })
    }
}

impl Checkpoint for ChandyLamport {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if context.rank() != INITIATOR || self.attempt.is_some() {
            return;
        }
        self.wanted = self.wanted.max(self.index) + 1;
        self.attempt = Some(Attempt::new(self.wanted, context.sent().len()));
        context.take_checkpoint();
    }

    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        match decode(message)? {
            Message::Marker(marker) if marker.index > self.index => {
                self.markers.insert(from, marker);
                self.wanted = self.wanted.max(marker.index);
                context.take_checkpoint();
            }
            Message::Marker(_) => {}
            Message::Saved { index, durable } => self.saved(from, index, durable),
        }
        Ok(())
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.index;
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        self.index = self.wanted;
        head.index = self.index;
        self.unsettled.insert(head.number, self.index);
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
        self.attempt = None;
        self.markers.clear();
        self.wanted = self.index;
    }

    fn line(&self, candidates: &Candidates) -> Option<Line> {
        newest_common(candidates)
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.index)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.index = decode(state)?;
        self.wanted = self.index;
        Ok(())
    }
}
