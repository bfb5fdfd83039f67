//! The shape of a job, which a specification does not know.

use egida_spec::protocol::FailureUnit;

use crate::ids::Domains;

/// How many ranks there are and what fails as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The ranks, grouped by failure domain.
    pub domains: Domains,
    /// The failure unit.
    pub unit: FailureUnit,
    /// Whether whoever runs the ranks can take images of their applications, and so checkpoints.
    pub images: bool,
}
