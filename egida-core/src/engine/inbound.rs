//! The reading end of a channel: which messages are known, where their payloads are, what may be reclaimed.
//!
//! Two cursors run over a channel. `known` counts the messages of which the rank has taken knowledge: order fixed,
//! piggyback logged. `next` is where the driver reads. They are equal until the channel begins anew because its sender's
//! memory was lost: then `next` runs again from the beginning over what the sender's re-execution writes, the records
//! below `known` are compared with a digest of what they were, and payloads that were not yet read are found again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::clock::IncarnationClock;
use crate::driver::Location;
use crate::ids::{Position, Ssn};
use crate::recovery::LoggedMessage;
use crate::trace::Gated;
use crate::wire::{RecordHeader, SendMode};

/// Where a payload is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// On the channel.
    Channel(Location),
    /// In this process: sent to itself, or from its own log.
    Logged(Vec<u8>),
    /// Lost with the sender's memory; the sender's re-execution brings it back.
    Absent,
}

/// A message that is known and not finished.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub mode: SendMode,
    pub place: Place,
    /// The payload's length.
    pub len: u64,
    /// The payload's first byte that is kept, where it is kept in this process.
    pub kept_from: u64,
    /// Bytes that the application has read.
    pub read: u64,
    /// Bytes to skip at `place`, because they were read before the channel began anew.
    pub skip: u64,
    /// The journal's position behind its log entry.
    pub logged_at: Option<Position>,
    /// What it depends on, where the protocol tracks that.
    pub clock: Option<Box<IncarnationClock>>,
    /// The digest of the heads before it.
    pub digest_before: u64,
}

impl Message {
    pub fn new(mode: SendMode, place: Place) -> Self {
        Self {
            mode,
            place,
            len: 0,
            kept_from: 0,
            read: 0,
            skip: 0,
            logged_at: None,
            clock: None,
            digest_before: 0,
        }
    }

    /// The same with what it depends on.
    pub fn after(self, clock: Option<Box<IncarnationClock>>) -> Self {
        Self { clock, ..self }
    }
}

/// The reading end of one channel.
#[derive(Clone, Default)]
pub(super) struct Inbound {
    /// The number of the record at the driver's read cursor.
    pub next: Ssn,
    /// How often the channel was begun anew when this end last looked.
    pub generation: Option<u32>,
    /// Digest of the heads of all known records, in order.
    pub digest: u64,
    /// The most events of the sender that a known record depends on.
    pub depends: u64,
    /// Messages of an earlier incarnation's own log that are not yet known to this one.
    pub logged: BTreeMap<Ssn, LoggedMessage>,
    /// The message at the read cursor that a trace was last told to be kept back, and before what.
    pub kept_back: Option<(Ssn, Option<Gated>)>,
    /// Synchronous messages that were matched: their sender may ask again, where checkpoints are taken.
    pub matched: BTreeSet<Ssn>,
    /// Digest of the records read since the channel was last read from its very beginning.
    pub(super) again: Option<u64>,
    /// Digest of the heads before the last one folded into `digest`.
    pub(super) digest_before_last: u64,
    pub(super) first: Ssn,
    pub(super) messages: VecDeque<Option<Message>>,
    pub(super) logged_position: Position,
}

impl Inbound {
    /// How many messages are known.
    #[inline]
    pub fn known(&self) -> Ssn {
        self.first + self.messages.len() as u64
    }

    pub fn is_known(&self, ssn: Ssn) -> bool {
        ssn < self.known()
    }

    /// Messages below this number are finished.
    pub fn finished_below(&self) -> Ssn {
        self.first
    }

    /// The journal's position behind the log entries of all finished messages.
    pub fn logged_position(&self) -> Position {
        self.logged_position
    }

    pub fn get_mut(&mut self, ssn: Ssn) -> Option<&mut Message> {
        let at = usize::try_from(ssn.checked_sub(self.first)?).ok()?;
        self.messages.get_mut(at)?.as_mut()
    }

    /// The messages that are known, from the first that is not finished on, with their numbers.
    pub fn unfinished(&self) -> impl Iterator<Item = (Ssn, Option<&Message>)> {
        (self.first..).zip(self.messages.iter().map(Option::as_ref))
    }

    /// Whether a payload that is still to be read was lost with the sender's memory, and has not come back.
    pub fn lacks_payload(&self) -> bool {
        let lacks = |message: &Message| matches!(message.place, Place::Absent) && message.read < message.len;
        self.messages.iter().flatten().any(lacks)
    }

    /// Goes on behind `first` finished messages, and these.
    pub fn resume(&mut self, first: Ssn, messages: VecDeque<Option<Message>>) {
        self.first = first;
        self.messages = messages;
        let known = self.known();
        self.logged = self.logged.split_off(&known);
    }

    /// Adds the next message; returns its number.
    pub fn push(&mut self, mut message: Message) -> Ssn {
        message.digest_before = self.digest_before_last;
        self.messages.push_back(Some(message));
        self.known() - 1
    }

    /// Whether no message is known that is not finished, and none is known from elsewhere than the channel.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.logged.is_empty()
    }

    /// Passes the next message, the one at the read cursor, which is finished as soon as it is known.
    #[inline(always)] // for every message
    pub fn pass(&mut self, header: &RecordHeader) {
        self.first_read(header);
        self.depends = self.depends.max(header.events);
        self.next += 1;
        self.first += 1;
    }

    /// Forgets the last messages, from the first that is obsolete on: they were never sent. What is delivered stays, since
    /// then the rank itself would be an orphan. Returns from which number on messages are forgotten, if any.
    pub fn forget_obsolete(&mut self, is_obsolete: impl Fn(&IncarnationClock) -> bool) -> Option<Ssn> {
        let at = self.messages.iter().position(|message| {
            message.as_ref().is_some_and(|message| message.clock.as_deref().is_some_and(&is_obsolete))
        })?;
        let from = self.first + at as Ssn;
        self.digest = self.messages[at].as_ref().map_or(self.digest, |message| message.digest_before);
        if self.next > from {
            self.again = self.again.map(|_| self.digest);
        }
        self.messages.truncate(at);
        Some(from)
    }

    /// Forgets a message that is delivered.
    pub fn finish(&mut self, ssn: Ssn) {
        let Some(at) = ssn.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return };
        if let Some(message) = self.messages.get_mut(at).and_then(Option::take) {
            self.logged_position = self.logged_position.max(message.logged_at.unwrap_or(0));
        }
        while matches!(self.messages.front(), Some(None)) {
            self.messages.pop_front();
            self.first += 1;
        }
    }

    /// The channel is read again from record `first` on.
    pub fn rewound(&mut self, first: Ssn) {
        self.next = first;
        self.again = (first == 0).then_some(0);
        for message in self.messages.iter_mut().flatten() {
            if matches!(message.place, Place::Channel(_)) {
                message.place = Place::Absent;
            }
        }
    }

    /// A record is read that is not known yet.
    #[inline(always)] // for every message
    pub fn first_read(&mut self, header: &RecordHeader) {
        self.digest_before_last = self.digest;
        self.digest = header.fold(self.digest);
        self.again = self.again.map(|again| header.fold(again));
    }

    /// A known record is read again: finds its payload, and says whether the records so far are what they were.
    pub fn repeat(&mut self, header: &RecordHeader, payload: Location) -> bool {
        if let Some(message) =
            self.get_mut(header.ssn).filter(|message| matches!(message.place, Place::Absent))
        {
            message.skip = message.read;
            message.place = Place::Channel(payload);
        }
        let Some(again) = &mut self.again else { return true };
        *again = header.fold(*again);
        header.ssn + 1 < self.known() || self.again == Some(self.digest)
    }

    /// The next message to know, if the rank's own log has it and it is not obsolete.
    pub fn next_logged(&mut self, is_obsolete: impl Fn(&IncarnationClock) -> bool) -> Option<LoggedMessage> {
        if self.logged.is_empty() {
            return None;
        }
        let known = self.known();
        let logged = self.logged.remove(&known)?;
        if logged.clock.as_deref().is_some_and(is_obsolete) {
            return None;
        }
        // Its head counts in the digest as if it had been read from the channel.
        let header = RecordHeader {
            ssn: known,
            requires: 0,
            events: 0,
            len: logged.payload.len() as u64,
            envelope: crate::wire::Envelope { context: logged.context, tag: logged.tag },
            mode: SendMode::Standard,
            piggyback_len: 0,
        };
        self.digest_before_last = self.digest;
        self.digest = header.fold(self.digest);
        Some(logged)
    }

    /// Whether the rank's own log has the next message to know.
    pub fn has_logged(&self) -> bool {
        self.logged.contains_key(&self.known())
    }
}
