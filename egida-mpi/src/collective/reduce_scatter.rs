//! Reduce-scatter.

use super::transfer::{agree, receive, send};
use super::tree::{Tree, piece_of};
use super::{CollectiveError, Outcome, Peers};
use crate::datatype::{DatatypeError, Source, Target};
use crate::op::{Op, Reduction};

/// `MPI_Reduce_scatter`: recursive halving. `counts` holds the number of elements for each rank.
///
/// Without `send` (in place), `receive` is the whole input, and its beginning takes the result; with it, `receive` has this
/// rank's count.
///
/// # Errors
/// See [`CollectiveError`].
pub fn reduce_scatter<P: Peers, N: Copy + Into<i64>>(
    peers: &mut P,
    send: Option<Source<'_>>,
    receive: Target<'_>,
    counts: &[N],
    op: &Op,
) -> Outcome<P> {
    let (lengths, displacements) = (counts.len(), peers.size());
    if lengths != displacements {
        return Err(DatatypeError::UnequalArrays { lengths, displacements }.into());
    }
    let datatype = receive.datatype();
    let lens = counts.iter().map(|&count| datatype.packed_size(count.into()));
    scatter_results(peers, send, receive, &lens.collect::<Result<Vec<_>, _>>()?, op)
}

/// `MPI_Reduce_scatter_block`: as [`reduce_scatter`] with the same count for each rank.
///
/// # Errors
/// See [`CollectiveError`].
pub fn reduce_scatter_block<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    receive: Target<'_>,
    count: i64,
    op: &Op,
) -> Outcome<P> {
    let len = receive.datatype().packed_size(count)?;
    let lens = vec![len; peers.size()];
    scatter_results(peers, send, receive, &lens, op)
}

fn scatter_results<P: Peers>(
    peers: &mut P,
    input: Option<Source<'_>>,
    mut receive_to: Target<'_>,
    lens: &[usize],
    op: &Op,
) -> Outcome<P> {
    let rank = peers.rank();
    let mut reduction = Reduction::new(op, receive_to.datatype())?;
    let total = lens.iter().try_fold(0usize, |sum, len| sum.checked_add(*len));
    let total = total.ok_or(CollectiveError::Datatype(DatatypeError::TooLarge))?;
    let own_room = if input.is_some() { lens[rank] } else { total };
    agree::<P>(rank, receive_to.len(), own_room)?;
    let input = input.unwrap_or(receive_to.as_source());
    agree::<P>(rank, input.len(), total)?;
    if total == 0 {
        return Ok(());
    }

    let tree = Tree::new(peers, 0);
    let mut work = Workspace::new(&tree, lens, &input.packed());
    let bytes = &mut work.bytes[..];
    tree.join_pairs(peers, &mut reduction, bytes, &mut vec![0; total])?;
    let own = if tree.stands() {
        tree.halve(peers, &mut reduction, bytes, &work.cuts)?;
        let piece = piece_of(tree.leaf(), tree.leaves);
        let (own, partners) = bytes[work.cuts[piece]..work.cuts[piece + 1]].split_at(lens[rank]);
        tree.partner().map_or(Ok(()), |partner| send(peers, partner, partners))?;
        own
    } else {
        let own = &mut bytes[..lens[rank]];
        tree.partner().map_or(Ok(()), |partner| receive(peers, partner, own))?;
        own
    };
    receive_to.unpack(own)?;
    Ok(())
}

/// The input, its blocks in the order in which recursive halving leaves results: each leaf's blocks together.
struct Workspace {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
}

impl Workspace {
    fn new(tree: &Tree, lens: &[usize], input: &[u8]) -> Self {
        let mut starts = Vec::with_capacity(lens.len() + 1);
        starts.push(0);
        lens.iter().for_each(|len| starts.push(starts[starts.len() - 1] + len));
        let mut bytes = Vec::with_capacity(input.len());
        let mut cuts = vec![0];
        for piece in 0..tree.leaves {
            // Reversing bits is its own inverse.
            let ranks = tree.ranks(piece_of(piece, tree.leaves));
            bytes.extend_from_slice(&input[starts[ranks.start]..starts[ranks.end]]);
            cuts.push(bytes.len());
        }
        Self { bytes, cuts }
    }
}
