//! `volatile memory of self`: the memory of the rank's own node.

use egida_core::driver::JournalEntry;
use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate};
use egida_core::ids::{Domain, Position};
use egida_core::module::{Entry, EntryId, Receipt, StorageContext, VolatileStorage};
use egida_core::registry::Build;

use super::encode::{encode, is_determinant};
use super::mirror::Mirror;

/// Keeps entries in the rank's journal, which lies in the memory of its node: it outlives the process, not the node. A
/// sent message needs nothing here, since its channel is a log in that same memory.
#[derive(Debug, Clone)]
pub struct VolatileMemoryOfSelf {
    mirror: Mirror,
    scratch: Vec<u8>,
}

impl VolatileMemoryOfSelf {
    /// The memory of the rank that `build` names.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        Self { mirror: Mirror::new(build.mirrored), scratch: Vec::new() }
    }
}

impl VolatileStorage for VolatileMemoryOfSelf {
    fn write(&mut self, context: &mut StorageContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault> {
        let Some(kind) = encode(&entry, &mut self.scratch) else { return Ok(Receipt::default()) };
        let position = context.journal.log(JournalEntry { kind, stores: 0, bytes: &self.scratch })?;
        if is_determinant(&entry) {
            self.mirror.push(&self.scratch);
        }
        Ok(Receipt { position, store: None })
    }

    fn passes_sent(&self) -> bool {
        true
    }

    fn read(&self, id: EntryId) -> Option<&[u8]> {
        self.mirror.get(id)
    }

    fn forget(&mut self, below: EntryId) {
        self.mirror.forget(below);
    }

    fn flush(&mut self, position: Position, copies: Domain) -> Gate {
        Gate::on(Condition::Held { domains: copies, position })
    }
}
