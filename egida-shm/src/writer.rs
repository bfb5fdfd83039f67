//! The writing end of a log: frames, new segments, and the reuse of old ones.

use std::sync::atomic::{AtomicU64, Ordering};

use egida_core::crash::Failpoint;
use egida_core::fault::Fault;
use egida_core::wire::WireError;

use crate::kill::KillSwitch;
use crate::layout::{LogName, LogSlot, Memory, ReaderLine, SegmentHeader};
use crate::log::{Cursor, FrameKind, SEGMENT_HEAD_BYTES, Segment, WORD_BYTES, chain, orphan};
use crate::stretch::Stretch;

/// The size of a segment, but for small beginnings and long frames.
pub const SEGMENT_BYTES: u64 = 256 << 10;

/// The size of a channel's first segment: most pairs of ranks say little to each other.
const FIRST_SEGMENT_BYTES: u64 = 16 << 10;

/// Behind a frame up to here more is cleared than the next word.
const SHORT_BYTES: u64 = 2 << 10;

/// So much at least.
const CLEAR_BYTES: u64 = 256;

/// The log that is written, and what writing it needs.
pub struct Log<'a> {
    /// The job's memory.
    pub memory: &'a Memory,
    /// The log's own line.
    pub slot: &'a LogSlot,
    /// What may be taken back; nothing where nothing ever is.
    pub reclaims: Option<Reclaims<'a>>,
    /// Its name.
    pub name: LogName,
    /// The rank's mark that it is touching channels.
    pub stretch: &'a mut Stretch,
    /// Where the rank is to die.
    pub kill: &'a mut KillSwitch,
}

/// What a reader says of the segments that may be taken back.
#[derive(Clone, Copy)]
pub struct Reclaims<'a> {
    /// Records below this are not needed any more.
    pub below: &'a AtomicU64,
    /// The serial number of the segment in which the read cursor stands; 0 before there is one.
    pub left: &'a AtomicU64,
}

impl<'a> Reclaims<'a> {
    /// What the reader released.
    pub fn released(reader: &'a ReaderLine) -> Self {
        Self { below: &reader.released, left: &reader.left }
    }

    /// What the process that reads now is through with.
    pub fn finished(reader: &'a ReaderLine) -> Self {
        Self { below: &reader.finished, left: &reader.left }
    }
}

/// Where the writer of a log stands.
#[derive(Debug, Default)]
pub struct LogWriter {
    /// The last segment; 0 before there is one.
    segment: u64,
    /// Its size.
    segment_bytes: u64,
    /// Where the next frame begins.
    tail: u64,
    /// Content bytes that still fit into the segment.
    room: u64,
    /// From the tail to here there is nothing that could be taken for a frame; at least a word.
    clear_to: u64,
}

impl LogWriter {
    /// The writer that goes on at a cursor that was moved to the end of the log.
    pub fn resume(end: &Cursor) -> Self {
        let mut writer = Self {
            segment: end.segment().at,
            segment_bytes: end.segment().bytes,
            tail: end.at(),
            room: 0,
            clear_to: end.at() + WORD_BYTES,
        };
        writer.room = writer.room_from(end.at());
        writer
    }

    /// Content bytes that fit into a frame in the current segment.
    #[inline(always)] // for every message
    pub fn room(&self) -> u64 {
        self.room
    }

    /// Where the content of the next frame begins, after [`LogWriter::reserve`], for whoever writes it there. What was written and
    /// then given up may be longer than the frame in its place, so nothing there counts as cleared any more.
    pub fn content_at(&mut self) -> u64 {
        self.clear_to = self.tail + WORD_BYTES;
        self.tail + WORD_BYTES
    }

    /// Makes room for a frame with so much content, in another segment where the current one has too little.
    /// `number` is that of the next record to begin.
    ///
    /// # Errors
    /// [`Fault::OverLimit`], [`Fault::Crashed`] at a crash point.
    #[inline]
    pub fn reserve(&mut self, log: &mut Log<'_>, content_bytes: u64, number: u64) -> Result<(), Fault> {
        // More than once only where a predecessor linked a segment that is too small for this frame.
        while self.segment == 0 || self.room < content_bytes {
            self.extend(log, content_bytes, number)?;
        }
        Ok(())
    }

    /// Writes a frame's content where [`LogWriter::reserve`] made room. Nobody sees it yet.
    ///
    /// # Errors
    /// [`Fault::Bug`] where no room was made.
    #[inline]
    pub fn write(&self, log: &Log<'_>, parts: &[&[u8]]) -> Result<u64, Fault> {
        let mut at = self.tail + WORD_BYTES;
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes as u64 > self.room {
            return Err(Fault::Bug("a frame was written without room"));
        }
        for part in parts {
            log.memory.arena().copy_in(at, part).map_err(|error| log.name.garbage(0, error))?;
            at += part.len() as u64;
        }
        Ok(bytes as u64)
    }

    /// Writes a frame's content of a head and a payload, whose room the caller has looked for. Nobody sees it yet.
    ///
    /// # Errors
    /// [`WireError`] where it would lie outside the memory.
    #[inline(always)] // for every message
    pub fn write_short<const N: usize>(
        &self,
        memory: &Memory,
        head: &[u8; N],
        payload: &[u8],
    ) -> Result<u64, WireError> {
        let at = self.tail + WORD_BYTES;
        memory.arena().copy_in(at, head)?;
        memory.arena().copy_in_short(at + N as u64, payload)?;
        Ok((N + payload.len()) as u64)
    }

    /// Publishes the frame that was written, and moves behind it.
    ///
    /// # Errors
    /// [`Fault::Bug`] where no room was made.
    #[inline]
    pub fn publish(&mut self, log: &Log<'_>, kind: FrameKind, content_bytes: u64) -> Result<(), Fault> {
        self.publish_in(log.memory, kind, content_bytes).map_err(|error| log.name.garbage(0, error))
    }

    /// As [`LogWriter::publish`].
    ///
    /// # Errors
    /// [`WireError`] where it lies outside the memory.
    #[inline(always)] // for every message
    pub fn publish_in(
        &mut self,
        memory: &Memory,
        kind: FrameKind,
        content_bytes: u64,
    ) -> Result<(), WireError> {
        let bytes = WORD_BYTES + content_bytes;
        let next = self.tail + bytes.next_multiple_of(16);
        if next >= self.clear_to {
            memory.arena().at::<AtomicU64>(next)?.store(0, Ordering::Relaxed);
            self.clear_to = next + WORD_BYTES;
        }
        memory.arena().at::<AtomicU64>(self.tail)?.store((bytes << 8) | kind as u64, Ordering::Release);
        self.room = self.room.saturating_sub(next - self.tail);
        self.tail = next;
        if bytes <= SHORT_BYTES { self.clear_ahead(memory, bytes) } else { Ok(()) }
    }

    /// Clears the words of frames to come, after others can see this one. To clear just the next one, before, has this frame wait
    /// until its reader, who has seen both cache lines when the segment was last used, lets go of them; that takes longer than all
    /// else that a short message needs. By the time that the frames to come are written, their lines are here.
    #[inline(always)]
    fn clear_ahead(&mut self, memory: &Memory, bytes: u64) -> Result<(), WireError> {
        let ahead = bytes.max(CLEAR_BYTES);
        if self.clear_to < self.tail + ahead {
            let to = (self.tail + 2 * ahead).min(self.segment + self.segment_bytes);
            memory.arena().clear(self.clear_to, to)?;
            self.clear_to = to;
        }
        Ok(())
    }

    fn store_word(&self, log: &Log<'_>, at: u64, word: u64, order: Ordering) -> Result<(), Fault> {
        let slot = log.memory.arena().at::<AtomicU64>(at);
        slot.map_err(|error| log.name.garbage(0, error))?.store(word, order);
        Ok(())
    }

    fn room_from(&self, tail: u64) -> u64 {
        let end = self.segment + self.segment_bytes;
        // A frame is rounded up to 16 bytes and followed by a jump of 16.
        (end.saturating_sub(16).saturating_sub(tail) & !15).saturating_sub(WORD_BYTES)
    }

    /// Adds a segment: one that a dead predecessor linked or was about to link, an old one that nobody needs any more, or
    /// a new one.
    #[cold]
    fn extend(&mut self, log: &mut Log<'_>, content_bytes: u64, number: u64) -> Result<(), Fault> {
        // While the daemon takes segments away, nobody may be choosing one to reuse.
        log.stretch.enter(log.memory);
        let result = self.extend_undisturbed(log, content_bytes, number);
        log.stretch.leave(log.memory);
        result
    }

    fn extend_undisturbed(
        &mut self,
        log: &mut Log<'_>,
        content_bytes: u64,
        number: u64,
    ) -> Result<(), Fault> {
        let garbage = |error: WireError| log.name.garbage(number, error);
        let linked = match self.segment {
            0 => log.slot.first.load(Ordering::Acquire),
            segment => header(log.memory, segment).map_err(garbage)?.next.load(Ordering::Acquire),
        };
        let segment = if linked == 0 {
            let needed = Segment::needed(content_bytes);
            let (at, bytes) = match self.reusable(log, needed)? {
                Some(old) => old,
                None => self.new_segment(log, needed)?,
            };
            let head = header(log.memory, at).map_err(|error| log.name.garbage(number, error))?;
            head.tag.store(log.name.tag(), Ordering::Relaxed);
            head.bytes.store(bytes, Ordering::Relaxed);
            head.serial.store(log.slot.serial.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            head.first_number.store(number, Ordering::Relaxed);
            head.next.store(0, Ordering::Relaxed);
            self.store_word(log, at + SEGMENT_HEAD_BYTES, 0, Ordering::Relaxed)?;
            log.kill.failpoint(Failpoint::ChannelSegment)?;
            match self.segment {
                0 => &log.slot.first,
                segment => {
                    &header(log.memory, segment).map_err(|error| log.name.garbage(number, error))?.next
                }
            }
            .store(at, Ordering::Release);
            at
        } else {
            linked
        };
        let segment =
            Segment::read(log.memory, log.name, segment).map_err(|error| log.name.garbage(number, error))?;
        log.slot.last.store(segment.at, Ordering::Release);
        log.slot.spare.store(0, Ordering::Release);
        if self.segment != 0 {
            log.memory
                .arena()
                .copy_in(self.tail + WORD_BYTES, &segment.at.to_le_bytes())
                .map_err(|error| log.name.garbage(number, error))?;
            self.store_word(log, self.tail, (16 << 8) | FrameKind::Jump as u64, Ordering::Release)?;
        }
        self.segment = segment.at;
        self.segment_bytes = segment.bytes;
        self.tail = segment.first_frame();
        self.clear_to = self.tail + WORD_BYTES;
        self.room = self.room_from(self.tail);
        Ok(())
    }

    /// An old segment of the log that is large enough and that nobody needs: taken off the front, and marked as spare.
    /// Those that are too small are given back.
    fn reusable(&self, log: &Log<'_>, needed: u64) -> Result<Option<(u64, u64)>, Fault> {
        let garbage = |error: WireError| log.name.garbage(0, error);
        if log.slot.spare.load(Ordering::Relaxed) != 0 {
            let (chain, sound) = chain(log.memory, log.slot, log.name);
            sound.map_err(garbage)?;
            match orphan(log.memory, log.slot, log.name, &chain) {
                Some(old) if old.bytes >= needed => return Ok(Some((old.at, old.bytes))),
                Some(old) => log.memory.free(log.name, old.at, old.bytes)?,
                None => {}
            }
            log.slot.spare.store(0, Ordering::Release);
        }
        let Some(reclaims) = log.reclaims else { return Ok(None) };
        let released = reclaims.below.load(Ordering::Acquire);
        let left = reclaims.left.load(Ordering::Acquire);
        loop {
            let first = log.slot.first.load(Ordering::Relaxed);
            if first == 0 || first == self.segment {
                return Ok(None);
            }
            let old = Segment::read(log.memory, log.name, first).map_err(garbage)?;
            let in_use_bytes =
                log.slot.serial.load(Ordering::Relaxed).saturating_sub(old.serial) * SEGMENT_BYTES;
            if in_use_bytes < log.memory.ring_bytes(needed.max(SEGMENT_BYTES)) {
                return Ok(None);
            }
            if old.serial >= left || old.next == 0 {
                return Ok(None);
            }
            let next = Segment::read(log.memory, log.name, old.next).map_err(garbage)?;
            // Whatever begins or goes on in the old segment has a lower number than what begins first behind it.
            if next.first_number > released {
                return Ok(None);
            }
            log.slot.spare.store(first, Ordering::Release);
            log.slot.first.store(next.at, Ordering::Release);
            if old.bytes >= needed.max(SEGMENT_BYTES) {
                return Ok(Some((first, old.bytes)));
            }
            log.memory.free(log.name, first, old.bytes)?;
            log.slot.spare.store(0, Ordering::Release);
        }
    }

    fn new_segment(&self, log: &Log<'_>, needed: u64) -> Result<(u64, u64), Fault> {
        let usual = match self.segment {
            0 => FIRST_SEGMENT_BYTES,
            _ => (self.segment_bytes * 4).min(SEGMENT_BYTES),
        };
        let bytes = needed.max(usual).next_multiple_of(crate::arena::PAGE_BYTES);
        Ok((log.memory.allocate(log.name, bytes)?, bytes))
    }
}

fn header(memory: &Memory, segment: u64) -> Result<&SegmentHeader, WireError> {
    memory.arena().at::<SegmentHeader>(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    #[test]
    fn what_was_begun_and_given_up_is_no_frame_behind_a_shorter_one() {
        let arena = Arena::create(1 << 30, None).unwrap();
        let memory = Memory::lay_out(arena, 2, 1, |memory| {
            memory.header().limit_bytes.store(1 << 20, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        let (mut stretch, mut kill) = (Stretch::new(0), KillSwitch::default());
        let name = LogName::Channel(0, 1);
        let slot = &memory.channel(0, 1).log;
        let mut log =
            Log { memory: &memory, slot, reclaims: None, name, stretch: &mut stretch, kill: &mut kill };
        let mut writer = LogWriter::default();
        // Behind a short frame more is cleared than the next word.
        writer.reserve(&mut log, 200, 0).unwrap();
        let written = writer.write(&log, &[&[1; 8]]).unwrap();
        writer.publish(&log, FrameKind::Piece, written).unwrap();
        memory.arena().copy_in(writer.content_at(), &[7; 200]).unwrap();
        let written = writer.write(&log, &[&[2; 8]]).unwrap();
        writer.publish(&log, FrameKind::Piece, written).unwrap();
        let mut cursor = Cursor::first(&memory, slot, name).unwrap().unwrap();
        for _ in 0..2 {
            let frame = cursor.frame(&memory).unwrap().expect("a frame");
            cursor.skip(&frame);
        }
        assert_eq!(cursor.frame(&memory), Ok(None));
    }
}
