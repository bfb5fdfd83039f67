//! The simulator's driver: the world of one rank in tables.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use egida_core::control::Control;
use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::driver::{Arrival, Comparison, Driver, EntryKind, Extent, JournalEntry, Location, Progress};
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::gate::StoreId;
use egida_core::ids::{Incarnation, Position, Rank, Ssn};
use egida_core::wire::{Reader, RecordHeader};

use crate::scheduler::Time;
use crate::world::{Entry, PIECE_BYTES, Record, World};

/// Where a rank is to die: the n-th time that it comes to the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// The rank.
    pub rank: Rank,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The place.
    pub point: CrashPoint,
    /// Which time, from 1. Events are numbered themselves: 1 there.
    pub time: u32,
}

/// The driver of one incarnation of a rank.
#[derive(Debug)]
pub struct SimDriver {
    rank: Rank,
    world: Rc<RefCell<World>>,
    crashes: Vec<Crash>,
    cursors: Vec<Ssn>,
    compared: Vec<Ssn>,
    notices_read: Vec<usize>,
    payloads: HashMap<(Rank, Ssn), Vec<u8>>,
    piggyback: Vec<u8>,
    progress: Progress,
    crashed: bool,
    /// When each rank has been told what there was to tell when this incarnation began: that comes before anything that it
    /// writes. What was to tell later may be overtaken by messages of those who have heard it.
    told: Vec<Time>,
}

/// A location is a record's number and an offset in its payload.
const OFFSET_BITS: u32 = 24;

impl SimDriver {
    /// The driver of an incarnation that begins now; `crashes` are those meant for it.
    #[must_use]
    pub fn new(rank: Rank, world: Rc<RefCell<World>>, crashes: Vec<Crash>) -> Self {
        let ranks = world.borrow().domains.ranks() as usize;
        let told = world.borrow().inbox.iter().map(|inbox| inbox.back().map_or(0, |&(at, _)| at)).collect();
        Self {
            rank,
            world,
            crashes,
            cursors: vec![0; ranks],
            compared: vec![0; ranks],
            notices_read: vec![0; ranks],
            payloads: HashMap::new(),
            piggyback: Vec::new(),
            progress: Progress::default(),
            crashed: false,
            told,
        }
    }

    /// How far the rank has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn publish(&mut self, dest: Rank, payload: &[u8], from: usize) -> Result<(), Fault> {
        let mut published = from;
        while published < payload.len() {
            self.crash_point(CrashPoint::At(Failpoint::ChannelPiece))?;
            let next = payload.len().min(published + PIECE_BYTES);
            if let Some(record) = self.world.borrow_mut().channel(self.rank, dest).records.last_mut() {
                record.payload.extend_from_slice(&payload[published..next]);
            }
            published = next;
        }
        self.crash_point(CrashPoint::At(Failpoint::ChannelPublished))
    }
}

impl Driver for SimDriver {
    fn extent(&mut self, dest: Rank) -> Extent {
        let mut world = self.world.borrow_mut();
        let channel = world.channel(self.rank, dest);
        let mut whole = channel.reclaimed + channel.records.len() as Ssn;
        let mut begun_bytes = None;
        if let Some(last) =
            channel.records.last().filter(|last| (last.payload.len() as u64) < last.header.len)
        {
            whole -= 1;
            begun_bytes = Some(last.payload.len() as u64);
        }
        let reclaimed = channel.reclaimed;
        self.compared[dest as usize] = reclaimed;
        Extent { reclaimed, whole, begun_bytes }
    }

    fn append(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        piggyback: &[u8],
        payload: &[u8],
        from_byte: u64,
    ) -> Result<(), Fault> {
        let from = usize::try_from(from_byte).unwrap_or(usize::MAX);
        if from == 0 && self.compared[dest as usize] <= header.ssn {
            self.crash_point(CrashPoint::At(Failpoint::ChannelReserved))?;
            let mut world = self.world.borrow_mut();
            let earliest = world.now + world.delay;
            let past = world.depends[self.rank as usize].clone();
            let told = self.told[dest as usize];
            let channel = world.channel(self.rank, dest);
            // A channel is FIFO: nothing becomes visible before what stands ahead of it.
            let visible = earliest.max(channel.records.last().map_or(0, |last| last.visible)).max(told);
            let record =
                Record { header: *header, piggyback: piggyback.to_vec(), payload: Vec::new(), visible, past };
            channel.records.push(record);
        }
        self.publish(dest, payload, from)
    }

    fn compare(&mut self, dest: Rank, header: &RecordHeader, payload: &[u8]) -> Result<Comparison, Fault> {
        let mut world = self.world.borrow_mut();
        let channel = world.channel(self.rank, dest);
        if header.ssn < channel.reclaimed {
            // Its receiver has let it go since this incarnation began.
            return Ok(Comparison::Same);
        }
        let Some(record) = channel.record(header.ssn) else {
            return Err(Fault::Bug("a record is compared that does not stand on its channel"));
        };
        self.compared[dest as usize] = header.ssn + 1;
        let before = (record.header.len, record.header.envelope, record.header.mode);
        if before != (header.len, header.envelope, header.mode) {
            return Ok(Comparison::Differs(format!("it was {before:?}")));
        }
        let same = payload.starts_with(&record.payload);
        Ok(if same { Comparison::Same } else { Comparison::Differs("its payload is another".to_owned()) })
    }

    fn acknowledged(&mut self, dest: Rank) -> Ssn {
        self.world.borrow_mut().channel(self.rank, dest).acknowledged
    }

    fn enter(&mut self) -> u64 {
        let mut world = self.world.borrow_mut();
        for (&(source, ssn), payload) in &mut self.payloads {
            if let Some(record) = world.channel(source, self.rank).record(ssn) {
                let known = payload.len();
                payload.extend_from_slice(record.payload.get(known..).unwrap_or_default());
            }
        }
        world.epoch
    }

    fn leave(&mut self) {}

    fn generation(&mut self, source: Rank) -> u32 {
        self.world.borrow_mut().channel(source, self.rank).generation
    }

    fn rewind(&mut self, source: Rank) -> Ssn {
        let first = self.world.borrow_mut().channel(source, self.rank).reclaimed;
        self.cursors[source as usize] = first;
        self.payloads.retain(|&(other, _), _| other != source);
        first
    }

    fn ready(&mut self, sources: &mut Vec<Rank>) {
        let ranks = self.cursors.len() as Rank;
        sources.extend((0..ranks).filter(|&source| source != self.rank));
    }

    fn arrival(&mut self, source: Rank) -> Result<Option<Arrival>, Fault> {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let ssn = self.cursors[source as usize];
        let channel = world.channel(source, self.rank);
        let Some(record) = channel.record(ssn).filter(|record| record.visible <= now) else {
            return Ok(None);
        };
        self.piggyback.clone_from(&record.piggyback);
        self.payloads.insert((source, ssn), record.payload.clone());
        Ok(Some(Arrival { header: record.header, payload: Location(ssn << OFFSET_BITS) }))
    }

    fn piggyback(&self, _: Rank) -> &[u8] {
        &self.piggyback
    }

    fn advance(&mut self, source: Rank) {
        let ssn = self.cursors[source as usize];
        self.cursors[source as usize] += 1;
        let mut world = self.world.borrow_mut();
        let past = world.channel(source, self.rank).record(ssn).map(|record| record.past.clone());
        if let Some(past) = past {
            world.depends[self.rank as usize].merge(&past);
        }
    }

    fn acknowledge(&mut self, source: Rank, below: Ssn, events: u64) {
        let mut world = self.world.borrow_mut();
        let channel = world.channel(source, self.rank);
        channel.acknowledged = channel.acknowledged.max(below);
        channel.depends = channel.depends.max(events);
    }

    fn bytes(&self, source: Rank, at: Location) -> Option<(&[u8], Location)> {
        let payload = self.payloads.get(&(source, at.0 >> OFFSET_BITS))?;
        let offset = usize::try_from(at.0 & ((1 << OFFSET_BITS) - 1)).ok()?;
        let rest = payload.get(offset..).filter(|rest| !rest.is_empty())?;
        let piece = &rest[..rest.len().min(PIECE_BYTES)];
        Some((piece, Location(at.0 + piece.len() as u64)))
    }

    fn release(&mut self, source: Rank, below: Ssn) {
        let mut world = self.world.borrow_mut();
        let channel = world.channel(source, self.rank);
        channel.released = channel.released.max(below);
        // A channel that began anew is still read over records that were released on the old one.
        let unneeded = channel.released.min(self.cursors[source as usize]);
        while channel.reclaimed < unneeded && !channel.records.is_empty() {
            channel.records.remove(0);
            channel.reclaimed += 1;
        }
    }

    fn stable(&self, rank: Rank) -> Position {
        self.world.borrow().journals[rank as usize].stable
    }

    fn notify_matched(&mut self, source: Rank, ssn: Ssn) -> Result<(), Fault> {
        self.world.borrow_mut().channel(source, self.rank).matched.push(ssn);
        Ok(())
    }

    fn matched_notices(&mut self, dest: Rank, notices: &mut Vec<Ssn>) {
        let mut world = self.world.borrow_mut();
        let matched = &world.channel(self.rank, dest).matched;
        let read = &mut self.notices_read[dest as usize];
        // A receiver whose memory was lost writes its notices again.
        *read = (*read).min(matched.len());
        notices.extend_from_slice(&matched[*read..]);
        *read = matched.len();
    }

    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        let mut world = self.world.borrow_mut();
        if let Ok(determinant) = Determinant::decode(&mut Reader::new(entry.bytes))
            && entry.kind == EntryKind::Own
        {
            world.depends[self.rank as usize].advance(self.rank, determinant.index + 1);
        }
        let journal = &mut world.journals[self.rank as usize];
        journal.entries.push(Entry { kind: entry.kind, stores: entry.stores, bytes: entry.bytes.to_vec() });
        Ok(journal.head())
    }

    fn control(&mut self, inbox: &mut Vec<Control>) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let waiting = &mut world.inbox[self.rank as usize];
        while let Some((_, control)) = waiting.pop_front_if(|&mut (at, _)| at <= now) {
            inbox.push(control);
        }
    }

    fn flush(&mut self, _: StoreId, _: Position) {}

    fn note(&mut self, progress: Progress) {
        self.progress = progress;
    }

    fn crash_point(&mut self, point: CrashPoint) -> Result<(), Fault> {
        for crash in self.crashes.iter_mut().filter(|crash| crash.point == point) {
            crash.time = crash.time.saturating_sub(1);
            self.crashed |= crash.time == 0;
        }
        if self.crashed { Err(Fault::Crashed) } else { Ok(()) }
    }
}
