//! No orphan messages, and every channel delivered exactly once, without gaps.

use std::collections::BTreeSet;

use egida_core::ids::Rank;

use super::Violation;
use crate::job::Outcome;
use crate::observer::Record;

/// What the last lives received, the last lives sent, each message once.
pub(super) fn judge(outcome: &Outcome) -> Option<String> {
    for (receiver, received) in (0..).zip(&outcome.received) {
        for (&sender, transfers) in received {
            let sent: BTreeSet<_> =
                outcome.sent[sender as usize].get(&receiver).into_iter().flatten().collect();
            let mut seen = BTreeSet::new();
            for transfer in transfers {
                if !sent.contains(transfer) {
                    return Some(format!(
                        "rank {receiver} received {transfer:?} from rank {sender}, whose last life never sent it"
                    ));
                }
                if !seen.insert(transfer.0) {
                    return Some(format!(
                        "rank {receiver} received message {} of rank {sender} twice",
                        transfer.0
                    ));
                }
            }
        }
    }
    None
}

/// A message that the last life of its receiver did not receive, although it received a later one with the same envelope: messages
/// do not overtake each other. A rank that left receives open at its end is not judged.
///
/// # Errors
/// [`Violation::Gap`].
pub fn gap<'a>(records: impl Iterator<Item = &'a Record> + Clone) -> Result<(), Violation> {
    for (dest, receiver) in (0..).zip(records.clone()).filter(|(_, receiver)| receiver.open_receives() == 0) {
        for (source, sender) in (0..).zip(records.clone()) {
            is_gapless(source, sender, dest, receiver)?;
        }
    }
    Ok(())
}

fn is_gapless(source: Rank, sender: &Record, dest: Rank, receiver: &Record) -> Result<(), Violation> {
    for (envelope, sent) in sender.envelopes_to(dest) {
        let received = receiver.received_with(source, envelope);
        let Some(last) = received.last() else { continue };
        if let Some(&ssn) = sent.iter().find(|ssn| *ssn < last && !received.contains(ssn)) {
            return Err(Violation::Gap { source_rank: source, dest, ssn });
        }
    }
    Ok(())
}
