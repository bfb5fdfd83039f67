//! Co-ordinated checkpoints over empty channels, as in Fail-safe PVM (León, Fisher and Steenkiste 1993): flush, barrier, save,
//! barrier, commit.
//!
//! ```text
//!   initiator   Request ──────────────> all Flushed ──> Save ──────────> all Saved ──> Commit
//!   each rank     hold, Flush to all ──> all received      checkpoint, durable           go on
//! ```
//!
//! From the request to the commit the application stands still. So no message is in transit across the cut, and the old line is
//! there until the new one is durable at every rank. Whether a line is committed is not left to the last message: a line of
//! which all ranks have a durable checkpoint is one, whoever has heard of it.

use std::collections::BTreeMap;

use egida_core::checkpoint::{Candidates, CheckpointHead, Line};
use egida_core::ids::{CheckpointNumber, Rank, Ssn};
use egida_core::module::checkpoint::{decode, encode};
use egida_core::module::{Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::WireError;
use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, INITIATOR, newest_common};

/// The protocol in one rank.
#[derive(Debug, Clone, Default)]
pub struct FailSafePvm {
    /// The index of the newest line that this rank has a checkpoint of.
    index: u64,
    /// The index of the newest that it has tried, or given up.
    tried: u64,
    flushing: Option<Flushing>,
    /// The line that is being saved: the checkpoint's number, once it is captured.
    saving: Option<(u64, CheckpointNumber)>,
    /// The initiator's attempt, at the barrier that it waits at.
    attempt: Option<Attempt>,
}

/// A rank that waits for the last messages of all others.
#[derive(Debug, Clone)]
struct Flushing {
    index: u64,
    /// How many messages each rank has sent to this one.
    sent: BTreeMap<Rank, Ssn>,
    is_reported: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Message {
    Request { index: u64 },
    Flush { index: u64, sent: Ssn },
    Flushed { index: u64 },
    Save { index: u64 },
    Saved { index: u64, durable: bool },
    Commit { index: u64 },
    Abort { index: u64 },
}

impl FailSafePvm {
    /// Holds the application and tells everyone how many messages are on their way.
    fn flush(&mut self, context: &mut CheckpointContext<'_>, index: u64) {
        if index <= self.tried {
            return;
        }
        self.tried = index;
        self.flushing = Some(Flushing { index, sent: BTreeMap::new(), is_reported: false });
        context.hold();
        for other in context.others() {
            let sent = context.sent().get(other as usize).copied().unwrap_or(0);
            context.tell(other, &Message::Flush { index, sent });
        }
        self.look(context);
    }

    /// Reports to the initiator once everything that was sent to this rank is received.
    fn look(&mut self, context: &mut CheckpointContext<'_>) {
        let others = context.others().count();
        let known = context.known();
        let Some(flushing) = self.flushing.as_mut().filter(|flushing| !flushing.is_reported) else { return };
        let is_empty =
            |(&other, &sent): (&Rank, &Ssn)| known.get(other as usize).is_some_and(|&known| known >= sent);
        if flushing.sent.len() == others && flushing.sent.iter().all(is_empty) {
            flushing.is_reported = true;
            let index = flushing.index;
            self.tell_initiator(context, Message::Flushed { index });
        }
    }

    fn tell_initiator(&mut self, context: &mut CheckpointContext<'_>, message: Message) {
        match context.rank() {
            INITIATOR => self.take(context, INITIATOR, message),
            _ => context.tell(INITIATOR, &message),
        }
    }

    /// Tells all, itself included.
    fn tell_all(&mut self, context: &mut CheckpointContext<'_>, message: Message) {
        context.tell_others(&message);
        self.take(context, INITIATOR, message);
    }

    fn take(&mut self, context: &mut CheckpointContext<'_>, from: Rank, message: Message) {
        match message {
            Message::Request { index } => self.flush(context, index),
            Message::Flush { index, sent } => {
                self.flush(context, index);
                if let Some(flushing) = self.flushing.as_mut().filter(|flushing| flushing.index == index) {
                    flushing.sent.insert(from, sent);
                    self.look(context);
                }
            }
            Message::Save { index } => {
                if self.flushing.take_if(|flushing| flushing.index == index).is_some() {
                    self.saving = Some((index, 0));
                    context.take_checkpoint();
                }
            }
            Message::Commit { index } | Message::Abort { index } => self.conclude(context, index),
            Message::Flushed { index } => {
                if self.is_everyone_at_barrier(from, index) {
                    self.attempt = Some(Attempt::new(index, context.sent().len()));
                    self.tell_all(context, Message::Save { index });
                }
            }
            Message::Saved { index, durable: true } => {
                if self.is_everyone_at_barrier(from, index) {
                    self.attempt = None;
                    self.tell_all(context, Message::Commit { index });
                }
            }
            Message::Saved { index, durable: false } => {
                if self.attempt.take_if(|attempt| attempt.index == index).is_some() {
                    self.tell_all(context, Message::Abort { index });
                }
            }
        }
    }

    fn is_everyone_at_barrier(&mut self, rank: Rank, index: u64) -> bool {
        self.attempt
            .as_mut()
            .filter(|attempt| attempt.index == index)
            .is_some_and(|attempt| attempt.done(rank))
    }

    /// The attempt of that index, or an older one, is over for this rank.
    fn conclude(&mut self, context: &mut CheckpointContext<'_>, index: u64) {
        self.tried = self.tried.max(index);
        let under_way = self.flushing.as_ref().map(|flushing| flushing.index);
        let under_way = under_way.or(self.saving.map(|(saving, _)| saving));
        if under_way.is_some_and(|under_way| under_way <= index) {
            self.flushing = None;
            self.saving = None;
            context.let_go();
        }
    }

    fn settled(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber, durable: bool) {
        if let Some((index, _)) = self.saving.filter(|&(_, saving)| saving == number) {
            self.tell_initiator(context, Message::Saved { index, durable });
        }
    }
}

impl PiggybackCheckpointing for FailSafePvm {}

impl Checkpoint for FailSafePvm {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if context.rank() != INITIATOR || self.attempt.is_some() {
            return;
        }
        let index = self.tried.max(self.index) + 1;
        self.attempt = Some(Attempt::new(index, context.sent().len()));
        self.tell_all(context, Message::Request { index });
    }

    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        self.take(context, from, decode(message)?);
        Ok(())
    }

    fn watches(&self) -> bool {
        self.flushing.as_ref().is_some_and(|flushing| !flushing.is_reported)
    }

    fn on_progress(&mut self, context: &mut CheckpointContext<'_>) {
        self.look(context);
    }

    fn describe(&self, head: &mut CheckpointHead) {
        head.index = self.index;
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        // One that was asked for and given up meanwhile belongs to no line.
        if let Some((index, number)) = &mut self.saving {
            *number = head.number;
            self.index = *index;
        }
        head.index = self.index;
    }

    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, true);
    }

    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, false);
    }

    fn recovered(&mut self, context: &mut CheckpointContext<'_>) {
        self.attempt = None;
        self.flushing = None;
        self.saving = None;
        context.let_go();
    }

    fn line(&self, candidates: &Candidates) -> Option<Line> {
        newest_common(candidates)
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.index)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        self.index = decode(state)?;
        self.tried = self.index;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::Command;

    use super::*;
    use crate::checkpoint::by_hand::{ByHand, ranks};

    /// Both ranks hear what they tell each other until nobody tells anything more; returns who was asked for a checkpoint.
    fn talk(two: &mut [ByHand<FailSafePvm>], from: usize, told: Vec<Command>) -> Vec<Rank> {
        let asked = told.contains(&Command::TakeCheckpoint).then_some(two[from].rank);
        let to = 1 - from;
        let from_rank = two[from].rank;
        let answer = two[to].hear(from_rank, &told);
        let mut all: Vec<Rank> = asked.into_iter().collect();
        if !answer.is_empty() {
            all.extend(talk(two, to, answer));
        }
        all
    }

    fn is_let_go(commands: &[Command]) -> bool {
        commands.contains(&Command::Hold(false))
    }

    #[test]
    fn states_are_saved_when_all_channels_are_empty_and_all_go_on_when_all_are_durable() {
        let mut two = ranks(2, |_| FailSafePvm::default());
        let message = two[1].send(0);
        let asked = two[0].timer();
        assert!(asked.contains(&Command::Hold(true)));
        assert_eq!(talk(&mut two, 0, asked), [], "a message is on its way");
        two[0].offer(&message);
        assert!(two[0].protocol.watches());
        let barrier = two[0].when(|protocol, context| protocol.on_progress(context));
        assert!(barrier.contains(&Command::TakeCheckpoint), "the first barrier: {barrier:?}");
        assert!(two[1].hear(0, &barrier).contains(&Command::TakeCheckpoint));
        assert_eq!((two[0].checkpoint().0.index, two[1].checkpoint().0.index), (1, 1));
        assert!(!is_let_go(&two[0].settle(true)), "rank 1 has not saved yet");
        let saved = two[1].settle(true);
        assert!(!is_let_go(&saved));
        let commit = two[0].hear(1, &saved);
        assert!(is_let_go(&commit), "the second barrier: {commit:?}");
        assert!(is_let_go(&two[1].hear(0, &commit)));
    }

    #[test]
    fn one_write_that_fails_lets_all_go_on_and_its_index_is_not_used_again() {
        let mut two = ranks(2, |_| FailSafePvm::default());
        let asked = two[0].timer();
        assert_eq!(talk(&mut two, 0, asked), [0, 1]);
        two[0].checkpoint();
        two[1].checkpoint();
        two[0].settle(true);
        let failed = two[1].settle(false);
        let abort = two[0].hear(1, &failed);
        assert!(is_let_go(&abort) && is_let_go(&two[1].hear(0, &abort)));
        let again = two[0].timer();
        assert_eq!(talk(&mut two, 0, again), [0, 1]);
        assert_eq!(two[1].checkpoint().0.index, 2);
    }
}
