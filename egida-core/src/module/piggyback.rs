//! PiggybackLogging: what logging protocols append to messages.

use super::Module;
use super::context::PiggybackContext;
use super::storage::EntryId;
use crate::clock::IncarnationClock;
use crate::event::Determinant;
use crate::fault::Fault;
use crate::ids::{Domain, EventIndex, Rank, Ssn, Version};
use crate::wire::WireError;

/// Piggybacks what tracks dependencies, and, in causal logging, the determinants that are not yet stable.
pub trait PiggybackLogging: Module {
    /// Appends the piggyback of message `ssn` to `dest`. Called for every message that is really written, in the order
    /// of the channel.
    ///
    /// # Errors
    /// Any [`Fault`] of the log.
    fn get_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        dest: Rank,
        ssn: Ssn,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault>;

    /// Whether there is nothing to be told to `dest`, nor anything to be forgotten: then [`PiggybackLogging::get_piggyback`] need
    /// not be called.
    fn has_nothing_for(&self, dest: Rank) -> bool {
        let _ = dest;
        false
    }

    /// Takes in the piggyback of a message from `source`, and logs what is to be logged, before anyone sees the message.
    ///
    /// # Errors
    /// [`PiggybackError::Malformed`] for bytes that are no piggyback of this module, else any fault of the log.
    fn process_piggyback(
        &mut self,
        context: &mut PiggybackContext<'_>,
        source: Rank,
        piggyback: &[u8],
    ) -> Result<(), PiggybackError>;

    /// A determinant of an event of this rank was logged.
    fn logged(&mut self, id: EntryId, determinant: &Determinant);

    /// A determinant was logged during recovery; these domains hold it.
    fn restored(&mut self, id: EntryId, determinant: &Determinant, holders: &[Domain], stable: bool);

    /// `dest` has taken in all messages of this rank below `below`.
    fn acknowledged(&mut self, context: &mut PiggybackContext<'_>, dest: Rank, below: Ssn);

    /// Whether it may learn something by [`PiggybackLogging::acknowledged`] from `dest`: to ask costs a look at what the other
    /// rank writes all the time.
    fn awaits(&self, dest: Rank) -> bool {
        let _ = dest;
        true
    }

    /// The memory of a domain is lost, and with it all that it held.
    fn lost(&mut self, domain: Domain);

    /// Recovery will never again return `owner` to a state before its first `events` events: their determinants are wanted
    /// no more.
    fn covered(&mut self, context: &mut PiggybackContext<'_>, owner: Rank, events: EventIndex) {
        let _ = (context, owner, events);
    }

    /// The clock in a piggyback, where it is one: what the message depends on.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are no piggyback of this module.
    fn clock(&self, piggyback: &[u8]) -> Result<Option<IncarnationClock>, WireError> {
        let _ = piggyback;
        Ok(None)
    }

    /// The clock of the rank's state, where it has one: what that depends on.
    fn state(&self) -> Option<IncarnationClock> {
        None
    }

    /// The rank begins from a checkpoint whose state depended on this.
    fn resumed(&mut self, clock: &IncarnationClock) {
        let _ = clock;
    }

    /// The rank begins in this version, with so many events behind it.
    fn begin(&mut self, version: Version, events: EventIndex) {
        let _ = (version, events);
    }
}

/// Why a piggyback could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PiggybackError {
    /// It is not of the format.
    Malformed(WireError),
    /// The log failed.
    Log(Fault),
}

impl From<WireError> for PiggybackError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error)
    }
}

impl From<Fault> for PiggybackError {
    fn from(fault: Fault) -> Self {
        Self::Log(fault)
    }
}
