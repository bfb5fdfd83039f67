//! The end of a mirror that writes a log as it stands on another host.

use std::sync::atomic::Ordering;

use egida_core::fault::Fault;
use egida_core::wire::WireError;

use super::outflow::slot;
use super::wire::Place;
use crate::driver::{announce, survey};
use crate::kill::KillSwitch;
use crate::layout::{LogName, Memory};
use crate::log::{Cursor, FrameKind, chain};
use crate::record::HeadBytes;
use crate::stretch::Stretch;
use crate::writer::{Log, LogWriter, Reclaims};

/// A log that is mirrored from another host.
///
/// A channel's mirror is memory on this host that its reader alone has a use for: a segment is taken back when the process
/// that reads is through with it, whatever the protocol retains, since the log itself is with the sender; and when that
/// process is dead all of it is, and the next one has it streamed again.
#[derive(Debug)]
pub struct Inflow {
    name: LogName,
    writer: LogWriter,
    stretch: Stretch,
    place: Place,
    /// The payload of the record under way.
    len: u64,
    /// Whether it was said where what comes begins.
    is_begun: bool,
    /// Whether somebody else wrote the log meanwhile: what still comes was asked for before, and is not taken.
    is_resumed: bool,
    /// What the reader had released before memory changed.
    released: u64,
}

impl Inflow {
    /// A log of which nothing has come but what its base says.
    pub fn new(memory: &Memory, name: LogName) -> Self {
        let number = slot(memory, name).base.load(Ordering::Acquire);
        Self {
            name,
            writer: LogWriter::default(),
            stretch: Stretch::new(name.owner()),
            place: Place { number, bytes: 0 },
            len: 0,
            is_begun: false,
            is_resumed: false,
            released: 0,
        }
    }

    /// Goes on where somebody else has written the log: to its end, as it stands in memory.
    ///
    /// # Errors
    /// [`Fault`] where the log is garbage.
    pub fn resume(&mut self, memory: &Memory) -> Result<(), Fault> {
        let fresh = Self { released: self.released, is_resumed: true, ..Self::new(memory, self.name) };
        *self = fresh;
        let log = slot(memory, self.name);
        let garbage = |error| self.name.garbage(0, error);
        match self.name {
            LogName::Channel(from, _) => {
                let first = Cursor::first(memory, log, self.name).map_err(garbage)?;
                let Some(mut end) = first else { return Ok(()) };
                let (extent, len) = survey(memory, &mut end, from)?;
                self.place = Place { number: extent.whole, bytes: extent.begun_bytes.unwrap_or(0) };
                self.len = len;
                self.writer = LogWriter::resume(&end);
            }
            LogName::Lane(..) | LogName::Journal(_) => {
                let last = Cursor::last(memory, log, self.name).map_err(garbage)?;
                let Some(mut end) = last else { return Ok(()) };
                self.place = Place { number: end.segment().first_number, bytes: 0 };
                while let Some(frame) = end.frame(memory).map_err(garbage)? {
                    end.skip(&frame);
                    self.place.number += 1;
                }
                self.writer = LogWriter::resume(&end);
            }
        }
        Ok(())
    }

    /// Memory is about to change.
    pub fn remember(&mut self, memory: &Memory) {
        if let LogName::Channel(from, to) = self.name {
            self.released = memory.channel(from, to).reader.released.load(Ordering::Acquire);
        }
    }

    /// What comes next.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The log's name.
    pub fn name(&self) -> LogName {
        self.name
    }

    /// Nothing comes until it is said where that begins.
    pub fn pause(&mut self) {
        self.is_begun = false;
    }

    /// What comes from now on is asked for again: what was under way before is not taken.
    pub fn ask_anew(&mut self) {
        self.is_begun = false;
        self.is_resumed = true;
    }

    /// The memory may have been taken away: then nothing has come.
    pub fn look_again(&mut self, memory: &Memory) {
        if slot(memory, self.name).first.load(Ordering::Acquire) == 0 {
            *self = Self::new(memory, self.name);
        }
        self.pause();
    }

    /// Gives all memory of a channel back: its reader is dead. The next one begins with what was not released.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the system refuses.
    pub fn clear(&mut self, memory: &Memory) -> Result<(), Fault> {
        let log = slot(memory, self.name);
        let (segments, sound) = chain(memory, log, self.name);
        if segments.is_empty() {
            return Ok(());
        }
        log.base.store(self.released, Ordering::Release);
        for word in [&log.first, &log.last, &log.spare] {
            word.store(0, Ordering::Release);
        }
        for segment in segments {
            memory.free(self.name, segment.at, segment.bytes)?;
        }
        *self = Self::new(memory, self.name);
        sound.map_err(|error| self.name.garbage(0, error))
    }

    /// What comes begins here. Returns whether that is what is wanted; else it was asked for before somebody else wrote the log.
    ///
    /// # Errors
    /// [`Fault`] where nobody can have asked for it.
    pub fn begin(&mut self, from: Place) -> Result<bool, Fault> {
        if from != self.place && !self.is_resumed {
            return Err(self.malformed("another part of the log than was wanted"));
        }
        self.is_begun = from == self.place;
        Ok(self.is_begun)
    }

    /// Writes the next frame.
    ///
    /// # Errors
    /// [`Fault`] where it is not the next one, or where there is no room.
    pub fn write(&mut self, memory: &Memory, kind: FrameKind, content: &[u8]) -> Result<(), Fault> {
        if !self.is_begun {
            if self.is_resumed {
                return Ok(());
            }
            return Err(self.malformed("a frame before its log was begun"));
        }
        let bytes = self.check(kind, content)?;
        let room = self.room(memory, content.len() as u64)?;
        memory.arena().copy_in(room, content).map_err(|error| self.name.garbage(0, error))?;
        self.append(memory, kind, content.len() as u64, bytes)
    }

    /// Makes room for the content of the next frame, and says where: nowhere where it is not to be taken.
    ///
    /// # Errors
    /// [`Fault`] where there is none.
    pub fn reserve(&mut self, memory: &Memory, bytes: u64) -> Result<Option<u64>, Fault> {
        if self.is_begun { self.room(memory, bytes).map(Some) } else { Ok(None) }
    }

    /// The next frame stands where room was made for it.
    ///
    /// # Errors
    /// As for [`Inflow::write`].
    pub fn publish(&mut self, memory: &Memory, kind: FrameKind, at: u64, bytes: u64) -> Result<(), Fault> {
        let content = memory.arena().bytes(at, bytes).map_err(|error| self.name.garbage(0, error))?;
        let reached = self.check(kind, content)?;
        self.append(memory, kind, bytes, reached)
    }

    /// Whether a frame is the next one. Returns how much of its record's payload there is with it.
    fn check(&mut self, kind: FrameKind, content: &[u8]) -> Result<u64, Fault> {
        let before = self.place;
        let mut bytes = 0;
        match (kind, self.name) {
            (FrameKind::Record, LogName::Channel(..)) if before.bytes == 0 => {
                let head =
                    HeadBytes::read(content).map_err(|error| self.name.garbage(before.number, error))?;
                if head.header.ssn != before.number {
                    return Err(self.malformed("the number of another record"));
                }
                self.len = head.header.len;
                bytes = head.payload_bytes;
            }
            (FrameKind::Piece, LogName::Channel(..)) if before.bytes > 0 => {
                bytes = before.bytes + content.len() as u64;
            }
            (FrameKind::Notice, LogName::Lane(..)) | (FrameKind::Entry, LogName::Journal(_)) => {}
            _ => return Err(self.malformed("a frame that does not belong there")),
        }
        if bytes > self.len {
            return Err(self.malformed(crate::record::TOO_LONG));
        }
        Ok(bytes)
    }

    fn room(&mut self, memory: &Memory, bytes: u64) -> Result<u64, Fault> {
        let Place { number, bytes: begun } = self.place;
        self.with_log(memory, |writer, mut log| {
            writer.reserve(&mut log, bytes, number + u64::from(begun > 0))?;
            Ok(writer.content_at())
        })
    }

    /// Publishes the frame that stands where room was made for it. With it there are so many bytes of its record's payload.
    fn append(&mut self, memory: &Memory, kind: FrameKind, content: u64, bytes: u64) -> Result<(), Fault> {
        let before = self.place;
        self.with_log(memory, |writer, log| {
            if let LogName::Channel(from, to) = log.name {
                announce(memory, from, to);
            }
            writer.publish(&log, kind, content)
        })?;
        self.place = match bytes == self.len {
            true => Place { number: before.number + 1, bytes: 0 },
            false => Place { bytes, ..before },
        };
        if bytes == self.len {
            self.len = 0;
        }
        Ok(())
    }

    fn with_log<T>(
        &mut self,
        memory: &Memory,
        body: impl FnOnce(&mut LogWriter, Log<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let reclaims = match self.name {
            LogName::Channel(from, to) => Some(Reclaims::finished(&memory.channel(from, to).reader)),
            LogName::Lane(..) | LogName::Journal(_) => None,
        };
        let mut nowhere = KillSwitch::default();
        let log = Log {
            memory,
            slot: slot(memory, self.name),
            reclaims,
            name: self.name,
            stretch: &mut self.stretch,
            kill: &mut nowhere,
        };
        body(&mut self.writer, log)
    }

    fn malformed(&self, what: &'static str) -> Fault {
        self.name.garbage(self.place.number, WireError::Malformed(what))
    }
}
