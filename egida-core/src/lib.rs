#![forbid(unsafe_code)]
//! Everything of Egida that decides, without input or output.
//!
//! ```text
//!   Protocol (egida-spec) ──bind──> Stack: one module per slot       binder, registry, module, stack
//!                                     │
//!   application ──Api──> Engine ──────┤  matching, replay            api, engine, matching, replay
//!                          │          │
//!                        Driver: channels, journal, crash points     driver, wire, event, gate
//!
//!   deaths ──> Coordinator ──> actions: fence, seal, collect, start  recovery
//!   output ──> OutputGate  ──> released once                         output
//!   journals ──> Replication ──> who holds a copy                    replication
//! ```
//!
//! Two drivers run it: shared memory under real processes, and a simulator in virtual time. So what goes wrong after a crash
//! goes wrong in both.
//!
//! What this crate does not do: it opens no file, starts no process or thread, asks no clock, draws no random number, and
//! never waits. It holds no module's implementation; those are in `egida-modules`, or in a crate of yours.

pub mod api;
pub mod binder;
pub mod checkpoint;
pub mod clock;
pub mod control;
pub mod crash;
pub mod describe;
pub mod driver;
pub mod engine;
pub mod event;
pub mod fault;
pub mod gate;
pub mod ids;
pub mod link_unit;
pub mod matching;
pub mod module;
pub mod output;
pub mod recovery;
pub mod registry;
pub mod replay;
pub mod replication;
pub mod setting;
pub mod stack;
pub mod trace;
pub mod wire;
