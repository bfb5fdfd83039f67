//! Gather and gatherv.

use super::transfer::{agree, check_blocks, check_root, copy, receive, receive_into, required, send};
use super::{Outcome, Peers};
use crate::datatype::{Blocks, Source};

/// Up to here a block is worth being copied along a tree.
const SMALL_BYTES: usize = 4 << 10;

/// `MPI_Gather`: a binomial tree for small blocks, each to the root for others. Only the root gives `receive`; only the root
/// may give no `send` (in place).
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn gather<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Source<'_>>,
    receive: Option<Blocks<'_, *mut u8>>,
) -> Outcome<P> {
    check_root(peers, root)?;
    if peers.rank() == root {
        let receive = required::<P, _>(receive, "receive")?;
        check_blocks(peers, &receive)?;
        if receive.block_len(root) <= SMALL_BYTES {
            collect_tree(peers, root, send, receive)
        } else {
            collect(peers, root, send, receive)
        }
    } else {
        let bytes = required::<P, _>(send, "send")?;
        if bytes.len() <= SMALL_BYTES {
            contribute_tree(peers, root, &bytes)
        } else {
            super::transfer::send(peers, root, &bytes.packed())
        }
    }
}

/// `MPI_Gatherv`: each to the root. As [`gather`], with blocks of [`Blocks::each`].
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn gatherv<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Source<'_>>,
    receive: Option<Blocks<'_, *mut u8>>,
) -> Outcome<P> {
    check_root(peers, root)?;
    if peers.rank() == root {
        let receive = required::<P, _>(receive, "receive")?;
        check_blocks(peers, &receive)?;
        collect(peers, root, send, receive)
    } else {
        let bytes = required::<P, _>(send, "send")?;
        super::transfer::send(peers, root, &bytes.packed())
    }
}

fn collect<P: Peers>(
    peers: &mut P,
    root: usize,
    own: Option<Source<'_>>,
    mut blocks: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    if let Some(own) = own {
        copy(peers, own, blocks.target(root))?;
    }
    for rank in (0..peers.size()).filter(|rank| *rank != root) {
        receive_into(peers, rank, blocks.target(rank))?;
    }
    Ok(())
}

/// The root's part in a tree over the ranks as seen from the root: the child at distance d brings the blocks of the d places
/// from there on.
fn collect_tree<P: Peers>(
    peers: &mut P,
    root: usize,
    own: Option<Source<'_>>,
    mut blocks: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    if let Some(own) = own {
        copy(peers, own, blocks.target(root))?;
    }
    let (size, len) = (peers.size(), blocks.block_len(root));
    let mut bytes = Vec::new();
    let mut distance = 1;
    while distance < size && len > 0 {
        let places = distance.min(size - distance);
        bytes.resize(places * len, 0);
        receive(peers, (root + distance) % size, &mut bytes)?;
        for (place, block) in bytes.chunks_exact(len).enumerate() {
            let mut target = blocks.target((root + distance + place) % size);
            agree::<P>(root, len, target.len())?;
            target.unpack(block)?;
        }
        distance *= 2;
    }
    Ok(())
}

fn contribute_tree<P: Peers>(peers: &mut P, root: usize, own: &Source<'_>) -> Outcome<P> {
    let (size, len) = (peers.size(), own.len());
    let place = (peers.rank() + size - root) % size;
    let mut bytes = own.packed();
    let mut distance = 1;
    while place & distance == 0 {
        let places = distance.min(size.saturating_sub(place + distance));
        if places > 0 {
            let bytes = bytes.to_mut();
            let held = bytes.len();
            bytes.resize(held + places * len, 0);
            receive(peers, (root + place + distance) % size, &mut bytes[held..])?;
        }
        distance *= 2;
    }
    send(peers, (root + place - distance) % size, &bytes)
}
