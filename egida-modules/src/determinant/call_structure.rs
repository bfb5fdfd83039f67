//! `{source, sesn, dest, desn}` with the outcome and the number of the call it belongs to.

use egida_core::event;
use egida_core::ids::{EventIndex, Rank};
use egida_core::module::Determinant;

/// The structure of the paper's Figure 2, with what MPI needs besides: which call an outcome belongs to, since posting
/// and completing a receive are two calls with others between them.
#[derive(Debug, Clone, Copy)]
pub struct CallStructure;

impl Determinant for CallStructure {
    fn create_determinant(
        &mut self,
        owner: Rank,
        index: EventIndex,
        observed: u64,
        what: event::Happened,
    ) -> event::Determinant {
        event::Determinant { owner, index, observed, what, after: None }
    }
}
