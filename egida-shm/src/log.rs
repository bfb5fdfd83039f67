//! The append-only log under channels, lanes and journals: frames in a chain of segments.
//!
//! ```text
//!   segment   SegmentHeader | frame | frame | ... | jump     the next segment | ...
//!   frame     word (8 bytes) | content                       aligned to 16 bytes
//! ```
//!
//! A frame's word is its publication: 0 where nothing stands, else the frame's bytes and its kind. The writer has cleared the
//! word behind a frame when it publishes the frame, so that a reader who stands there waits, whatever the memory held
//! before (behind short frames it clears more, in advance); and it always leaves room for a jump. One writer, any number of readers; nothing is ever changed once it is
//! published, until the whole segment is taken back.

use std::sync::atomic::Ordering;

use egida_core::wire::WireError;

use crate::layout::{LogName, LogSlot, Memory, SegmentHeader};

/// Bytes of a segment's head.
pub const SEGMENT_HEAD_BYTES: u64 = size_of::<SegmentHeader>() as u64;

/// Bytes of a frame's word.
pub const WORD_BYTES: u64 = 8;

/// What frames are aligned to.
const FRAME_ALIGN: u64 = 16;

/// What stays free at the end of a segment: a jump.
const JUMP_BYTES: u64 = 16;

/// No frame is longer than this; a longer one is corruption.
const MOST_FRAME_BYTES: u64 = 1 << 40;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// The head of a record, its piggyback, and the first bytes of its payload.
    Record = 1,
    /// More of the payload of the record before.
    Piece = 2,
    /// The offset of the next segment.
    Jump = 3,
    /// An entry of a journal.
    Entry = 4,
    /// The number of a matched message.
    Notice = 5,
}

impl FrameKind {
    /// The kind in a frame's word.
    #[inline]
    pub fn from_word(word: u64) -> Option<Self> {
        Some(match word & 0xFF {
            1 => Self::Record,
            2 => Self::Piece,
            3 => Self::Jump,
            4 => Self::Entry,
            5 => Self::Notice,
            _ => return None,
        })
    }
}

/// A published frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// Where it begins.
    pub at: u64,
    /// Its length, its word included.
    pub bytes: u64,
}

impl Frame {
    /// The frame at an offset, if one is published there. Its length lies below [`MOST_FRAME_BYTES`]; whether it ends
    /// where it may is for the caller to check.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where something else stands there.
    #[inline(always)] // for every message
    pub fn at(memory: &Memory, at: u64) -> Result<Option<Self>, WireError> {
        let word = memory.arena().at::<std::sync::atomic::AtomicU64>(at)?.load(Ordering::Acquire);
        if word == 0 {
            return Ok(None);
        }
        let kind = FrameKind::from_word(word).ok_or(WireError::Malformed("an unknown kind of frame"))?;
        let bytes = word >> 8;
        if !(WORD_BYTES..MOST_FRAME_BYTES).contains(&bytes) {
            return Err(WireError::Malformed("a frame of impossible length"));
        }
        Ok(Some(Self { kind, at, bytes }))
    }

    /// Where the frame behind it begins.
    #[inline]
    pub fn end(&self) -> u64 {
        self.at + self.bytes.next_multiple_of(FRAME_ALIGN)
    }

    /// The length of what it holds.
    pub fn content_bytes(&self) -> u64 {
        self.bytes - WORD_BYTES
    }

    /// What it holds.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where it ends outside the memory.
    #[inline]
    pub fn content<'a>(&self, memory: &'a Memory) -> Result<&'a [u8], WireError> {
        memory.arena().bytes(self.at + WORD_BYTES, self.bytes - WORD_BYTES)
    }

    /// Where a jump leads.
    ///
    /// # Errors
    /// [`WireError::Short`] where it says nothing.
    pub fn target(&self, memory: &Memory) -> Result<u64, WireError> {
        let target: [u8; 8] = self.content(memory)?.try_into().map_err(|_| WireError::Short)?;
        Ok(u64::from_le_bytes(target))
    }
}

/// A segment whose head was found to be sound.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Where it begins.
    pub at: u64,
    /// Its size.
    pub bytes: u64,
    /// Its number in the log.
    pub serial: u64,
    /// The number of the first record that begins in it, or behind it.
    pub first_number: u64,
    /// The segment behind it; 0 for the last.
    pub next: u64,
}

impl Segment {
    /// Reads the head of a segment of a log.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where there is none.
    pub fn read(memory: &Memory, name: LogName, at: u64) -> Result<Self, WireError> {
        let header = memory.arena().at::<SegmentHeader>(at)?;
        let bytes = header.bytes.load(Ordering::Relaxed);
        let inside = at.checked_add(bytes).is_some_and(|end| end <= memory.arena().len());
        if header.tag.load(Ordering::Relaxed) != name.tag()
            || bytes < SEGMENT_HEAD_BYTES + JUMP_BYTES
            || !inside
        {
            return Err(WireError::Malformed("a reference to a segment that is none"));
        }
        Ok(Self {
            at,
            bytes,
            serial: header.serial.load(Ordering::Relaxed),
            first_number: header.first_number.load(Ordering::Relaxed),
            next: header.next.load(Ordering::Acquire),
        })
    }

    /// Where its first frame begins.
    pub fn first_frame(&self) -> u64 {
        self.at + SEGMENT_HEAD_BYTES
    }

    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.at + self.bytes
    }

    /// Bytes that a segment needs to hold a frame with so much content.
    pub fn needed(content_bytes: u64) -> u64 {
        SEGMENT_HEAD_BYTES + (WORD_BYTES + content_bytes).next_multiple_of(FRAME_ALIGN) + JUMP_BYTES
    }
}

/// The segments of a log in order, as far as they can be followed, and why no farther.
pub fn chain(memory: &Memory, slot: &LogSlot, name: LogName) -> (Vec<Segment>, Result<(), WireError>) {
    let mut found: Vec<Segment> = Vec::new();
    let mut at = slot.first.load(Ordering::Acquire);
    while at != 0 {
        match Segment::read(memory, name, at) {
            // Serial numbers grow along the chain: so it ends, even where it was scribbled into a ring.
            Ok(segment) if found.last().is_none_or(|last| last.serial < segment.serial) => {
                found.push(segment);
                at = segment.next;
            }
            Ok(_) => return (found, Err(WireError::Malformed("segments out of order"))),
            Err(error) => return (found, Err(error)),
        }
    }
    (found, Ok(()))
}

/// The segment that a writer took off the front of its log and had not put at the end when it died.
pub fn orphan(memory: &Memory, slot: &LogSlot, name: LogName, chain: &[Segment]) -> Option<Segment> {
    let spare = slot.spare.load(Ordering::Acquire);
    if spare == 0 || chain.iter().any(|segment| segment.at == spare) {
        return None;
    }
    // One that was given back already reads as zeros.
    Segment::read(memory, name, spare).ok()
}

/// A place in a log, from which it is read forward.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    name: LogName,
    /// Where the next frame is or will be.
    at: u64,
    segment: Segment,
}

impl Cursor {
    /// At the first frame that is retained, if the log was begun.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where the log is garbage.
    pub fn first(memory: &Memory, slot: &LogSlot, name: LogName) -> Result<Option<Self>, WireError> {
        Self::in_segment(memory, name, slot.first.load(Ordering::Acquire))
    }

    /// At the first frame of the last segment that is known, if the log was begun.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where the log is garbage.
    pub fn last(memory: &Memory, slot: &LogSlot, name: LogName) -> Result<Option<Self>, WireError> {
        let last = slot.last.load(Ordering::Acquire);
        Self::in_segment(memory, name, if last == 0 { slot.first.load(Ordering::Acquire) } else { last })
    }

    fn in_segment(memory: &Memory, name: LogName, at: u64) -> Result<Option<Self>, WireError> {
        if at == 0 {
            return Ok(None);
        }
        let segment = Segment::read(memory, name, at)?;
        Ok(Some(Self { name, at: segment.first_frame(), segment }))
    }

    /// Where the next frame is or will be.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The cursor at the first frame of its segment.
    pub fn to_start(self) -> Self {
        Self { at: self.segment.first_frame(), ..self }
    }

    /// The segment in which it stands.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The frame at the cursor, if one is published. Follows jumps, but moves past nothing else.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where the log is garbage.
    #[inline]
    pub fn frame(&mut self, memory: &Memory) -> Result<Option<Frame>, WireError> {
        loop {
            let Some(frame) = Frame::at(memory, self.at)? else { return Ok(None) };
            let room = if frame.kind == FrameKind::Jump { 0 } else { JUMP_BYTES };
            if frame.end() + room > self.segment.end() {
                return Err(WireError::Malformed("a frame beyond its segment"));
            }
            if frame.kind != FrameKind::Jump {
                return Ok(Some(frame));
            }
            let next = Segment::read(memory, self.name, frame.target(memory)?)?;
            if next.serial <= self.segment.serial {
                return Err(WireError::Malformed("segments out of order"));
            }
            self.segment = next;
            self.at = next.first_frame();
        }
    }

    /// The record at the cursor, where one is published in this segment.
    #[inline(always)] // for every message
    pub fn record(&self, memory: &Memory) -> Option<Frame> {
        let frame = Frame::at(memory, self.at).ok()??;
        (frame.kind == FrameKind::Record && frame.end() + JUMP_BYTES <= self.segment.end()).then_some(frame)
    }

    /// Moves to the end of a frame that [`Cursor::record`] found.
    #[inline(always)] // for every message
    pub fn move_to(&mut self, end: u64) {
        self.at = end;
    }

    /// Moves past a frame that [`Cursor::frame`] found.
    #[inline]
    pub fn skip(&mut self, frame: &Frame) {
        self.at = frame.end();
    }
}
