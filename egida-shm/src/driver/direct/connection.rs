//! One connection to another rank: the pair's mirror, and the bytes of its messages.
//!
//! ```text
//!   length (4 bytes) | message of the mirror
//! ```
//!
//! There is no checksum: the connection's ends know each other, and TCP has one.

use std::cell::Cell;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use egida_core::fault::Fault;
use egida_core::ids::Rank;

use super::outgoing::{Hollow, Outgoing};
use crate::introduction::Offer;
use crate::layout::{Memory, ReaderLine};
use crate::mirror::{FRAME_HEAD_BYTES, Mirror, Room};

/// How much is handed to the system at once.
const WRITE_BYTES: usize = 256 << 10;

/// How much is taken from it at once, but for long contents.
const READ_BYTES: usize = 32 << 10;

/// A content of which at least so much is still to come is read to where it is to stand.
const IN_PLACE_BYTES: usize = 8 << 10;

/// But not where it is longer than this: memory is given for what has come, not for what is announced.
const MOST_IN_PLACE_BYTES: usize = 1 << 20;

/// With the rest of a content so much is read of what follows.
const BEHIND_BYTES: usize = 4 << 10;

/// What was read of the other end's log is told with what is sent next, or after so many bytes.
const UNTOLD_BYTES: usize = 128 << 10;

/// No message is longer: a log's frames are pieces.
const MOST_BYTES: usize = 1 << 31;

/// A connection of this rank's.
#[derive(Debug)]
pub struct Connection {
    rank: Rank,
    peer: Rank,
    number: u64,
    stream: TcpStream,
    mirror: Mirror,
    outgoing: Outgoing,
    /// A frame of which a part has come, and how much of it, in the log where it is to stand. Nobody sees it yet.
    filling: Option<(Room, u64)>,
    /// What else has come in: from where it was not taken, and to where it was read.
    incoming: Vec<u8>,
    from: usize,
    to: usize,
    /// Bytes that have come since something was sent.
    untold: usize,
    tries: u64,
    /// Whether the system has something to say of it, as far as it was asked.
    is_ready: Cell<bool>,
}

impl Connection {
    /// This rank's end of a connection that carries from now on.
    ///
    /// # Errors
    /// [`Fault`] where a log is garbage.
    pub fn new(memory: &Arc<Memory>, rank: Rank, offer: Offer) -> Result<Self, Fault> {
        let Offer { peer, number, stream } = offer;
        // Where this fails, so does what is done with it next.
        let _ = stream.set_nonblocking(true);
        Ok(Self {
            rank,
            peer,
            number,
            stream,
            mirror: Mirror::of_pair(Arc::clone(memory), rank, peer)?,
            outgoing: Outgoing::default(),
            filling: None,
            incoming: Vec::new(),
            from: 0,
            to: 0,
            untold: 0,
            tries: 0,
            is_ready: Cell::new(false),
        })
    }

    /// Whether the system had something to say of it when it was asked last.
    pub fn is_ready(&self) -> bool {
        self.is_ready.get()
    }

    /// It was asked.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.set(is_ready);
    }

    /// To whom it leads.
    pub fn peer(&self) -> Rank {
        self.peer
    }

    /// To wait for it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether it carries still.
    pub fn is_held(&self, memory: &Memory) -> bool {
        self.line(memory).carrier.is_held(self.number)
    }

    /// Whether the system did not take all that there is to send.
    pub fn is_behind(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Lets the daemons carry again.
    pub fn give_up(&self, memory: &Memory) {
        let line = self.line(memory);
        // Whoever reads the log next has to find its place; until it has, the writer, which is this rank, takes nothing back.
        line.left.store(0, Ordering::Release);
        line.carrier.give_up(self.number);
    }

    /// Sends what is new, as far as the system takes it; where `is_last`, also what can wait for company. Returns whether the
    /// connection is whole.
    ///
    /// # Errors
    /// [`Fault`] where a log is garbage.
    pub fn send(&mut self, memory: &Memory, is_last: bool) -> Result<bool, Fault> {
        self.send_hollow(memory, is_last, &[])
    }

    /// The same, where parts of the log are not written yet.
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn send_hollow(
        &mut self,
        memory: &Memory,
        is_last: bool,
        hollow: &[Hollow<'_>],
    ) -> Result<bool, Fault> {
        let mut wants = is_last || self.untold >= UNTOLD_BYTES;
        let is_whole = loop {
            if self.outgoing.is_empty() {
                if !std::mem::take(&mut wants) && !self.mirror.has_news() {
                    break true;
                }
                let outgoing = &mut self.outgoing;
                self.mirror.produce(|parts| outgoing.put(memory, parts))?;
                while outgoing.bytes() < WRITE_BYTES && self.mirror.has_news() {
                    self.mirror.produce(|parts| outgoing.put(memory, parts))?;
                }
                self.untold = 0;
                if self.outgoing.is_empty() {
                    break true;
                }
            }
            match self.outgoing.write(memory, &self.stream, hollow) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
            }
        };
        self.tries += 1;
        let behind = if self.is_behind() { self.tries } else { 0 };
        self.line(memory).behind.store(behind, Ordering::Release);
        Ok(is_whole)
    }

    /// Takes what has come. Returns whether the connection is whole.
    ///
    /// # Errors
    /// [`Fault`] where it is not what the other end can say, or does not find room.
    pub fn receive(&mut self, memory: &Memory) -> Result<bool, Fault> {
        loop {
            self.make_room();
            let behind = &mut self.incoming[self.to..];
            let (read, wanted) = match &self.filling {
                Some((room, filled)) => {
                    let (at, rest) = (room.at + filled, room.bytes - filled);
                    let behind = &mut behind[..BEHIND_BYTES];
                    (
                        memory.arena().read_in(at, rest, behind, self.stream.as_fd()),
                        rest as usize + BEHIND_BYTES,
                    )
                }
                None => (self.stream.read(behind), behind.len()),
            };
            let read = match read {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
            };
            self.untold += read;
            self.to += read - self.fill(read)?;
            let was_joined = self.mirror.is_joined();
            self.take(memory)?;
            if !was_joined && self.mirror.is_joined() {
                self.line(memory).carrier.join(self.number);
            }
            if read < wanted {
                return Ok(true);
            }
        }
    }

    /// Counts what was read of a content where it is to stand. Returns how much that is.
    fn fill(&mut self, read: usize) -> Result<usize, Fault> {
        let Some((room, filled)) = &mut self.filling else { return Ok(0) };
        let new = (room.bytes - *filled).min(read as u64);
        *filled += new;
        if *filled == room.bytes {
            self.mirror.publish(room)?;
            self.filling = None;
        }
        Ok(new as usize)
    }

    fn take(&mut self, memory: &Memory) -> Result<(), Fault> {
        loop {
            let rest = &self.incoming[self.from..self.to];
            let Some((len, rest)) = rest.split_first_chunk() else { return Ok(()) };
            let len = u32::from_le_bytes(*len) as usize;
            if len > MOST_BYTES {
                return Err(Fault::Driver(format!("rank {} announced a message of {len} bytes", self.peer)));
            }
            let Some(message) = rest.get(..len) else { return self.begin_filling(memory, len) };
            self.mirror.take(message)?;
            self.from += 4 + len;
        }
    }

    /// Has the rest of a message read to where it is to stand, where that is worth it.
    fn begin_filling(&mut self, memory: &Memory, len: usize) -> Result<(), Fault> {
        let begun = &self.incoming[self.from + 4..self.to];
        let Some((head, content)) = begun.split_first_chunk::<FRAME_HEAD_BYTES>() else { return Ok(()) };
        let bytes = len - FRAME_HEAD_BYTES;
        if bytes - content.len() < IN_PLACE_BYTES || bytes > MOST_IN_PLACE_BYTES {
            return Ok(());
        }
        let Some(room) = self.mirror.reserve(head, bytes as u64)? else { return Ok(()) };
        let copied = memory.arena().copy_in(room.at, content);
        copied.map_err(|error| Fault::Driver(format!("a frame does not fit: {error}")))?;
        self.filling = Some((room, content.len() as u64));
        self.from = self.to;
        Ok(())
    }

    /// Makes room for the rest of a message that was begun, or for as much as comes.
    fn make_room(&mut self) {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        let begun = &self.incoming[self.from..self.to];
        let len = begun.first_chunk().map_or(0, |len| 4 + u32::from_le_bytes(*len) as usize);
        // A length is believed as far as bytes come.
        let wanted = len.saturating_sub(begun.len()).clamp(READ_BYTES / 2, READ_BYTES.max(2 * begun.len()));
        if self.incoming.len() - self.to < wanted {
            self.incoming.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            let needed = (self.to + wanted).max(READ_BYTES);
            if self.incoming.len() < needed {
                self.incoming.resize(needed, 0);
            }
        }
    }

    fn line<'a>(&self, memory: &'a Memory) -> &'a ReaderLine {
        &memory.channel(self.rank, self.peer).reader
    }
}
