//! The end of a mirror that reads a log of this host and says what stands in it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use egida_core::fault::Fault;
use egida_core::wire::WireError;

use super::wire::Place;
use crate::layout::{LogName, LogSlot, Memory};
use crate::log::{Cursor, Frame, FrameKind};
use crate::record::Head;

/// A log that is mirrored to another host.
#[derive(Debug)]
pub struct Outflow {
    pub name: LogName,
    /// Whether somebody else reads it meanwhile.
    pub is_lent: bool,
    /// What the other side wants; nothing before it said so.
    wanted: Option<Place>,
    /// Where reading goes on; nothing before a wanted place was found.
    cursor: Option<Cursor>,
    place: Place,
    /// The payload of the record under way.
    len: u64,
    /// The segments that were read and may be wanted again, each by its first frame: from the first that the other side's
    /// reader has not released on. So a place can be found again while the log's writer takes old segments back.
    passed: VecDeque<Cursor>,
}

impl Outflow {
    /// Nothing is wanted yet.
    pub fn new(name: LogName) -> Self {
        Self {
            name,
            is_lent: false,
            wanted: None,
            cursor: None,
            place: Place::default(),
            len: 0,
            passed: VecDeque::new(),
        }
    }

    /// Stops until something is wanted again.
    pub fn pause(&mut self) {
        self.wanted = None;
        self.cursor = None;
    }

    /// The log may be another: what was known of its segments is void.
    pub fn forget(&mut self) {
        self.pause();
        self.passed.clear();
    }

    /// From now on this is wanted.
    pub fn want(&mut self, place: Place) {
        self.wanted = Some(place);
        self.cursor = None;
    }

    /// How many whole entries were read, where reading has begun.
    pub fn number(&self) -> Option<u64> {
        self.cursor.map(|_| self.place.number)
    }

    /// Whether there is something to read.
    pub fn has_news(&self, memory: &Memory) -> bool {
        match &self.cursor {
            Some(cursor) => matches!(Frame::at(memory, cursor.at()), Ok(Some(_)) | Err(_)),
            None => self.wanted.is_some() && slot(memory, self.name).first.load(Ordering::Acquire) != 0,
        }
    }

    /// Finds the place that is wanted, if it was not found yet and the log was begun. Returns it where it was found now.
    ///
    /// # Errors
    /// [`Fault`] where the log is garbage, or does not reach so far.
    pub fn seek(&mut self, memory: &Memory) -> Result<Option<Place>, Fault> {
        let (Some(wanted), None) = (self.wanted, &self.cursor) else { return Ok(None) };
        let name = self.name;
        let garbage = |error| name.garbage(wanted.number, error);
        let known = self.passed.iter().rfind(|start| start.segment().first_number <= wanted.number).copied();
        let start = match known.or(self.passed.front().copied()) {
            Some(start) => start,
            None => match Cursor::first(memory, slot(memory, name), name).map_err(garbage)? {
                Some(start) => start,
                None => return Ok(None),
            },
        };
        let first = start.segment().first_number;
        self.passed.retain(|passed| passed.segment().serial <= start.segment().serial);
        (self.place, self.len) = (Place { number: first, bytes: 0 }, 0);
        let mut cursor = start;
        while self.place != wanted {
            let frame = cursor.frame(memory).map_err(garbage)?;
            self.pass(memory, &cursor);
            let Some(frame) = frame.filter(|_| self.place.number <= wanted.number) else {
                return Err(garbage(WireError::Malformed("another part than another host has")));
            };
            cursor.skip(&frame);
            self.count(memory, &frame)?;
        }
        self.pass(memory, &cursor);
        self.cursor = Some(cursor);
        Ok(Some(self.place))
    }

    /// Adds the frames that are published, up to about so many bytes, and moves behind them.
    ///
    /// # Errors
    /// [`Fault`] where the log is garbage.
    pub fn read(&mut self, memory: &Memory, frames: &mut Vec<Frame>, most_bytes: u64) -> Result<(), Fault> {
        let Some(mut cursor) = self.cursor else { return Ok(()) };
        let mut bytes = 0;
        let result = loop {
            if bytes >= most_bytes {
                break Ok(());
            }
            let before = cursor.segment().serial;
            let frame = match cursor.frame(memory) {
                Ok(frame) => frame,
                Err(error) => break Err(self.name.garbage(self.place.number, error)),
            };
            if cursor.segment().serial != before {
                self.pass(memory, &cursor);
            }
            let Some(frame) = frame else { break Ok(()) };
            cursor.skip(&frame);
            match self.count(memory, &frame) {
                Ok(true) => frames.push(frame),
                Ok(false) => {}
                Err(fault) => break Err(fault),
            }
            bytes += frame.bytes;
        };
        self.cursor = Some(cursor);
        result
    }

    /// Remembers the segment in which the cursor stands, forgets those that nobody wants again, and lets the writer know.
    fn pass(&mut self, memory: &Memory, cursor: &Cursor) {
        let segment = cursor.segment();
        if self.passed.back().is_none_or(|last| last.segment().serial < segment.serial) {
            self.passed.push_back(cursor.to_start());
        }
        let LogName::Channel(from, to) = self.name else { return };
        let reader = &memory.channel(from, to).reader;
        let released = reader.released.load(Ordering::Acquire);
        while self.passed.get(1).is_some_and(|second| second.segment().first_number <= released) {
            self.passed.pop_front();
        }
        reader.left.store(segment.serial, Ordering::Release);
    }

    /// Counts a frame; returns whether the other side needs it. It does not where the record was begun before the place
    /// that it wanted.
    fn count(&mut self, memory: &Memory, frame: &Frame) -> Result<bool, Fault> {
        let number = self.place.number;
        let malformed = |what| self.name.garbage(number, WireError::Malformed(what));
        match (frame.kind, self.name) {
            (FrameKind::Record, LogName::Channel(..)) => {
                let head = Head::read(memory, frame).map_err(|error| self.name.garbage(number, error))?;
                if head.header.ssn != number || self.place.bytes > 0 {
                    return Err(malformed("the number of another record"));
                }
                self.len = head.header.len;
                self.place.bytes = head.payload_bytes();
            }
            (FrameKind::Piece, LogName::Channel(..)) if self.place.bytes == 0 => return Ok(false),
            (FrameKind::Piece, LogName::Channel(..)) => self.place.bytes += frame.content_bytes(),
            (FrameKind::Notice, LogName::Lane(..)) | (FrameKind::Entry, LogName::Journal(_)) => {}
            _ => return Err(malformed("a frame that does not belong there")),
        }
        if self.place.bytes >= self.len {
            self.place = Place { number: number + 1, bytes: 0 };
            self.len = 0;
        }
        Ok(true)
    }
}

/// The segments of a log.
pub fn slot(memory: &Memory, name: LogName) -> &LogSlot {
    match name {
        LogName::Channel(from, to) => &memory.channel(from, to).log,
        LogName::Lane(from, to) => memory.lane(from, to),
        LogName::Journal(rank) => &memory.rank(rank).journal,
    }
}
