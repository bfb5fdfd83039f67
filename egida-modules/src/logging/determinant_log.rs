//! The log of determinants.

use std::collections::VecDeque;

use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::gate::{Gate, StoreId};
use egida_core::ids::Position;
use egida_core::module::{Entry, EntryId, LogContext, LogEventDeterminant};
use egida_core::registry::Build;

/// Numbers determinants in the order logged and writes them through `HowToLog`.
#[derive(Debug, Clone)]
pub struct DeterminantLog {
    next: EntryId,
    /// Whether anybody asks which determinants have become stable, and what is stable stays so.
    watched: bool,
    /// Those that a store does not hold yet, as far as is known.
    pending: VecDeque<(EntryId, StoreId, Position)>,
}

impl DeterminantLog {
    /// The log of the rank that `build` names.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        Self { next: 0, watched: build.mirrored && build.lasting, pending: VecDeque::new() }
    }
}

impl LogEventDeterminant for DeterminantLog {
    fn log(
        &mut self,
        context: &mut LogContext<'_>,
        determinant: &Determinant,
        own: bool,
    ) -> Result<(EntryId, Gate), Fault> {
        let entry = if own { Entry::Own(determinant) } else { Entry::Held(determinant) };
        let (receipt, gate) = context.write(entry)?;
        let id = self.next;
        self.next += 1;
        // One that went past the journal was put back at recovery, which says itself whether it is stable.
        if let Some(store) = receipt.store.filter(|_| self.watched && receipt.position > 0) {
            self.pending.push_back((id, store, receipt.position));
        }
        Ok((id, gate))
    }

    fn retrieve<'a>(&self, context: &'a mut LogContext<'_>, id: EntryId) -> Option<&'a [u8]> {
        context.read(id)
    }

    fn flush(&mut self, context: &mut LogContext<'_>, position: Position) -> Gate {
        context.flush(position)
    }

    fn stabilized(&mut self, context: &LogContext<'_>, ids: &mut Vec<EntryId>) {
        while let Some(&(id, store, position)) = self.pending.front()
            && position <= context.stable(store)
        {
            ids.push(id);
            self.pending.pop_front();
        }
    }

    fn garbage_collect(&mut self, context: &mut LogContext<'_>, below: EntryId) {
        context.forget(below);
    }
}
