//! Exhaustive exploration of a small scenario: every order in which things can happen, and every place to die.
//!
//! The same simulation that a seed decides is run by choice: each step of a rank, each arrival of a message, each write to a
//! disk, each step of a recovery, each death is one turn. States are visited breadth first, so that the first one that is wrong
//! is reached by as few turns as any. A state cannot be copied, since modules are black boxes; it is reached again by
//! taking its turns anew, which a small scenario makes cheap.
//!
//! What keeps the number of states down, and why no violation is lost by it:
//!
//! - *State hashing.* Two states with one fingerprint are one. The fingerprint covers the world that outlives processes
//!   (channels, journals, disks, what nodes hold for others, control messages), what the observer knows, output on its way, the
//!   coordinator with its collection and images, and each process: the application's snapshot and a digest of all that its
//!   engine was ever told, in order. An engine and its modules are deterministic, so equal histories are equal states; that
//!   unequal histories may be equal states costs time and nothing else.
//! - *Deaths that make no difference.* A death inside a turn leaves the world as a death before or behind the turn does, unless
//!   what outlives the rank has changed by then and changes again later in the turn. Only such crash points are explored.
//! - *Turns that commute.* See [`simulation`](crate): what happens at once is what nobody can tell from happening later.
//!
//! What is not explored: time (no timer fires), partitions and false suspicion, and endless repetition (a state in which
//! something can happen for ever without getting anywhere is not found; one in which nothing can happen is).

mod explorer;
mod scenario;
mod story;

use std::num::NonZeroUsize;

use egida_core::binder::{BindError, Judged};
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_spec::protocol::Protocol;

pub use explorer::Progress;
pub use scenario::scenario;

pub use crate::simulation::Grain;

use explorer::Explorer;

/// What is to be explored.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Ranks, domains, failure unit.
    pub setting: Setting,
    /// How many messages are sent.
    pub messages: u32,
    /// How many ranks may die.
    pub crashes: u32,
    /// How much a rank does in one turn.
    pub grain: Grain,
    /// How many states may be visited.
    pub max_states: usize,
    /// How many processors to use.
    pub jobs: NonZeroUsize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every run of the scenario is right.
    Holds,
    /// A run of the scenario is wrong; no shorter one is.
    Broken(CounterExample),
    /// No run was found wrong within the states that may be visited.
    Bounded,
}

/// A run that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterExample {
    /// What is wrong.
    pub wrong: String,
    /// What happened, turn by turn.
    pub story: Vec<String>,
}

/// The result of an exploration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was found.
    pub verdict: Verdict,
    /// How far the exploration came.
    pub progress: Progress,
}

/// Explores a scenario under a protocol. `tell` hears how far it has come, once for each number of turns.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn verify(
    protocol: &Protocol,
    registry: &Registry,
    scope: &Scope,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Report, Vec<BindError>> {
    verify_judged(&Judged::new(protocol, registry, &scope.setting), scope, tell)
}

/// As [`verify`], under a protocol that was judged, for the setting of the scope, before.
///
/// # Errors
/// Why the protocol could not be bound.
pub fn verify_judged(
    judged: &Judged<'_>,
    scope: &Scope,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Report, Vec<BindError>> {
    Explorer::new(judged, scope).explore(tell)
}
