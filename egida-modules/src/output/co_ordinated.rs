//! `co-ordinated` output commit: every process flushes its log first (section 4.1 of the Egida paper).

use egida_core::gate::{Condition, Gate};
use egida_core::ids::{Position, Rank};
use egida_core::module::{HowToOutputCommit, PiggybackContext};

/// Flushes what this process holds, and has all others flush what they have logged. Whatever the output depends on was in
/// somebody's journal when it was written, so this covers its causal past without a look at it.
#[derive(Debug, Clone, Copy)]
pub struct CoOrdinated {
    rank: Rank,
}

impl CoOrdinated {
    /// For the output of `rank`.
    #[must_use]
    pub fn new(rank: Rank) -> Self {
        Self { rank }
    }
}

impl HowToOutputCommit for CoOrdinated {
    fn output_commit(
        &mut self,
        context: &mut PiggybackContext<'_>,
        position: Position,
        heads: &[Position],
    ) -> Gate {
        let mut gate = context.flush(position);
        for (rank, &position) in (0..).zip(heads) {
            if rank != self.rank && position > 0 {
                gate.and(Condition::Other { rank, position });
            }
        }
        gate
    }

    fn takes_others(&self) -> bool {
        true
    }
}
