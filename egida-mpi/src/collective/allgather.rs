//! Allgather and allgatherv.

use super::transfer::{check_blocks, copy, receive, send};
use super::{Outcome, Peers};
use crate::datatype::{Blocks, Source};

/// Up to here the number of messages counts more than the copies that save some.
const SMALL_BYTES: usize = 64 << 10;

/// `MPI_Allgather` and `MPI_Allgatherv`: in ⌈log2 n⌉ rounds for little data (Bruck et al. 1997), by a ring for much. No
/// `send`: in place.
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn allgather<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    mut receive: Blocks<'_, *mut u8>,
) -> Outcome<P> {
    check_blocks(peers, &receive)?;
    let rank = peers.rank();
    if let Some(send) = send {
        copy(peers, send, receive.target(rank))?;
    }
    let mut shelf = Shelf::new(receive, rank);
    let total: usize = (0..peers.size()).map(|block| shelf.get(block).len()).sum();
    if total <= SMALL_BYTES {
        bruck(peers, &mut shelf)?
    } else {
        ring(peers, &mut shelf)?
    }
    shelf.unpack::<P>()
}

/// In round k, with the blocks of d = 2^k ranks from this one on, each rank sends them d below.
fn bruck<P: Peers>(peers: &mut P, shelf: &mut Shelf<'_>) -> Outcome<P> {
    let (rank, size) = (peers.rank(), peers.size());
    let (mut leaving, mut coming) = (Vec::new(), Vec::new());
    let mut distance = 1;
    while distance < size {
        let blocks = distance.min(size - distance);
        leaving.clear();
        (0..blocks).for_each(|block| leaving.extend_from_slice(shelf.get((rank + block) % size)));
        send(peers, (rank + size - distance) % size, &leaving)?;

        let news = |block: usize| (rank + distance + block) % size;
        coming.resize((0..blocks).map(|block| shelf.get(news(block)).len()).sum(), 0);
        receive(peers, (rank + distance) % size, &mut coming)?;
        let mut rest = &coming[..];
        for block in 0..blocks {
            let place = shelf.get_mut(news(block));
            let (block, after) = rest.split_at(place.len());
            place.copy_from_slice(block);
            rest = after;
        }
        distance *= 2;
    }
    Ok(())
}

fn ring<P: Peers>(peers: &mut P, shelf: &mut Shelf<'_>) -> Outcome<P> {
    let (rank, size) = (peers.rank(), peers.size());
    for step in 0..size - 1 {
        let leaving = (rank + size - step) % size;
        let coming = (leaving + size - 1) % size;
        send(peers, (rank + 1) % size, shelf.get(leaving))?;
        receive(peers, (rank + size - 1) % size, shelf.get_mut(coming))?;
    }
    Ok(())
}

/// The ranks' blocks as bytes: in the application's memory where its datatype is contiguous, else in a copy.
enum Shelf<'t> {
    Memory(Blocks<'t, *mut u8>),
    Copy { blocks: Blocks<'t, *mut u8>, bytes: Vec<u8>, ends: Vec<usize>, own: usize },
}

impl<'t> Shelf<'t> {
    /// Puts up the blocks, of which this rank's own is there.
    fn new(blocks: Blocks<'t, *mut u8>, own: usize) -> Self {
        if blocks.datatype().is_contiguous() {
            return Self::Memory(blocks);
        }
        let add = |end: &mut usize, block| {
            *end += blocks.block_len(block);
            Some(*end)
        };
        let ends: Vec<usize> = (0..blocks.blocks()).scan(0, add).collect();
        let bytes = vec![0; ends.last().copied().unwrap_or(0)];
        let mut shelf = Self::Copy { blocks, bytes, ends, own };
        if let Self::Copy { blocks, bytes, ends, .. } = &mut shelf {
            blocks.source(own).pack_into(&mut bytes[span(ends, own)]);
        }
        shelf
    }

    fn get(&self, block: usize) -> &[u8] {
        match self {
            Self::Memory(blocks) => blocks.source(block).as_bytes().unwrap_or_default(),
            Self::Copy { bytes, ends, .. } => &bytes[span(ends, block)],
        }
    }

    fn get_mut(&mut self, block: usize) -> &mut [u8] {
        match self {
            Self::Memory(blocks) => blocks.target(block).into_bytes().unwrap_or_default(),
            Self::Copy { bytes, ends, .. } => &mut bytes[span(ends, block)],
        }
    }

    /// Puts the others' blocks where they belong.
    fn unpack<P: Peers>(self) -> Outcome<P> {
        if let Self::Copy { mut blocks, bytes, ends, own } = self {
            for block in (0..blocks.blocks()).filter(|block| *block != own) {
                blocks.target(block).unpack(&bytes[span(&ends, block)])?;
            }
        }
        Ok(())
    }
}

fn span(ends: &[usize], block: usize) -> std::ops::Range<usize> {
    block.checked_sub(1).map_or(0, |before| ends[before])..ends[block]
}
