//! `independent`: each rank takes a checkpoint when its timer says so.

use egida_core::checkpoint::CheckpointHead;
use egida_core::module::{Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::wire::WireError;

/// Takes checkpoints by the timer alone. Enough where determinants and messages are logged: each rank returns to its own
/// newest checkpoint and replays from there, and nobody else is concerned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timed;

impl PiggybackCheckpointing for Timed {}

impl Checkpoint for Timed {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        context.take_checkpoint();
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        head.index = head.number;
    }

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn load(&mut self, _: &[u8]) -> Result<(), WireError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use egida_core::module::Command;

    use super::*;
    use crate::checkpoint::by_hand::ranks;

    #[test]
    fn the_timer_alone_takes_checkpoints() {
        let mut two = ranks(2, |_| Timed);
        let message = two[0].send(1);
        two[1].offer(&message);
        assert_eq!(two[1].timer(), [Command::TakeCheckpoint]);
        assert_eq!(two[1].checkpoint().0.index, 1);
        assert_eq!(two[1].checkpoint().0.index, 2);
    }
}
