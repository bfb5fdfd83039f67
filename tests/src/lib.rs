//! End-to-end tests of Egida: real MPI programs in C, run by `egida run`, whose
//! ranks are killed with SIGKILL at chosen moments.
//!
//! ```text
//!   programs  x  protocols  x  failure units  x  schedules
//!       \            |              |              /
//!        +------ one run of `egida run` (job) ----+
//!                          |
//!       standard output, JSON-lines report, exit code, time
//!                          |
//!         verdict: equal to the undisturbed run? oracles? did
//!                  the kill land? was anything replayed?
//! ```
//!
//! * [`programs`], [`protocols`] and [`schedules`] are tables; a run is one line
//!   of each.
//! * [`plan`] selects the runs that are made.
//! * [`job`] starts a run and never waits longer than it says.
//! * [`network`] lays out hosts on one machine.
//! * [`report`] reads what the launcher says about deaths and recoveries.
//! * [`oracle`] judges programs with more than one legal output.
//! * [`verdict`] puts it together.
//! * [`installation`] builds Egida and the programs, once.
//!
//! The crate has no tests of the parts of Egida; those live with the parts.

#![forbid(unsafe_code)]

pub mod installation;
pub mod job;
pub mod network;
pub mod oracle;
pub mod plan;
pub mod processes;
pub mod programs;
pub mod protocols;
pub mod report;
pub mod schedules;
pub mod transcript;
pub mod verdict;
