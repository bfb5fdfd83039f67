//! The modules of section 4.2 that connect a stack with its surroundings. [`Api`](crate::api::Api) is the fourth.

use std::time::Duration;

use crate::ids::Rank;
use crate::recovery::{Action, Input};

/// Gives interrupts for periodic actions: flushes, checkpoints, questions that were not answered.
pub trait Timer {
    /// Asks for one interrupt after `after`; `token` comes back with it.
    fn set(&mut self, after: Duration, token: u64);
}

/// Detects crashes. A rank's death is a reaped process; there is no heartbeat and no suspicion among ranks of one node.
pub trait FailureDetector {
    /// What happened since the last call: deaths and exits.
    fn poll(&mut self) -> Vec<Input>;
}

/// Carries control messages of recovery and hands what arrives to the handler.
pub trait Network {
    /// Performs an action, perhaps by sending messages to other nodes.
    fn perform(&mut self, action: Action);

    /// Whether the node of a rank can be reached.
    fn reaches(&self, rank: Rank) -> bool;
}
