//! `co-ordinated` output commit: every process flushes its log first (section 4.1 of the Egida paper).

use egida_core::gate::{Condition, Gate};
use egida_core::ids::Position;
use egida_core::module::{HowToOutputCommit, PiggybackContext};

/// Flushes what this process holds, and has all others flush what they have logged. Whatever the output depends on was in
/// somebody's journal when it was written, so this covers its causal past without a look at it.
///
/// One instance may serve the output of several ranks: none is left out, whosever output it is.
#[derive(Debug, Clone, Copy)]
pub struct CoOrdinated;

impl HowToOutputCommit for CoOrdinated {
    fn output_commit(
        &mut self,
        context: &mut PiggybackContext<'_>,
        position: Position,
        heads: &[Position],
    ) -> Gate {
        let mut gate = context.flush(position);
        for (rank, &position) in (0..).zip(heads) {
            if position > 0 {
                gate.and(Condition::Other { rank, position });
            }
        }
        gate
    }

    fn takes_others(&self) -> bool {
        true
    }
}
