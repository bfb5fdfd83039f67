//! The simulator's driver: the world of one rank in tables.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;

use egida_core::checkpoint::{SendLog, SentRecord, StoredCheckpoint};
use egida_core::control::Control;
use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::driver::{
    Arrival, Comparison, Driver, EntryKind, Extent, JournalEntry, Location, Progress, Whole,
};
use egida_core::event::Determinant;
use egida_core::fault::Fault;
use egida_core::gate::StoreId;
use egida_core::ids::{CheckpointNumber, Incarnation, Position, Rank, Ssn};
use egida_core::trace::Event;
use egida_core::wire::{Reader, RecordHeader};

use crate::job::Control as Experiment;
use crate::schedule::Crash;
use crate::world::{Entry, PIECE_BYTES, Record, World};

/// The driver of one incarnation of a rank.
///
/// Once the incarnation is fenced, whatever it still does has no effect on the world, and it is told that all is well: such
/// a process learns of its end only when it reaches somebody who knows.
#[derive(Clone)]
pub struct SimDriver {
    rank: Rank,
    incarnation: Incarnation,
    world: Rc<RefCell<World>>,
    crashes: Vec<Crash>,
    peers: BTreeMap<Rank, Peer>,
    /// Senders with records that may be unread.
    unread: BTreeSet<Rank>,
    /// Records that were met before their payload was whole.
    partial: Vec<(Rank, Ssn)>,
    piggyback: Rc<Vec<u8>>,
    progress: Progress,
    crashed: bool,
    /// The journal's head as this process sees it.
    head: Position,
    epoch: u64,
    is_traced: bool,
    /// Whether what is written to channels was sent before.
    puts_back: bool,
}

/// What a process knows of its channels from and to another.
#[derive(Clone, Default)]
struct Peer {
    /// The read cursor.
    cursor: Ssn,
    /// Payloads of records from number `first` on, as far as they were met.
    payloads: VecDeque<Rc<Vec<u8>>>,
    first: Ssn,
    /// How far re-executed sends were compared.
    compared: Ssn,
    /// How many notices of matches were read.
    notices_read: usize,
    /// What the peer was last seen to have acknowledged.
    acknowledged: Ssn,
}

impl Peer {
    fn payload(&self, ssn: Ssn) -> Option<&Rc<Vec<u8>>> {
        self.payloads.get(usize::try_from(ssn.checked_sub(self.first)?).ok()?)
    }

    /// Keeps the payload of the record at the cursor.
    fn met(&mut self, payload: &Rc<Vec<u8>>) {
        if self.payloads.is_empty() {
            self.first = self.cursor;
        }
        if self.first + self.payloads.len() as Ssn == self.cursor {
            self.payloads.push_back(payload.clone());
        }
    }

    fn release(&mut self, below: Ssn) {
        while self.first < below && self.payloads.pop_front().is_some() {
            self.first += 1;
        }
    }
}

/// What a call remembers for the next one.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, payloads, notices_read, .. } = self;
        let first = &payloads.front().map(|_| self.first);
        f.debug_tuple("Peer").field(cursor).field(payloads).field(first).field(notices_read).finish()
    }
}

/// What the process knows of the world; the world itself is shared, and how the rank came here is the engine's.
impl fmt::Debug for SimDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |peer: &Peer| (peer.cursor, peer.notices_read) != (0, 0) || !peer.payloads.is_empty();
        let peers = self.peers.iter().filter(|(_, peer)| known(peer));
        f.debug_struct("SimDriver")
            .field("incarnation", &self.incarnation)
            .field("peers", &peers.collect::<Vec<_>>())
            .field("unread", &self.unread)
            .field("partial", &self.partial)
            .field("crashed", &self.crashed)
            .field("head", &self.head)
            .field("epoch", &self.epoch)
            .field("puts_back", &self.puts_back)
            .finish_non_exhaustive()
    }
}

/// A location is a record's number and an offset in its payload.
const OFFSET_BITS: u32 = 24;

impl SimDriver {
    /// The driver of an incarnation that begins now; `crashes` are those meant for it.
    #[must_use]
    pub fn new(rank: Rank, incarnation: Incarnation, world: Rc<RefCell<World>>, crashes: Vec<Crash>) -> Self {
        let head = world.borrow().journals[rank as usize].head();
        let is_traced = world.borrow().lines.is_some();
        Self {
            rank,
            incarnation,
            world,
            crashes,
            peers: BTreeMap::new(),
            unread: BTreeSet::new(),
            partial: Vec::new(),
            piggyback: Rc::default(),
            progress: Progress::default(),
            crashed: false,
            head,
            epoch: 0,
            is_traced,
            puts_back: false,
        }
    }

    /// What is written to channels was sent before, and is put back from a checkpoint; or it is so no more.
    pub fn puts_back(&mut self, puts_back: bool) {
        self.puts_back = puts_back;
    }

    /// It serves a copy of its process in a copy of its world.
    pub fn move_to(&mut self, world: Rc<RefCell<World>>) {
        self.world = world;
    }

    /// How far the rank has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Which life of the rank it serves.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn peer(&mut self, rank: Rank) -> &mut Peer {
        self.peers.entry(rank).or_default()
    }

    fn is_fenced(&self) -> bool {
        self.world.borrow().is_fenced(self.rank, self.incarnation)
    }

    fn publish(&mut self, dest: Rank, payload: &[u8], from: usize) -> Result<(), Fault> {
        let mut published = from;
        while published < payload.len() {
            self.crash_point(CrashPoint::At(Failpoint::ChannelPiece))?;
            let next = payload.len().min(published + PIECE_BYTES);
            let mut world = self.world.borrow_mut();
            let control = world.control;
            if let Some(record) = world.channel(self.rank, dest).records.back_mut() {
                let alters = control == Some(Experiment::Altered) && record.header.ssn == 1;
                let bytes = payload[published..next].iter().map(|byte| byte ^ u8::from(alters));
                Rc::make_mut(&mut record.payload).extend(bytes);
            }
            world.touch();
            drop(world);
            published = next;
        }
        self.crash_point(CrashPoint::At(Failpoint::ChannelPublished))
    }

    /// Reads again what has grown of records that were not whole.
    fn read_again(&mut self) {
        let world = self.world.borrow();
        let (rank, peers) = (self.rank, &mut self.peers);
        self.partial.retain(|&(source, ssn)| {
            let Some(record) = world.channel_if_used(source, rank).and_then(|channel| channel.record(ssn))
            else {
                return false;
            };
            let slot = peers.get_mut(&source).and_then(|peer| {
                let at = usize::try_from(ssn.checked_sub(peer.first)?).ok()?;
                peer.payloads.get_mut(at)
            });
            if let Some(slot) = slot.filter(|slot| slot.len() < record.payload.len()) {
                slot.clone_from(&record.payload);
            }
            !record.is_whole()
        });
    }
}

impl Driver for SimDriver {
    fn extent(&mut self, dest: Rank) -> Extent {
        let world = self.world.borrow();
        let Some(channel) = world.channel_if_used(self.rank, dest) else { return Extent::default() };
        let mut whole = channel.head();
        let mut begun_bytes = None;
        if let Some(last) = channel.records.back().filter(|last| !last.is_whole()) {
            whole -= 1;
            begun_bytes = Some(last.payload.len() as u64);
        }
        let reclaimed = channel.reclaimed;
        drop(world);
        self.peer(dest).compared = reclaimed;
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
        if self.is_fenced() {
            return Ok(());
        }
        let from = usize::try_from(from_byte).unwrap_or(usize::MAX);
        if from == 0 && self.peer(dest).compared <= header.ssn {
            self.crash_point(CrashPoint::At(Failpoint::ChannelReserved))?;
            let mut world = self.world.borrow_mut();
            let record = Record {
                header: *header,
                piggyback: Rc::new(piggyback.to_vec()),
                payload: Rc::new(Vec::with_capacity(payload.len())),
                visible: 0,
                behind: 0,
                past: world.exposure.as_mut().map(|exposure| match self.puts_back {
                    true => exposure.put_back(self.rank, dest, header.ssn),
                    false => exposure.sent(self.rank, dest, header.ssn),
                }),
            };
            // What is put back depends on what it depended on when it was sent.
            if let Some(recoverable) = world.recoverable.as_mut().filter(|_| !self.puts_back) {
                recoverable.sent(self.rank, dest, header.ssn);
            }
            world.append(self.rank, dest, record);
        }
        self.publish(dest, payload, from)
    }

    fn compare(&mut self, dest: Rank, header: &RecordHeader, payload: &[u8]) -> Result<Comparison, Fault> {
        if self.is_fenced() {
            return Ok(Comparison::Same);
        }
        let mut world = self.world.borrow_mut();
        let channel = world.channel(self.rank, dest);
        if header.ssn < channel.reclaimed {
            // Its receiver has let it go since this incarnation began.
            return Ok(Comparison::Same);
        }
        let Some(record) = channel.record(header.ssn) else {
            return Err(Fault::Bug("a record is compared that does not stand on its channel"));
        };
        let before = (record.header.len, record.header.envelope, record.header.mode);
        let same = payload.starts_with(&record.payload);
        drop(world);
        self.peer(dest).compared = header.ssn + 1;
        if before != (header.len, header.envelope, header.mode) {
            return Ok(Comparison::Differs(format!("it was {before:?}")));
        }
        Ok(if same { Comparison::Same } else { Comparison::Differs("its payload is another".to_owned()) })
    }

    fn acknowledged(&mut self, dest: Rank) -> Ssn {
        if !self.is_fenced() {
            let world = self.world.borrow();
            let seen = world.channel_if_used(self.rank, dest).map(|channel| channel.seen_by_sender());
            drop(world);
            let acknowledged = seen.unwrap_or_default().acknowledged;
            self.peer(dest).acknowledged = acknowledged;
        }
        self.peer(dest).acknowledged
    }

    fn enter(&mut self) -> u64 {
        if !self.is_fenced() {
            self.epoch = self.world.borrow().epoch;
        }
        if !self.partial.is_empty() {
            self.read_again();
        }
        self.epoch
    }

    fn leave(&mut self) {}

    fn generation(&mut self, source: Rank) -> u32 {
        self.world.borrow().channel_if_used(source, self.rank).map_or(0, |channel| channel.generation)
    }

    fn rewind(&mut self, source: Rank) -> Ssn {
        let world = self.world.borrow();
        let Some(channel) = world.channel_if_used(source, self.rank) else { return 0 };
        let first = channel.reclaimed;
        drop(world);
        self.unread.insert(source);
        self.partial.retain(|&(other, _)| other != source);
        let peer = self.peer(source);
        peer.cursor = first;
        peer.payloads.clear();
        first
    }

    fn ready(&mut self, sources: &mut Vec<Rank>) {
        if !self.is_fenced() {
            self.world.borrow_mut().arrived(self.rank, &mut self.unread);
        }
        sources.extend(&self.unread);
    }

    fn arrival(&mut self, source: Rank) -> Result<Option<Arrival>, Fault> {
        let world = self.world.borrow();
        let peer = self.peers.entry(source).or_default();
        let ssn = peer.cursor;
        let record = world.channel_if_used(source, self.rank).and_then(|channel| channel.record(ssn));
        let Some(record) = record.filter(|record| record.visible <= world.now) else {
            // The next record tells when it becomes visible.
            self.unread.remove(&source);
            return Ok(None);
        };
        peer.met(&record.payload);
        if !record.is_whole() && !self.partial.contains(&(source, ssn)) {
            self.partial.push((source, ssn));
        }
        self.piggyback = record.piggyback.clone();
        let mut header = record.header;
        if world.control == Some(Experiment::Mislabelled) && ssn == 1 {
            header.envelope.tag += 1_000;
        }
        Ok(Some(Arrival { header, payload: Location(ssn << OFFSET_BITS) }))
    }

    fn piggyback(&self, _: Rank) -> &[u8] {
        &self.piggyback
    }

    fn shows_whole(&self) -> bool {
        true
    }

    fn whole(&mut self, source: Rank) -> Result<Option<Whole>, Fault> {
        let Some(Arrival { header, payload }) = self.arrival(source)? else { return Ok(None) };
        let Some(peer) = self.peers.get(&source) else { return Ok(None) };
        let is_seen = peer.payload(peer.cursor).is_some_and(|payload| payload.len() <= PIECE_BYTES)
            && !self.partial.contains(&(source, peer.cursor));
        let behind = Location((peer.cursor + 1) << OFFSET_BITS);
        Ok(is_seen.then_some(Whole { header, payload, behind }))
    }

    fn payload(&self, source: Rank, whole: &Whole) -> &[u8] {
        let peer = self.peers.get(&source);
        peer.and_then(|peer| peer.payload(whole.payload.0 >> OFFSET_BITS)).map_or(&[], |payload| payload)
    }

    fn advance(&mut self, source: Rank) {
        let peer = self.peers.entry(source).or_default();
        let ssn = peer.cursor;
        peer.cursor += 1;
        let mut world = self.world.borrow_mut();
        if world.is_fenced(self.rank, self.incarnation) {
            return;
        }
        let record = world.channel_if_used(source, self.rank).and_then(|channel| channel.record(ssn));
        let past = record.and_then(|record| record.past.clone());
        if let (Some(exposure), Some(past)) = (&mut world.exposure, past) {
            exposure.read(self.rank, &past);
        }
        if let Some(recoverable) = &mut world.recoverable {
            recoverable.came(source, self.rank, ssn);
        }
        if let Some(history) = &mut world.history {
            history.received(self.rank, source, ssn);
        }
    }

    fn acknowledge(&mut self, source: Rank, below: Ssn, events: u64) {
        if !self.is_fenced() {
            self.world.borrow_mut().acknowledge(source, self.rank, below, events);
            if self.world.borrow().control == Some(Experiment::ReleasedOnArrival) {
                self.world.borrow_mut().channel(source, self.rank).reclaim(below);
            }
        }
    }

    fn bytes(&self, source: Rank, at: Location) -> Option<(&[u8], Location)> {
        let payload = self.peers.get(&source)?.payload(at.0 >> OFFSET_BITS)?;
        let offset = usize::try_from(at.0 & ((1 << OFFSET_BITS) - 1)).ok()?;
        let rest = payload.get(offset..).filter(|rest| !rest.is_empty())?;
        let piece = &rest[..rest.len().min(PIECE_BYTES)];
        Some((piece, Location(at.0 + piece.len() as u64)))
    }

    fn release(&mut self, source: Rank, below: Ssn) {
        let peer = self.peers.entry(source).or_default();
        peer.release(below);
        let cursor = peer.cursor;
        if self.is_fenced() {
            return;
        }
        let mut world = self.world.borrow_mut();
        let channel = world.channel(source, self.rank);
        let is_news = below > channel.released;
        let before = (channel.released, channel.reclaimed);
        channel.released = channel.released.max(below);
        // A channel that began anew is still read over records that were released on the old one.
        let unneeded = channel.released.min(cursor);
        channel.reclaim(unneeded);
        if before != (channel.released, channel.reclaimed) {
            world.touch();
        }
        if is_news {
            world.trace(Some(self.rank), Some(self.incarnation), Event::Release { source, below });
        }
    }

    fn stable(&self, rank: Rank, store: StoreId) -> Position {
        let world = self.world.borrow();
        if rank == self.rank && world.is_fenced(rank, self.incarnation) {
            return self.head;
        }
        world.stable_seen_by(self.rank, rank, store)
    }

    fn notify_matched(&mut self, source: Rank, ssn: Ssn) -> Result<(), Fault> {
        if !self.is_fenced() {
            self.world.borrow_mut().matched(source, self.rank, ssn);
        }
        Ok(())
    }

    fn matched_notices(&mut self, dest: Rank, notices: &mut Vec<Ssn>) {
        if self.is_fenced() {
            return;
        }
        let mut world = self.world.borrow_mut();
        let channel = world.channel(self.rank, dest);
        let matched = &channel.matched[..channel.seen_by_sender().matched.min(channel.matched.len())];
        let read = &mut self.peers.entry(dest).or_default().notices_read;
        // A receiver whose memory was lost writes its notices again.
        *read = (*read).min(matched.len());
        notices.extend_from_slice(&matched[*read..]);
        *read = matched.len();
    }

    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        self.head += 1;
        let mut world = self.world.borrow_mut();
        if world.is_fenced(self.rank, self.incarnation) {
            return Ok(self.head);
        }
        if let Some(exposure) = &mut world.exposure {
            exposure.logged(self.rank, entry.kind, entry.bytes);
        }
        let journal = &mut world.journals[self.rank as usize];
        journal.entries.push(Entry { kind: entry.kind, stores: entry.stores, bytes: entry.bytes.to_vec() });
        self.head = journal.head();
        if let Some(recoverable) = world.recoverable.as_mut().filter(|_| entry.kind == EntryKind::Own) {
            recoverable.logged(self.rank, entry.bytes, self.head);
        }
        if self.is_traced {
            let place = world.place_of(entry.stores);
            let (kind, position, len) = (entry.kind.into(), self.head, entry.bytes.len() as u64);
            let event = Event::Log { entry: kind, position, len, place };
            world.trace(Some(self.rank), Some(self.incarnation), event);
        }
        world.touch();
        Ok(self.head)
    }

    fn control(&mut self, inbox: &mut Vec<Control>) {
        let mut world = self.world.borrow_mut();
        if world.is_fenced(self.rank, self.incarnation) {
            return;
        }
        let now = world.now;
        let waiting = &mut world.inbox[self.rank as usize];
        while let Some(letter) = waiting.pop_front_if(|letter| letter.at <= now) {
            inbox.push(letter.control);
        }
    }

    fn tell(&mut self, to: Rank, message: &Control) -> Result<(), Fault> {
        if !self.is_fenced() {
            let mut world = self.world.borrow_mut();
            let delay = world.network.delay(self.rank, to, Ssn::MAX);
            world.tell_rank(Some(self.rank), to, delay, message.clone());
        }
        Ok(())
    }

    fn sent(&mut self, dest: Rank) -> Result<SendLog, Fault> {
        let world = self.world.borrow();
        let Some(channel) = world.channel_if_used(self.rank, dest) else {
            return Ok(SendLog { dest, ..SendLog::default() });
        };
        let record = |record: &Record| {
            SentRecord::new(&record.header, record.piggyback.to_vec(), record.payload.to_vec())
        };
        Ok(SendLog { dest, first: channel.reclaimed, records: channel.records.iter().map(record).collect() })
    }

    fn held(&mut self) -> Result<Vec<Determinant>, Fault> {
        let world = self.world.borrow();
        let entries = world.journals[self.rank as usize].entries.iter();
        let held = entries.filter(|entry| entry.kind == EntryKind::Held);
        held.map(|entry| {
            Determinant::decode(&mut Reader::new(&entry.bytes))
                .map_err(|error| Fault::Driver(format!("the journal is corrupt: {error}")))
        })
        .collect()
    }

    fn save(&mut self, checkpoint: StoredCheckpoint) -> Result<(), Fault> {
        if !self.is_fenced() {
            self.world.borrow_mut().save(self.rank, checkpoint);
        }
        Ok(())
    }

    fn decide(&mut self, number: CheckpointNumber, keep: bool) {
        if !self.is_fenced() {
            let mut world = self.world.borrow_mut();
            world.checkpoints.decided.push((self.rank, number, keep));
            world.touch();
        }
    }

    fn is_paused(&self) -> bool {
        self.world.borrow().paused
    }

    fn flush(&mut self, _: StoreId, _: Position) {}

    fn note(&mut self, progress: Progress) {
        let catches_up = progress.caught_up && !self.progress.caught_up;
        self.progress = progress;
        if catches_up && self.incarnation > 1 && self.is_traced {
            self.trace(Event::CaughtUp);
        }
    }

    fn note_traffic(&mut self, sends: u64, deliveries: u64) {
        (self.progress.sends, self.progress.deliveries) = (sends, deliveries);
    }

    fn is_traced(&self) -> bool {
        self.is_traced
    }

    fn trace(&mut self, event: Event) {
        let mut world = self.world.borrow_mut();
        if !world.is_fenced(self.rank, self.incarnation) {
            world.trace(Some(self.rank), Some(self.incarnation), event);
        }
    }

    fn crash_point(&mut self, point: CrashPoint) -> Result<(), Fault> {
        for crash in self.crashes.iter_mut().filter(|crash| crash.point == point) {
            crash.time = crash.time.saturating_sub(1);
            self.crashed |= crash.time == 0;
        }
        self.crashed |= self.world.borrow_mut().pass();
        if self.crashed { Err(Fault::Crashed) } else { Ok(()) }
    }
}
