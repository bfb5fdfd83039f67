//! The MPI library: the standard's ABI (MPI 5.0, chapter 20) over a rank's engine.
//!
//! ```text
//!   application ──MPI_Send──> exports (written from abi/functions.csv)
//!                                │ entry: guard against panics, error handlers
//!                                v
//!        p2p  partitioned  buffer  completion  probe  matched  generalized  coll  nonblocking  comm
//!        group  attribute  topo  types  ops  info  errors  env  session  file  tool
//!                                │ handles become objects, arguments are checked
//!                                v
//!                  world: the engine's `Api`, parking, the end of the job
//!                                │
//!                   transport (under a launcher)   or   a single rank alone
//! ```
//!
//! What decides about messages, order and recovery is the engine's, in `egida-core`; this crate turns C arguments into
//! bytes and patterns and back. It keeps no thread. It is loaded as `libmpi_abi.so.1`; as a Rust library it is of use to
//! its own tests only.
//!
//! **Threads.** `MPI_THREAD_SERIALIZED` at most where the protocol replays: calls that run at the same time cannot be repeated in the
//! same order. `MPI_THREAD_MULTIPLE` under others (`threads.rs`).
//!
//! **Panics** never cross into C: `entry.rs` catches them and ends the rank with a message, as it does for every
//! [`Fault`](egida_core::fault::Fault). The exit codes stand in `end.rs`.

pub mod collective;
pub mod datatype;
pub mod op;

mod abi;
mod attribute;
mod buffer;
mod coll;
mod comm;
mod completion;
mod constants;
mod end;
mod entry;
mod env;
mod errors;
mod file;
mod fortran;
mod generalized;
mod group;
mod handle;
mod info;
mod interpose;
mod matched;
mod nonblocking;
mod ops;
mod p2p;
mod partitioned;
mod plan;
mod probe;
mod reads;
mod request;
mod session;
mod sole;
mod status;
mod threads;
mod tool;
mod topo;
mod transport;
mod types;
mod world;

/// The exported symbols, one for each function of the standard under both of its names.
#[allow(missing_docs, non_snake_case, unused_unsafe, clippy::missing_safety_doc, clippy::too_many_arguments)]
mod exports {
    use std::ffi::{c_char, c_int, c_void};

    use crate::handle::*;

    include!(concat!(env!("OUT_DIR"), "/exports.rs"));
}
