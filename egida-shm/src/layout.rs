//! What stands where in a job's memory.
//!
//! ```text
//!   JobHeader | tokens | RankSlot[n] | source bitmaps[n] | ChannelSlot[n*n] | LaneSlot[n*n] | segments and blobs, by address
//! ```
//!
//! Segments and blobs are allocated by moving one word up; their addresses are never used for anything else, and their
//! memory goes back to the system where they are no longer needed. The tables cost address space only, but for the pages
//! that are used.

use std::fmt;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use egida_core::driver::Progress;
use egida_core::fault::Fault;
use egida_core::gate::MAX_STORES;
use egida_core::ids::{Domains, Rank};
use egida_core::wire::WireError;

use crate::arena::{Arena, PAGE_BYTES, Shared};
use crate::bell::{Bell, FencePolicy};
use crate::carrier::Carrier;

/// "EGIDAJOB", little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"EGIDAJOB");

/// The version of everything in this file and of the frames in `log.rs`.
const LAYOUT_VERSION: u64 = 6;

/// No job has more ranks than this: the tables grow with the square.
pub const MAX_RANKS: u32 = 4096;

/// No job sees more failures with an optimistic protocol than this.
pub const MAX_TOKENS: u64 = 4096;

/// Segments from this size on get their memory at once.
const POPULATED_BYTES: u64 = 256 << 10;
/// The words of a [`Progress`] that are kept.
const PROGRESS_WORDS: usize = 11;

/// A value alone on its cache line.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Line<T>(T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The head of a job's memory.
#[repr(C)]
#[derive(Debug)]
pub struct JobHeader {
    /// [`MAGIC`], written last.
    magic: AtomicU64,
    layout_version: AtomicU64,
    ranks: AtomicU64,
    ranks_per_domain: AtomicU64,
    /// 1 where the failure unit is the node.
    pub failure_unit_is_node: AtomicU64,
    /// What all ranks may allocate together in memory.
    pub limit_bytes: AtomicU64,
    /// What all ranks may allocate together in the file besides.
    pub spill_limit_bytes: AtomicU64,
    /// Processors that the daemon may run on.
    pub cpus: AtomicU64,
    /// From where on memory was made ready before the job began. The daemon's, before any rank is there.
    ready_from: AtomicU64,
    /// How much.
    ready_bytes: AtomicU64,
    /// Where the specification's text stands.
    pub specification: Blob,
    /// How fences are shared out between ringers and sleepers.
    pub fences: FencePolicy,
    /// The first address that was never allocated.
    next_free: Line<AtomicU64>,
    /// The first address in the file that was never allocated.
    next_spilled: Line<AtomicU64>,
    /// Grows by one with every [`crate::JobMemory::quiesce`]; from 1.
    pub epoch: Line<AtomicU64>,
    /// How many tokens stand in their table. The daemon's.
    pub announced: Line<AtomicU64>,
    /// Which stores are copies in the memory of other nodes: bit s for store s. The daemon's, before any rank is there.
    pub copied: AtomicU64,
    /// Where the daemon sleeps that writes the other stores.
    pub bell: Line<Bell>,
    /// Where the daemon sleeps that makes the copies.
    pub copies_bell: Line<Bell>,
}

/// A [`Token`](egida_core::clock::Token). The daemon's; it never changes once it is announced.
#[repr(C)]
#[derive(Debug)]
pub struct TokenSlot {
    /// Whose version ended.
    pub rank: AtomicU64,
    /// Which.
    pub version: AtomicU64,
    /// With how many events.
    pub events: AtomicU64,
}

/// Bytes somewhere in the arena.
#[repr(C)]
#[derive(Debug)]
pub struct Blob {
    at: AtomicU64,
    len: AtomicU64,
}

/// What belongs to one rank.
#[repr(C)]
#[derive(Debug)]
pub struct RankSlot {
    /// Where the rank sleeps.
    pub bell: Line<Bell>,
    /// The processor on which the rank was when it waited last, plus 1; 0 before it ever did. The rank's.
    pub processor: Line<AtomicU64>,
    /// 0, or the epoch under which the rank touches channels right now.
    pub busy: Line<AtomicU64>,
    /// For each store the journal position below which it holds all that is for it. The daemon's.
    pub stable: Line<[AtomicU64; MAX_STORES]>,
    /// The segments of the journal.
    pub journal: LogSlot,
    /// The rest of the journal's state.
    pub journal_heads: Line<JournalHeads>,
    /// What the daemon and the rank tell each other.
    pub status: Line<Status>,
    /// [`Progress`], field by field.
    progress: Line<[AtomicU64; PROGRESS_WORDS]>,
}

/// How far a journal has come. All words are the owner's, but for a dead owner.
#[repr(C)]
#[derive(Debug)]
pub struct JournalHeads {
    /// The position behind the last entry.
    pub head: AtomicU64,
    /// The position behind the last entry that a store must come to hold.
    pub to_store: AtomicU64,
    /// The position up to which each store was asked to flush.
    pub flush: [AtomicU64; MAX_STORES],
}

/// What the daemon and a rank tell each other.
#[repr(C)]
#[derive(Debug)]
pub struct Status {
    /// The incarnation that may attach. The daemon's.
    pub incarnation: AtomicU64,
    /// [`crate::RankState`]. The rank's.
    pub state: AtomicU64,
    /// Bytes of memory charged to the rank. The rank's while it lives.
    pub allocated_bytes: AtomicU64,
    /// Bytes of the file charged to the rank. The rank's while it lives.
    pub spilled_bytes: AtomicU64,
    /// Recovery information for the next incarnation. The daemon's.
    pub recovery: Blob,
    /// For a rank on another host 1 + the rank at whose bell the link to that host sleeps; 0 for one of this host. The
    /// daemon's, before any rank is there.
    pub answers: AtomicU64,
}

/// The segments of one log: its writer's line.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct LogSlot {
    /// The first segment that is retained; 0 where the log has none.
    pub first: AtomicU64,
    /// The last segment, or one shortly before it where a writer died.
    pub last: AtomicU64,
    /// A segment taken off the front and perhaps not yet put at the end.
    pub spare: AtomicU64,
    /// The serial number of the segment linked last. Never goes back.
    pub serial: AtomicU64,
    /// How often the log was begun anew.
    pub generation: AtomicU64,
    /// The number of the log's first record of this generation.
    pub base: AtomicU64,
}

/// A channel.
#[repr(C)]
#[derive(Debug)]
pub struct ChannelSlot {
    /// The writer's line.
    pub log: LogSlot,
    /// The reader's line.
    pub reader: ReaderLine,
}

/// What the reader of a channel publishes.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ReaderLine {
    /// Records below this were taken knowledge of.
    pub acknowledged: AtomicU64,
    /// How many events of the writer the reader depends on.
    pub depends: AtomicU64,
    /// Records below this will not be read again.
    pub released: AtomicU64,
    /// Records below this are read by the process that reads now. Kept where the writer is on another host.
    pub finished: AtomicU64,
    /// The serial number of the segment in which the read cursor stands; 0 before there is one.
    pub left: AtomicU64,
    /// Where the reader is on another host: who carries what goes between the two.
    pub carrier: Carrier,
    /// Where a connection of the writer's own does: 0 if everything has gone out, else another number with every attempt to
    /// send. The writer's.
    pub behind: AtomicU64,
}

/// The head of a segment.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SegmentHeader {
    /// [`LogName::tag`] of the log that it belongs to.
    pub tag: AtomicU64,
    /// Its size, this header included.
    pub bytes: AtomicU64,
    /// Its number in the log: greater than that of the segment before it.
    pub serial: AtomicU64,
    /// The number of the first record that begins in it, or behind it.
    pub first_number: AtomicU64,
    /// The segment behind it; 0 for the last.
    pub next: AtomicU64,
}

macro_rules! shared {
    ($($name:ident),*) => { $(
        // SAFETY: `repr(C)`, atomics only, aligned to a cache line at most.
        unsafe impl Shared for $name {}
    )* };
}
shared!(JobHeader, TokenSlot, RankSlot, LogSlot, ChannelSlot, SegmentHeader);

/// Which log a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogName {
    /// From a rank to another.
    Channel(Rank, Rank),
    /// Notices from a rank to another.
    Lane(Rank, Rank),
    /// Of a rank.
    Journal(Rank),
}

impl LogName {
    /// Its mark in the heads of its segments; never 0.
    pub fn tag(self) -> u64 {
        let (kind, from, to) = match self {
            Self::Channel(from, to) => (1, from, to),
            Self::Lane(from, to) => (2, from, to),
            Self::Journal(owner) => (3, owner, 0),
        };
        (kind << 48) | (u64::from(from) << 24) | u64::from(to)
    }

    /// The log with that mark.
    pub fn from_tag(tag: u64) -> Option<Self> {
        let (from, to) = ((tag >> 24) as Rank & 0xFF_FFFF, tag as Rank & 0xFF_FFFF);
        match tag >> 48 {
            1 => Some(Self::Channel(from, to)),
            2 => Some(Self::Lane(from, to)),
            3 if to == 0 => Some(Self::Journal(from)),
            _ => None,
        }
    }

    /// The rank to which it is charged.
    pub fn owner(self) -> Rank {
        match self {
            Self::Channel(owner, _) | Self::Lane(owner, _) | Self::Journal(owner) => owner,
        }
    }

    /// The fault of finding garbage in it.
    pub fn garbage(self, number: u64, error: WireError) -> Fault {
        match self {
            Self::Channel(source_rank, _) => Fault::CorruptRecord { source_rank, ssn: number, error },
            Self::Lane(..) | Self::Journal(_) => {
                Fault::Driver(format!("{self} is corrupt at entry {number}: {error}"))
            }
        }
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(from, to) => write!(f, "the log of the channel from rank {from} to rank {to}"),
            Self::Lane(from, to) => write!(f, "the log of notices from rank {from} to rank {to}"),
            Self::Journal(owner) => write!(f, "the journal of rank {owner}"),
        }
    }
}

/// A job's memory as every process sees it: the arena and its tables.
#[derive(Debug)]
pub struct Memory {
    arena: Arena,
    ranks: u32,
    tables: Tables,
    /// Of this process: where ranks of this host sleep that have connections of their own.
    wakers: OnceLock<Wakers>,
}

/// Descriptors at which ranks are woken, each with its rank.
pub type Wakers = Vec<(Rank, OwnedFd)>;

/// Where the tables begin.
#[derive(Debug, Clone, Copy)]
struct Tables {
    tokens: u64,
    ranks: u64,
    bitmaps: u64,
    channels: u64,
    lanes: u64,
    end: u64,
}

impl Tables {
    fn of(ranks: u32) -> Self {
        let n = u64::from(ranks);
        let page = |offset: u64| offset.next_multiple_of(PAGE_BYTES);
        let tokens = page(size_of::<JobHeader>() as u64);
        let rank_slots = page(tokens + MAX_TOKENS * size_of::<TokenSlot>() as u64);
        let bitmaps = page(rank_slots + n * size_of::<RankSlot>() as u64);
        let channels = page(bitmaps + n * bitmap_stride(ranks));
        let lanes = page(channels + n * n * size_of::<ChannelSlot>() as u64);
        let end = page(lanes + n * n * size_of::<LogSlot>() as u64);
        Self { tokens, ranks: rank_slots, bitmaps, channels, lanes, end }
    }
}

/// Bytes of one rank's bitmap of sources: whole cache lines.
fn bitmap_stride(ranks: u32) -> u64 {
    (u64::from(ranks.div_ceil(64)) * 8).next_multiple_of(64)
}

impl Memory {
    /// Lays out a new arena.
    ///
    /// # Errors
    /// [`Fault::Driver`] for a number of ranks that cannot be, or where the arena is too small.
    pub fn lay_out(
        arena: Arena,
        ranks: u32,
        ranks_per_domain: u32,
        initialize: impl FnOnce(&Self) -> Result<(), Fault>,
    ) -> Result<Arc<Self>, Fault> {
        if ranks == 0 || ranks > MAX_RANKS {
            return Err(Fault::Driver(format!("a job has 1 to {MAX_RANKS} ranks, not {ranks}")));
        }
        let memory = Self::over(arena, ranks)?;
        let header = memory.header();
        header.layout_version.store(LAYOUT_VERSION, Ordering::Relaxed);
        header.ranks.store(ranks.into(), Ordering::Relaxed);
        header.ranks_per_domain.store(ranks_per_domain.max(1).into(), Ordering::Relaxed);
        header.next_free.store(memory.tables.end, Ordering::Relaxed);
        header.next_spilled.store(memory.arena.memory_len(), Ordering::Relaxed);
        header.epoch.store(1, Ordering::Relaxed);
        initialize(&memory)?;
        header.magic.store(MAGIC, Ordering::Release);
        Ok(Arc::new(memory))
    }

    /// Recognises an arena that was laid out by another process.
    ///
    /// # Errors
    /// [`Fault::Driver`] where it is not one of this version.
    pub fn recognise(arena: Arena) -> Result<Arc<Self>, Fault> {
        let foreign = || Fault::Driver("the inherited memory is not that of a job of this version".into());
        let header = arena.at::<JobHeader>(0).map_err(|_| foreign())?;
        if header.magic.load(Ordering::Acquire) != MAGIC
            || header.layout_version.load(Ordering::Relaxed) != LAYOUT_VERSION
        {
            return Err(foreign());
        }
        let ranks = u32::try_from(header.ranks.load(Ordering::Relaxed)).map_err(|_| foreign())?;
        if ranks == 0 || ranks > MAX_RANKS {
            return Err(foreign());
        }
        Ok(Arc::new(Self::over(arena, ranks)?))
    }

    fn over(arena: Arena, ranks: u32) -> Result<Self, Fault> {
        let tables = Tables::of(ranks);
        if tables.end > arena.len() {
            return Err(Fault::Driver(format!(
                "the tables of {ranks} ranks do not fit into {} bytes of address space",
                arena.len()
            )));
        }
        Ok(Self { arena, ranks, tables, wakers: OnceLock::new() })
    }

    /// The mapping.
    #[inline]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// How many ranks there are.
    #[inline]
    pub fn ranks(&self) -> u32 {
        self.ranks
    }

    /// Which failure domain each rank belongs to.
    pub fn domains(&self) -> Domains {
        let per_domain = self.header().ranks_per_domain.load(Ordering::Relaxed);
        Domains::blocks(self.ranks, u32::try_from(per_domain).unwrap_or(u32::MAX))
    }

    /// The head.
    #[inline]
    pub fn header(&self) -> &JobHeader {
        &self.table(0, 1)[0]
    }

    /// The table of tokens; [`JobHeader::announced`] of them are valid.
    pub fn tokens(&self) -> &[TokenSlot] {
        self.table(self.tables.tokens, MAX_TOKENS)
    }

    /// What belongs to a rank. Panics for a rank outside the job, as an index would.
    #[inline]
    pub fn rank(&self, rank: Rank) -> &RankSlot {
        &self.rank_slots()[rank as usize]
    }

    /// What belongs to each rank.
    #[inline]
    pub fn rank_slots(&self) -> &[RankSlot] {
        self.table(self.tables.ranks, self.ranks.into())
    }

    /// Whether a rank is on another host.
    #[inline]
    pub fn is_elsewhere(&self, rank: Rank) -> bool {
        self.rank(rank).status.answers.load(Ordering::Relaxed) != 0
    }

    /// At whose bell one rings for a rank: its own, but for one of another host.
    pub fn bell_of(&self, rank: Rank) -> Rank {
        match self.rank(rank).status.answers.load(Ordering::Relaxed) {
            0 => rank,
            link => Rank::try_from(link - 1).unwrap_or(rank).min(self.ranks - 1),
        }
    }

    /// Says at which descriptors ranks of this host are woken, where they do not sleep on their bells alone.
    pub fn set_wakers(&self, wakers: Wakers) {
        // Nobody says it twice.
        let _ = self.wakers.set(wakers);
    }

    /// Those descriptors.
    pub fn wakers(&self) -> &[(Rank, OwnedFd)] {
        self.wakers.get().map_or(&[], Vec::as_slice)
    }

    /// Wakes whoever sleeps at a rank's bell.
    #[inline(always)] // for every message
    pub fn ring(&self, rank: Rank) {
        if self.rank(rank).bell.ring(&self.header().fences) {
            self.wake_at_descriptor(rank);
        }
    }

    /// Wakes every rank that sleeps.
    pub fn ring_all(&self) {
        (0..self.ranks).for_each(|rank| self.ring(rank));
    }

    #[cold]
    fn wake_at_descriptor(&self, rank: Rank) {
        if let Some((_, waker)) = self.wakers().iter().find(|(of, _)| *of == rank) {
            // It fails only where it was written to so often that the sleeper has to wake up anyway.
            let _ = rustix::io::write(waker, &1u64.to_ne_bytes());
        }
    }

    /// The channel between two ranks. Panics for a rank outside the job.
    #[inline]
    pub fn channel(&self, from: Rank, to: Rank) -> &ChannelSlot {
        &self.table(self.tables.channels, u64::from(self.ranks).pow(2))[self.pair(from, to)]
    }

    /// The lane between two ranks. Panics for a rank outside the job.
    pub fn lane(&self, from: Rank, to: Rank) -> &LogSlot {
        &self.table(self.tables.lanes, u64::from(self.ranks).pow(2))[self.pair(from, to)]
    }

    /// The sources whose channel to a rank was ever begun, bit by bit. Panics for a rank outside the job.
    #[inline]
    pub fn sources(&self, reader: Rank) -> &[AtomicU64] {
        assert!(reader < self.ranks, "rank {reader} of {}", self.ranks);
        let at = self.tables.bitmaps + u64::from(reader) * bitmap_stride(self.ranks);
        self.table(at, self.ranks.div_ceil(64).into())
    }

    #[inline]
    fn pair(&self, from: Rank, to: Rank) -> usize {
        assert!(from < self.ranks && to < self.ranks, "a channel from {from} to {to} of {}", self.ranks);
        from as usize * self.ranks as usize + to as usize
    }

    #[inline]
    fn table<T: Shared>(&self, offset: u64, count: u64) -> &[T] {
        // SAFETY: `over` has checked that all tables lie inside; they begin at pages, their strides are multiples of what their
        // elements are aligned to, and nothing of this depends on what stands in shared memory.
        unsafe { self.arena.trusted(offset, count) }
    }

    /// Makes memory ready for the first `bytes` of what will be taken, so that nobody waits for the system when they are
    /// touched. Before any rank is there.
    pub fn make_ready(&self, bytes: u64) {
        let header = self.header();
        let from = header.next_free.load(Ordering::Relaxed);
        header.ready_from.store(from, Ordering::Relaxed);
        header.ready_bytes.store(bytes.next_multiple_of(PAGE_BYTES), Ordering::Release);
        self.map_ready();
    }

    /// Maps what was made ready into this process.
    pub fn map_ready(&self) {
        let header = self.header();
        let bytes = header.ready_bytes.load(Ordering::Acquire);
        if bytes > 0 {
            self.arena.populate(header.ready_from.load(Ordering::Relaxed), bytes);
        }
    }

    /// Takes address space that nobody had before.
    ///
    /// # Errors
    /// [`Fault::Driver`] where none is left.
    pub fn take(&self, bytes: u64) -> Result<u64, Fault> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let at = self.header().next_free.fetch_add(bytes, Ordering::Relaxed);
        let inside = at.checked_add(bytes).is_some_and(|end| end <= self.arena.memory_len());
        if at < self.tables.end || !at.is_multiple_of(PAGE_BYTES) || !inside {
            return Err(Fault::Driver("the address space of the job's memory is used up".into()));
        }
        Ok(at)
    }

    /// Takes a segment's memory, charged to its log's owner; where memory is at its limit, room in the file.
    ///
    /// # Errors
    /// [`Fault::OverLimit`] where the limits leave no room, [`Fault::Driver`] as for [`Memory::take`] and where the disk is full.
    pub fn allocate(&self, name: LogName, bytes: u64) -> Result<u64, Fault> {
        let limit_bytes = self.header().limit_bytes.load(Ordering::Relaxed);
        // Summing up instead of counting in one word: a word shared by all would be wrong after a death in between.
        if self.allocated_bytes().saturating_add(bytes) > limit_bytes {
            return self.spill(name, bytes, limit_bytes);
        }
        self.rank(name.owner()).status.allocated_bytes.fetch_add(bytes, Ordering::Relaxed);
        let at = self.take(bytes)?;
        let header = self.header();
        let ready = header.ready_from.load(Ordering::Relaxed) + header.ready_bytes.load(Ordering::Relaxed);
        // A small segment may never be filled.
        if at + bytes > ready && bytes >= POPULATED_BYTES {
            self.arena.populate(at, bytes);
        }
        Ok(at)
    }

    fn spill(&self, name: LogName, bytes: u64, limit_bytes: u64) -> Result<u64, Fault> {
        let header = self.header();
        let most_bytes = header.spill_limit_bytes.load(Ordering::Relaxed);
        let over = |limit_bytes, remedy| Fault::OverLimit { what: name.to_string(), limit_bytes, remedy };
        if most_bytes == 0 {
            return Err(over(limit_bytes, "--limit` or `--spill"));
        }
        if self.spilled_bytes().saturating_add(bytes) > most_bytes {
            return Err(over(limit_bytes.saturating_add(most_bytes), "--spill-limit"));
        }
        let at = header.next_spilled.fetch_add(bytes, Ordering::Relaxed);
        let inside = at.checked_add(bytes).is_some_and(|end| end <= self.arena.len());
        if at < self.arena.memory_len() || !at.is_multiple_of(PAGE_BYTES) || !inside {
            return Err(Fault::Driver("the address space of the job's file is used up".into()));
        }
        self.arena.set_aside(at, bytes)?;
        self.rank(name.owner()).status.spilled_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(at)
    }

    /// Gives a segment's memory back.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the system refuses.
    pub fn free(&self, name: LogName, at: u64, bytes: u64) -> Result<(), Fault> {
        self.arena.punch(at, bytes)?;
        let status = &self.rank(name.owner()).status;
        let charged = if self.is_spilled(at) { &status.spilled_bytes } else { &status.allocated_bytes };
        charged.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether an address is in the file.
    pub fn is_spilled(&self, at: u64) -> bool {
        at >= self.arena.memory_len()
    }

    /// A log that is reclaimed grows to about this before memory of its is used again, where `bytes` more are to be had.
    pub fn ring_bytes(&self, bytes: u64) -> u64 {
        let limit_bytes = self.header().limit_bytes.load(Ordering::Relaxed);
        if self.allocated_bytes().saturating_add(bytes) > limit_bytes {
            return 0;
        }
        let channels = u64::from(self.ranks) * u64::from(self.ranks.saturating_sub(1).max(1));
        let ring_bytes = RINGS_BYTES.min(limit_bytes / RINGS_FRACTION) / channels;
        if ring_bytes < LEAST_RING_BYTES { 0 } else { ring_bytes }
    }

    /// Bytes of memory charged to all ranks.
    pub fn allocated_bytes(&self) -> u64 {
        let charged = |slot: &RankSlot| slot.status.allocated_bytes.load(Ordering::Relaxed);
        self.rank_slots().iter().map(charged).fold(0, u64::saturating_add)
    }

    /// Bytes of the file charged to all ranks.
    pub fn spilled_bytes(&self) -> u64 {
        let charged = |slot: &RankSlot| slot.status.spilled_bytes.load(Ordering::Relaxed);
        self.rank_slots().iter().map(charged).fold(0, u64::saturating_add)
    }

    /// Bytes of the file that were ever allocated.
    pub fn ever_spilled_bytes(&self) -> u64 {
        self.header().next_spilled.load(Ordering::Relaxed).saturating_sub(self.arena.memory_len())
    }

    /// Stores bytes in a blob, in place of what it held.
    ///
    /// # Errors
    /// [`Fault::Driver`] where there is no memory.
    pub fn fill(&self, blob: &Blob, bytes: &[u8]) -> Result<(), Fault> {
        let (old_at, old_len) = (blob.at.load(Ordering::Relaxed), blob.len.load(Ordering::Relaxed));
        let at = if bytes.is_empty() { 0 } else { self.take(bytes.len() as u64)? };
        self.arena.copy_in(at, bytes).map_err(|error| Fault::Driver(error.to_string()))?;
        blob.len.store(bytes.len() as u64, Ordering::Relaxed);
        blob.at.store(at, Ordering::Release);
        if old_len > 0 {
            self.arena.punch(old_at, old_len.next_multiple_of(PAGE_BYTES))?;
        }
        Ok(())
    }

    /// The bytes in a blob.
    ///
    /// # Errors
    /// [`Fault::Driver`] where it was overwritten.
    pub fn read(&self, blob: &Blob) -> Result<&[u8], Fault> {
        let at = blob.at.load(Ordering::Acquire);
        self.arena
            .bytes(at, blob.len.load(Ordering::Relaxed))
            .map_err(|error| Fault::Driver(format!("the job's memory is corrupt: {error}")))
    }
}

/// The memory of all channels of a job that are reclaimed. To write to what its reader still has in the cache next to its processor
/// costs more than to write to what is in the cache that processors share, and that more than to write to what is in none.
const RINGS_BYTES: u64 = 8 << 20;

/// Less for one of them is still in caches next to a processor.
const LEAST_RING_BYTES: u64 = 1 << 20;

/// It is at most this part of the limit.
const RINGS_FRACTION: u64 = 8;

/// Words of [`RankSlot::report`].
const REPORT_WORDS: usize = 2 + MAX_STORES + PROGRESS_WORDS;

impl RankSlot {
    /// All that a rank tells its daemon, but for the entries of its journal: state, position to store, positions to flush,
    /// progress.
    pub fn report(&self) -> [u64; REPORT_WORDS] {
        let word = |word: &AtomicU64| word.load(Ordering::Acquire);
        let mut report = [0; REPORT_WORDS];
        let words = [&self.status.state, &self.journal_heads.to_store].into_iter();
        let words = words.chain(&self.journal_heads.flush).chain(self.progress.iter());
        report.iter_mut().zip(words).for_each(|(slot, told)| *slot = word(told));
        report
    }

    /// Takes over a report from another host. Positions only grow.
    pub fn take_report(&self, report: &[u64]) {
        let positions = [&self.journal_heads.to_store].into_iter().chain(&self.journal_heads.flush);
        for (slot, word) in positions.zip(report.iter().skip(1)) {
            slot.fetch_max(*word, Ordering::AcqRel);
        }
        for (slot, word) in self.progress.iter().zip(report.iter().skip(2 + MAX_STORES)) {
            slot.store(*word, Ordering::Release);
        }
        if let Some(&state) = report.first() {
            self.status.state.store(state, Ordering::Release);
        }
    }

    /// Notes how far the rank has come.
    pub fn note(&self, progress: &Progress) {
        let words = [
            progress.sends,
            progress.deliveries,
            progress.observed,
            progress.events,
            progress.to_replay,
            progress.replayed_deliveries,
            progress.skipped_sends,
            progress.live.into(),
            progress.caught_up.into(),
            progress.told,
            progress.orphan.into(),
        ];
        for (slot, word) in self.progress.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
    }

    /// Notes how much the rank has sent and received.
    #[inline]
    pub fn note_traffic(&self, sends: u64, deliveries: u64) {
        self.progress[0].store(sends, Ordering::Relaxed);
        self.progress[1].store(deliveries, Ordering::Relaxed);
    }

    /// How far the rank has come, as it noted last.
    pub fn noted(&self) -> Progress {
        let word = |field: usize| self.progress[field].load(Ordering::Relaxed);
        Progress {
            sends: word(0),
            deliveries: word(1),
            observed: word(2),
            events: word(3),
            to_replay: word(4),
            replayed_deliveries: word(5),
            skipped_sends: word(6),
            live: word(7) != 0,
            caught_up: word(8) != 0,
            told: word(9),
            orphan: word(10) != 0,
            ..Progress::default()
        }
    }
}
