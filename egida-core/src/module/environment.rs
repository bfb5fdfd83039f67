//! The modules of section 4.2 that connect a stack with its surroundings. [`Api`](crate::api::Api) is the fourth.

use std::time::Duration;

use crate::recovery::{Action, Coordinator, Input};

/// Gives interrupts for periodic actions: questions of a recovery that were not answered.
pub trait Timer {
    /// Asks for one interrupt after `after`; `token` comes back with it.
    fn set(&mut self, after: Duration, token: u64);
}

/// Carries out what recovery orders, some of it by messages to other nodes.
pub trait Network {
    /// Performs an action, or takes it up to perform it in its turn.
    fn perform(&mut self, action: Action);
}

/// Detects crashes, and triggers recovery. A rank's death is a reaped process: there is no heartbeat and no suspicion
/// among the ranks of one node.
pub trait FailureDetector: Network {
    /// The coordinator that is told.
    fn coordinator(&mut self) -> &mut Coordinator;

    /// Tells the coordinator what happened, and has done what it orders.
    fn detected(&mut self, input: Input) {
        for action in self.coordinator().handle(input) {
            self.perform(action);
        }
    }
}
