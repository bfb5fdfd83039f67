//! Reading a rank's journal from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use egida_core::driver::EntryKind;
use egida_core::fault::Fault;
use egida_core::ids::{Position, Rank};
use egida_core::wire::WireError;

use crate::layout::{LogName, Memory};
use crate::log::{Cursor, Frame, FrameKind};

/// Bytes before an entry's own: its kind and its stores, padded to a word.
const ENTRY_HEAD_BYTES: usize = 8;

/// Reads a journal entry by entry. It may be kept across deaths of the rank; after a [`crate::JobMemory::discard`] it goes
/// on at the new base. It must not be used while that runs.
#[derive(Debug)]
pub struct JournalReader {
    memory: Arc<Memory>,
    rank: Rank,
    cursor: Option<Cursor>,
    generation: u64,
    position: Position,
}

/// One entry of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalItem<'a> {
    /// Its position: how many entries stand before it.
    pub position: Position,
    /// What the bytes are.
    pub kind: EntryKind,
    /// Which stores must come to hold it: bit s for store s.
    pub stores: u8,
    /// The encoded determinant or message.
    pub bytes: &'a [u8],
}

impl JournalReader {
    pub(crate) fn new(memory: Arc<Memory>, rank: Rank) -> Self {
        let slot = &memory.rank(rank).journal;
        let generation = slot.generation.load(Ordering::Acquire);
        let position = slot.base.load(Ordering::Acquire);
        Self { memory, rank, cursor: None, generation, position }
    }

    /// The position of the entry that [`JournalReader::next`] reads.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next entry, if it is published.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the journal is overwritten with garbage.
    #[expect(
        clippy::should_implement_trait,
        reason = "an entry borrows the reader, which no iterator can say"
    )]
    pub fn next(&mut self) -> Result<Option<JournalItem<'_>>, Fault> {
        let name = LogName::Journal(self.rank);
        let slot = &self.memory.rank(self.rank).journal;
        let generation = slot.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.position = slot.base.load(Ordering::Acquire);
            self.cursor = None;
        }
        let position = self.position;
        let garbage = |error| name.garbage(position, error);
        if self.cursor.is_none() {
            self.cursor = Cursor::first(&self.memory, slot, name).map_err(garbage)?;
        }
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        let Some(frame) = cursor.frame(&self.memory).map_err(garbage)? else { return Ok(None) };
        let item = entry(&self.memory, &frame, position).map_err(garbage)?;
        cursor.skip(&frame);
        self.position += 1;
        Ok(Some(item))
    }
}

fn entry<'a>(memory: &'a Memory, frame: &Frame, position: Position) -> Result<JournalItem<'a>, WireError> {
    if frame.kind != FrameKind::Entry {
        return Err(WireError::Malformed("a frame that is no entry"));
    }
    let (head, bytes) =
        frame.content(memory)?.split_first_chunk::<ENTRY_HEAD_BYTES>().ok_or(WireError::Short)?;
    let kind = EntryKind::from_byte(head[0]).ok_or(WireError::Malformed("an unknown kind of entry"))?;
    Ok(JournalItem { position, kind, stores: head[1], bytes })
}
