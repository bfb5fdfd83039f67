//! Node memory: channels, lanes and journals as append-only logs in one shared memory object per job.
//!
//! The daemon creates a [`JobMemory`]; each rank attaches a [`ShmDriver`] to it.
//! (The daemon's side below is the agreed interface; bodies follow in the next commits.)

mod job;

pub use job::{Blocked, JobConfig, JobMemory, JournalItem, JournalReader, RankState, ScannedRecord};

/// Environment variable: which rank a spawned process is.
pub const ENV_RANK: &str = "EGIDA_RANK";
/// Environment variable: the number of the inherited descriptor of the job's memory.
pub const ENV_JOB_FD: &str = "EGIDA_JOB_FD";
/// Environment variable: which life of its rank a spawned process is.
pub const ENV_INCARNATION: &str = "EGIDA_INCARNATION";
/// Environment variable: where a spawned process is to kill itself, as in `send:1000;point:match:3`.
pub const ENV_KILL: &str = "EGIDA_KILL";
