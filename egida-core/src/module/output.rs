//! HowToOutputCommit: what must be saved before output may leave.

use super::Module;
use super::context::PiggybackContext;
use crate::gate::Gate;
use crate::ids::Position;

/// Determines how to save what is needed to recover the state in which output is committed.
pub trait HowToOutputCommit: Module {
    /// Commits output that depends on everything below `position` of the rank's journal. The gate opens when the world
    /// may see it. `heads` is how far the journals of all ranks had come when the output was written, by rank; it is empty
    /// unless [`HowToOutputCommit::takes_others`].
    fn output_commit(
        &mut self,
        context: &mut PiggybackContext<'_>,
        position: Position,
        heads: &[Position],
    ) -> Gate;

    /// Whether other ranks take part.
    fn takes_others(&self) -> bool {
        false
    }
}

impl PiggybackContext<'_> {
    /// Has everything below `position` of the journal made stable.
    pub fn flush(&mut self, position: Position) -> Gate {
        self.below.below.below.storage.trace.enter("LogEventDeterminant", "Flush");
        let gate = self.log_determinant.flush(&mut self.below, position);
        self.below.below.below.storage.trace.leave();
        gate
    }
}
