//! Writing: records to channels, notices to lanes, and what a predecessor left there.

use std::sync::atomic::Ordering;

use egida_core::crash::Failpoint;
use egida_core::driver::{Comparison, Extent};
use egida_core::fault::Fault;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::{RecordHeader, WireError};

use super::direct::Hollow;
use super::{Direct, ShmDriver};
use crate::kill::KillSwitch;
use crate::layout::{LogName, Memory};
use crate::log::{Cursor, FrameKind};
use crate::record;
use crate::stretch::Stretch;
use crate::writer::{Log, LogWriter, Reclaims};

/// A payload is published in pieces, so that the receiver copies one while the sender copies the next. The first is of this
/// length: nobody copies before it is there.
const FIRST_PIECE_BYTES: usize = 4 << 10;

/// Each piece is twice as long as the one before, up to this.
pub const PIECE_BYTES: usize = 32 << 10;

/// The first piece for a rank of another host: a system call costs more than a bell, and short of this nothing is gained by doing
/// two things at once.
const FAR_FIRST_PIECE_BYTES: usize = 64 << 10;

/// The others.
const FAR_PIECE_BYTES: usize = 128 << 10;

/// So much is handed to the connection at once.
const FAR_BYTES: usize = 256 << 10;

/// A payload for a rank of another host from this length on is sent before it is copied, where nobody can miss the copy.
const FAR_DEFERRED_BYTES: usize = 128 << 10;

/// A segment's rest is filled with a part of a piece where at least so much of it fits.
const LEAST_PIECE_BYTES: usize = 4 << 10;

/// A payload up to here goes the short way: with its head in a frame that is as good as never the last of its segment.
const SHORT_BYTES: usize = 1 << 10;

/// A channel from this rank.
#[derive(Debug, Default)]
pub struct Outbound {
    /// Whether the channel was looked at since this process attached.
    loaded: bool,
    writer: LogWriter,
    extent: Extent,
    /// Where [`ShmDriver::compare_record`] goes on.
    compared: Option<Cursor>,
}

impl Outbound {
    /// What stands on the channel.
    pub fn extent(&self) -> Extent {
        self.extent
    }
}

/// A lane from this rank.
#[derive(Debug, Default)]
pub struct NoticesOut {
    loaded: bool,
    writer: LogWriter,
    written: u64,
}

impl ShmDriver {
    /// Finds out what stands on a channel when it is used for the first time.
    #[inline]
    pub(super) fn load_outbound(&mut self, dest: Rank) -> Result<(), Fault> {
        if self.outbound[dest as usize].loaded { Ok(()) } else { self.survey_outbound(dest) }
    }

    #[cold]
    fn survey_outbound(&mut self, dest: Rank) -> Result<(), Fault> {
        let name = LogName::Channel(self.rank, dest);
        let memory = &*self.memory;
        let outbound = &mut self.outbound[dest as usize];
        let first = Cursor::first(memory, &memory.channel(self.rank, dest).log, name)
            .map_err(|error| name.garbage(0, error))?;
        if let Some(mut cursor) = first {
            outbound.extent = survey(memory, &mut cursor, self.rank)?.0;
            outbound.writer = LogWriter::resume(&cursor);
            // A predecessor may have died between beginning the channel and making it known.
            announce(memory, self.rank, dest);
        }
        outbound.compared = first;
        outbound.loaded = true;
        Ok(())
    }

    #[inline(always)]
    pub(super) fn append_record(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        piggyback: &[u8],
        payload: &[u8],
        from_byte: u64,
    ) -> Result<(), Fault> {
        if payload.len() <= SHORT_BYTES && piggyback.is_empty() {
            let Outbound { writer, extent, .. } = &self.outbound[dest as usize];
            let bytes = (RecordHeader::BYTES + payload.len()) as u64;
            // A channel that has room was looked at, and was begun.
            if writer.room() >= bytes
                && extent.begun_bytes.is_none()
                && (header.ssn, header.len, header.piggyback_len) == (extent.whole, payload.len() as u64, 0)
            {
                return self.append_short(dest, header, payload);
            }
        }
        self.append_in_pieces(dest, header, piggyback, payload, from_byte)
    }

    /// Writes a whole record where there is room for it, with the same crash points as any other.
    #[inline(always)]
    fn append_short(&mut self, dest: Rank, header: &RecordHeader, payload: &[u8]) -> Result<(), Fault> {
        let Outbound { writer, extent, .. } = &mut self.outbound[dest as usize];
        let (memory, kill) = (&*self.memory, &mut self.kill);
        let garbage = |error| LogName::Channel(self.rank, dest).garbage(header.ssn, error);
        let bytes = writer.write_short(memory, &header.encode(), payload).map_err(garbage)?;
        kill.failpoint(Failpoint::ChannelReserved)?;
        writer.publish_in(memory, FrameKind::Record, bytes).map_err(garbage)?;
        extent.whole += 1;
        kill.failpoint(Failpoint::ChannelPublished)?;
        tell(memory, &mut self.direct, &mut self.stretch, (dest, self.bells[dest as usize]))
    }

    #[inline(never)]
    fn append_in_pieces(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        piggyback: &[u8],
        payload: &[u8],
        from_byte: u64,
    ) -> Result<(), Fault> {
        self.load_outbound(dest)?;
        if self.ends_with_any && payload.len() >= FAR_DEFERRED_BYTES && self.memory.is_elsewhere(dest) {
            self.stretch.enter(&self.memory);
            let appended = self.send_and_append(dest, header, piggyback, payload);
            self.stretch.leave(&self.memory);
            if appended? {
                return Ok(());
            }
        }
        let memory = &*self.memory;
        let Outbound { writer, extent, .. } = &mut self.outbound[dest as usize];
        if header.ssn != extent.whole || from_byte != extent.begun_bytes.unwrap_or(0) {
            return Err(Fault::Bug("a record was appended out of order"));
        }
        if header.len != payload.len() as u64 || header.piggyback_len as usize != piggyback.len() {
            return Err(Fault::Bug("a record's head does not fit its contents"));
        }
        let mut log = channel_log(memory, (self.rank, dest), &mut self.stretch, &mut self.kill);
        let bell = self.bells[dest as usize];
        let is_elsewhere = self.direct.is_some() && memory.is_elsewhere(dest);
        let (first, longest, told_bytes) = match is_elsewhere {
            true => (FAR_FIRST_PIECE_BYTES, FAR_PIECE_BYTES, FAR_BYTES),
            false => (FIRST_PIECE_BYTES, PIECE_BYTES, 0),
        };
        let mut untold_bytes = 0;
        let mut rest =
            payload.get(from_byte as usize..).ok_or(Fault::Bug("a record's rest begins behind its end"))?;
        if extent.begun_bytes.is_none() {
            let fixed = RecordHeader::BYTES + piggyback.len();
            let fresh = extent.whole == 0;
            let taken = make_room(writer, &mut log, fixed, first_piece(rest.len(), first), header.ssn)?;
            let (piece, behind) = rest.split_at(taken);
            let written = writer.write(&log, &[&header.encode(), piggyback, piece])?;
            log.kill.failpoint(Failpoint::ChannelReserved)?;
            if fresh {
                announce(memory, self.rank, dest);
            }
            writer.publish(&log, FrameKind::Record, written)?;
            extent.begun_bytes = Some(taken as u64);
            rest = behind;
            untold_bytes += taken;
        }
        let mut most = first;
        while !rest.is_empty() {
            most = (most * 2).min(longest);
            if untold_bytes >= told_bytes {
                untold_bytes = 0;
                tell(memory, &mut self.direct, log.stretch, (dest, bell))?;
            }
            log.kill.failpoint(Failpoint::ChannelPiece)?;
            let taken = make_room(writer, &mut log, 0, rest.len().min(most), header.ssn + 1)?;
            let (piece, behind) = rest.split_at(taken);
            let written = writer.write(&log, &[piece])?;
            log.kill.failpoint(Failpoint::ChannelReserved)?;
            writer.publish(&log, FrameKind::Piece, written)?;
            extent.begun_bytes = extent.begun_bytes.map(|begun| begun + taken as u64);
            untold_bytes += taken;
            rest = behind;
        }
        extent.whole += 1;
        extent.begun_bytes = None;
        log.kill.failpoint(Failpoint::ChannelPublished)?;
        tell(memory, &mut self.direct, log.stretch, (dest, bell))
    }

    /// Gives the system a record from where the application has it, and copies it into the log while the other end reads. Returns
    /// whether it did; else the record is to be appended as any other.
    ///
    /// Meanwhile the log has frames without contents. Nobody but this rank reads it in a stretch in which its connection carries; and
    /// no successor ever will, where a death ends the job.
    fn send_and_append(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        piggyback: &[u8],
        payload: &[u8],
    ) -> Result<bool, Fault> {
        let memory = &*self.memory;
        let Outbound { writer, extent, .. } = &mut self.outbound[dest as usize];
        let Some(direct) = self.direct.as_mut().filter(|direct| direct.carries(memory, dest)) else {
            return Ok(false);
        };
        if extent.whole == 0
            || (header.ssn, extent.begun_bytes) != (extent.whole, None)
            || (header.len, header.piggyback_len as usize) != (payload.len() as u64, piggyback.len())
        {
            return Ok(false);
        }
        let mut log = channel_log(memory, (self.rank, dest), &mut self.stretch, &mut self.kill);
        let mut hollow = Vec::new();
        let (mut rest, mut kind, mut fixed) =
            (payload, FrameKind::Record, RecordHeader::BYTES + piggyback.len());
        while !rest.is_empty() {
            let number = header.ssn + Ssn::from(kind == FrameKind::Piece);
            let taken = make_room(writer, &mut log, fixed, rest.len().min(FAR_PIECE_BYTES), number)?;
            if kind == FrameKind::Record {
                writer.write(&log, &[&header.encode(), piggyback])?;
            }
            let (bytes, behind) = rest.split_at(taken);
            hollow.push(Hollow { at: writer.content_at() + fixed as u64, bytes });
            log.kill.failpoint(Failpoint::ChannelReserved)?;
            writer.publish(&log, kind, (fixed + taken) as u64)?;
            (rest, kind, fixed) = (behind, FrameKind::Piece, 0);
        }
        extent.whole += 1;
        direct.push_and_fill(memory, log.stretch, dest, &hollow)?;
        log.kill.failpoint(Failpoint::ChannelPublished)?;
        Ok(true)
    }

    pub(super) fn compare_record(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        payload: &[u8],
    ) -> Result<Comparison, Fault> {
        const NOTHING: Fault = Fault::Bug("a send was compared with a record that is not there");
        self.load_outbound(dest)?;
        let memory = &*self.memory;
        let garbage = |error| LogName::Channel(self.rank, dest).garbage(header.ssn, error);
        let cursor = self.outbound[dest as usize].compared.as_mut().ok_or(NOTHING)?;
        let frame = loop {
            let frame = cursor.frame(memory).map_err(garbage)?.ok_or(NOTHING)?;
            cursor.skip(&frame);
            if frame.kind == FrameKind::Record {
                break frame;
            }
        };
        let found = record::Head::read(memory, &frame).map_err(garbage)?;
        let (was, is) = (&found.header, header);
        if (was.ssn, was.len, was.envelope) != (is.ssn, is.len, is.envelope) {
            let describe = |header: &RecordHeader| {
                let envelope = header.envelope;
                format!(
                    "message {} with tag {}, context {} and {} bytes",
                    header.ssn, envelope.tag, envelope.context, header.len
                )
            };
            return Ok(Comparison::Differs(format!(
                "it sent {} to rank {dest} before, and now {}",
                describe(was),
                describe(is)
            )));
        }
        let mut at = 0;
        let mut piece = found.payload(memory).map_err(garbage)?;
        loop {
            let now = payload
                .get(at..at + piece.len())
                .ok_or_else(|| garbage(WireError::Malformed(record::TOO_LONG)))?;
            if now != piece {
                let same = now.iter().zip(piece).take_while(|(now, before)| now == before).count();
                return Ok(Comparison::Differs(format!(
                    "the payload of message {} to rank {dest} is another from byte {} on",
                    is.ssn,
                    at + same
                )));
            }
            at += piece.len();
            if at == payload.len() {
                return Ok(Comparison::Same);
            }
            match cursor.frame(memory).map_err(garbage)? {
                Some(frame) if frame.kind == FrameKind::Piece => {
                    piece = frame.content(memory).map_err(garbage)?;
                    cursor.skip(&frame);
                }
                Some(_) => return Err(garbage(WireError::Malformed("a record without its end"))),
                None => return Ok(Comparison::Same),
            }
        }
    }

    pub(super) fn append_notice(&mut self, source: Rank, ssn: Ssn) -> Result<(), Fault> {
        let memory = &*self.memory;
        let name = LogName::Lane(self.rank, source);
        let slot = memory.lane(self.rank, source);
        let lane = &mut self.notices_out[source as usize];
        if !lane.loaded {
            let garbage = |error| name.garbage(0, error);
            if let Some(mut cursor) = Cursor::last(memory, slot, name).map_err(garbage)? {
                let mut entries = cursor.segment().first_number;
                while let Some(frame) = cursor.frame(memory).map_err(garbage)? {
                    cursor.skip(&frame);
                    entries += 1;
                }
                lane.written = entries;
                lane.writer = LogWriter::resume(&cursor);
            }
            lane.loaded = true;
        }
        let mut log =
            Log { memory, slot, reclaims: None, name, stretch: &mut self.stretch, kill: &mut self.kill };
        lane.writer.reserve(&mut log, 8, lane.written)?;
        let written = lane.writer.write(&log, &[&ssn.to_le_bytes()])?;
        lane.writer.publish(&log, FrameKind::Notice, written)?;
        lane.written += 1;
        tell(memory, &mut self.direct, &mut self.stretch, (source, self.bells[source as usize]))
    }
}

/// A channel's log, as its writer needs it.
fn channel_log<'a>(
    memory: &'a Memory,
    (from, to): (Rank, Rank),
    stretch: &'a mut Stretch,
    kill: &'a mut KillSwitch,
) -> Log<'a> {
    let channel = memory.channel(from, to);
    let reclaims = Some(Reclaims::released(&channel.reader));
    Log { memory, slot: &channel.log, reclaims, name: LogName::Channel(from, to), stretch, kill }
}

/// Has a rank learn of what was written for it: by a connection to it, where there is one, or else at a bell.
#[inline(always)] // for every message
fn tell(
    memory: &Memory,
    direct: &mut Option<Box<Direct>>,
    stretch: &mut Stretch,
    (rank, bell): (Rank, Rank),
) -> Result<(), Fault> {
    let carries = match direct {
        Some(direct) if memory.is_elsewhere(rank) => direct.push(memory, stretch, rank)?,
        _ => false,
    };
    if !carries {
        memory.ring(bell);
    }
    Ok(())
}

/// The length of a payload's first piece: what is a little longer than that goes in one.
#[inline]
fn first_piece(payload: usize, first: usize) -> usize {
    if payload <= 2 * first { payload } else { first }
}

/// Makes room for `fixed` bytes and as much of `payload` bytes as may go into one frame, and says how much that is: never
/// nothing where there is a payload.
#[inline]
fn make_room(
    writer: &mut LogWriter,
    log: &mut Log<'_>,
    fixed: usize,
    payload: usize,
    number: Ssn,
) -> Result<usize, Fault> {
    let room = usize::try_from(writer.room()).unwrap_or(usize::MAX).saturating_sub(fixed);
    if payload > room && room >= LEAST_PIECE_BYTES {
        return Ok(room);
    }
    writer.reserve(log, (fixed + payload) as u64, number)?;
    Ok(payload)
}

/// Makes a channel known to its reader.
pub fn announce(memory: &Memory, from: Rank, to: Rank) {
    let (word, bit) = (&memory.sources(to)[from as usize / 64], 1 << (from % 64));
    if word.load(Ordering::Relaxed) & bit == 0 {
        word.fetch_or(bit, Ordering::AcqRel);
    }
}

/// Walks a channel from its first segment to its end. Returns the length of the record that was begun and not finished, too.
pub fn survey(memory: &Memory, cursor: &mut Cursor, source: Rank) -> Result<(Extent, u64), Fault> {
    let first = cursor.segment().first_number;
    let mut extent = Extent { reclaimed: first, whole: first, begun_bytes: None };
    // The record under way: its length, and how much of it stands there.
    let mut open: Option<(u64, u64)> = None;
    let corrupt = |ssn, error| Fault::CorruptRecord { source_rank: source, ssn, error };
    while let Some(frame) = cursor.frame(memory).map_err(|error| corrupt(extent.whole, error))? {
        let malformed = |what| corrupt(extent.whole, WireError::Malformed(what));
        match (frame.kind, open) {
            (FrameKind::Record, None) => {
                let head =
                    record::Head::read(memory, &frame).map_err(|error| corrupt(extent.whole, error))?;
                if head.header.ssn != extent.whole {
                    return Err(malformed("the number of another record"));
                }
                open = Some((head.header.len, head.payload_bytes()));
            }
            (FrameKind::Piece, Some((len, begun))) => open = Some((len, begun + frame.bytes - 8)),
            // The rest of a record whose head is reclaimed.
            (FrameKind::Piece, None) if extent.whole == first => {}
            _ => return Err(malformed("a frame that does not belong there")),
        }
        cursor.skip(&frame);
        if let Some((len, begun)) = open {
            if begun > len {
                return Err(malformed(record::TOO_LONG));
            }
            if begun == len {
                extent.whole += 1;
                open = None;
            }
        }
    }
    extent.begun_bytes = open.map(|(_, begun)| begun);
    Ok((extent, open.map_or(0, |(len, _)| len)))
}
