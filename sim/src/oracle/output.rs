//! The world saw the output that the last lives wrote, byte for byte.

use crate::job::Outcome;

/// Whether what was released is what was written.
pub(super) fn judge(outcome: &Outcome) -> Option<String> {
    let mut outputs = outcome.written.iter().zip(&outcome.released).enumerate();
    outputs.find(|(_, (written, released))| written != released).map(|(rank, (written, released))| {
        format!(
            "rank {rank} wrote {:?} in its last life, the world saw {:?}",
            String::from_utf8_lossy(written),
            String::from_utf8_lossy(released)
        )
    })
}
