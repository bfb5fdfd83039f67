//! Blocking collective operations on an intracommunicator (MPI 5.0, chapter 6).
//!
//! An algorithm sees the communicator through [`Peers`] alone: buffered sends and *named* receives, so that no collective
//! adds a non-deterministic event to the execution. Which algorithm runs is decided by values that the standard makes equal
//! at all ranks (the number of ranks, the bytes of data), never by an address or a layout.
//!
//! `None` for a buffer that a rank may replace by `MPI_IN_PLACE` means just that.
//!
//! Reductions combine in rank order in brackets fixed by the number of ranks (see [`crate::op`]): `reduce`, `allreduce` and
//! `reduce_scatter` of the same data give the same bits, whatever the root and the algorithm.

mod allgather;
mod alltoall;
mod barrier;
mod bcast;
mod gather;
mod reduce;
mod reduce_scatter;
mod scan;
mod scatter;
mod transfer;
mod tree;

use thiserror::Error;

pub use allgather::allgather;
pub use alltoall::{alltoall, alltoallv};
pub use barrier::barrier;
pub use bcast::bcast;
pub use gather::{gather, gatherv};
pub use reduce::{allreduce, reduce, reduce_local};
pub use reduce_scatter::{reduce_scatter, reduce_scatter_block};
pub use scan::{exscan, scan};
pub use scatter::{scatter, scatterv};

use crate::datatype::{DatatypeError, class};
use crate::op::OpError;

/// A communicator as the collectives see it.
///
/// The messages travel in the communicator's collective context; from each rank to each other they arrive in the order
/// sent, which is all that tells one collective's messages from the next's.
pub trait Peers {
    /// Why a message could not be sent or received.
    type Error;

    /// This process in the communicator.
    fn rank(&self) -> usize;

    /// How many processes the communicator has.
    fn size(&self) -> usize;

    /// Sends one message. It is buffered: the call returns without waiting for the receiver, and `bytes` are free for
    /// reuse.
    ///
    /// # Errors
    /// As the transport has it.
    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Waits for the next message from that rank and hands its bytes to `sink`, in order, in pieces of any lengths, each
    /// byte once.
    ///
    /// # Errors
    /// As the transport has it.
    fn receive(&mut self, from: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), Self::Error>;
}

/// Why a collective failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CollectiveError<E> {
    /// The transport.
    #[error("the transport failed")]
    Transport(E),
    /// A datatype or a buffer; a peer's message that does not fit ([`DatatypeError::Truncated`]).
    #[error(transparent)]
    Datatype(#[from] DatatypeError),
    /// The operation.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The root is no rank of the communicator.
    #[error("root {root} is not in a communicator of {size} ranks")]
    Root {
        /// The root asked for.
        root: usize,
        /// The communicator's size.
        size: usize,
    },
    /// This rank must give that buffer.
    #[error("the {0} buffer is missing")]
    Missing(&'static str),
    /// This rank and a peer disagree about how much data there is.
    #[error("rank {from} sent {sent_bytes} bytes where {expected_bytes} were expected")]
    Disagreement {
        /// The sender.
        from: usize,
        /// The message's length.
        sent_bytes: usize,
        /// What this rank's arguments say.
        expected_bytes: usize,
    },
}

impl<E> CollectiveError<E> {
    /// The error class of the MPI standard; `None` for the transport's own errors.
    #[must_use]
    pub fn class(&self) -> Option<i32> {
        match self {
            Self::Transport(_) => None,
            Self::Datatype(error) => Some(error.class()),
            Self::Op(error) => Some(error.class()),
            Self::Root { .. } => Some(class::ROOT),
            Self::Missing(_) => Some(class::BUFFER),
            Self::Disagreement { sent_bytes, expected_bytes, .. } => {
                Some(if sent_bytes > expected_bytes { class::TRUNCATE } else { class::COUNT })
            }
        }
    }
}

/// What a collective over these peers returns.
pub type Outcome<P> = Result<(), CollectiveError<<P as Peers>::Error>>;

#[cfg(test)]
mod tests;
