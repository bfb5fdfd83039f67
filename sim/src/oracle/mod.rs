//! What every run must fulfil, judged from outside the code under test: one file each.
//!
//! [`judge`] looks at a run that is over; [`Exposure`] and [`History`] at a world while the run goes on.

mod epochs;
mod exactly_once;
mod exposure;
mod history;
mod incarnations;
mod output;
mod recoverable;
mod replay;

pub use exactly_once::gap;
pub(crate) use exposure::name;
pub use exposure::{Exposed, Exposure};
pub use history::{History, Line, Zigzag};
pub use incarnations::Incarnations;
pub use recoverable::{Messages, Recoverable};
pub use replay::Replay;

use egida_core::ids::{CheckpointNumber, EventIndex, Incarnation, Rank};
use egida_core::recovery::{End, Unrecoverable};
use thiserror::Error;

use crate::job::{Ending, Outcome};

/// What an observer found wrong while a job ran.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// A state depends on what its rank did in another way when it ran again, or did not do.
    #[error("rank {survivor} depends on what rank {owner} did not do when it ran again")]
    Orphan {
        /// Who depends.
        survivor: Rank,
        /// On whom.
        owner: Rank,
    },
    /// What the world saw does.
    #[error("output that the world has seen depends on what rank {owner} did not do when it ran again")]
    OutputOrphaned {
        /// On whom.
        owner: Rank,
    },
    /// Output was shown that would be, if as many failed now as may.
    #[error(
        "output of rank {rank} was shown that depends on {needed} events of rank {owner}, of which {found} could be found again"
    )]
    Uncommitted {
        /// Whose output.
        rank: Rank,
        /// On whose events it depends.
        owner: Rank,
        /// On how many.
        needed: EventIndex,
        /// How many could be found.
        found: EventIndex,
    },
    /// Recovery returned to another state than the maximum recoverable one.
    #[error("rank {rank} keeps {kept} events, and in the maximum recoverable state it keeps {recoverable}")]
    NotTheLine {
        /// Who was recovered.
        rank: Rank,
        /// With how many events.
        kept: EventIndex,
        /// And with how many it should have been.
        recoverable: EventIndex,
    },
    /// Recovery began from another checkpoint than the newest that depends on nothing lost.
    #[error("rank {rank} begins from checkpoint {number}, and the newest that is no orphan is {newest}")]
    NotTheNewest {
        /// Who was recovered.
        rank: Rank,
        /// From which checkpoint; 0 is the beginning.
        number: CheckpointNumber,
        /// And from which it should have been.
        newest: CheckpointNumber,
    },
    /// A number of an incarnation was used twice, or could be.
    #[error("rank {rank} begins as incarnation {number} after {begun}, when {durable} is durable")]
    Incarnation {
        /// The rank.
        rank: Rank,
        /// The number.
        number: Incarnation,
        /// The greatest that began before.
        begun: Incarnation,
        /// The greatest that is on stable storage.
        durable: Incarnation,
    },
    /// A survivor rolled back where none may, or more often than others failed.
    #[error("rank {rank} survived and rolled back {rollbacks} times, after {failures} failures of others")]
    RolledBack {
        /// The rank.
        rank: Rank,
        /// How often.
        rollbacks: usize,
        /// How often others failed.
        failures: usize,
    },
    /// A message is kept from its receiver until a log is written, by a protocol in which nobody waits.
    #[error("a message of rank {rank} waits for a log, in a protocol in which nobody does")]
    Waited {
        /// The sender.
        rank: Rank,
    },
    /// A message was not received, and a later one of the same kind was.
    #[error(
        "rank {dest} did not receive message {ssn} of rank {source_rank}, and a later one with the same tag it did"
    )]
    Gap {
        /// The sender.
        source_rank: Rank,
        /// The receiver.
        dest: Rank,
        /// The number of the message.
        ssn: u64,
    },
}

/// Whether a job ended because more failed than its protocol tolerates, and said so. `failures` is how many there were in all: a
/// checkpoint in the memory of others is lost only if all who held it failed, at once or before others held it in their place.
#[must_use]
pub fn is_beyond(end: &Ending, tolerated: Option<u32>, failures: usize) -> bool {
    let (Ending::Ended(End::Unrecoverable(why)), Some(tolerated)) = (end, tolerated) else { return false };
    match why {
        Unrecoverable::TooMany { down, .. } => *down > tolerated,
        Unrecoverable::CheckpointLost { .. } => failures > tolerated as usize,
        _ => false,
    }
}

/// What is wrong with an outcome, if anything: the oracles of all protocol classes.
#[must_use]
pub fn judge(outcome: &Outcome) -> Option<String> {
    match &outcome.end {
        Ending::Done => exactly_once::judge(outcome).or_else(|| output::judge(outcome)),
        other => Some(format!("the job ended with {other:?}")),
    }
}
