//! What to simulate, and how it went.

use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::recovery::End;
use egida_core::setting::Setting;
use egida_spec::protocol::Protocol;

use crate::application::Model;
use crate::driver::Crash;
use crate::observer::Transfers;
use crate::oracle::Exposed;

/// A job to simulate.
pub struct Job<'a> {
    /// The protocol.
    pub protocol: &'a Protocol,
    /// Ranks, domains, failure unit.
    pub setting: Setting,
    /// What the ranks do.
    pub model: &'a dyn Model,
    /// Who dies where.
    pub crashes: Vec<Crash>,
    /// Decides every delay.
    pub seed: u64,
    /// Forget all determinants at recovery: the control that shows what they are for.
    pub discard_determinants: bool,
}

/// How a job went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: Ending,
    /// The final state of each rank.
    pub states: Vec<u64>,
    /// What each rank sent to each, in its last life.
    pub sent: Vec<Transfers>,
    /// What each rank received from each, in its last life.
    pub received: Vec<Transfers>,
    /// What each rank wrote, in its last life.
    pub written: Vec<Vec<u8>>,
    /// What the world saw of each rank's output.
    pub released: Vec<Vec<u8>>,
    /// How many times each rank died.
    pub deaths: Vec<u32>,
    /// One line per event.
    pub trace: Vec<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every rank came to its end.
    Done,
    /// As the coordinator said.
    Ended(End),
    /// A rank failed for good.
    Failed(Rank, Fault),
    /// A rank contradicted its own output.
    Contradicted(Rank),
    /// One more failure would have made an orphan, though no more were down than are tolerated.
    Exposed(Exposed),
    /// Nothing could happen any more, or too much did.
    Stuck,
}
