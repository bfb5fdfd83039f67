//! Control messages: what protocols tell ranks beside the application's messages.

use serde::{Deserialize, Serialize};

use crate::clock::Token;
use crate::ids::{CheckpointNumber, EventIndex, Incarnation, Rank, Ssn};
use crate::recovery::bytes_as_bin;

/// A control message to a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// A version of a rank has ended.
    Token(Token),
    /// From the checkpointing protocol of a rank to that of another.
    Checkpoint {
        /// The rank that tells.
        from: Rank,
        /// How many rounds of recovery it knew of: what was told before a recovery is void behind it.
        round: u64,
        /// What it tells; the protocol's module alone reads it.
        #[serde(with = "bytes_as_bin")]
        message: Vec<u8>,
    },
    /// The rank's own checkpoint of that number is durable, or will never be.
    Saved {
        /// Which life of the rank took it.
        incarnation: Incarnation,
        /// The checkpoint.
        number: CheckpointNumber,
        /// Whether it is durable.
        durable: bool,
    },
    /// Recovery will never again return the receiver of this to a state before its checkpoint of that number.
    Committed {
        /// The checkpoint.
        number: CheckpointNumber,
    },
    /// Recovery will never again return another rank to a state before a checkpoint of it.
    Covered {
        /// That rank.
        rank: Rank,
        /// How many of its events the checkpoint covers: their determinants are wanted no more.
        events: EventIndex,
        /// How many messages from it to the receiver of this were complete: nobody waits for their match any more.
        completed: Ssn,
    },
    /// A round of recovery is over: whatever ranks had under way together, beside the application's messages, is void.
    Recovered {
        /// How many rounds there were.
        round: u64,
    },
}
