//! Scatter and scatterv.

use super::transfer::{agree, check_blocks, check_root, copy, receive, receive_into, required, send};
use super::{Outcome, Peers};
use crate::datatype::{Blocks, Target};

/// Up to here a block is worth being copied along a tree.
const SMALL_BYTES: usize = 4 << 10;

/// `MPI_Scatter`: a binomial tree for small blocks, each from the root for others. Only the root gives `send`; only the root
/// may give no `receive` (in place).
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn scatter<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Blocks<'_, *const u8>>,
    receive: Option<Target<'_>>,
) -> Outcome<P> {
    check_root(peers, root)?;
    if peers.rank() == root {
        let blocks = required::<P, _>(send, "send")?;
        check_blocks(peers, &blocks)?;
        if blocks.block_len(root) <= SMALL_BYTES {
            deal_tree(peers, root, &blocks, receive)
        } else {
            deal(peers, root, &blocks, receive)
        }
    } else {
        let target = required::<P, _>(receive, "receive")?;
        if target.len() <= SMALL_BYTES {
            pass_on(peers, root, target)
        } else {
            receive_into(peers, root, target)
        }
    }
}

/// `MPI_Scatterv`: each from the root. As [`scatter`], with blocks of [`Blocks::each`].
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn scatterv<P: Peers>(
    peers: &mut P,
    root: usize,
    send: Option<Blocks<'_, *const u8>>,
    receive: Option<Target<'_>>,
) -> Outcome<P> {
    check_root(peers, root)?;
    if peers.rank() == root {
        let blocks = required::<P, _>(send, "send")?;
        check_blocks(peers, &blocks)?;
        deal(peers, root, &blocks, receive)
    } else {
        receive_into(peers, root, required::<P, _>(receive, "receive")?)
    }
}

fn deal<P: Peers>(
    peers: &mut P,
    root: usize,
    blocks: &Blocks<'_, *const u8>,
    own: Option<Target<'_>>,
) -> Outcome<P> {
    for rank in (0..peers.size()).filter(|rank| *rank != root) {
        send(peers, rank, &blocks.source(rank).packed())?;
    }
    own.map_or(Ok(()), |own| copy(peers, blocks.source(root), own))
}

/// The root's part in a tree over the ranks as seen from the root: the child at distance d takes the blocks of the d places
/// from there on. The farthest go first.
fn deal_tree<P: Peers>(
    peers: &mut P,
    root: usize,
    blocks: &Blocks<'_, *const u8>,
    own: Option<Target<'_>>,
) -> Outcome<P> {
    let (size, len) = (peers.size(), blocks.block_len(root));
    let mut bytes = Vec::new();
    let mut distance = size.next_power_of_two();
    while distance > 1 {
        distance /= 2;
        let places = distance.min(size - distance);
        bytes.resize(places * len, 0);
        for place in 0..places {
            let block = blocks.source((root + distance + place) % size);
            agree::<P>(root, block.len(), len)?;
            block.pack_into(&mut bytes[place * len..]);
        }
        send(peers, (root + distance) % size, &bytes)?;
    }
    own.map_or(Ok(()), |own| copy(peers, blocks.source(root), own))
}

fn pass_on<P: Peers>(peers: &mut P, root: usize, mut own: Target<'_>) -> Outcome<P> {
    let (size, len) = (peers.size(), own.len());
    let place = (peers.rank() + size - root) % size;
    let mut distance = place & place.wrapping_neg();
    let parent = (root + place - distance) % size;
    if distance == 1 || place + 1 == size {
        return receive_into(peers, parent, own);
    }
    let mut bytes = vec![0; len * distance.min(size - place)];
    receive(peers, parent, &mut bytes)?;
    while distance > 1 {
        distance /= 2;
        if place + distance < size {
            let end = (2 * distance).min(size - place);
            send(peers, (root + place + distance) % size, &bytes[distance * len..end * len])?;
        }
    }
    own.unpack(&bytes[..len])?;
    Ok(())
}
