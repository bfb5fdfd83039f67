//! What can go wrong in a rank, told apart by whose fault it is.

use thiserror::Error;

use crate::clock::Token;
use crate::ids::{Rank, Ssn};
use crate::wire::WireError;

/// An error that ends the rank, or the job.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The rank was told to die here: only the simulator returns it, a real rank is gone.
    #[error("the rank crashed")]
    Crashed,
    /// The rank depends on events that are lost: it must roll back before them.
    #[error("the rank depends on event {} of rank {}, which is lost: it rolls back", .0.events, .0.rank)]
    Orphan(Token),
    /// A re-execution did something else than the execution that it repeats.
    #[error("rank {rank} does not repeat itself: {what}")]
    Divergence {
        /// The rank that re-executes.
        rank: Rank,
        /// What differs.
        what: String,
    },
    /// A record is not of the format: a misbehaving peer, or memory overwritten by the application.
    #[error("message {ssn} from rank {source_rank} is corrupt: {error}")]
    CorruptRecord {
        /// The sender.
        source_rank: Rank,
        /// Which message.
        ssn: Ssn,
        /// What is wrong.
        error: WireError,
    },
    /// A control message is not of the format: a misbehaving peer.
    #[error("a control message of rank {from} is corrupt: {error}")]
    CorruptControl {
        /// Who sent it.
        from: Rank,
        /// What is wrong.
        error: WireError,
    },
    /// A checkpoint cannot be taken, or cannot be read.
    #[error("{0}")]
    Checkpoint(String),
    /// A limit on memory is reached.
    #[error("{what} needs more than its limit of {limit_bytes} bytes; raise it with `{remedy}`")]
    OverLimit {
        /// What is full.
        what: String,
        /// The limit.
        limit_bytes: u64,
        /// What the user can do.
        remedy: &'static str,
    },
    /// A module asked for something that this build cannot do.
    #[error("{0} is not supported by this build")]
    Unsupported(&'static str),
    /// The driver failed at something outside: memory, a disk, the daemon.
    #[error("{0}")]
    Driver(String),
    /// The library broke a promise to itself.
    #[error("a bug in Egida: {0}")]
    Bug(&'static str),
}
