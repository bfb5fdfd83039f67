//! What the algorithms share: messages of known length, and bytes to compute in.

use super::{CollectiveError, Outcome, Peers};
use crate::datatype::{Blocks, DatatypeError, Source, Target};

type Failure<P> = CollectiveError<<P as Peers>::Error>;

/// Sends a message, unless it is empty: its receiver knows.
pub(super) fn send<P: Peers>(peers: &mut P, to: usize, bytes: &[u8]) -> Outcome<P> {
    if bytes.is_empty() { Ok(()) } else { peers.send(to, bytes).map_err(CollectiveError::Transport) }
}

/// Receives a message of just this length (none, where it is 0).
pub(super) fn receive<P: Peers>(peers: &mut P, from: usize, into: &mut [u8]) -> Outcome<P> {
    if into.is_empty() {
        return Ok(());
    }
    let (expected, mut len) = (into.len(), 0usize);
    let mut land = |piece: &[u8]| {
        let start = len.min(expected);
        let fitting = piece.len().min(expected - start);
        into[start..start + fitting].copy_from_slice(&piece[..fitting]);
        len += piece.len();
    };
    peers.receive(from, &mut land).map_err(CollectiveError::Transport)?;
    agree::<P>(from, len, expected)
}

/// Receives a message into the application's memory, which it must fill (none, where that is empty).
pub(super) fn receive_into<P: Peers>(peers: &mut P, from: usize, target: Target<'_>) -> Outcome<P> {
    if target.is_empty() {
        return Ok(());
    }
    let (mut unpacker, mut len) = (target.unpacker(), 0usize);
    let mut land = |piece: &[u8]| {
        unpacker.write(piece);
        len += piece.len();
    };
    peers.receive(from, &mut land).map_err(CollectiveError::Transport)?;
    agree::<P>(from, len, unpacker.room())
}

/// Copies data from one place in the application's memory to another of the same length.
pub(super) fn copy<P: Peers>(peers: &P, from: Source<'_>, mut to: Target<'_>) -> Outcome<P> {
    agree::<P>(peers.rank(), from.len(), to.len())?;
    to.copy_from(&from)?;
    Ok(())
}

/// Whether as many bytes came as were expected.
pub(super) fn agree<P: Peers>(from: usize, sent_bytes: usize, expected_bytes: usize) -> Outcome<P> {
    if sent_bytes == expected_bytes {
        Ok(())
    } else {
        Err(CollectiveError::Disagreement { from, sent_bytes, expected_bytes })
    }
}

/// Whether the root is a rank.
pub(super) fn check_root<P: Peers>(peers: &P, root: usize) -> Outcome<P> {
    let size = peers.size();
    if root < size { Ok(()) } else { Err(CollectiveError::Root { root, size }) }
}

/// Whether there is a block for each rank.
pub(super) fn check_blocks<P: Peers, M>(peers: &P, blocks: &Blocks<'_, M>) -> Outcome<P> {
    if blocks.blocks() == peers.size() {
        return Ok(());
    }
    Err(DatatypeError::UnequalArrays { lengths: blocks.blocks(), displacements: peers.size() }.into())
}

/// A buffer that this rank must give.
pub(super) fn required<P: Peers, T>(buffer: Option<T>, name: &'static str) -> Result<T, Failure<P>> {
    buffer.ok_or(CollectiveError::Missing(name))
}

/// Computes the data of `target`, packed: in the memory itself where it is one block. The bytes start as those of `input`,
/// or of the target where there is none.
pub(super) fn compute_in<P: Peers>(
    peers: &mut P,
    input: Option<Source<'_>>,
    target: Target<'_>,
    compute: impl FnOnce(&mut P, &mut [u8]) -> Outcome<P>,
) -> Outcome<P> {
    if let Some(input) = &input {
        agree::<P>(peers.rank(), input.len(), target.len())?;
    }
    match target.into_bytes() {
        Ok(bytes) => {
            if let Some(input) = input {
                input.pack_into(bytes);
            }
            compute(peers, bytes)
        }
        Err(mut target) => {
            let mut bytes = input.unwrap_or(target.as_source()).packed().into_owned();
            compute(peers, &mut bytes)?;
            target.unpack(&bytes)?;
            Ok(())
        }
    }
}
