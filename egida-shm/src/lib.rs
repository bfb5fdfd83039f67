//! Node memory: channels, lanes and journals as append-only logs in one shared memory object per job.
//!
//! The daemon creates a [`JobMemory`] and hands its descriptor to the ranks it spawns; each of them attaches a [`ShmDriver`]
//! to it, over which the engine of `egida-core` runs. Nothing has a name outside: with the last process that maps it,
//! everything is gone.
//!
//! ```text
//!   daemon                    shared memory                               rank
//!   JobMemory   stable  --->  RankSlot     <--- progress, journal head    ShmDriver
//!               epoch   --->  ChannelSlot  <--- released, acknowledged
//!   JournalReader  <--------  segments of logs  <-- append                (other ranks read them)
//! ```
//!
//! A [`Mirror`] keeps such a memory and that of another host the same, as far as ranks of one read what those of the other
//! write; what it says and hears goes over whatever connection there is. Two ranks of different hosts may have one of their own.
//!
//! This crate decides nothing: which records may be reclaimed, what a new incarnation skips, when a store is flushed is
//! told to it. It keeps no thread and takes no lock that a dead process could hold.

mod anchor;
mod arena;
mod bell;
mod carrier;
mod driver;
pub mod introduction;
mod job;
mod journal;
mod kill;
mod layout;
mod log;
mod mirror;
mod record;
mod stretch;
mod trace;
mod writer;

pub use driver::{Attached, ShmDriver};
pub use job::{Blocked, JobConfig, JobMemory, RankState, ScannedRecord};
pub use journal::{JournalItem, JournalReader};
pub use kill::{Death, KillSwitch};
pub use mirror::{Mirror, MirrorBell, Reached, Side};
pub use trace::{monotonic_ns, trace_file};

/// Environment variable: which rank a spawned process is.
pub const ENV_RANK: &str = "EGIDA_RANK";
/// Environment variable: the number of the inherited descriptor of the job's memory.
pub const ENV_JOB_FD: &str = "EGIDA_JOB_FD";
/// Environment variable: the number of the inherited descriptor of the file for what is beyond the memory's limit, where there is one.
pub const ENV_FILE_FD: &str = "EGIDA_FILE_FD";
/// Environment variable: which life of its rank a spawned process is.
pub const ENV_INCARNATION: &str = "EGIDA_INCARNATION";
/// Environment variable: the number of the inherited descriptor by which a spawned process asks its daemon for connections to
/// ranks of other hosts.
pub const ENV_DAEMON_FD: &str = "EGIDA_DAEMON_FD";
/// Environment variable: the ranks of this host, each with the number of the inherited descriptor at which it is woken, as in
/// `0:7,1:8`.
pub const ENV_WAKER_FDS: &str = "EGIDA_WAKER_FDS";
/// Environment variable: where a spawned process is to kill itself, as in `send:1000;point:match:3`.
pub const ENV_KILL: &str = "EGIDA_KILL";
/// Environment variable: the directory into which a spawned process writes what happens to it, where somebody wants to know.
pub const ENV_TRACE: &str = "EGIDA_TRACE";
