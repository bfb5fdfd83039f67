//! What to simulate, and how it went.

use std::fmt;

use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::recovery::End;
use egida_core::setting::Setting;
use egida_spec::protocol::Protocol;

use crate::application::Model;
use crate::observer::Transfers;
use crate::oracle::{Exposed, Violation, Zigzag};
use crate::schedule::{Faults, Schedule};
use crate::scheduler::Time;

/// A job to simulate.
pub struct Job<'a> {
    /// The protocol.
    pub protocol: &'a Protocol,
    /// Ranks, domains, failure unit.
    pub setting: Setting,
    /// What the ranks do.
    pub model: &'a dyn Model,
    /// What goes wrong, and when.
    pub schedule: Schedule,
    /// How bad the world is beside that.
    pub faults: Faults,
    /// Decides every delay.
    pub seed: u64,
    /// Whether the observer watches what depends on what: it costs memory of the square of the number of ranks.
    pub observed: bool,
    /// Whether the outcome has a line for each event of note.
    pub traced: bool,
    /// A job that takes more events than this never ends.
    pub limit_events: u64,
    /// The time between two checkpoints, in place of the specification's: simulated jobs are short.
    pub checkpoint_every: Option<Time>,
    /// The control of an experiment.
    pub control: Option<Control>,
}

/// What is left out of a run to show what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Recovery forgets all determinants.
    DiscardDeterminants,
    /// Checkpoints that are to be in the memory of others are taken for durable when their ranks alone have them.
    DurableBeforeMirrored,
    /// A checkpoint that cannot be written is taken for durable: what it covers is let go of.
    FailedWritesCommit,
    /// What the world has seen of a rank's output is forgotten when the rank dies.
    LedgerDies,
    /// The second message of each channel comes with a tag that it was not sent with.
    Mislabelled,
    /// The second message of each channel comes with other bytes than it was sent with.
    Altered,
    /// Checkpoints are collected together with the one that took their place.
    CollectTooMuch,
    /// Checkpoints are collected once a later one of their rank is durable, whether that can turn out an orphan or not.
    CollectUnstable,
    /// Incarnations that were given up go on to write to channels, journals and the world.
    Unfenced,
    /// What is logged is taken for stable before it is written.
    StableBeforeWritten,
    /// Senders may forget what has arrived, whether it was delivered or not.
    ReleasedOnArrival,
    /// Recovery reads the logs of those only that are to be started.
    NoWitnesses,
}

impl<'a> Job<'a> {
    /// A job in which nothing goes wrong, observed and traced.
    #[must_use]
    pub fn new(protocol: &'a Protocol, setting: Setting, model: &'a dyn Model, seed: u64) -> Self {
        Self {
            protocol,
            setting,
            model,
            schedule: Schedule::default(),
            faults: Faults::default(),
            seed,
            observed: true,
            traced: true,
            limit_events: 200_000,
            checkpoint_every: None,
            control: None,
        }
    }

    /// The same with this schedule.
    #[must_use]
    pub fn with(self, schedule: impl Into<Schedule>) -> Self {
        Self { schedule: schedule.into(), ..self }
    }
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
    /// How many checkpoints each rank took, in all its lives.
    pub checkpoints: Vec<u64>,
    /// How many of them a message forced.
    pub forced_checkpoints: Vec<u64>,
    /// What the observer saw of recovery lines.
    pub lines: LinesTaken,
    /// What it saw of the paths between checkpoints, where ranks return to lines of them and not too many messages were sent.
    pub zigzag: Option<Zigzag>,
    /// The most that was kept at a time, where checkpoints are taken.
    pub kept: Kept,
    /// How many events happened.
    pub events: u64,
    /// One line for each event of note: failures, recovery, beginnings and ends.
    pub trace: Vec<String>,
}

/// Lines of checkpoints that recovery returned to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinesTaken {
    /// How many.
    pub count: u64,
    /// How many were older than they had to be.
    pub not_the_newest: u64,
    /// How many were made of checkpoints with different indices.
    pub of_several_indices: u64,
    /// How often a rank returned that could have stayed as it was.
    pub needless_returns: u64,
}

/// How much is kept for recovery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Messages on channels.
    pub records: usize,
    /// Entries of journals.
    pub entries: usize,
    /// Determinants in the memory of nodes that they were copied to.
    pub held: usize,
    /// Checkpoints of a rank.
    pub checkpoints: usize,
}

impl Kept {
    /// The more of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            records: self.records.max(other.records),
            entries: self.entries.max(other.entries),
            held: self.held.max(other.held),
            checkpoints: self.checkpoints.max(other.checkpoints),
        }
    }
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
    /// An observer found something wrong.
    Violated(Violation),
    /// Recovery took a line on which a message is received that is not sent.
    Inconsistent,
    /// Something was collected that the rank's recovery may need.
    CollectedTooMuch(Rank),
    /// Nothing could happen any more, or too much did.
    Stuck,
}

/// A sentence for people.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done | Self::Ended(End::Done(0)) => f.write_str("every rank came to its end"),
            Self::Ended(End::Done(code)) => write!(f, "a rank left with status {code}"),
            Self::Ended(End::Left { rank, code }) => {
                write!(f, "rank {rank} left with status {code} before its end")
            }
            Self::Ended(End::Died { rank, .. }) => {
                write!(f, "rank {rank} died, and the protocol does not recover")
            }
            Self::Ended(End::Unrecoverable(why)) => write!(f, "unrecoverable: {why}"),
            Self::Ended(End::Hopeless { rank, deaths, .. }) => {
                write!(f, "rank {rank} died {deaths} times at the same event")
            }
            Self::Failed(rank, fault) => write!(f, "rank {rank} cannot go on: {fault}"),
            Self::Contradicted(rank) => write!(f, "rank {rank} contradicted output that the world has seen"),
            Self::Exposed(Exposed { survivor, owner, needed, found }) => write!(
                f,
                "rank {survivor} depends on {needed} events of rank {owner}, of which {found} could be found again \
                 if rank {owner} failed now"
            ),
            Self::Violated(violation) => violation.fmt(f),
            Self::Inconsistent => f.write_str("a recovery line has a message received that it has not sent"),
            Self::CollectedTooMuch(rank) => {
                write!(f, "there is no line of checkpoints any more that rank {rank} could return to")
            }
            Self::Stuck => f.write_str("nothing could happen any more, or it went on without end"),
        }
    }
}
