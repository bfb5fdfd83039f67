//! Reduce and allreduce.

use std::borrow::Cow;
use std::convert::Infallible;

use super::transfer::{agree, check_root, compute_in, receive, required, send};
use super::tree::{Tree, piece_of};
use super::{CollectiveError, Outcome, Peers};
use crate::datatype::{Source, Target};
use crate::op::{Op, Reduction};

/// From here on it pays to divide the work (Rabenseifner 2004).
const LARGE_BYTES: usize = 32 << 10;

/// Up to here a message to be combined is received on the stack.
const FEW_BYTES: usize = 128;

/// Aligned for every type, as what the allocator gives is: a function of the application may be called with it.
#[repr(align(16))]
struct Few([u8; FEW_BYTES]);

/// `MPI_Reduce`: a binomial tree; recursive halving and a gather for large data. Only the root gives `receive`; only the root
/// may give no `send` (in place).
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
    check_root(peers, root)?;
    if peers.rank() != root {
        let send = required::<P, _>(send, "send")?;
        let mut reduction = Reduction::new(op, send.datatype())?;
        return reduce_bytes(peers, root, &mut reduction, send.packed()).map(drop);
    }
    let mut receive = required::<P, _>(receive, "receive")?;
    let mut reduction = Reduction::new(op, receive.datatype())?;
    let input = match &send {
        Some(send) => send.packed(),
        None => receive.as_source().packed(),
    };
    agree::<P>(root, input.len(), receive.len())?;
    // In place the input may be the very memory that takes the result.
    let result = match reduce_bytes(peers, root, &mut reduction, input)? {
        Cow::Borrowed(_) if send.is_none() => return Ok(()),
        result => result.into_owned(),
    };
    receive.unpack(&result)?;
    Ok(())
}

/// `MPI_Allreduce`: recursive doubling; recursive halving and its reverse for large data. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`].
pub fn allreduce<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    receive: Target<'_>,
    op: &Op,
) -> Outcome<P> {
    let mut reduction = Reduction::new(op, receive.datatype())?;
    compute_in(peers, send, receive, |peers, work| allreduce_bytes(peers, &mut reduction, work))
}

/// `MPI_Reduce_local`: `inout = input op inout`.
///
/// # Errors
/// See [`CollectiveError`]; never the transport's.
pub fn reduce_local(
    input: Source<'_>,
    inout: Target<'_>,
    op: &Op,
) -> Result<(), CollectiveError<Infallible>> {
    let mut reduction = Reduction::new(op, inout.datatype())?;
    let left = input.packed();
    if left.len() != inout.len() {
        let (sent_bytes, expected_bytes) = (left.len(), inout.len());
        return Err(CollectiveError::Disagreement { from: 0, sent_bytes, expected_bytes });
    }
    match inout.into_bytes() {
        Ok(right) => reduction.combine_right(&left, right),
        Err(mut inout) => {
            let mut right = inout.as_source().packed().into_owned();
            reduction.combine_right(&left, &mut right);
            inout.unpack(&right)?;
        }
    }
    Ok(())
}

/// Returns the result at the root, something else elsewhere.
fn reduce_bytes<'b, P: Peers>(
    peers: &mut P,
    root: usize,
    reduction: &mut Reduction,
    mut work: Cow<'b, [u8]>,
) -> Result<Cow<'b, [u8]>, CollectiveError<P::Error>> {
    if peers.size() == 1 || work.is_empty() {
        return Ok(work);
    }
    let tree = Tree::new(peers, root);
    if let Some(partner) = tree.partner().filter(|_| !tree.stands()) {
        send(peers, partner, &work)?;
        return Ok(work);
    }
    let mut other = vec![0; work.len()];
    if tree.partner().is_some() {
        tree.join_pairs(peers, reduction, work.to_mut(), &mut other)?;
    }
    if is_large(&tree, reduction, work.len()) {
        gather_pieces(peers, root, &tree, reduction, work.to_mut())?;
        return Ok(work);
    }
    // Blocks of leaves join with their neighbours; each has a head, which is the root where the block has it.
    let (leaf, root_leaf) = (tree.leaf(), tree.leaf_of(root));
    let head = |block: usize, len: usize| if root_leaf / len == block { root_leaf } else { block * len };
    let mut len = 1;
    while len < tree.leaves {
        let joined = head(leaf / (2 * len), 2 * len);
        if joined != leaf {
            send(peers, tree.stands_for(joined), &work)?;
            return Ok(work);
        }
        let from = tree.stands_for(head((leaf / len) ^ 1, len));
        receive(peers, from, &mut other)?;
        tree.combine(reduction, work.to_mut(), &other, from);
        len *= 2;
    }
    Ok(work)
}

/// Divides the reduction among the leaves, and brings the pieces to the root.
fn gather_pieces<P: Peers>(
    peers: &mut P,
    root: usize,
    tree: &Tree,
    reduction: &mut Reduction,
    work: &mut [u8],
) -> Outcome<P> {
    let cuts = even_cuts(tree, reduction, work.len());
    tree.halve(peers, reduction, work, &cuts)?;
    let piece = |leaf: usize| {
        let piece = piece_of(leaf, tree.leaves);
        cuts[piece]..cuts[piece + 1]
    };
    if peers.rank() != root {
        return send(peers, root, &work[piece(tree.leaf())]);
    }
    for leaf in (0..tree.leaves).filter(|leaf| *leaf != tree.leaf()) {
        receive(peers, tree.stands_for(leaf), &mut work[piece(leaf)])?;
    }
    Ok(())
}

fn allreduce_bytes<P: Peers>(peers: &mut P, reduction: &mut Reduction, work: &mut [u8]) -> Outcome<P> {
    if peers.size() == 1 || work.is_empty() {
        return Ok(());
    }
    let tree = Tree::new(peers, 0);
    // What few bytes need is not fetched from afar: most reductions are of some numbers.
    let (mut few, mut many) = (Few([0; FEW_BYTES]), Vec::new());
    let other = match few.0.get_mut(..work.len()) {
        Some(few) => few,
        None => {
            many.resize(work.len(), 0);
            &mut many[..]
        }
    };
    tree.join_pairs(peers, reduction, work, other)?;
    if !tree.stands() {
        return tree.partner().map_or(Ok(()), |partner| receive(peers, partner, work));
    }
    if is_large(&tree, reduction, work.len()) {
        let cuts = even_cuts(&tree, reduction, work.len());
        tree.halve(peers, reduction, work, &cuts)?;
        tree.unite(peers, work, &cuts)?;
    } else {
        let mut distance = 1;
        while distance < tree.leaves {
            let peer = tree.stands_for(tree.leaf() ^ distance);
            send(peers, peer, work)?;
            receive(peers, peer, other)?;
            tree.combine(reduction, work, other, peer);
            distance *= 2;
        }
    }
    tree.partner().map_or(Ok(()), |partner| send(peers, partner, work))
}

/// Whether the data is worth dividing, and can be.
fn is_large(tree: &Tree, reduction: &Reduction, bytes: usize) -> bool {
    bytes >= LARGE_BYTES && tree.leaves > 2 && bytes / reduction.element_len() >= tree.leaves
}

/// Divides the data into a piece of whole elements for each leaf.
fn even_cuts(tree: &Tree, reduction: &Reduction, bytes: usize) -> Vec<usize> {
    let (leaves, elements) = (tree.leaves, bytes / reduction.element_len());
    let cut = |piece: usize| elements / leaves * piece + (elements % leaves).min(piece);
    (0..=leaves).map(|piece| cut(piece) * reduction.element_len()).collect()
}
