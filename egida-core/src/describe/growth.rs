//! How piggybacks grow with the number of processes: measured, with the same traffic for every protocol.

use super::bench::{Bench, Sent, Stimulus, Subject};
use super::{DescribeError, Measured};
use crate::ids::Rank;

/// The sizes of job that are measured.
const SIZES: [u32; 4] = [2, 4, 8, 16];

/// How many rounds are driven. In each, every rank sends one message and takes one from any source.
pub(super) const ROUNDS: u32 = 16;

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

/// In round r every rank sends to the one r steps on (around, and never to itself), so that everyone meets everyone.
/// Senders learn of arrivals one round late.
fn drive(bench: &Bench<'_>) -> Result<Measured, DescribeError> {
    let ranks = bench.shape().ranks;
    let mut subjects = (0..ranks).map(|rank| bench.subject(rank)).collect::<Result<Vec<_>, _>>()?;
    let mut measured = Measured { ranks, messages: 0, bytes: 0, largest_bytes: 0 };
    let mut last_round: Vec<(Rank, Sent)> = Vec::new();
    for round in 0..ROUNDS {
        for (sender, (dest, sent)) in subjects.iter_mut().zip(last_round.drain(..)) {
            sender.bound.stack.acknowledged(&mut sender.journal, dest, sent.ssn + 1);
        }
        let stride = 1 + round % (ranks - 1);
        for (rank, sender) in (0..).zip(&mut subjects) {
            let dest = (rank + stride) % ranks;
            let sent = sender.send(dest)?;
            let bytes = sent.piggyback.len() as u64;
            measured.messages += 1;
            measured.bytes += bytes;
            measured.largest_bytes = measured.largest_bytes.max(bytes);
            last_round.push((dest, sent));
        }
        for (source, (dest, sent)) in (0..).zip(&last_round) {
            let receiver: &mut Subject = &mut subjects[*dest as usize];
            receiver.take_in(source, sent)?;
            receiver.undergo(Stimulus::AnyDelivery, source)?;
        }
    }
    Ok(measured)
}
