//! Non-blocking co-ordinated checkpoints by an index (Elnozahy, Johnson and Zwaenepoel 1992; Lai and Yang 1987 for the idea).
//!
//! The initiator begins a line with the next index and asks everyone for a checkpoint of it. Messages carry the index of
//! their sender's newest checkpoint: one of a later line is received only after a checkpoint of that line. So nobody waits for
//! anybody, and channels need not be FIFO. A message of an earlier line is in transit across the cut; its sender's image has it.

use std::collections::BTreeMap;

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank};
use egida_core::module::checkpoint::{decode, encode};
use egida_core::module::{Admission, Arriving, Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::{Reader, WireError, put_varint};
use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, INITIATOR, newest_common};

/// The protocol in one rank.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// The index of the newest line that this rank has a checkpoint of.
    index: u64,
    /// The index of the newest that it knows of.
    wanted: u64,
    /// Which line a checkpoint on its way to stable storage belongs to.
    unsettled: BTreeMap<CheckpointNumber, u64>,
    /// The initiator's attempt.
    attempt: Option<Attempt>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Request { index: u64 },
    Saved { index: u64, durable: bool },
}

impl Index {
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

impl PiggybackCheckpointing for Index {
    fn phrase(&self) -> Option<&'static str> {
        Some("checkpoint counter")
    }

    fn piggyback(&mut self, _: Rank, out: &mut Vec<u8>) {
        put_varint(out, self.index);
    }

    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let index = Reader::new(message.piggyback).varint()?;
        if index <= self.index {
            return Ok(Admission::Admit);
        }
        self.wanted = self.wanted.max(index);
        Ok(Admission::CheckpointFirst)
    }
}

impl Checkpoint for Index {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if context.rank() != INITIATOR || self.attempt.is_some() {
            return;
        }
        self.wanted = self.wanted.max(self.index) + 1;
        self.attempt = Some(Attempt::new(self.wanted, context.sent().len()));
        context.tell_others(&Message::Request { index: self.wanted });
        context.take_checkpoint();
    }

    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        match decode(message)? {
            Message::Request { index } if index > self.index => {
                self.wanted = self.wanted.max(index);
                context.take_checkpoint();
            }
            Message::Request { .. } => {}
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

    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, true);
    }

    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, false);
    }

    fn recovered(&mut self, _: &mut CheckpointContext<'_>) {
        self.attempt = None;
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
