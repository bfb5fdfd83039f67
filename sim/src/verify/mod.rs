//! Exhaustive exploration of a small scenario: every order in which things can happen, and every place to die.
//!
//! The same simulation that a seed decides is run by choice: each step of a rank, each arrival of a message, each write to a
//! disk, each step of a recovery, each death is one turn. States are visited breadth first, so that the first one that is wrong
//! is reached by as few turns as any. What is kept of a state is its fingerprint and the turn that led to it. To go on from
//! one, its turns are taken anew, once; the simulation is then copied for each turn that can be taken there.
//!
//! What keeps the number of states down, and why no violation is lost by it:
//!
//! - *State hashing.* Two states with one fingerprint are one. The fingerprint covers the world that outlives processes
//!   (channels, journals, disks, checkpoints there and on their way, what nodes hold for others, control messages), what the
//!   observer knows of dependencies and lines, output on its way, the coordinator with its collection and images, and each
//!   process: the application's snapshot and what the debug forms of its engine and modules show, which is all that decides what
//!   they will do. Whatever the way, equal states are one.
//! - *Deaths that make no difference.* A death inside a turn leaves the world as a death before or behind the turn does, unless
//!   what outlives the rank has changed by then and changes again later in the turn. Only such crash points are explored.
//! - *Turns that commute.* See [`simulation`](crate): what happens at once is what nobody can tell from happening later. With
//!   [`Grain::Wait`] that is also the step of a waiting rank that changes nothing outside of its process and nothing of its
//!   application (a survivor sees that a channel begins anew, say): its death undoes the step, and what comes later finds it as
//!   one who looks around all the time.
//!
//! Where the protocol has no part in deliveries, a rank that waits for a message of a named source is in one of two states: it
//! receives the message in one step when it comes, or it has looked around and posted its receive. With [`Grain::Wait`] looking
//! around is a turn of its own there.
//!
//! Where checkpoints are taken, time goes by in two ways. The timer of each rank goes off at any moment before the rank's
//! program is at its end, as often as [`Scope::checkpoints`] says; and whenever nothing else can happen the next timer goes off
//! that makes a difference, so that output is shown that waits for a line. Each write of a checkpoint ends in a turn of its own,
//! and where its process dies first (under unit `process`) both outcomes are explored; as many as [`Scope::failed_saves`] says fail. With [`Grain::Wait`] a rank hears at once
//! what whoever coordinates tells it about checkpoints, unless something is on its way to it already, and when it begins it
//! has what was told before; what checkpointing protocols tell each other arrives in turns under either grain.
//!
//! What is not explored: other timers, logs that cannot be written, partitions and false suspicion, and endless repetition (a
//! state in which something can happen for ever without getting anywhere is not found; one in which nothing can happen is).
//! What the observer remembers of earlier lives call by call is not part of the fingerprint: of two ways to a state that differ
//! in nothing else, it judges one.

mod explorer;
mod scenario;
mod story;

use std::num::NonZeroUsize;

use egida_core::binder::{BindError, Judged};
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_spec::protocol::Protocol;

pub use explorer::Progress;
pub use scenario::{Besides, scenario};

pub use crate::simulation::Grain;

use crate::job::Control;
use crate::simulation::Manner;
use explorer::Explorer;

/// What is to be explored.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Ranks, domains, failure unit.
    pub setting: Setting,
    /// How many messages are sent.
    pub messages: u32,
    /// What ranks do besides.
    pub besides: Besides,
    /// How many ranks may die.
    pub crashes: u32,
    /// How much a rank does in one turn.
    pub grain: Grain,
    /// How often each rank's timer for checkpoints may go off at any moment. When nothing else can happen it does so anyway.
    pub checkpoints: u32,
    /// How many writes of checkpoints may fail.
    pub failed_saves: u32,
    /// What is left out, to show what it is for.
    pub control: Option<Control>,
    /// How many states may be visited.
    pub max_states: usize,
    /// How many processors to use.
    pub jobs: NonZeroUsize,
}

impl Scope {
    fn manner(&self) -> Manner {
        Manner { grain: self.grain, checkpoints: self.checkpoints }
    }
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
