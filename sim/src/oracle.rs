//! What every run must fulfil, judged from outside the code under test.

use crate::run::{Ending, Outcome};

/// What is wrong with an outcome, if anything: the oracles of all protocol classes.
#[must_use]
pub fn judge(outcome: &Outcome) -> Option<String> {
    match &outcome.end {
        Ending::Done => finished(outcome),
        other => Some(format!("the job ended with {other:?}")),
    }
}

/// A finished job: no orphan messages, every channel delivered exactly once, output as the last lives wrote it.
fn finished(outcome: &Outcome) -> Option<String> {
    for (receiver, received) in outcome.received.iter().enumerate() {
        for (sender, transfers) in received.iter().enumerate() {
            let sent = &outcome.sent[sender][receiver];
            let mut seen = std::collections::BTreeSet::new();
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
    for (rank, (written, released)) in outcome.written.iter().zip(&outcome.released).enumerate() {
        if written != released {
            return Some(format!(
                "rank {rank} wrote {:?} in its last life, the world saw {:?}",
                String::from_utf8_lossy(written),
                String::from_utf8_lossy(released)
            ));
        }
    }
    None
}
