#![deny(unsafe_code)]
//! The node: launcher and daemon of a job.
//!
//! It spawns, watches, reaps and restarts the ranks' processes, owns their memory ([`egida_shm::JobMemory`]), writes
//! stable storage, holds their output back until nothing can take back what it tells, and runs the recovery coordinator
//! of `egida-core`. It decides nothing about recovery itself: [`job`] carries out what the coordinator says.
//!
//! ```text
//!   stdin --spool--> rank 0 ... rank n --pipes--> output (gates, ledger) --sink--> stdout, stderr
//!                       |  journals in shared memory
//!                       v
//!                    storage::Writer --> storage::Backend (local disk, NFS disk, your own)
//! ```
//!
//! A job on several [`hosts`] has a daemon on each, and the launcher as the one that writes, shows and recovers.
//!
//! What it does not do: it takes no part in sending and receiving on one host, which ranks do among themselves; it keeps no state that
//! a job needs beyond the launcher's own death, since all ranks die with it.
//!
//! `unsafe` is confined to one module, what a child does between fork and exec.

pub mod foreign;
pub mod hosts;
pub mod incarnations;
pub mod job;
pub mod kill;
pub mod limit;
pub mod output;
pub mod process;
pub mod quantity;
pub mod report;
pub mod sink;
mod spilling;
pub mod state_dir;
pub mod storage;
mod trace;

pub use job::{JobError, Options, Plan, PlanError, Shape, run};
pub use spilling::{Spill, SpillError};
