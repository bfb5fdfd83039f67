#![forbid(unsafe_code)]
//! A deterministic simulator: the same engine, stack, matching, replay and recovery coordinator as the real runtime,
//! over tables instead of shared memory and in virtual time instead of the machine's.
//!
//! ```text
//!   Script (what a rank does) ──> Engine<SimDriver> ──┐
//!   Faults (who dies when)    ──> crash points        ├── World: channels, journals, disks ── seeded scheduler
//!   Coordinator, OutputGate   ──> actions             ┘
//! ```
//!
//! The seed decides every delay and every choice; the same seed gives the same [`Trace`](run::Outcome). What is not here
//! yet: optimistic protocols, checkpoints, partitions, torn disk writes, programs other than scripts.

pub mod driver;
pub mod oracle;
pub mod program;
pub mod run;
pub mod world;
