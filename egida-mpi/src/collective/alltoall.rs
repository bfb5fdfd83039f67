//! Alltoall and alltoallv.

use super::transfer::{agree, check_blocks, copy, receive, receive_into, send};
use super::{Outcome, Peers};
use crate::datatype::Blocks;

/// Up to here a block is worth being copied ⌈log2 n⌉ times to save messages.
const SMALL_BYTES: usize = 256;

/// From here on saving messages pays.
const MANY_RANKS: usize = 8;

/// Up to here nobody minds if all blocks are under way together.
const AT_ONCE_BYTES: usize = 16 << 10;

/// `MPI_Alltoall`: in ⌈log2 n⌉ rounds for small blocks and many ranks (Bruck et al. 1997), all at once for small blocks and few,
/// pairwise otherwise. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn alltoall<P: Peers>(
    peers: &mut P,
    send: Option<Blocks<'_, *const u8>>,
    receive: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    check(peers, send.as_ref(), &receive)?;
    if peers.size() >= MANY_RANKS && receive.block_len(0) <= SMALL_BYTES {
        bruck(peers, send, receive)
    } else if receive.block_len(0) <= AT_ONCE_BYTES {
        at_once(peers, send, receive)
    } else {
        pairwise(peers, send, receive)
    }
}

/// `MPI_Alltoallv`: pairwise. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn alltoallv<P: Peers>(
    peers: &mut P,
    send: Option<Blocks<'_, *const u8>>,
    receive: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    check(peers, send.as_ref(), &receive)?;
    pairwise(peers, send, receive)
}

fn check<P: Peers>(
    peers: &P,
    send: Option<&Blocks<'_, *const u8>>,
    receive: &Blocks<'_, *mut u8>,
) -> Outcome<P> {
    send.map_or(Ok(()), |send| check_blocks(peers, send))?;
    check_blocks(peers, receive)
}

/// In step s the ranks whose sum is s (modulo n) meet. A rank has sent its block to a peer before it takes in the peer's, so
/// that both may be in one place.
fn pairwise<P: Peers>(
    peers: &mut P,
    from: Option<Blocks<'_, *const u8>>,
    mut to: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    let (rank, size) = (peers.rank(), peers.size());
    for step in 0..size {
        let peer = (step + size - rank) % size;
        match &from {
            Some(from) if peer == rank => copy(peers, from.source(rank), to.target(rank))?,
            None if peer == rank => (),
            Some(from) => send(peers, peer, &from.source(peer).packed())?,
            None => send(peers, peer, &to.source(peer).packed())?,
        }
        if peer != rank {
            receive_into(peers, peer, to.target(peer))?;
        }
    }
    Ok(())
}

/// Everything is sent before anything is taken in, so that ranks that share a processor change places there as seldom as can be.
/// What is sent is copied, so both may be in one place.
fn at_once<P: Peers>(
    peers: &mut P,
    from: Option<Blocks<'_, *const u8>>,
    mut to: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    let (rank, size) = (peers.rank(), peers.size());
    for above in 1..size {
        let peer = (rank + above) % size;
        let source = from.as_ref().map_or_else(|| to.source(peer), |from| from.source(peer));
        send(peers, peer, &source.packed())?;
    }
    if let Some(from) = &from {
        copy(peers, from.source(rank), to.target(rank))?;
    }
    for below in 1..size {
        let peer = (rank + size - below) % size;
        receive_into(peers, peer, to.target(peer))?;
    }
    Ok(())
}

/// A block for the rank d above travels by the powers of two that d is made of.
fn bruck<P: Peers>(
    peers: &mut P,
    from: Option<Blocks<'_, *const u8>>,
    mut to: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    let (rank, size, len) = (peers.rank(), peers.size(), to.block_len(0));
    if len == 0 {
        return Ok(());
    }
    let mut travelling = vec![0; size * len];
    for (above, bytes) in travelling.chunks_exact_mut(len).enumerate() {
        let block = (rank + above) % size;
        let source = from.as_ref().map_or_else(|| to.source(block), |from| from.source(block));
        agree::<P>(rank, source.len(), len)?;
        source.pack_into(bytes);
    }
    let (mut leaving, mut coming) = (Vec::new(), Vec::new());
    let mut distance = 1;
    while distance < size {
        let moves = |(above, _): &(usize, _)| above & distance != 0;
        leaving.clear();
        let blocks = travelling.chunks_exact(len).enumerate().filter(moves);
        blocks.for_each(|(_, bytes)| leaving.extend_from_slice(bytes));
        send(peers, (rank + distance) % size, &leaving)?;
        coming.resize(leaving.len(), 0);
        receive(peers, (rank + size - distance) % size, &mut coming)?;
        let moves = |(above, _): &(usize, _)| above & distance != 0;
        let blocks = travelling.chunks_exact_mut(len).enumerate().filter(moves);
        blocks.zip(coming.chunks_exact(len)).for_each(|((_, old), new)| old.copy_from_slice(new));
        distance *= 2;
    }
    for (below, bytes) in travelling.chunks_exact(len).enumerate() {
        to.target((rank + size - below) % size).unpack(bytes)?;
    }
    Ok(())
}
