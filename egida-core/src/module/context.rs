//! What a module may reach while it is called, and the record of who called whom.

use super::logging::{HowToLog, LogEventDeterminant, WhereToLog};
use super::storage::{Entry, EntryId, Receipt, StableStorage, VolatileStorage};
use crate::driver::JournalEntry;
use crate::event::Determinant;
use crate::fault::Fault;
use crate::gate::{Gate, StoreId};
use crate::ids::{Domain, Position};

/// The part of a driver that storages write to.
pub trait Journal {
    /// Appends an entry and returns the position behind it.
    ///
    /// # Errors
    /// Any [`Fault`] of the driver.
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault>;

    /// Asks that a store make the journal stable up to a position soon.
    fn flush(&mut self, store: StoreId, position: Position);

    /// The position below which a store holds every entry that it is to hold.
    fn stable(&self, store: StoreId) -> Position;
}

/// A journal that keeps nothing: for entries that an earlier incarnation has journaled already.
#[derive(Debug, Default)]
pub struct MutedJournal;

impl Journal for MutedJournal {
    fn log(&mut self, _: JournalEntry<'_>) -> Result<Position, Fault> {
        Ok(0)
    }

    fn flush(&mut self, _: StoreId, _: Position) {}

    fn stable(&self, _: StoreId) -> Position {
        0
    }
}

/// One call of a module's method, as the instrumented stack records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// How many recorded calls enclose it.
    pub depth: u32,
    /// The module.
    pub module: &'static str,
    /// The method.
    pub method: &'static str,
}

/// The record of calls. Off, it costs one test per call.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    enabled: bool,
    depth: u32,
    calls: Vec<Call>,
}

impl Trace {
    /// Starts recording.
    pub fn enable(&mut self) {
        self.enabled = true;
    }

    /// Whether calls are recorded.
    #[must_use]
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Takes what was recorded.
    pub fn take(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn enter(&mut self, module: &'static str, method: &'static str) {
        if self.enabled {
            self.calls.push(Call { depth: self.depth, module, method });
            self.depth += 1;
        }
    }

    pub(crate) fn leave(&mut self) {
        if self.enabled {
            self.depth -= 1;
        }
    }
}

/// For StableStorage and VolatileStorage: the journal.
pub struct StorageContext<'a> {
    /// The journal.
    pub journal: &'a mut dyn Journal,
    pub(crate) trace: &'a mut Trace,
}

/// For WhereToLog: the storages it chooses from.
pub struct PlaceContext<'a> {
    pub(crate) stable: Option<&'a mut (dyn StableStorage + 'a)>,
    pub(crate) volatile: Option<&'a mut (dyn VolatileStorage + 'a)>,
    pub(crate) storage: StorageContext<'a>,
    pub(crate) copies: Domain,
}

impl PlaceContext<'_> {
    /// Writes to stable storage; `None` where the stack has none here.
    pub fn write_stable(&mut self, entry: Entry<'_>) -> Option<Result<Receipt, Fault>> {
        let stable = self.stable.as_deref_mut()?;
        self.storage.trace.enter("StableStorage", "Write");
        let receipt = stable.write(&mut self.storage, entry);
        self.storage.trace.leave();
        Some(receipt)
    }

    /// Writes to volatile storage; `None` where the stack has none here.
    pub fn write_volatile(&mut self, entry: Entry<'_>) -> Option<Result<Receipt, Fault>> {
        let volatile = self.volatile.as_deref_mut()?;
        self.storage.trace.enter("VolatileStorage", "Write");
        let receipt = volatile.write(&mut self.storage, entry);
        self.storage.trace.leave();
        Some(receipt)
    }

    /// Reads from volatile storage, and where that does not have it, from stable storage.
    pub fn read(&mut self, id: EntryId) -> Option<&[u8]> {
        if let Some(volatile) = self.volatile.as_deref() {
            self.storage.trace.enter("VolatileStorage", "Read");
            self.storage.trace.leave();
            if volatile.read(id).is_some() {
                return volatile.read(id);
            }
        }
        let stable = self.stable.as_deref()?;
        self.storage.trace.enter("StableStorage", "Read");
        self.storage.trace.leave();
        stable.read(id)
    }

    /// Drops determinants below that number from both.
    pub fn forget(&mut self, below: EntryId) {
        if let Some(volatile) = self.volatile.as_deref_mut() {
            volatile.forget(below);
        }
        if let Some(stable) = self.stable.as_deref_mut() {
            stable.forget(below);
        }
    }

    /// Flushes: stable storage where there is one, else says how many copies volatile memory needs.
    pub fn flush(&mut self, position: Position) -> Gate {
        if let Some(stable) = self.stable.as_deref_mut() {
            self.storage.trace.enter("StableStorage", "Write");
            let gate = stable.flush(&mut self.storage, position);
            self.storage.trace.leave();
            return gate;
        }
        let Some(volatile) = self.volatile.as_deref_mut() else { return Gate::open() };
        self.storage.trace.enter("VolatileStorage", "Write");
        let gate = volatile.flush(position, self.copies);
        self.storage.trace.leave();
        gate
    }
}

/// For HowToLog: WhereToLog.
pub struct WriteContext<'a> {
    pub(crate) place: &'a mut (dyn WhereToLog + 'a),
    pub(crate) below: PlaceContext<'a>,
}

impl WriteContext<'_> {
    /// Writes through WhereToLog.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    pub fn write(&mut self, entry: Entry<'_>) -> Result<Receipt, Fault> {
        self.below.storage.trace.enter("WhereToLog", "Write");
        let receipt = self.place.write(&mut self.below, entry);
        self.below.storage.trace.leave();
        receipt
    }

    pub(crate) fn read_through(&mut self, id: EntryId) -> Option<&[u8]> {
        self.below.storage.trace.enter("WhereToLog", "Read");
        self.place.read(&mut self.below, id)
    }
}

/// For LogEventDeterminant and LogEventInfo: HowToLog.
pub struct LogContext<'a> {
    pub(crate) how: &'a mut (dyn HowToLog + 'a),
    pub(crate) below: WriteContext<'a>,
}

impl LogContext<'_> {
    fn trace(&mut self) -> &mut Trace {
        self.below.below.storage.trace
    }

    /// Writes through HowToLog.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    pub fn write(&mut self, entry: Entry<'_>) -> Result<(Receipt, Gate), Fault> {
        self.trace().enter("HowToLog", "Write");
        let written = self.how.write(&mut self.below, entry);
        self.trace().leave();
        written
    }

    /// Reads through HowToLog.
    pub fn read(&mut self, id: EntryId) -> Option<&[u8]> {
        self.trace().enter("HowToLog", "Read");
        self.how.read(&mut self.below, id)
    }

    /// The position of this rank's journal below which a store holds every entry that it is to hold.
    #[must_use]
    pub fn stable(&self, store: StoreId) -> Position {
        self.below.below.storage.journal.stable(store)
    }

    /// Drops determinants below that number.
    pub fn forget(&mut self, below: EntryId) {
        self.below.place.forget(&mut self.below.below, below);
    }

    /// Flushes through HowToLog and WhereToLog.
    pub fn flush(&mut self, position: Position) -> Gate {
        self.trace().enter("HowToLog", "Write");
        self.trace().enter("WhereToLog", "Write");
        let gate = self.below.place.flush(&mut self.below.below, position);
        self.trace().leave();
        self.trace().leave();
        gate
    }
}

/// For PiggybackLogging: LogEventDeterminant.
pub struct PiggybackContext<'a> {
    pub(crate) log_determinant: &'a mut (dyn LogEventDeterminant + 'a),
    pub(crate) below: LogContext<'a>,
}

impl PiggybackContext<'_> {
    /// Logs a determinant held for another rank.
    ///
    /// # Errors
    /// Any [`Fault`] of the storage.
    pub fn log(&mut self, determinant: &Determinant) -> Result<EntryId, Fault> {
        self.below.trace().enter("LogEventDeterminant", "Log");
        let logged = self.log_determinant.log(&mut self.below, determinant, false);
        self.below.trace().leave();
        logged.map(|(id, _)| id)
    }

    /// Appends a logged determinant, in its encoded form. Returns whether it was there.
    pub fn retrieve(&mut self, id: EntryId, out: &mut Vec<u8>) -> bool {
        // The reads below return borrows and so cannot note where they end; their end is this call's.
        let depth = self.below.trace().depth;
        self.below.trace().enter("LogEventDeterminant", "Retrieve");
        let found = match self.log_determinant.retrieve(&mut self.below, id) {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                true
            }
            None => false,
        };
        self.below.trace().depth = depth;
        found
    }

    /// Adds the numbers of the logged determinants that have come to lie on stable storage since the last call.
    pub fn stabilized(&mut self, ids: &mut Vec<EntryId>) {
        self.log_determinant.stabilized(&self.below, ids);
    }

    /// Tells the log that determinants with numbers below `below` will not be asked for again.
    pub fn garbage_collect(&mut self, below: EntryId) {
        self.below.trace().enter("LogEventDeterminant", "GarbageCollect");
        self.log_determinant.garbage_collect(&mut self.below, below);
        self.below.trace().leave();
    }
}
