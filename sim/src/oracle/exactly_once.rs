//! No orphan messages, and every channel delivered exactly once.

use std::collections::BTreeSet;

use crate::job::Outcome;

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
