//! The log of determinants.

use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::gate::Gate;
use egida_core::ids::Position;
use egida_core::module::{Entry, EntryId, LogContext, LogEventDeterminant};

/// Numbers determinants in the order logged and writes them through `HowToLog`.
#[derive(Debug, Clone, Default)]
pub struct DeterminantLog {
    next: EntryId,
}

impl LogEventDeterminant for DeterminantLog {
    fn log(
        &mut self,
        context: &mut LogContext<'_>,
        determinant: &Determinant,
        own: bool,
    ) -> Result<(EntryId, Gate), Fault> {
        let entry = if own { Entry::Own(determinant) } else { Entry::Held(determinant) };
        let (_, gate) = context.write(entry)?;
        let id = self.next;
        self.next += 1;
        Ok((id, gate))
    }

    fn retrieve<'a>(&self, context: &'a mut LogContext<'_>, id: EntryId) -> Option<&'a [u8]> {
        context.read(id)
    }

    fn flush(&mut self, context: &mut LogContext<'_>, position: Position) -> Gate {
        context.flush(position)
    }

    fn garbage_collect(&mut self, context: &mut LogContext<'_>, below: EntryId) {
        context.forget(below);
    }
}
