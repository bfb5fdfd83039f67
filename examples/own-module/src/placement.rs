//! The half in the rank: what goes into the journal, and what the gate says.

use std::collections::VecDeque;

use egida_core::driver::{EntryKind, JournalEntry};
use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate, StoreId};
use egida_core::ids::Position;
use egida_core::module::{Entry, EntryId, Receipt, StableStorage, StorageContext};
use egida_core::recovery::LoggedMessage;
use egida_core::registry::Build;

/// Puts entries into the rank's journal with this store's mark, and keeps the determinants that may be asked for again.
#[derive(Debug, Clone)]
pub struct ReplicatedFile {
    store: StoreId,
    /// Whether determinants are read back on the normal path: only where they are piggybacked.
    mirrored: bool,
    mirror: VecDeque<Vec<u8>>,
    /// The number of the mirror's first determinant.
    first: EntryId,
}

impl ReplicatedFile {
    /// The placement half of the store that `build` numbers.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        Self { store: build.store, mirrored: build.mirrored, mirror: VecDeque::new(), first: 0 }
    }
}

impl StableStorage for ReplicatedFile {
    fn write(&mut self, context: &mut StorageContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault> {
        let mut bytes = Vec::new();
        let kind = match entry {
            Entry::Own(determinant) => {
                determinant.encode(&mut bytes);
                EntryKind::Own
            }
            Entry::Held(determinant) => {
                determinant.encode(&mut bytes);
                EntryKind::Held
            }
            Entry::Delivered(message) => {
                LoggedMessage::encode(&mut bytes, &message);
                EntryKind::Message
            }
            Entry::Sent { .. } => {
                return Err(Fault::Unsupported("a log of sent messages in replicated files"));
            }
        };
        let stores = 1 << self.store;
        let position = context.journal.log(JournalEntry { kind, stores, bytes: &bytes })?;
        if self.mirrored && kind != EntryKind::Message {
            self.mirror.push_back(bytes);
        }
        Ok(Receipt { position, store: Some(self.store) })
    }

    fn read(&self, id: EntryId) -> Option<&[u8]> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?;
        self.mirror.get(at).map(Vec::as_slice)
    }

    fn forget(&mut self, below: EntryId) {
        while self.first < below && self.mirror.pop_front().is_some() {
            self.first += 1;
        }
    }

    fn flush(&mut self, context: &mut StorageContext<'_>, position: Position) -> Gate {
        context.journal.flush(self.store, position);
        Gate::on(Condition::Stable { store: self.store, position })
    }
}
