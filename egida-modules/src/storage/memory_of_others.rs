//! `volatile memory of processes` and `volatile memory of sender`: the memory of other nodes.

use egida_core::driver::JournalEntry;
use egida_core::fault::Fault;
use egida_core::gate::{Condition, Gate, StoreId};
use egida_core::ids::{Domain, Position};
use egida_core::module::{Entry, EntryId, Receipt, StorageContext, VolatileStorage};
use egida_core::registry::Build;
use egida_core::replication::{Placement, Replicas};

use super::encode::{encode, is_determinant};
use super::mirror::Mirror;

/// Appends entries to the rank's journal with the store's mark; the node copies them into the memory of other failure domains
/// and moves the store's watermark once enough of them have an entry, which is what their acknowledgements would say.
///
/// Where the memory of a node outlives its processes, the journal itself is safe, and nothing is copied or waited for.
#[derive(Debug, Clone)]
pub struct MemoryOfOthers {
    store: StoreId,
    replicas: Option<Replicas>,
    mirror: Mirror,
    scratch: Vec<u8>,
}

impl MemoryOfOthers {
    /// The placement half of the store that `build` numbers, with copies where `placement` says.
    #[must_use]
    pub fn new(build: &Build<'_>, placement: Placement) -> Self {
        // The rank's own domain is one of those that must hold an entry, and needs no copy.
        let copies = build.copies.saturating_sub(1);
        Self {
            store: build.store,
            replicas: (copies > 0).then_some(Replicas { copies, placement }),
            mirror: Mirror::new(build.mirrored),
            scratch: Vec::new(),
        }
    }
}

impl VolatileStorage for MemoryOfOthers {
    fn replicas(&self) -> Option<Replicas> {
        self.replicas
    }

    fn write(&mut self, context: &mut StorageContext<'_>, entry: Entry<'_>) -> Result<Receipt, Fault> {
        let Some(kind) = encode(&entry, &mut self.scratch) else {
            return Err(Fault::Unsupported("a log of sent messages in the memory of others"));
        };
        let store = self.replicas.map(|_| self.store);
        let stores = store.map_or(0, |store| 1 << store);
        let position = context.journal.log(JournalEntry { kind, stores, bytes: &self.scratch })?;
        if is_determinant(&entry) {
            self.mirror.push(&self.scratch);
        }
        Ok(Receipt { position, store })
    }

    fn read(&self, id: EntryId) -> Option<&[u8]> {
        self.mirror.get(id)
    }

    fn forget(&mut self, below: EntryId) {
        self.mirror.forget(below);
    }

    fn flush(&mut self, position: Position, copies: Domain) -> Gate {
        Gate::on(match self.replicas {
            Some(_) => Condition::Stable { store: self.store, position },
            None => Condition::Held { domains: copies, position },
        })
    }
}

#[cfg(test)]
mod tests {
    use egida_core::ids::Domains;
    use egida_core::setting::Setting;
    use egida_spec::protocol::FailureUnit;

    use super::*;

    fn storage(copies: Domain) -> MemoryOfOthers {
        let setting = Setting { domains: Domains::blocks(4, 1), unit: FailureUnit::Node, images: true };
        let (mirrored, lasting) = (false, true);
        let build = Build { phrase: None, rank: 0, setting: &setting, store: 2, mirrored, lasting, copies };
        MemoryOfOthers::new(&build, Placement::Neighbours)
    }

    #[test]
    fn copies_are_asked_for_besides_the_ranks_own() {
        let replicas = Replicas { copies: 2, placement: Placement::Neighbours };
        assert_eq!(storage(3).replicas(), Some(replicas));
        assert_eq!(storage(3).flush(7, 3), Gate::on(Condition::Stable { store: 2, position: 7 }));
    }

    #[test]
    fn memory_that_outlives_the_process_needs_no_copy() {
        assert_eq!(storage(1).replicas(), None);
        assert_eq!(storage(1).flush(7, 1), Gate::on(Condition::Held { domains: 1, position: 7 }));
    }
}
