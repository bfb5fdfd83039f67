//! The rank's side: [`Driver`] over a job's memory.

mod attach;
mod direct;
mod inbound;
mod outbound;
mod park;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use egida_core::clock::Token;
use egida_core::control::Control;
use egida_core::crash::CrashPoint;
use egida_core::driver::{Arrival, Comparison, Driver, Extent, JournalEntry, Location, Progress, Whole};
use egida_core::fault::Fault;
use egida_core::gate::{MAX_STORES, StoreId};
use egida_core::ids::{Position, Rank, Ssn, Version};
use egida_core::trace::{Event, Place};
use egida_core::wire::RecordHeader;

pub use attach::{Attached, journal_end};
pub use outbound::{announce, survey};

use crate::anchor::Anchor;
use crate::kill::KillSwitch;
use crate::layout::{LogName, Memory, RankSlot};
use crate::log::FrameKind;
use crate::stretch::Stretch;
use crate::trace::TraceFile;
use crate::writer::{Log, LogWriter};
use direct::Direct;
use inbound::{Inbound, NoticesIn};
use outbound::{NoticesOut, Outbound};

/// The world of one rank, in shared memory. Made by [`ShmDriver::attach_from_env`] or [`ShmDriver::attach`].
///
/// It holds no lock and has no thread; a process that dies with one leaves everything as the next incarnation needs it.
/// [`Driver::rewind`] is for the beginning of an incarnation and for a channel whose generation changed: elsewhere the
/// writer may be reusing what would be gone back to.
#[derive(Debug)]
pub struct ShmDriver {
    memory: Arc<Memory>,
    rank: Rank,
    slot: Anchor<RankSlot>,
    stretch: Stretch,
    kill: KillSwitch,
    outbound: Vec<Outbound>,
    inbound: Vec<Inbound>,
    notices_out: Vec<NoticesOut>,
    notices_in: Vec<NoticesIn>,
    journal: LogWriter,
    journal_head: Position,
    tokens_read: u64,
    watched: Watched,
    /// At whose bell one rings for each rank.
    bells: Vec<Rank>,
    /// The epoch under which it was looked which channels are stale.
    looked: u64,
    /// Connections to ranks of other hosts, where there are hosts.
    direct: Option<Box<Direct>>,
    /// Whether the death of any rank ends the job, so that no log has a reader but those that live.
    ends_with_any: bool,
    /// What went wrong there where nobody could be told.
    fault: Option<Fault>,
    /// Whether there is a processor for every rank, so that waiting may spin.
    spins: bool,
    trace: Option<TraceFile>,
    /// Whether the trace says that this incarnation has caught up, or need not.
    caught_up: bool,
}

/// What the engine asked for last and what could have changed since: the news that end a wait.
#[derive(Debug)]
struct Watched {
    /// The stable positions of each rank as they were told last, where they were asked for.
    stable: Vec<[Cell<Option<Position>>; MAX_STORES]>,
    /// The journals and stores whose stable position was asked for.
    stable_asked: RefCell<Vec<(Rank, usize)>>,
    /// The lanes that were asked for.
    lanes_asked: Vec<Rank>,
    /// The epoch of which news was given.
    epoch: Cell<u64>,
}

impl Watched {
    fn new(ranks: u32) -> Self {
        Self {
            stable: (0..ranks).map(|_| Default::default()).collect(),
            stable_asked: RefCell::default(),
            lanes_asked: Vec::new(),
            epoch: Cell::new(0),
        }
    }
}

impl Driver for ShmDriver {
    fn extent(&mut self, dest: Rank) -> Extent {
        // Garbage found here is reported by the next call that can: `load` is tried again there.
        let _ = self.load_outbound(dest);
        self.outbound[dest as usize].extent()
    }

    #[inline(always)]
    fn append(
        &mut self,
        dest: Rank,
        header: &RecordHeader,
        piggyback: &[u8],
        payload: &[u8],
        from_byte: u64,
    ) -> Result<(), Fault> {
        self.append_record(dest, header, piggyback, payload, from_byte)
    }

    fn compare(&mut self, dest: Rank, header: &RecordHeader, payload: &[u8]) -> Result<Comparison, Fault> {
        self.compare_record(dest, header, payload)
    }

    fn acknowledged(&mut self, dest: Rank) -> Ssn {
        self.memory.channel(self.rank, dest).reader.acknowledged.load(Ordering::Acquire)
    }

    #[inline(always)]
    fn enter(&mut self) -> u64 {
        if let Some(direct) = &mut self.direct
            && let Err(fault) = direct.take_offers(&self.memory, &mut self.stretch)
        {
            self.fault = Some(fault);
        }
        self.stretch.enter(&self.memory);
        if self.looked != self.stretch.epoch() {
            self.looked = self.stretch.epoch();
            self.look_for_new_generations();
        }
        self.stretch.epoch()
    }

    #[inline]
    fn leave(&mut self) {
        self.stretch.leave(&self.memory);
    }

    fn generation(&mut self, source: Rank) -> u32 {
        self.inbound[source as usize].generation() as u32
    }

    fn rewind(&mut self, source: Rank) -> Ssn {
        self.rewind_channel(source)
    }

    fn ready(&mut self, sources: &mut Vec<Rank>) {
        self.pull();
        self.ready_sources(sources);
        if self.fault.is_some() {
            // Whoever asks for its arrivals is told.
            sources.push(self.rank);
        }
    }

    #[inline(always)]
    fn may_have(&self, source: Rank) -> bool {
        self.inbound[source as usize].may_have(&self.memory)
            || self.direct.as_ref().is_some_and(|direct| direct.has(source))
    }

    #[inline(always)] // for every message; so below
    fn arrival(&mut self, source: Rank) -> Result<Option<Arrival>, Fault> {
        if self.direct.is_some() && self.memory.is_elsewhere(source) {
            self.pull_from(source)?;
        }
        self.inbound[source as usize].arrival(&self.memory)
    }

    fn piggyback(&self, source: Rank) -> &[u8] {
        self.inbound[source as usize].piggyback(&self.memory)
    }

    #[inline(always)]
    fn shows_whole(&self) -> bool {
        true
    }

    #[inline(always)]
    fn whole(&mut self, source: Rank) -> Result<Option<Whole>, Fault> {
        if self.direct.is_some() && self.memory.is_elsewhere(source) {
            self.pull_from(source)?;
        }
        Ok(self.inbound[source as usize].whole(&self.memory))
    }

    #[inline(always)]
    fn payload(&self, _: Rank, whole: &Whole) -> &[u8] {
        inbound::whole_payload(&self.memory, whole)
    }

    #[inline(always)]
    fn pass(&mut self, source: Rank, whole: &Whole) {
        self.inbound[source as usize].pass(whole);
    }

    #[inline]
    fn advance(&mut self, source: Rank) {
        self.inbound[source as usize].advance();
    }

    #[inline(always)]
    fn acknowledge(&mut self, source: Rank, below: Ssn, events: u64) {
        self.inbound[source as usize].acknowledge(below, events);
    }

    fn bytes(&self, source: Rank, at: Location) -> Option<(&[u8], Location)> {
        self.inbound[source as usize].bytes(&self.memory, at)
    }

    #[inline(always)]
    fn finished(&mut self, source: Rank, below: Ssn) {
        self.inbound[source as usize].finished(below);
    }

    #[inline(always)]
    fn release(&mut self, source: Rank, below: Ssn) {
        if self.inbound[source as usize].release(below) && self.trace.is_some() {
            self.trace(Event::Release { source, below });
        }
    }

    fn stable(&self, rank: Rank, store: StoreId) -> Position {
        let store = usize::from(store) % MAX_STORES;
        let position = self.memory.rank(rank).stable[store].load(Ordering::Acquire);
        if self.watched.stable[rank as usize][store].replace(Some(position)).is_none() {
            self.watched.stable_asked.borrow_mut().push((rank, store));
        }
        position
    }

    fn notify_matched(&mut self, source: Rank, ssn: Ssn) -> Result<(), Fault> {
        self.append_notice(source, ssn)
    }

    fn matched_notices(&mut self, dest: Rank, notices: &mut Vec<Ssn>) {
        self.read_notices(dest, notices);
    }

    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        let name = LogName::Journal(self.rank);
        let slot = self.memory.rank(self.rank);
        let mut log = Log {
            memory: &self.memory,
            slot: &slot.journal,
            reclaims: None,
            name,
            stretch: &mut self.stretch,
            kill: &mut self.kill,
        };
        let head = [entry.kind as u8, entry.stores, 0, 0, 0, 0, 0, 0];
        self.journal.reserve(&mut log, (head.len() + entry.bytes.len()) as u64, self.journal_head)?;
        let written = self.journal.write(&log, &[&head, entry.bytes])?;
        self.journal.publish(&log, FrameKind::Entry, written)?;
        self.journal_head += 1;
        slot.journal_heads.head.store(self.journal_head, Ordering::Release);
        if entry.stores != 0 {
            slot.journal_heads.to_store.store(self.journal_head, Ordering::Release);
            self.ring_daemon(entry.stores);
        }
        if self.trace.is_some() {
            let (entry, len, place) =
                (entry.kind.into(), entry.bytes.len() as u64, self.place_of(entry.stores));
            self.trace(Event::Log { entry, position: self.journal_head, len, place });
        }
        Ok(self.journal_head)
    }

    fn control(&mut self, inbox: &mut Vec<Control>) {
        let announced = self.memory.header().announced.load(Ordering::Acquire);
        while self.tokens_read < announced {
            let at = usize::try_from(self.tokens_read).ok();
            let Some(slot) = at.and_then(|at| self.memory.tokens().get(at)) else { return };
            inbox.push(Control::Token(Token {
                rank: slot.rank.load(Ordering::Relaxed) as Rank,
                version: slot.version.load(Ordering::Relaxed) as Version,
                events: slot.events.load(Ordering::Relaxed),
            }));
            self.tokens_read += 1;
        }
    }

    fn flush(&mut self, store: StoreId, position: Position) {
        let asked = &self.memory.rank(self.rank).journal_heads.flush[usize::from(store) % MAX_STORES];
        if asked.load(Ordering::Relaxed) < position {
            asked.store(position, Ordering::Release);
            self.ring_daemon(1 << (usize::from(store) % MAX_STORES));
        }
    }

    fn note(&mut self, progress: Progress) {
        self.slot.note(&progress);
        if progress.caught_up && !self.caught_up {
            self.caught_up = true;
            self.trace(Event::CaughtUp);
        }
    }

    #[inline]
    fn note_traffic(&mut self, sends: u64, deliveries: u64) {
        self.slot.note_traffic(sends, deliveries);
    }

    #[inline]
    fn crash_point(&mut self, point: CrashPoint) -> Result<(), Fault> {
        self.kill.pass(point)
    }

    #[inline]
    fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    fn trace(&mut self, event: Event) {
        if let Some(file) = &mut self.trace {
            file.write(event);
        }
    }
}

impl ShmDriver {
    /// Wakes whoever fills these stores.
    fn ring_daemon(&self, stores: u8) {
        let header = self.memory.header();
        let copied = header.copied.load(Ordering::Relaxed) as u8;
        if stores & copied != 0 {
            header.copies_bell.ring(&header.fences);
        }
        if stores & !copied != 0 {
            header.bell.ring(&header.fences);
        }
    }

    /// Where entries for these stores are to come to.
    fn place_of(&self, stores: u8) -> Place {
        let copied = self.memory.header().copied.load(Ordering::Relaxed) as u8;
        match (stores & !copied != 0, stores & copied != 0) {
            (true, _) => Place::Disk,
            (false, true) => Place::Copies,
            (false, false) => Place::Memory,
        }
    }

    /// Takes what has come over connections of this rank's own.
    fn pull(&mut self) {
        if let Some(direct) = &mut self.direct
            && let Err(fault) = direct.pull(&self.memory, &mut self.stretch, None)
        {
            self.fault = Some(fault);
        }
    }

    /// The same, where one rank is asked for what it sends, and a connection to it where there is none and it does.
    fn pull_from(&mut self, source: Rank) -> Result<(), Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let Some(direct) = &mut self.direct else { return Ok(()) };
        let has = self.inbound[source as usize].may_have(&self.memory);
        match (direct.has(source), has) {
            (true, false) => direct.pull(&self.memory, &mut self.stretch, Some(source)),
            (false, true) => {
                direct.want(source);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
