//! CollectDeterminants and OrphanDetection: state machines of recovery.

use std::collections::BTreeSet;

use crate::fault::Fault;
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
pub trait CollectDeterminants: Send {
    /// Starts a collection for `failed` ranks among `ranks`.
    fn retrieve_determinants(&mut self, failed: &BTreeSet<Rank>, ranks: u32) -> Step;

    /// The node of `holder` has answered `asker`.
    fn on_message(&mut self, asker: Rank, holder: Rank) -> Step;

    /// A rank died while the collection ran; it starts anew for a larger set.
    fn on_peer_death(&mut self, rank: Rank) -> Step;

    /// No answer came for a while: asks again what is still open.
    fn on_timer(&mut self) -> Step;
}

/// Detects orphans. No module of this build implements it yet; the binder refuses a specification that names one.
pub trait OrphanDetection: Send {
    /// Starts the detection after ranks failed; returns those known to be orphans so far.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn detect_orphans(&mut self, failed: &BTreeSet<Rank>) -> Result<BTreeSet<Rank>, Fault>;
}
