//! A stack describes itself: which modules it has and why, who calls whom at each event (Figure 5 of the Egida paper),
//! and what follows for whoever runs a program on it.
//!
//! Nothing here is read off the name of a class. Live stacks are bound for two ranks and driven through each event of
//! section 3.1 with their calls recorded; what waits for what is read off the gates they answer with; whether survivors
//! roll back is found by letting one of the two die and collecting what is left.
//!
//! ```text
//!   Protocol + Registry + Shape ── bind ──> two stacks ── drive ──> EventRecord, Wait, Survivors
//!                                  bind ──> 2, 4, 8, 16 stacks ──> Measured
//! ```

mod bench;
mod dot;
mod events;
mod growth;
mod summary;
mod survival;
mod text;

use egida_spec::protocol::{Class, FailureUnit, Origin, Protocol};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::binder::{BindError, Bound};
use crate::fault::Fault;
use crate::ids::Domains;
use crate::module::PiggybackError;
use crate::registry::Registry;
use crate::setting::Setting;

use bench::Bench;

/// The job that a description is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many ranks.
    pub ranks: u32,
    /// How many of them share a node.
    pub ranks_per_node: u32,
    /// What fails as one.
    pub unit: FailureUnit,
}

impl Shape {
    /// The ranks grouped by what fails as one.
    #[must_use]
    pub fn setting(&self) -> Setting {
        let per_domain = match self.unit {
            FailureUnit::Process => 1,
            FailureUnit::Node => self.ranks_per_node,
        };
        Setting { domains: Domains::blocks(self.ranks, per_domain), unit: self.unit, images: true }
    }
}

/// A specification's file name and text, to quote lines from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// What a stack says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The protocol's name.
    pub protocol: String,
    /// The specification's file name.
    pub specification: String,
    /// The failure unit that it was bound for.
    pub unit: FailureUnit,
    /// For how many ranks.
    pub ranks: u32,
    /// In how many failure domains.
    pub domains: u32,
    /// The table of modules.
    pub modules: Vec<Module>,
    /// The calls at each event.
    pub events: Vec<EventRecord>,
    /// What follows.
    pub summary: Summary,
}

/// One row of the table of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The slot, named as in section 4.1 of the paper.
    pub slot: String,
    /// The value of the language that chose the implementation; empty where there is one implementation only.
    pub value: String,
    /// The implementation.
    pub implementation: String,
    /// Where the value comes from.
    pub from: Provenance,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// A line of the specification.
    Line {
        /// Its number, from 1.
        number: usize,
        /// Its text.
        text: String,
    },
    /// A documented default, and why it is that.
    Default(String),
    /// There is one implementation, and nothing to choose.
    OnlyOne,
}

/// An event and what the stack did at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// A short name.
    pub event: String,
    /// What happens.
    pub what: String,
    /// Which module of section 4.2 brings it to the event handler.
    pub raised_by: String,
    /// The calls, in order, as recorded.
    pub calls: Vec<RecordedCall>,
    /// What came into the rank's journal.
    pub journal: Vec<JournalNote>,
    /// How many bytes were piggybacked, where the event is a send.
    pub piggyback_bytes: Option<u64>,
}

/// A recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// How many recorded calls enclose it.
    pub depth: u32,
    /// The module.
    pub module: String,
    /// The method.
    pub method: String,
    /// How often in a row.
    pub times: u32,
}

/// An entry that came into a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalNote {
    /// What it is.
    pub entry: String,
    /// The stable storages that come to hold it; none for one that stays in memory.
    pub stores: Vec<String>,
    /// Its length.
    pub bytes: u64,
}

/// What follows from how the stack behaved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The class.
    pub class: Class,
    /// What decided it.
    pub decided_by: Option<Decision>,
    /// What may wait, and for what. An action that is not here never waits.
    pub waits: Vec<Wait>,
    /// What messages carry.
    pub piggyback: Piggyback,
    /// What may fail, under each failure unit.
    pub tolerance: Vec<UnitTolerance>,
    /// Whether survivors ever roll back.
    pub survivors: Survivors,
    /// How recovery finds determinants in the memory of others.
    pub retrieval: Option<Retrieval>,
    /// What must be kept for recovery, and until when.
    pub kept: Vec<Kept>,
}

/// The place that decided something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The place.
    pub from: Provenance,
    /// Why.
    pub why: String,
}

/// An action that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What waits.
    pub action: Action,
    /// After which events: names of [`EventRecord::event`].
    pub after: Vec<String>,
    /// What must be true first, all of it.
    pub until: Vec<Condition>,
}

/// What may have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The application sees a message.
    Delivery,
    /// A message may be read by its receiver.
    Send,
    /// Output leaves the job.
    Output,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Delivery, Self::Send, Self::Output];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Send => "send",
            Self::Output => "output",
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// A stable storage holds what the rank has logged so far.
    On(String),
    /// So many failure domains hold in memory what the rank has logged so far, its own included.
    InMemoryOf(u32),
    /// Every rank's log holds what the rank had logged by then.
    OnLogsOfOthers,
    /// A later checkpoint of the rank is part of a recovery line that is durable as a whole.
    OnLine,
}

/// What messages carry, and how it grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piggyback {
    /// What is piggybacked: the value, and how it grows with the number of processes.
    pub values: Vec<(String, String)>,
    /// Measured in a drive that is the same for every protocol.
    pub measured: Vec<Measured>,
}

/// Piggybacks measured in a job of some size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How many ranks.
    pub ranks: u32,
    /// How many messages were sent.
    pub messages: u64,
    /// How many bytes they carried together.
    pub bytes: u64,
    /// The most that one of them carried.
    pub largest_bytes: u64,
}

/// What may fail under a failure unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitTolerance {
    /// The unit.
    pub unit: FailureUnit,
    /// The class under this unit.
    pub class: Class,
    /// Whether the checker accepts the specification under this unit.
    pub accepted: bool,
    /// How many may be down at once; nothing for any number. Means nothing where the specification is not accepted.
    pub failures: Option<u32>,
}

/// What became of a survivor that depends on a rank that died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survivors {
    /// Nothing is recovered: a death ends the job.
    NothingRecovers,
    /// Every event that it depends on was found again: it goes on.
    GoOn {
        /// How many events it depends on.
        events: u64,
        /// How many of them a stable storage had.
        on_stable_storage: u64,
        /// How many of them the memory of another failure domain had.
        in_memory_of_others: u64,
    },
    /// An event that it depends on is lost: it would have to roll back.
    RollBack {
        /// What recovery says.
        why: String,
    },
}

/// The questions of a retrieval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieval {
    /// How many questions are asked when one rank failed.
    pub questions_after_one: u64,
    /// How many when two failed at once.
    pub questions_after_two: u64,
    /// How many of two failed ranks ask.
    pub askers_of_two: u64,
}

/// Something that is kept for recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What.
    pub what: String,
    /// Where.
    pub place: String,
    /// Until when.
    pub until: String,
}

/// Why there is no description.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DescribeError {
    /// The protocol does not bind.
    #[error("the specification does not bind")]
    Bind(Vec<BindError>),
    /// A module failed while its event was driven.
    #[error("a module failed while it was driven: {0}")]
    Fault(#[from] Fault),
}

impl From<PiggybackError> for DescribeError {
    fn from(error: PiggybackError) -> Self {
        Self::Fault(match error {
            PiggybackError::Log(fault) => fault,
            PiggybackError::Malformed(_) => {
                Fault::Bug("a module does not understand the piggyback that it made itself")
            }
        })
    }
}

impl From<Vec<BindError>> for DescribeError {
    fn from(errors: Vec<BindError>) -> Self {
        Self::Bind(errors)
    }
}

/// Binds a protocol for a job and has the stack describe itself.
///
/// # Errors
/// [`DescribeError::Bind`] with everything that stands against the protocol, or the fault of a module that could not be
/// driven.
pub fn describe(
    protocol: &Protocol,
    source: Source<'_>,
    registry: &Registry,
    shape: Shape,
) -> Result<Description, DescribeError> {
    let setting = shape.setting();
    let bound = crate::binder::bind(protocol, registry, &setting, 0)?;
    let bench = Bench::new(protocol, registry, shape);
    Ok(Description {
        protocol: bound.protocol.name.value.clone(),
        specification: source.name.to_owned(),
        unit: shape.unit,
        ranks: shape.ranks,
        domains: setting.domains.count(),
        modules: modules(&bound, source),
        events: events::record(&bench)?,
        summary: summary::summarize(&bound, &bench, source)?,
    })
}

fn modules(bound: &Bound, source: Source<'_>) -> Vec<Module> {
    bound
        .table
        .iter()
        .map(|row| Module {
            slot: row.slot.to_owned(),
            value: egida_spec::vocabulary::display_form(&row.value),
            implementation: row.implementation.to_owned(),
            from: row.origin.as_ref().map_or(Provenance::OnlyOne, |origin| Provenance::of(origin, source)),
        })
        .collect()
}

impl Provenance {
    fn of(origin: &Origin, source: Source<'_>) -> Self {
        let span = match origin {
            Origin::Written(span) => span,
            Origin::Default(why) => return Self::Default(why.clone()),
        };
        let start = source.text.floor_char_boundary(span.start);
        let number = source.text[..start].matches('\n').count() + 1;
        let text = source.text.lines().nth(number - 1).unwrap_or_default().trim().to_owned();
        Self::Line { number, text }
    }
}
