//! LogEventDeterminant and LogEventInfo: what is logged; HowToLog and WhereToLog: when and where.

use super::Module;
use super::context::{LogContext, PlaceContext, WriteContext};
use super::storage::{Entry, EntryId, Receipt};
use crate::event::Determinant;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::ids::Position;

/// Saves determinants of non-deterministic events.
pub trait LogEventDeterminant: Module {
    /// Logs a determinant, of this rank's own event or held for another rank. Returns its number and what the next
    /// dependency-generating event has to wait for.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    fn log(
        &mut self,
        context: &mut LogContext<'_>,
        determinant: &Determinant,
        own: bool,
    ) -> Result<(EntryId, Gate), Fault>;

    /// Shows a logged determinant that is not yet collected, in its encoded form.
    fn retrieve<'a>(&self, context: &'a mut LogContext<'_>, id: EntryId) -> Option<&'a [u8]>;

    /// Has everything logged so far, up to `position` of the journal, made stable; the gate opens when it is.
    fn flush(&mut self, context: &mut LogContext<'_>, position: Position) -> Gate;

    /// Adds the numbers of those determinants that have come to lie on stable storage since the last call. A log that
    /// goes to no stable storage has none.
    fn stabilized(&mut self, context: &LogContext<'_>, ids: &mut Vec<EntryId>) {
        let _ = (context, ids);
    }

    /// Drops what no one will ask for again: every determinant with a number below `below`.
    fn garbage_collect(&mut self, context: &mut LogContext<'_>, below: EntryId);
}

/// Saves the data of events: messages delivered, messages sent.
pub trait LogEventInfo: Module {
    /// Logs a message. Returns what the next dependency-generating event has to wait for.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    fn log(&mut self, context: &mut LogContext<'_>, message: Entry<'_>) -> Result<(Receipt, Gate), Fault>;

    /// Whether a sent message goes through here to the module below with nothing done and nobody made to wait. Where all modules
    /// of a path say so, nothing is left to be done for a message that stands on its channel, and they are not called.
    fn passes_sent(&self) -> bool {
        false
    }
}

/// Determines how logged information is accessed: does anyone wait for it.
pub trait HowToLog: Module {
    /// Writes an entry. The gate is what a dependency-generating event must wait for.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    fn write(&mut self, context: &mut WriteContext<'_>, entry: Entry<'_>) -> Result<(Receipt, Gate), Fault>;

    /// As [`LogEventInfo::passes_sent`], where no store is to hold the message.
    fn passes_sent(&self) -> bool {
        false
    }

    /// Reads a determinant.
    fn read<'a>(&self, context: &'a mut WriteContext<'_>, id: EntryId) -> Option<&'a [u8]> {
        context.read_through(id)
    }
}

/// Directs requests to the appropriate form of storage.
pub trait WhereToLog: Module {
    /// Writes an entry.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    fn write(&mut self, context: &mut PlaceContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault>;

    /// As [`LogEventInfo::passes_sent`], where there is no stable storage.
    fn passes_sent(&self) -> bool {
        false
    }

    /// Reads a determinant.
    fn read<'a>(&self, context: &'a mut PlaceContext<'_>, id: EntryId) -> Option<&'a [u8]>;

    /// Drops determinants below that number.
    fn forget(&mut self, context: &mut PlaceContext<'_>, below: EntryId);

    /// Has the journal made stable up to a position.
    fn flush(&mut self, context: &mut PlaceContext<'_>, position: Position) -> Gate;
}
