//! Checkpoint, HowToCheckpoint, PiggybackCheckpointing. No module of this build implements them yet; the binder refuses
//! a specification that names one.

use crate::fault::Fault;
use crate::gate::Gate;
use crate::ids::Rank;

/// Implements a checkpointing protocol.
pub trait Checkpoint: Send {
    /// Takes a checkpoint; the gate opens when it is durable.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn take_checkpoint(&mut self, how: &mut dyn HowToCheckpoint) -> Result<Gate, Fault>;

    /// Restores the last durable checkpoint, or says that there is none.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn restore_from_checkpoint(&mut self, how: &mut dyn HowToCheckpoint) -> Result<bool, Fault>;
}

/// Determines how checkpoint information is accessed.
pub trait HowToCheckpoint: Send {
    /// Writes a part of an image.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn write(&mut self, part: &[u8]) -> Result<Gate, Fault>;

    /// Reads the next part of an image.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn read(&mut self, part: &mut Vec<u8>) -> Result<bool, Fault>;
}

/// Piggybacks what tracks dependencies among checkpoints.
pub trait PiggybackCheckpointing: Send {
    /// Appends the piggyback of a message to `dest`.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn get_piggyback(&mut self, dest: Rank, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// Takes in a piggyback; says whether a checkpoint must be taken before the message is delivered.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn process_piggyback(&mut self, source: Rank, piggyback: &[u8]) -> Result<bool, Fault>;
}
