//! What is on its way out over a connection: texts, and contents that go from the log where they stand.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::TcpStream;

use egida_core::wire::WireError;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use crate::layout::Memory;

/// A content of at least so many bytes is not copied.
const IN_PLACE_BYTES: usize = 4 << 10;

/// How many parts are handed to the system at once.
const PARTS: usize = 16;

/// A part of a log that is not written yet, and what is to stand there.
#[derive(Debug, Clone, Copy)]
pub struct Hollow<'a> {
    /// Where it begins.
    pub at: u64,
    /// What is to stand there.
    pub bytes: &'a [u8],
}

impl<'a> Hollow<'a> {
    /// What is to stand at a place in it and behind that.
    fn from(&self, place: u64) -> Option<&'a [u8]> {
        self.bytes.get(usize::try_from(place.checked_sub(self.at)?).ok()?..).filter(|rest| !rest.is_empty())
    }
}

/// Messages that the system has not taken.
#[derive(Debug, Default)]
pub struct Outgoing {
    text: Vec<u8>,
    parts: VecDeque<Part>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    /// Where it begins, in the text or in memory.
    from: u64,
    bytes: usize,
    is_text: bool,
}

impl Outgoing {
    /// Whether the system has everything.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How much it does not have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message, given in parts. Of those, long ones that stand in memory have to stay there.
    pub fn put(&mut self, memory: &Memory, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.copy(&(len as u32).to_le_bytes());
        for part in parts {
            match memory.arena().offset_of(part).filter(|_| part.len() >= IN_PLACE_BYTES) {
                Some(from) => {
                    self.parts.push_back(Part { from, bytes: part.len(), is_text: false });
                    self.bytes += part.len();
                }
                None => self.copy(part),
            }
        }
    }

    fn copy(&mut self, bytes: &[u8]) {
        let from = self.text.len() as u64;
        self.text.extend_from_slice(bytes);
        self.bytes += bytes.len();
        match self.parts.back_mut() {
            Some(last) if last.is_text => last.bytes += bytes.len(),
            _ => self.parts.push_back(Part { from, bytes: bytes.len(), is_text: true }),
        }
    }

    /// Hands the system as much as it takes at once. What of the log is hollow it takes from elsewhere.
    ///
    /// # Errors
    /// [`io::Error`] of the connection; [`io::ErrorKind::WouldBlock`] where it takes nothing now.
    pub fn write(&mut self, memory: &Memory, stream: &TcpStream, hollow: &[Hollow<'_>]) -> io::Result<()> {
        let garbage = |error: WireError| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut slices = [IoSlice::new(&[]); PARTS];
        let mut count = 0;
        'parts: for part in &self.parts {
            if part.is_text {
                let text = &self.text[part.from as usize..part.from as usize + part.bytes];
                let Some(slice) = slices.get_mut(count) else { break };
                *slice = IoSlice::new(text);
                count += 1;
                continue;
            }
            let (mut from, end) = (part.from, part.from + part.bytes as u64);
            while from < end {
                let Some(slice) = slices.get_mut(count) else { break 'parts };
                let bytes = match hollow.iter().find_map(|hollow| hollow.from(from)) {
                    Some(bytes) => &bytes[..bytes.len().min((end - from) as usize)],
                    None => {
                        let begun =
                            hollow.iter().map(|hollow| hollow.at).filter(|at| (from..end).contains(at));
                        let next = begun.min().unwrap_or(end);
                        memory.arena().bytes(from, next - from).map_err(garbage)?
                    }
                };
                *slice = IoSlice::new(bytes);
                count += 1;
                from += bytes.len() as u64;
            }
        }
        let sent =
            sendmsg(stream, &slices[..count], &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?;
        self.pass(sent);
        Ok(())
    }

    fn pass(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(part) = self.parts.front_mut() {
            if sent < part.bytes {
                part.from += sent as u64;
                part.bytes -= sent;
                return;
            }
            sent -= part.bytes;
            self.parts.pop_front();
        }
        self.text.clear();
    }
}
