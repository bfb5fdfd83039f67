//! Reading: records from channels, notices from lanes.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use egida_core::driver::{Arrival, Location, Whole};
use egida_core::fault::Fault;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::{RecordHeader, WireError};

use super::ShmDriver;
use crate::anchor::Anchor;
use crate::layout::{ChannelSlot, LogName, Memory};
use crate::log::{Cursor, Frame, FrameKind, WORD_BYTES};
use crate::record::{Head, HeadBytes};

/// A place in a payload: a frame's offset (below 2^48 and a multiple of 16), whether it is the frame of the record's head,
/// and the low bits of the channel's generation, so that a place in a channel that was taken away is known as such.
struct Place {
    frame: u64,
    is_head: bool,
    generation: u16,
}

impl Place {
    const OFFSET: u64 = ((1 << 48) - 1) & !15;

    fn location(&self) -> Location {
        Location((u64::from(self.generation) << 48) | (self.frame & Self::OFFSET) | u64::from(self.is_head))
    }

    fn of(location: Location) -> Self {
        Self {
            frame: location.0 & Self::OFFSET,
            is_head: location.0 & 1 != 0,
            generation: (location.0 >> 48) as u16,
        }
    }
}

/// A channel to this rank.
#[derive(Debug)]
pub struct Inbound {
    slot: Anchor<ChannelSlot>,
    name: LogName,
    /// Whether the writer is on another host.
    from_elsewhere: bool,
    cursor: Option<Cursor>,
    /// The generation that the cursor stands in.
    generation: u64,
    /// Whether the channel was begun anew since: nothing is read until the next rewind.
    stale: bool,
    /// The number of the record at the cursor.
    next: Ssn,
    /// The record at the cursor, where it was looked at.
    current: Option<Head>,
    /// The segment that the writer knows the cursor to be in.
    left: u64,
    /// Where a frame was found that the engine knows of.
    told: Cell<u64>,
    /// Where a frame of a payload was looked for in vain; 0 for nowhere.
    awaited: Cell<u64>,
}

/// A lane to this rank.
#[derive(Debug, Default)]
pub struct NoticesIn {
    cursor: Option<Cursor>,
    generation: u64,
    asked: bool,
    told: Cell<u64>,
}

impl Inbound {
    /// The channel from `source` to `reader`, which nobody has looked at.
    pub fn new(memory: &Arc<Memory>, source: Rank, reader: Rank) -> Self {
        Self {
            slot: Anchor::new(memory, |memory| memory.channel(source, reader)),
            name: LogName::Channel(source, reader),
            from_elsewhere: memory.is_elsewhere(source),
            cursor: None,
            generation: 0,
            stale: false,
            next: 0,
            current: None,
            left: 0,
            told: Cell::new(0),
            awaited: Cell::new(0),
        }
    }

    /// Places the cursor at the first record that is retained, if the channel was begun.
    fn begin(&mut self, memory: &Memory) -> Result<(), Fault> {
        let log = &self.slot.log;
        self.generation = log.generation.load(Ordering::Acquire);
        self.stale = false;
        self.current = None;
        self.told.set(0);
        self.awaited.set(0);
        self.next = log.base.load(Ordering::Acquire);
        self.cursor = Cursor::first(memory, log, self.name).map_err(|error| self.name.garbage(0, error))?;
        if let Some(cursor) = &self.cursor {
            self.next = cursor.segment().first_number;
            self.left = cursor.segment().serial;
            self.slot.reader.left.store(self.left, Ordering::Release);
        }
        Ok(())
    }

    #[inline(always)]
    pub fn arrival(&mut self, memory: &Memory) -> Result<Option<Arrival>, Fault> {
        if self.find_next(memory).is_none() {
            self.find(memory)?;
        }
        let Some(head) = &self.current else { return Ok(None) };
        let at = head.frame().at;
        self.told.set(at);
        let place = Place { frame: at, is_head: true, generation: self.generation as u16 };
        Ok(Some(Arrival { header: head.header, payload: place.location() }))
    }

    /// Finds the record at the cursor where nothing is to be told, followed, begun or complained of: nearly always.
    #[inline(always)]
    fn find_next(&mut self, memory: &Memory) -> Option<()> {
        let (frame, _) = self.next_record(memory)?;
        let head = Head::read(memory, &frame).ok().filter(|head| head.header.ssn == self.next)?;
        self.current = Some(head);
        Some(())
    }

    /// The frame of the record at the cursor, where nothing is to be told, followed or begun.
    #[inline(always)]
    fn next_record<'a>(&self, memory: &'a Memory) -> Option<(Frame, &'a [u8])> {
        let cursor = self.cursor.as_ref().filter(|_| !self.stale)?;
        let frame = cursor.record(memory).filter(|_| cursor.segment().serial == self.left)?;
        Some((frame, frame.content(memory).ok()?))
    }

    /// Finds the record at the cursor, if one is published there.
    #[cold]
    fn find(&mut self, memory: &Memory) -> Result<(), Fault> {
        self.current = None;
        if self.stale {
            return Ok(());
        }
        if self.cursor.is_none() {
            self.begin(memory)?;
        }
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        let name = self.name;
        let frame = loop {
            let found = cursor.frame(memory).map_err(|error| name.garbage(self.next, error))?;
            if cursor.segment().serial != self.left {
                self.left = cursor.segment().serial;
                self.slot.reader.left.store(self.left, Ordering::Release);
            }
            match found {
                None => return Ok(()),
                Some(frame) if frame.kind == FrameKind::Record => break frame,
                // Payload of the record before, read by location or not at all.
                Some(frame) if frame.kind == FrameKind::Piece => cursor.skip(&frame),
                Some(_) => {
                    let error = WireError::Malformed("a frame that does not belong there");
                    return Err(name.garbage(self.next, error));
                }
            }
        };
        let head = Head::read(memory, &frame).map_err(|error| name.garbage(self.next, error))?;
        if head.header.ssn != self.next {
            return Err(name.garbage(self.next, WireError::Malformed("the number of another record")));
        }
        self.current = Some(head);
        Ok(())
    }

    #[inline(always)]
    pub fn acknowledge(&self, below: Ssn, events: u64) {
        let reader = &self.slot.reader;
        // This rank is the only one that writes these words while it lives.
        if reader.depends.load(Ordering::Relaxed) < events {
            reader.depends.store(events, Ordering::Release);
        }
        if reader.acknowledged.load(Ordering::Relaxed) < below {
            reader.acknowledged.store(below, Ordering::Release);
        }
    }

    #[inline(always)]
    pub fn finished(&self, below: Ssn) {
        if self.from_elsewhere {
            self.slot.reader.finished.store(below, Ordering::Release);
        }
    }

    /// Tells the writer what is not needed any more. Returns whether that is news.
    #[inline(always)]
    pub fn release(&self, below: Ssn) -> bool {
        let released = &self.slot.reader.released;
        let is_news = released.load(Ordering::Relaxed) < below;
        if is_news {
            released.store(below, Ordering::Release);
        }
        is_news
    }

    pub fn generation(&self) -> u64 {
        self.slot.log.generation.load(Ordering::Acquire)
    }

    pub fn piggyback<'a>(&self, memory: &'a Memory) -> &'a [u8] {
        self.current.and_then(|head| head.piggyback(memory).ok()).unwrap_or_default()
    }

    /// The record at the cursor, where it needs no more than one look: nothing is to be told, followed or begun, and no part of
    /// the payload stands elsewhere. Nothing of it is kept, so that it never leaves the processor's registers.
    #[inline(always)]
    pub fn whole(&self, memory: &Memory) -> Option<Whole> {
        let (frame, content) = self.next_record(memory)?;
        let HeadBytes { header, payload_bytes } = HeadBytes::read(content).ok()?;
        if header.ssn != self.next || payload_bytes != header.len {
            return None;
        }
        let payload = frame.at + WORD_BYTES + RecordHeader::BYTES as u64 + u64::from(header.piggyback_len);
        Some(Whole { header, payload: Location(payload), behind: Location(frame.end()) })
    }

    /// Moves the cursor past a record that was seen whole at it.
    #[inline(always)]
    pub fn pass(&mut self, whole: &Whole) {
        if let Some(cursor) = &mut self.cursor {
            cursor.move_to(whole.behind.0);
            self.current = None;
            self.next += 1;
        }
    }

    #[inline]
    pub fn advance(&mut self) {
        if let (Some(cursor), Some(head)) = (&mut self.cursor, self.current.take()) {
            cursor.skip(head.frame());
            self.next += 1;
        }
    }

    pub fn bytes<'a>(&self, memory: &'a Memory, at: Location) -> Option<(&'a [u8], Location)> {
        let mut place = Place::of(at);
        if self.stale || place.generation != self.generation as u16 {
            return None;
        }
        // A payload's frames are at most one jump apart, and a predecessor of the writer may have left an empty segment
        // or two between them. More is a ring of jumps scribbled into memory.
        for _ in 0..64 {
            let Some(frame) = Frame::at(memory, place.frame).ok()? else {
                self.awaited.set(place.frame);
                return None;
            };
            let behind = Place { frame: frame.end(), is_head: false, ..place };
            match (frame.kind, place.is_head) {
                (FrameKind::Record, true) => {
                    let payload = Head::read(memory, &frame).ok()?.payload(memory).ok()?;
                    return Some((payload, behind.location()));
                }
                (FrameKind::Piece, false) => return Some((frame.content(memory).ok()?, behind.location())),
                (FrameKind::Jump, false) => {
                    place.frame = frame.target(memory).ok()?.checked_add(crate::log::SEGMENT_HEAD_BYTES)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// Where the next frame is or will be, if the channel was begun and may be read.
    #[inline(always)]
    fn front(&self) -> Option<u64> {
        match &self.cursor {
            _ if self.stale => None,
            Some(cursor) => Some(cursor.at()),
            None => match self.slot.log.first.load(Ordering::Acquire) {
                0 => None,
                first => Some(first),
            },
        }
    }

    /// Whether something stands at the front.
    #[inline(always)]
    pub fn may_have(&self, memory: &Memory) -> bool {
        self.front().is_some_and(|front| is_published(memory, front))
    }

    /// Whether something stands at the front of which the engine does not know.
    fn has_news(&self, memory: &Memory) -> bool {
        if let Some(front) = self.front()
            && front != self.told.get()
            && is_published(memory, front)
        {
            self.told.set(front);
            return true;
        }
        let awaited = self.awaited.get();
        if awaited != 0 && !self.stale && is_published(memory, awaited) {
            self.awaited.set(0);
            return true;
        }
        false
    }
}

/// The payload of a record that was seen whole.
#[inline(always)]
pub fn whole_payload<'a>(memory: &'a Memory, whole: &Whole) -> &'a [u8] {
    memory.arena().bytes(whole.payload.0, whole.header.len).unwrap_or_default()
}

#[inline(always)]
fn is_published(memory: &Memory, at: u64) -> bool {
    memory.arena().at::<AtomicU64>(at).is_ok_and(|word| word.load(Ordering::Acquire) != 0)
}

/// Calls `visit` for each source whose channel was ever begun, until it says stop; returns whether it did.
#[inline]
fn any_source(memory: &Memory, reader: Rank, mut visit: impl FnMut(Rank) -> bool) -> bool {
    for (index, word) in memory.sources(reader).iter().enumerate() {
        let mut bits = word.load(Ordering::Acquire);
        while bits != 0 {
            let source = index as u32 * 64 + bits.trailing_zeros();
            bits &= bits - 1;
            if source < memory.ranks() && visit(source) {
                return true;
            }
        }
    }
    false
}

impl ShmDriver {
    pub(super) fn rewind_channel(&mut self, source: Rank) -> Ssn {
        let memory = &*self.memory;
        let inbound = &mut self.inbound[source as usize];
        // Garbage is reported by the next `arrival`, which begins the channel again.
        let _ = inbound.begin(memory);
        inbound.next
    }

    pub(super) fn ready_sources(&mut self, sources: &mut Vec<Rank>) {
        let memory = &*self.memory;
        any_source(memory, self.rank, |source| {
            let inbound = &self.inbound[source as usize];
            if let Some(front) = inbound.front()
                && is_published(memory, front)
            {
                inbound.told.set(front);
                sources.push(source);
            }
            false
        });
    }

    /// Keeps the engine from reading channels that were taken away, until it rewinds them.
    #[cold]
    pub(super) fn look_for_new_generations(&mut self) {
        for inbound in &mut self.inbound {
            if inbound.cursor.is_some() && inbound.generation != inbound.generation() {
                inbound.stale = true;
                inbound.current = None;
            }
        }
    }

    pub(super) fn read_notices(&mut self, dest: Rank, notices: &mut Vec<Ssn>) {
        self.stretch.enter(&self.memory);
        let memory = &*self.memory;
        let slot = memory.lane(dest, self.rank);
        let lane = &mut self.notices_in[dest as usize];
        if !lane.asked {
            lane.asked = true;
            self.watched.lanes_asked.push(dest);
        }
        let generation = slot.generation.load(Ordering::Acquire);
        if lane.generation != generation {
            lane.generation = generation;
            lane.cursor = None;
        }
        if lane.cursor.is_none() {
            lane.cursor = Cursor::first(memory, slot, LogName::Lane(dest, self.rank)).ok().flatten();
        }
        // Notices are hints that are repeated when the matching is: one that cannot be read is like one not yet written.
        if let Some(cursor) = &mut lane.cursor {
            while let Ok(Some(frame)) = cursor.frame(memory) {
                if let Some(&number) = frame.content(memory).ok().and_then(|content| content.first_chunk()) {
                    notices.push(Ssn::from_le_bytes(number));
                }
                cursor.skip(&frame);
            }
        }
        self.stretch.leave(&self.memory);
    }

    /// Whether anything is there that the engine did not find when it looked last: a record, more of a payload, a notice,
    /// a stable position, another epoch. Each piece of news is told once.
    #[must_use]
    pub fn news(&self) -> bool {
        let memory = &*self.memory;
        let epoch = memory.header().epoch.load(Ordering::Acquire);
        if epoch != self.looked && self.watched.epoch.replace(epoch) != epoch {
            return true;
        }
        any_source(memory, self.rank, |source| self.inbound[source as usize].has_news(memory))
            || self.watched.lanes_asked.iter().any(|&dest| self.has_notice(dest))
            || self.watched.stable_asked.borrow().iter().any(|&(rank, store)| {
                let position = memory.rank(rank).stable[store].load(Ordering::Acquire);
                self.watched.stable[rank as usize][store].replace(Some(position)) != Some(position)
            })
    }

    fn has_notice(&self, dest: Rank) -> bool {
        let lane = &self.notices_in[dest as usize];
        let slot = self.memory.lane(dest, self.rank);
        let front = match &lane.cursor {
            Some(cursor) if lane.generation == slot.generation.load(Ordering::Acquire) => cursor.at(),
            _ => slot.first.load(Ordering::Acquire),
        };
        front != 0 && lane.told.get() != front && is_published(&self.memory, front) && {
            lane.told.set(front);
            true
        }
    }
}
