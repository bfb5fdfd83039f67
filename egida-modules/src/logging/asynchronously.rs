//! `asynchronously`: the entry becomes stable some time; nothing waits.

use egida_core::fault::Fault;
use egida_core::gate::Gate;
use egida_core::module::{Entry, HowToLog, Receipt, WriteContext};

/// Writes and closes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Asynchronously;

impl HowToLog for Asynchronously {
    fn write(&mut self, context: &mut WriteContext<'_>, entry: Entry<'_>) -> Result<(Receipt, Gate), Fault> {
        Ok((context.write(entry)?, Gate::open()))
    }

    fn passes_sent(&self) -> bool {
        true
    }
}
