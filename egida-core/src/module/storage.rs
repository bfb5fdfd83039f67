//! StableStorage and VolatileStorage: where logged information comes to lie.

use super::Module;
use super::context::StorageContext;
use crate::clock::IncarnationClock;
use crate::event::Determinant;
use crate::fault::Fault;
use crate::gate::{Gate, StoreId};
use crate::ids::{Domain, Position, Rank, Ssn};
use crate::replication::Replicas;
use crate::wire::{Envelope, SendMode};

/// Names a determinant within one rank's logs: how many were logged before it in this incarnation.
pub type EntryId = u64;

/// What is logged.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A determinant of an event of this rank.
    Own(&'a Determinant),
    /// A determinant of another rank's event, learned from a piggyback.
    Held(&'a Determinant),
    /// A message that this rank delivers.
    Delivered(Delivered<'a>),
    /// A message that this rank sends; the payload goes into the channel, which is a log already.
    Sent {
        /// The receiver.
        dest: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// The payload's length in bytes.
        len: u64,
    },
}

/// A message that a rank delivers, as it is logged.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    /// The sender.
    pub source: Rank,
    /// Its number on the channel.
    pub ssn: Ssn,
    /// Context and tag.
    pub envelope: Envelope,
    /// Whether its sender waits for the match.
    pub mode: SendMode,
    /// What it depends on, where the protocol tracks that.
    pub clock: Option<&'a IncarnationClock>,
    /// The payload.
    pub payload: &'a [u8],
}

/// Where an entry went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The journal's position behind the entry; 0 where the journal does not hold it.
    pub position: Position,
    /// The store that will come to hold it, if it is another than the journal.
    pub store: Option<StoreId>,
}

/// Stable storage: the placement half, which runs in the rank. The backend that owns the disk runs in the node.
pub trait StableStorage: Module {
    /// Submits an entry.
    ///
    /// # Errors
    /// Any [`Fault`] of the journal.
    fn write(&mut self, context: &mut StorageContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault>;

    /// Shows the determinant of that number, in its encoded form, from the mirror of what is not yet collected.
    fn read(&self, id: EntryId) -> Option<&[u8]>;

    /// Drops determinants below that number from the mirror.
    fn forget(&mut self, below: EntryId);

    /// Asks that the journal be made stable up to a position soon, and says what will be true then.
    fn flush(&mut self, context: &mut StorageContext<'_>, position: Position) -> Gate;
}

/// Volatile storage: lost with its failure domain.
pub trait VolatileStorage: Module {
    /// Which other domains are to hold what is written here. Nothing where the memory that the rank itself writes is
    /// enough; else what is written has the store's mark, as for a stable storage, and the node makes the copies.
    fn replicas(&self) -> Option<Replicas> {
        None
    }

    /// Keeps an entry.
    ///
    /// # Errors
    /// Any [`Fault`] of the journal.
    fn write(&mut self, context: &mut StorageContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault>;

    /// Whether a sent message needs nothing here, and gets no store's mark: its channel is its log. See
    /// [`LogEventInfo::passes_sent`](super::LogEventInfo::passes_sent).
    fn passes_sent(&self) -> bool {
        false
    }

    /// Shows the determinant of that number, in its encoded form.
    fn read(&self, id: EntryId) -> Option<&[u8]>;

    /// Drops determinants below that number from the mirror.
    fn forget(&mut self, below: EntryId);

    /// Says what must be true before output may depend on the journal up to the position. Memory of the rank's own node
    /// does not become stable by waiting: so many failure domains must hold it instead (`copies`, as the binder computed
    /// it from failure unit and f).
    fn flush(&mut self, position: Position, copies: Domain) -> Gate;
}
