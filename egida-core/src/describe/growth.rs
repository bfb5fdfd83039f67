//! How piggybacks grow with the number of processes: measured, with the same traffic for every protocol.

use super::bench::{Bench, Sent, Stimulus};
use super::{DescribeError, Measured};
use crate::ids::Rank;

/// The sizes of job that are measured.
const SIZES: [u32; 4] = [2, 4, 8, 16];

/// How many rounds are driven. In each, every rank sends one message and takes one from any source.
pub(super) const ROUNDS: u32 = 64;

/// Measures; sizes of job in which the protocol does not bind are left out.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Measured>, DescribeError> {
    let mut measured = Vec::new();
    for ranks in SIZES {
        match drive(&bench.reshaped(|shape| super::Shape { ranks, ..shape })) {
            Ok(one) => measured.push(one),
            Err(DescribeError::Bind(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(measured)
}

/// In each round every rank sends one step further around than in the round before, and never to itself, so that
/// everyone meets everyone in turn.
fn drive(bench: &Bench<'_>) -> Result<Measured, DescribeError> {
    let ranks = bench.shape().ranks;
    let mut subjects = (0..ranks).map(|rank| bench.subject(rank)).collect::<Result<Vec<_>, _>>()?;
    let mut measured = Measured { ranks, messages: 0, bytes: 0, largest_bytes: 0 };
    for round in 0..ROUNDS {
        let stride = 1 + round % (ranks - 1);
        let mut on_their_way: Vec<(Rank, Sent)> = Vec::new();
        for (rank, sender) in (0..).zip(&mut subjects) {
            let dest = (rank + stride) % ranks;
            let sent = sender.send(dest)?;
            let bytes = sent.piggyback.len() as u64;
            measured.messages += 1;
            measured.bytes += bytes;
            measured.largest_bytes = measured.largest_bytes.max(bytes);
            on_their_way.push((dest, sent));
        }
        for (source, (dest, sent)) in (0..).zip(&on_their_way) {
            let receiver = &mut subjects[*dest as usize];
            receiver.take_in(source, sent)?;
            receiver.undergo(Stimulus::AnyDelivery, source)?;
        }
    }
    Ok(measured)
}
