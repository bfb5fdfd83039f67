//! Implementations of `Checkpoint` with `PiggybackCheckpointing`, and of `HowToCheckpoint`.
//!
//! | protocol | when a checkpoint is taken | messages carry | the recovery line |
//! |---|---|---|---|
//! | [`Timed`] | by each rank's timer | nothing | the newest that the counts of messages allow |
//! | [`RollbackDependencyGraph`] | by each rank's timer | the sender's interval | the last that the graph leaves unmarked |
//! | [`ChandyLamport`] | before the first message behind a marker | nothing | the newest that all have |
//! | [`KooToueg`] | where the initiator depends on it | nothing | the newest that the counts allow |
//! | [`FailSafePvm`] | when all channels are empty | nothing | the newest that all have |
//! | [`Index`] | before a message of a later line | the line's index | the newest that all have |
//! | [`Bcs`] | timer; before a message of a greater index | the index | the first of that index or later |
//! | [`LazyBcs`] | as BCS, with fewer indices | the index | the newest that the counts allow |
//! | [`Fdas`] | timer; before a new dependency after a send | a vector of intervals | what the failed ones' vectors allow |
//! | [`Hmnr`] | timer; before a message that may close a Z-cycle | four vectors | the newest that the counts allow |

mod attempt;
mod bcs;
#[cfg(test)]
mod by_hand;
mod chandy_lamport;
mod dependency_graph;
mod fail_safe_pvm;
mod fdas;
mod full;
mod hmnr;
mod incremental;
mod index;
mod induced;
mod koo_toueg;
mod lazy_bcs;
mod timed;

pub use bcs::Bcs;
pub use chandy_lamport::ChandyLamport;
pub use dependency_graph::RollbackDependencyGraph;
pub use fail_safe_pvm::FailSafePvm;
pub use fdas::Fdas;
pub use full::Full;
pub use hmnr::Hmnr;
pub use incremental::Incremental;
pub use index::Index;
pub use induced::{Induced, Inducing};
pub use koo_toueg::KooToueg;
pub use lazy_bcs::LazyBcs;
pub use timed::Timed;
