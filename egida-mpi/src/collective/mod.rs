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

use thiserror::Error;

use crate::datatype::{Blocks, DatatypeError, Source, Target, class};
use crate::op::{Op, OpError};

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
    /// A buffer is missing that this rank must give.
    #[error("{0}")]
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

/// `MPI_Barrier`
///
/// # Errors
/// The transport's.
pub fn barrier<P: Peers>(peers: &mut P) -> Outcome<P> {
    todo!()
}

/// `MPI_Bcast`
///
/// # Errors
/// See [`CollectiveError`].
pub fn bcast<P: Peers>(peers: &mut P, root: usize, buffer: Target<'_>) -> Outcome<P> {
    todo!()
}

/// `MPI_Gather`. Only the root gives `receive`; only the root may give no `send` (in place).
///
/// # Errors
/// See [`CollectiveError`].
pub fn gather<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Source<'_>>,
    receive: Option<Blocks<'_, *mut u8>>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Gatherv`. As [`gather`], with blocks of [`Blocks::each`].
///
/// # Errors
/// See [`CollectiveError`].
pub fn gatherv<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Source<'_>>,
    receive: Option<Blocks<'_, *mut u8>>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Scatter`. Only the root gives `send`; only the root may give no `receive` (in place).
///
/// # Errors
/// See [`CollectiveError`].
pub fn scatter<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Blocks<'_, *const u8>>,
    receive: Option<Target<'_>>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Scatterv`. As [`scatter`], with blocks of [`Blocks::each`].
///
/// # Errors
/// See [`CollectiveError`].
pub fn scatterv<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Blocks<'_, *const u8>>,
    receive: Option<Target<'_>>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Allgather` and `MPI_Allgatherv`. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`].
pub fn allgather<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    receive: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Alltoall`. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`].
pub fn alltoall<P: Peers>(
    peers: &mut P,
    send: Option<Blocks<'_, *const u8>>,
    receive: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Alltoallv`. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`].
pub fn alltoallv<P: Peers>(
    peers: &mut P,
    send: Option<Blocks<'_, *const u8>>,
    receive: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Reduce`. Only the root gives `receive`; only the root may give no `send` (in place).
///
/// # Errors
/// See [`CollectiveError`].
pub fn reduce<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Source<'_>>,
    receive: Option<Target<'_>>,
    op: &Op,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Allreduce`. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`].
pub fn allreduce<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    receive: Target<'_>,
    op: &Op,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Reduce_scatter` and `MPI_Reduce_scatter_block`: `counts` holds the number of elements for each rank. In place
/// (no `send`) the memory of `receive` holds the whole input, and its beginning takes the result: pass the whole as
/// `receive`. Otherwise `receive` has this rank's count.
///
/// # Errors
/// See [`CollectiveError`].
pub fn reduce_scatter<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    receive: Target<'_>,
    counts: &[usize],
    op: &Op,
) -> Outcome<P> {
    todo!()
}

/// `MPI_Scan`. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`].
pub fn scan<P: Peers>(peers: &mut P, send: Option<Source<'_>>, receive: Target<'_>, op: &Op) -> Outcome<P> {
    todo!()
}

/// `MPI_Exscan`. No `send`: in place. Rank 0's `receive` is left as it is.
///
/// # Errors
/// See [`CollectiveError`].
pub fn exscan<P: Peers>(peers: &mut P, send: Option<Source<'_>>, receive: Target<'_>, op: &Op) -> Outcome<P> {
    todo!()
}
