//! `WhereToLog` of a statement that names one storage.

use egida_core::fault::Fault;
use egida_core::gate::Gate;
use egida_core::ids::Position;
use egida_core::module::{Entry, EntryId, PlaceContext, Receipt, WhereToLog};

/// Writes to the one storage there is: the stable one where the statement names a stable one.
#[derive(Debug, Clone, Copy)]
pub struct Direct;

impl WhereToLog for Direct {
    fn write(&mut self, context: &mut PlaceContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault> {
        if let Some(receipt) = context.write_stable(entry) {
            return receipt;
        }
        context
            .write_volatile(entry)
            .unwrap_or(Err(Fault::Bug("a log statement was bound without a storage")))
    }

    fn passes_sent(&self) -> bool {
        true
    }

    fn read<'a>(&self, context: &'a mut PlaceContext<'_>, id: EntryId) -> Option<&'a [u8]> {
        context.read(id)
    }

    fn forget(&mut self, context: &mut PlaceContext<'_>, below: EntryId) {
        context.forget(below);
    }

    fn flush(&mut self, context: &mut PlaceContext<'_>, position: Position) -> Gate {
        context.flush(position)
    }
}
