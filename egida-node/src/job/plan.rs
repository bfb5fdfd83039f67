//! What is to be run, and how.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use egida_core::binder::{BindError, Bound, bind};
use egida_core::ids::Domains;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_spec::Diagnostic;
use egida_spec::protocol::FailureUnit;

use crate::hosts::Hosting;
use crate::kill::KillOrder;
use crate::limit::default_limit_bytes;
use crate::spilling::Spill;
use crate::storage::Backends;

/// A job.
pub struct Plan {
    /// The program, searched for in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How many ranks, and which share a node.
    pub domains: Domains,
    /// How many ranks a node has.
    pub ranks_per_domain: u32,
    /// What fails as one.
    pub unit: FailureUnit,
    /// Whether the user or the specification said so.
    pub is_unit_chosen: bool,
    /// The text of the specification, for the ranks.
    pub specification: String,
    /// The specification, bound for the node's own use.
    pub bound: Bound,
    /// The backends of stable storage there are.
    pub backends: Backends,
    /// How much memory channels and journals may take, on each host.
    pub limit_bytes: u64,
    /// How much of it is made ready before the job begins, on each host.
    pub ready_bytes: u64,
    /// Where they go on beyond that, on each host.
    pub spill: Option<Spill>,
    /// The hosts that have the ranks, where that is not this one.
    pub hosting: Option<Hosting>,
    /// What the user wants besides.
    pub options: Options,
}

/// The size of a job, and what fails as one in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many ranks.
    pub ranks: u32,
    /// How many of them share a node, where the failure unit is the node.
    pub ranks_per_node: u32,
    /// The failure unit; nothing for the specification's own, else `process`.
    pub unit: Option<FailureUnit>,
}

/// Why a specification cannot be run.
#[derive(Debug)]
pub enum PlanError {
    /// Its text is wrong.
    Text(Vec<Diagnostic>),
    /// It cannot be bound to modules of this build in a job of this shape.
    Bind(Vec<BindError>),
}

impl Plan {
    /// A plan to run `program` under a specification. `name` is where that is from, for a protocol without a name.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(
        program: OsString,
        args: Vec<OsString>,
        shape: Shape,
        (name, specification): (&str, String),
        registry: &Registry,
    ) -> Result<Self, PlanError> {
        let loaded = egida_spec::load_with(name, &specification, &registry.vocabulary);
        let Some(protocol) = loaded.protocol else { return Err(PlanError::Text(loaded.diagnostics)) };
        let declared = protocol.failure_unit.as_ref().map(|unit| unit.value);
        let unit = shape.unit.or(declared).unwrap_or(FailureUnit::Process);
        let ranks_per_domain = match unit {
            FailureUnit::Process => 1,
            FailureUnit::Node => shape.ranks_per_node.max(1),
        };
        let domains = Domains::blocks(shape.ranks, ranks_per_domain);
        let setting = Setting { domains: domains.clone(), unit, images: false };
        let bound = bind(&protocol, registry, &setting, 0).map_err(PlanError::Bind)?;
        Ok(Self {
            program,
            args,
            domains,
            ranks_per_domain,
            unit,
            is_unit_chosen: shape.unit.or(declared).is_some(),
            specification,
            bound,
            backends: Backends::default(),
            limit_bytes: default_limit_bytes(),
            ready_bytes: 0,
            spill: None,
            hosting: None,
            options: Options::default(),
        })
    }
}

/// What the user may choose for a job.
#[derive(Debug, Default)]
pub struct Options {
    /// Who is to die.
    pub kills: Vec<KillOrder>,
    /// Where durable state goes; a fresh directory that is removed in the end where nothing is said.
    pub state_dir: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// Where the trace goes.
    pub trace: Option<PathBuf>,
    /// Whether lines of output begin with their rank.
    pub tag_output: bool,
    /// Whether the launcher says only what went wrong.
    pub quiet: bool,
    /// Whether a divergence is only told of.
    pub diverging_is_fine: bool,
    /// Whether recovery is given no determinants, to show what they are for.
    pub discard_determinants: bool,
    /// How long the job may take.
    pub timeout: Option<Duration>,
    /// The MPI library, where the program is an interpreter that would load it too late.
    pub preload: Option<PathBuf>,
}
