//! `independent` output commit: no other process is asked.

use egida_core::gate::Gate;
use egida_core::ids::Position;
use egida_core::module::{HowToOutputCommit, PiggybackContext};

/// Flushes what this process holds: its own determinants, and those of its causal past that were piggybacked to it.
/// Enough where nothing can be depended on that is not held or stable: in pessimistic and causal protocols.
#[derive(Debug, Clone, Copy)]
pub struct Independent;

impl HowToOutputCommit for Independent {
    fn output_commit(
        &mut self,
        context: &mut PiggybackContext<'_>,
        position: Position,
        _: &[Position],
    ) -> Gate {
        context.flush(position)
    }
}
