#![forbid(unsafe_code)]
//! A deterministic simulator: the same engine, stack, matching, replay and recovery coordinator as the real runtime,
//! over tables instead of shared memory and in virtual time instead of the machine's.
//!
//! ```text
//!   Application (what a rank does) ──> Engine<SimDriver> ──┐
//!   Crash (who dies when)          ──> crash points        ├── World: channels, journals, disks
//!   Coordinator, OutputGate        ──> actions             ┘      Agenda: what waits to happen <── Chooser: what does
//! ```
//!
//! The seed decides every delay and every choice; the same seed gives the same [`Outcome`](job::Outcome) and the same trace,
//! byte for byte. What ranks do is one of the [`models`], a script ([`program`]), or your own async function
//! ([`asynchronous`]).

pub mod application;
pub mod asynchronous;
mod calls;
pub mod copies;
pub mod driver;
mod fingerprint;
pub mod job;
pub mod models;
pub mod observer;
pub mod oracle;
pub mod program;
pub mod schedule;
pub mod scheduler;
mod simulation;
pub mod verify;
pub mod world;

pub use simulation::{run, run_judged, run_traced, run_with};
