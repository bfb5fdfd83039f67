//! `synchronously`: whatever depends on the entry waits until it is stable.

use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate};
use egida_core::module::{Entry, HowToLog, Receipt, WriteContext};

/// Closes a gate on the entry's position in its store.
///
/// The event itself takes effect at once; the next send or output waits (section 2 of the paper: pessimistic protocols
/// let processes *communicate* only from recoverable states). An entry that no store will hold closes nothing: memory
/// is written when it is written.
#[derive(Debug, Clone, Copy)]
pub struct Synchronously;

impl HowToLog for Synchronously {
    fn write(&mut self, context: &mut WriteContext<'_>, entry: Entry<'_>) -> Result<(Receipt, Gate), Fault> {
        let receipt = context.write(entry)?;
        let gate = match receipt.store {
            Some(store) => Gate::on(Condition::Stable { store, position: receipt.position }),
            None => Gate::open(),
        };
        Ok((receipt, gate))
    }

    fn passes_sent(&self) -> bool {
        true
    }
}
