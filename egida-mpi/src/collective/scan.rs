//! Scan and exscan.

use super::transfer::{agree, compute_in, receive, send};
use super::{Outcome, Peers};
use crate::datatype::{Source, Target};
use crate::op::{Op, Reduction};

/// `MPI_Scan`: recursive doubling. No `send`: in place.
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn scan<P: Peers>(peers: &mut P, send: Option<Source<'_>>, receive: Target<'_>, op: &Op) -> Outcome<P> {
    let mut reduction = Reduction::new(op, receive.datatype())?;
    compute_in(peers, send, receive, |peers, result| {
        let own = result.to_vec();
        prefix(peers, &mut reduction, own, |reduction, lower| reduction.combine_right(lower, result))
    })
}

/// `MPI_Exscan`: recursive doubling. No `send`: in place. Rank 0's `receive` is left as it is.
///
/// # Errors
/// See [`CollectiveError`](super::CollectiveError).
pub fn exscan<P: Peers>(
    peers: &mut P,
    send: Option<Source<'_>>,
    mut receive: Target<'_>,
    op: &Op,
) -> Outcome<P> {
    let mut reduction = Reduction::new(op, receive.datatype())?;
    let own = send.unwrap_or(receive.as_source()).packed().into_owned();
    agree::<P>(peers.rank(), own.len(), receive.len())?;
    let mut result: Option<Vec<u8>> = None;
    prefix(peers, &mut reduction, own, |reduction, lower| match &mut result {
        None => result = Some(lower.to_vec()),
        Some(result) => reduction.combine_right(lower, result),
    })?;
    if let Some(result) = result {
        receive.unpack(&result)?;
    }
    Ok(())
}

/// Hands the combined operands of all lower ranks to `take`, in blocks from the nearest down: in step k blocks of 2^k ranks
/// exchange what they have with their neighbours. A block cut short by the last rank has none above it.
fn prefix<P: Peers>(
    peers: &mut P,
    reduction: &mut Reduction,
    mut block: Vec<u8>,
    mut take: impl FnMut(&mut Reduction, &[u8]),
) -> Outcome<P> {
    let (rank, size) = (peers.rank(), peers.size());
    if block.is_empty() {
        return Ok(());
    }
    let mut other = vec![0; block.len()];
    let mut distance = 1;
    while distance < size {
        let peer = rank ^ distance;
        if peer < size {
            send(peers, peer, &block)?;
            receive(peers, peer, &mut other)?;
            if peer < rank {
                take(reduction, &other);
                reduction.combine_right(&other, &mut block);
            } else {
                reduction.combine_left(&mut block, &other);
            }
        }
        distance *= 2;
    }
    Ok(())
}
