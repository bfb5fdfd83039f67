//! Journals, in the memory of nodes.

use egida_core::driver::EntryKind;
use egida_core::event::Determinant;
use egida_core::gate::MAX_STORES;
use egida_core::ids::{EventIndex, Position};
use egida_core::wire::Reader;

/// An entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The stores that must come to hold it.
    pub stores: u8,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The journal of one rank, in the memory of its node.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Entries that were lost with an earlier node: positions only grow.
    pub base: Position,
    /// The entries.
    pub entries: Vec<Entry>,
    /// How far it has come to its stores.
    pub stable: Watermarks,
}

/// How far a journal has come to its stores: a store has all that is for it below its position.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watermarks {
    /// The disk.
    pub written: Position,
    /// Each store that is made of copies in the memory of other nodes.
    pub copied: [Position; MAX_STORES],
}

impl Entry {
    /// How many events its rank has where this is the last entry of its log, if the entry tells.
    fn events(&self) -> Option<EventIndex> {
        let mut reader = Reader::new(&self.bytes);
        match self.kind {
            EntryKind::Own => Determinant::decode(&mut reader).ok().map(|determinant| determinant.index + 1),
            EntryKind::RolledBack => reader.varint().ok(),
            EntryKind::Held | EntryKind::Message => None,
        }
    }
}

impl Journal {
    /// The position behind the last entry.
    #[must_use]
    pub fn head(&self) -> Position {
        self.base + self.entries.len() as Position
    }

    /// The entry at a position.
    #[must_use]
    pub fn entry(&self, position: Position) -> Option<&Entry> {
        self.entries.get(usize::try_from(position.checked_sub(self.base)?).ok()?)
    }

    /// How many events the rank has in a log that ends at a position, if an entry from an earlier position on tells.
    #[must_use]
    pub fn events_between(&self, from: Position, to: Position) -> Option<EventIndex> {
        (from.max(self.base)..to).rev().find_map(|position| self.entry(position)?.events())
    }

    /// The entries that are not on the disk.
    #[must_use]
    pub fn unstable(&self) -> &[Entry] {
        let written = usize::try_from(self.stable.written - self.base).unwrap_or(usize::MAX);
        self.entries.get(written..).unwrap_or_default()
    }

    /// Entries below a position are not needed any more.
    pub fn collect(&mut self, below: Position) {
        let below = below.min(self.head());
        if below > self.base {
            self.entries.drain(..(below - self.base) as usize);
            self.base = below;
            self.stable.written = self.stable.written.max(below);
            for copied in &mut self.stable.copied {
                *copied = below.max(*copied);
            }
        }
    }

    /// The memory is lost.
    pub fn lose(&mut self) {
        let head = self.head();
        let stable = Watermarks { written: head, copied: [head; MAX_STORES] };
        *self = Self { base: head, entries: Vec::new(), stable };
    }
}
