//! The log of messages, delivered or sent.

use egida_core::fault::Fault;
use egida_core::gate::Gate;
use egida_core::module::{Entry, LogContext, LogEventInfo, Receipt};

/// Writes messages through `HowToLog`. They are read at recovery only, by the node.
#[derive(Debug, Clone, Copy)]
pub struct MessageLog;

impl LogEventInfo for MessageLog {
    fn log(&mut self, context: &mut LogContext<'_>, message: Entry<'_>) -> Result<(Receipt, Gate), Fault> {
        context.write(message)
    }

    fn passes_sent(&self) -> bool {
        true
    }
}
