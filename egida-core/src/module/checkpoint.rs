//! Checkpoint, PiggybackCheckpointing, HowToCheckpoint: when checkpoints are taken, what messages carry for it, and how a
//! checkpoint is written. All three are state machines without input and output.
//!
//! ```text
//!   timer, control messages ──> Checkpoint ──> tell others, take a checkpoint, hold the application
//!   message about to be sent ─> PiggybackCheckpointing::piggyback
//!   message that arrives ─────> PiggybackCheckpointing::before_receive ──> take it in, or a checkpoint first
//!
//!   the engine captures ──> Checkpoint::capture (labels it) ──> HowToCheckpoint::encode ──> stable storage
//!                           Checkpoint::captured            <── durable, failed
//! ```
//!
//! A rank has one instance, and the recovery coordinator has one, which is only ever asked for
//! [`Checkpoint::line`]. The state of the rank's instance is part of the process's history: it is saved in each image, as it
//! is *behind* the checkpoint. What concerns only a co-operation under way is not: a recovery voids it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Module;
use crate::checkpoint::{Candidates, CheckpointHead, CheckpointImage, Line, StoredCheckpoint};
use crate::ids::{CheckpointNumber, Rank, Ssn};
use crate::wire::WireError;

/// A message at the read cursor of a channel, as the checkpointing protocol sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arriving<'a> {
    /// The sender.
    pub source: Rank,
    /// Its number on the channel.
    pub ssn: Ssn,
    /// What the protocol of the sender piggybacked; empty where it piggybacks nothing.
    pub piggyback: &'a [u8],
}

/// Whether a message may be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admit,
    /// A checkpoint must be taken before.
    CheckpointFirst,
    /// A checkpoint that was taken must be durable before.
    Wait,
}

/// Piggybacks what tracks dependencies among checkpoints.
pub trait PiggybackCheckpointing: Module {
    /// The value of the language that says what messages carry; `None` where they carry nothing. Constant.
    fn phrase(&self) -> Option<&'static str> {
        None
    }

    /// Appends the piggyback of a message to `dest`.
    fn piggyback(&mut self, dest: Rank, out: &mut Vec<u8>) {
        let _ = (dest, out);
    }

    /// Message `ssn` is sent to `dest`: again, where a process repeats itself.
    fn sent(&mut self, dest: Rank, ssn: Ssn) {
        let _ = (dest, ssn);
    }

    /// Says whether a message may be received now. Asked again at each attempt, until it is admitted.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are no piggyback of this module.
    fn before_receive(&mut self, message: Arriving<'_>) -> Result<Admission, WireError> {
        let _ = message;
        Ok(Admission::Admit)
    }

    /// The message is received.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are no piggyback of this module.
    fn received(&mut self, message: Arriving<'_>) -> Result<(), WireError> {
        let _ = message;
        Ok(())
    }
}

/// Implements a checkpointing protocol.
pub trait Checkpoint: PiggybackCheckpointing {
    /// The time between two checkpoints, as the specification gives it, has gone by. A protocol that asks for nothing then stays
    /// as it was.
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>);

    /// The protocol of another rank tells something.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are no message of this module.
    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        let _ = (context, from, message);
        Ok(())
    }

    /// Labels the rank's present state, as a place where recovery may leave it: index and vector.
    fn describe(&self, head: &mut CheckpointHead) {
        let _ = head;
    }

    /// A checkpoint is being taken: labels it, and passes into the state behind it. Numbers, counts and events are filled in.
    fn capture(&mut self, head: &mut CheckpointHead);

    /// The checkpoint is captured, and on its way to stable storage. Nothing was sent since.
    fn captured(&mut self, context: &mut CheckpointContext<'_>, head: &CheckpointHead) {
        let _ = (context, head);
    }

    /// A checkpoint of this rank is durable.
    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        let _ = (context, number);
    }

    /// A checkpoint of this rank could not be written.
    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        let _ = (context, number);
    }

    /// Whether [`Checkpoint::on_progress`] is to be called now.
    fn watches(&self) -> bool {
        false
    }

    /// Messages may have been received since the last call.
    fn on_progress(&mut self, context: &mut CheckpointContext<'_>) {
        let _ = context;
    }

    /// Others were recovered, and this rank stayed as it is: co-operation under way is void.
    fn recovered(&mut self, context: &mut CheckpointContext<'_>) {
        let _ = context;
    }

    /// The recovery line that the protocol's rule gives, `None` where it gives none.
    fn line(&self, candidates: &Candidates) -> Option<Line> {
        candidates.maximum()
    }

    /// Whether checkpoints are tentative until the protocol decides ([`CheckpointContext::decide`]).
    fn decides(&self) -> bool {
        false
    }

    /// The state that belongs to the process's history.
    fn save(&self) -> Vec<u8>;

    /// Takes on a saved state.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are none.
    fn load(&mut self, state: &[u8]) -> Result<(), WireError>;
}

/// Determines how checkpoint information is accessed: what of an image is written.
pub trait HowToCheckpoint: Module {
    /// The form in which an image goes to stable storage.
    fn encode(&mut self, image: CheckpointImage) -> StoredCheckpoint;

    /// A checkpoint is durable, or will never be.
    fn settled(&mut self, number: CheckpointNumber, durable: bool) {
        let _ = (number, durable);
    }
}

/// What a checkpointing protocol asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Tell another rank's protocol something.
    Tell {
        /// The other rank.
        to: Rank,
        /// What, in the form that [`encode`] gives it.
        message: Vec<u8>,
    },
    /// Take a checkpoint at the next safe point.
    TakeCheckpoint,
    /// Hold the application, or let it go.
    Hold(bool),
    /// Keep a tentative checkpoint, or void it.
    Decide {
        /// The checkpoint.
        number: CheckpointNumber,
        /// Whether it is kept.
        keep: bool,
    },
}

/// What a checkpointing protocol may reach while it is called.
pub struct CheckpointContext<'a> {
    rank: Rank,
    sent: &'a [Ssn],
    known: &'a [Ssn],
    commands: &'a mut Vec<Command>,
}

impl<'a> CheckpointContext<'a> {
    /// The context of a rank that has sent and received so many messages; what is asked for is added to `commands`.
    #[must_use]
    pub fn new(rank: Rank, sent: &'a [Ssn], known: &'a [Ssn], commands: &'a mut Vec<Command>) -> Self {
        Self { rank, sent, known, commands }
    }
}

impl CheckpointContext<'_> {
    /// This rank.
    #[must_use]
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// The other ranks.
    pub fn others(&self) -> impl Iterator<Item = Rank> + use<> {
        let rank = self.rank;
        (0..self.sent.len() as Rank).filter(move |&other| other != rank)
    }

    /// How many messages were sent to each rank.
    #[must_use]
    pub fn sent(&self) -> &[Ssn] {
        self.sent
    }

    /// How many messages from each rank are received.
    #[must_use]
    pub fn known(&self) -> &[Ssn] {
        self.known
    }

    /// Tells another rank something. It is there before anything that this rank sends afterwards.
    pub fn tell(&mut self, to: Rank, message: &impl Serialize) {
        self.commands.push(Command::Tell { to, message: encode(message) });
    }

    /// Tells all other ranks.
    pub fn tell_others(&mut self, message: &impl Serialize) {
        for to in self.others() {
            self.tell(to, message);
        }
    }

    /// Has a checkpoint taken at the next safe point.
    pub fn take_checkpoint(&mut self) {
        self.commands.push(Command::TakeCheckpoint);
    }

    /// Holds the application, which does nothing until it is let go; messages are received meanwhile.
    pub fn hold(&mut self) {
        self.commands.push(Command::Hold(true));
    }

    /// Lets the application go on.
    pub fn let_go(&mut self) {
        self.commands.push(Command::Hold(false));
    }

    /// Keeps a tentative checkpoint, or voids it.
    pub fn decide(&mut self, number: CheckpointNumber, keep: bool) {
        self.commands.push(Command::Decide { number, keep });
    }
}

/// Reads what [`CheckpointContext::tell`] was given, or the saved state of a module.
///
/// # Errors
/// [`WireError`] for bytes that are none.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    const NONE: WireError = WireError::Malformed("no message or state of this protocol");
    let mut rest = bytes;
    let value = rmp_serde::from_read(&mut rest).map_err(|_| NONE)?;
    if rest.is_empty() { Ok(value) } else { Err(NONE) }
}

/// The form that [`decode`] reads.
#[must_use]
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    // Plain data of the module's own always has a form.
    rmp_serde::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_or_too_long_is_no_message() {
        let whole = encode(&(7u64, vec![1u32, 2]));
        assert_eq!(decode::<(u64, Vec<u32>)>(&whole), Ok((7, vec![1, 2])));
        assert!(decode::<(u64, Vec<u32>)>(&whole[..whole.len() - 1]).is_err());
        assert!(decode::<(u64, Vec<u32>)>(&[&whole[..], &[0]].concat()).is_err());
    }
}
