//! `local disk` and `NFS disk`: submission to a backend in the node.

use egida_core::driver::JournalEntry;
use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate, StoreId};
use egida_core::ids::Position;
use egida_core::module::{Entry, EntryId, Receipt, StableStorage, StorageContext};
use egida_core::registry::Build;

use super::encode::{encode, is_determinant};
use super::mirror::Mirror;

/// Appends entries to the rank's journal with the store's mark; the node writes them to the disk behind the phrase and
/// moves the store's watermark. The two disks differ in their backends and in what they survive, not here.
#[derive(Debug, Clone)]
pub struct Disk {
    store: StoreId,
    mirror: Mirror,
    scratch: Vec<u8>,
}

impl Disk {
    /// The placement half of the store that `build` numbers.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        Self { store: build.store, mirror: Mirror::new(build.mirrored), scratch: Vec::new() }
    }
}

impl StableStorage for Disk {
    fn write(&mut self, context: &mut StorageContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault> {
        let Some(kind) = encode(&entry, &mut self.scratch) else {
            return Err(Fault::Unsupported("a log of sent messages on disk"));
        };
        let position =
            context.journal.log(JournalEntry { kind, stores: 1 << self.store, bytes: &self.scratch })?;
        if is_determinant(&entry) {
            self.mirror.push(&self.scratch);
        }
        Ok(Receipt { position, store: Some(self.store) })
    }

    fn read(&self, id: EntryId) -> Option<&[u8]> {
        self.mirror.get(id)
    }

    fn forget(&mut self, below: EntryId) {
        self.mirror.forget(below);
    }

    fn flush(&mut self, context: &mut StorageContext<'_>, position: Position) -> Gate {
        context.journal.flush(self.store, position);
        Gate::on(Condition::Stable { store: self.store, position })
    }
}
