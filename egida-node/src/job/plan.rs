//! What is to be run, and how.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use egida_core::binder::Bound;
use egida_core::ids::Domains;
use egida_spec::protocol::FailureUnit;

use crate::kill::KillOrder;
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
    /// The text of the specification, for the ranks.
    pub specification: String,
    /// The specification, bound for the node's own use.
    pub bound: Bound,
    /// The backends of stable storage there are.
    pub backends: Backends,
    /// How much memory channels and journals may take.
    pub limit_bytes: u64,
    /// What the user wants besides.
    pub options: Options,
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
}
