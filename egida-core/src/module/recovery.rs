//! CollectDeterminants and OrphanDetection: state machines of recovery.

use std::collections::BTreeSet;

use super::Module;
use crate::clock::{IncarnationClock, Token};
use crate::ids::Rank;

/// A question of a recovery to the node of a rank: what does it hold for these owners?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The recovering rank on whose behalf it is asked.
    pub asker: Rank,
    /// The rank whose held determinants are asked for. Its node answers, the rank may be busy.
    pub holder: Rank,
    /// The owners.
    pub owners: BTreeSet<Rank>,
}

/// Where a collection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It waits for answers, after these questions are asked.
    Pending(Vec<Question>),
    /// Everything asked for is here.
    Done,
}

/// Collects determinants during recovery.
///
/// A driver calls [`CollectDeterminants::retrieve_determinants`] once all failed ranks are reaped and survivors are
/// quiet, then reports answers and deaths until it is [`Step::Done`]. The determinants themselves go into the round's
/// [`Collected`](crate::recovery::Collected).
pub trait CollectDeterminants: Module {
    /// Starts a collection for `failed` ranks among `ranks`.
    fn retrieve_determinants(&mut self, failed: &BTreeSet<Rank>, ranks: u32) -> Step;

    /// The node of `holder` has answered `asker`.
    fn on_message(&mut self, asker: Rank, holder: Rank) -> Step;

    /// A rank died while the collection ran; it starts anew for a larger set.
    fn on_peer_death(&mut self, rank: Rank) -> Step;

    /// No answer came for a while: asks again what is still open.
    fn on_timer(&mut self) -> Step;
}

/// What is known of a message, or of an event, from the clock of what it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing that it depends on is known to be lost.
    Valid,
    /// It depends on a version of a process before whose end is known: it must wait for that token.
    Undecided,
    /// It depends on an event that is lost: it never happened.
    Obsolete,
}

/// Detects orphans: states and messages that depend on events that no execution can regain.
///
/// One instance runs in each rank, one in the recovery coordinator.
pub trait OrphanDetection: Module {
    /// Judges a message, or an event, by its clock.
    fn judge(&self, clock: &IncarnationClock) -> Standing;

    /// A message with this clock was delivered: the rank's state depends on what it depends on.
    fn delivered(&mut self, clock: &IncarnationClock);

    /// A version of a process has ended. Returns whether the rank's state is an orphan.
    fn token(&mut self, token: Token) -> bool;

    /// Whether recovery asks every rank what it depends on and so finds the orphans itself. Otherwise it announces what is
    /// lost, and each rank finds out for itself.
    fn asks_everyone(&self) -> bool;
}
