//! What must be known of a checkpoint to judge it without reading it.

use serde::{Deserialize, Serialize};

use crate::clock::IncarnationClock;
use crate::ids::{CheckpointNumber, EventIndex, Incarnation, Rank, Ssn};

/// The head of a checkpoint, or of a rank's current state as a place where recovery may leave it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHead {
    /// Whose checkpoint it is.
    pub rank: Rank,
    /// Which life of the rank took it.
    pub incarnation: Incarnation,
    /// Its number, from 1; 0 is the program's beginning. A rank that returned to an earlier checkpoint counts on from there.
    pub number: CheckpointNumber,
    /// What the protocol labels it with: the index of co-ordinated and communication-induced protocols.
    pub index: u64,
    /// Whether a message forced it, rather than the rank's own timer or the protocol's initiator.
    pub forced: bool,
    /// Whether the protocol has still to decide if it is kept.
    pub tentative: bool,
    /// How many non-deterministic events of the rank it covers.
    pub events: EventIndex,
    /// How many messages the rank had sent to each other.
    pub sent: Vec<Ssn>,
    /// How many messages from each other were known to it.
    pub known: Vec<Ssn>,
    /// How many messages from each other a rank that is restored from it can do without the sender's log.
    pub covered: Vec<Ssn>,
    /// How many synchronous messages to each other are complete, as a prefix of all messages to it.
    pub completed: Vec<Ssn>,
    /// Dependencies in the protocol's own terms.
    pub vector: Vec<u64>,
    /// What the state depends on, where survivors may be orphans.
    pub clock: Option<Box<IncarnationClock>>,
}

impl CheckpointHead {
    /// The program's beginning, which needs no storage.
    #[must_use]
    pub fn beginning(rank: Rank, ranks: u32) -> Self {
        let none = vec![0; ranks as usize];
        Self {
            rank,
            incarnation: 1,
            sent: none.clone(),
            known: none.clone(),
            covered: none.clone(),
            completed: none.clone(),
            vector: none,
            ..Self::default()
        }
    }
}
