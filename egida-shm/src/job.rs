//! The daemon's side of a job's memory.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egida_core::clock::Token;
use egida_core::driver::Progress;
use egida_core::fault::Fault;
use egida_core::gate::{MAX_STORES, StoreId};
use egida_core::ids::{Domains, EventIndex, Incarnation, Position, Rank, Ssn};
use egida_core::wire::{RecordHeader, WireError};
use rustix::event::{EventfdFlags, eventfd};

use crate::arena::{ADDRESS_SPACE_BYTES, Arena};
use crate::bell::Bell;
use crate::driver::journal_end;
use crate::journal::JournalReader;
use crate::layout::{LogName, LogSlot, MAX_TOKENS, Memory, RankSlot, Status, TokenSlot};
use crate::log::{Cursor, FrameKind, Segment, chain, orphan};
use crate::mirror::{Mirror, Side};
use crate::record::Head;
use crate::stretch::quiesce;
use crate::{ENV_DAEMON_FD, ENV_FILE_FD, ENV_INCARNATION, ENV_JOB_FD, ENV_KILL, ENV_RANK, ENV_WAKER_FDS};

/// What a job's memory is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobConfig {
    /// How many ranks the job has.
    pub ranks: u32,
    /// How many neighbouring ranks fail as one where the failure unit is the node; 1 where it is the process.
    pub ranks_per_domain: u32,
    /// Whether the failure unit is the node: whether a rank's memory dies with it.
    pub failure_unit_is_node: bool,
    /// How many bytes all channels, lanes and journals may take together.
    pub limit_bytes: u64,
    /// The text of the specification, for the ranks to bind.
    pub specification: String,
}

/// How far a rank's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum RankState {
    /// No process lives, or it has not attached yet.
    Absent = 0,
    /// Attached to the memory.
    Attached = 1,
    /// Past initialisation.
    Initialized = 2,
    /// Past its last message.
    Finalized = 3,
}

/// What a caller says of a rank that holds up [`JobMemory::quiesce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// It lives (stopped, or slow): wait on.
    Wait,
    /// It was reaped: do not wait for it.
    Reaped,
}

/// The memory of a job, as the daemon that created it sees it. Clones share it; all methods may be called from any
/// thread, but [`JobMemory::discard`] and [`JobMemory::reset_reader`] from one at a time. A rank outside the job is a bug
/// of the caller and panics, as an index would.
///
/// After the death of a rank, in this order: reap it, [`JobMemory::reaped`] for every rank known dead, then for each
/// [`JobMemory::discard`] (failure unit node) or [`JobMemory::reset_reader`] (process), then collect,
/// [`JobMemory::set_recovery`], [`JobMemory::begin_incarnation`], spawn.
#[derive(Debug, Clone)]
pub struct JobMemory {
    memory: Arc<Memory>,
    to_write: Arc<Work>,
    to_copy: Arc<Work>,
}

/// What tells old work from new.
#[derive(Debug, Default)]
struct Work {
    /// [`work_words`] when the daemon was last sent to look.
    seen: Mutex<Vec<u64>>,
    interrupted: AtomicBool,
}

impl JobMemory {
    /// Creates the memory of a job.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the system gives no memory object or no address space.
    pub fn create(config: &JobConfig) -> Result<Self, Fault> {
        Self::create_within(config, ADDRESS_SPACE_BYTES)
    }

    /// As [`JobMemory::create`], with at most so much address space: for processes that hold many such memories. What is
    /// discarded is never handed out again, so it bounds what a job can allocate in all its time.
    ///
    /// # Errors
    /// As for [`JobMemory::create`].
    pub fn create_within(config: &JobConfig, address_space_bytes: u64) -> Result<Self, Fault> {
        Self::create_over(config, Arena::create(address_space_bytes, None)?, 0)
    }

    /// As [`JobMemory::create`], with an empty file for what is beyond the limit: up to `spill_limit_bytes` of it.
    ///
    /// # Errors
    /// As for [`JobMemory::create`].
    pub fn create_spilling(config: &JobConfig, file: OwnedFd, spill_limit_bytes: u64) -> Result<Self, Fault> {
        let arena = Arena::create(ADDRESS_SPACE_BYTES, Some(file))?;
        Self::create_over(config, arena, spill_limit_bytes)
    }

    fn create_over(config: &JobConfig, arena: Arena, spill_limit_bytes: u64) -> Result<Self, Fault> {
        let memory = Memory::lay_out(arena, config.ranks, config.ranks_per_domain, |memory| {
            let header = memory.header();
            header.failure_unit_is_node.store(config.failure_unit_is_node.into(), Ordering::Relaxed);
            header.limit_bytes.store(config.limit_bytes, Ordering::Relaxed);
            header.spill_limit_bytes.store(spill_limit_bytes, Ordering::Relaxed);
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            header.cpus.store(cpus as u64, Ordering::Relaxed);
            header.fences.join();
            memory.fill(&header.specification, config.specification.as_bytes())
        })?;
        Ok(Self { memory, to_write: Arc::default(), to_copy: Arc::default() })
    }

    /// Makes memory ready for the first bytes that channels and journals will take, in this process and in every rank that
    /// attaches afterwards.
    pub fn make_ready(&self, bytes: u64) {
        self.memory.make_ready(bytes);
    }

    /// The descriptor to pass on to ranks. It is close-on-exec here: the spawner clears that in the child.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.arena().fd()
    }

    /// The descriptor of the file for what is beyond the limit, to pass on to ranks as the memory is, and what to say of it in the
    /// environment.
    #[must_use]
    pub fn file(&self) -> Option<(BorrowedFd<'_>, (&'static str, String))> {
        let file = self.memory.arena().file()?;
        Some((file, (ENV_FILE_FD, file.as_raw_fd().to_string())))
    }

    /// The descriptors at which ranks of this host are woken, to pass on to ranks as the memory is, and what to say of them in the
    /// environment; with `daemon`, the number of the rank's end of [`crate::introduction::pair`].
    #[must_use]
    pub fn wakers(&self, daemon: i32) -> (Vec<BorrowedFd<'_>>, [(&'static str, String); 2]) {
        let wakers = self.memory.wakers();
        let words: Vec<_> = wakers.iter().map(|(rank, fd)| format!("{rank}:{}", fd.as_raw_fd())).collect();
        let fds = wakers.iter().map(|(_, fd)| fd.as_fd()).collect();
        (fds, [(ENV_DAEMON_FD, daemon.to_string()), (ENV_WAKER_FDS, words.join(","))])
    }

    /// The environment that lets a spawned process attach, for a child in which the memory has descriptor `fd`.
    #[must_use]
    pub fn environment(
        fd: i32,
        rank: Rank,
        incarnation: Incarnation,
        kill: Option<&str>,
    ) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            (ENV_RANK, rank.to_string()),
            (ENV_JOB_FD, fd.to_string()),
            (ENV_INCARNATION, incarnation.to_string()),
        ];
        variables.extend(kill.map(|kill| (ENV_KILL, kill.to_owned())));
        variables
    }

    /// Says which ranks are on this host and which together on each other one. To be said before any rank is there. Ranks
    /// spin while they wait only where there is a processor for each of this host and one for each link.
    pub fn set_hosts(&self, here: Range<Rank>, others: &[Range<Rank>]) {
        for there in others {
            for rank in there.clone() {
                let answers = &self.memory.rank(rank).status.answers;
                answers.store(1 + u64::from(there.start), Ordering::Relaxed);
            }
        }
        let waker = |rank| Some((rank, eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?));
        // A rank without one sleeps on its bell, and has no connections of its own.
        self.memory.set_wakers(here.clone().filter_map(waker).collect());
        let cpus = &self.memory.header().cpus;
        let busy = here.len() as u64 + others.len() as u64;
        let enough = cpus.load(Ordering::Relaxed) >= busy;
        cpus.store(if enough { self.ranks().into() } else { 0 }, Ordering::Relaxed);
    }

    /// One end of what connects this memory with that of another host.
    #[must_use]
    pub fn mirror(&self, side: Side) -> Mirror {
        Mirror::new(Arc::clone(&self.memory), side)
    }

    /// How many ranks the job has.
    #[must_use]
    pub fn ranks(&self) -> u32 {
        self.memory.ranks()
    }

    /// Which failure domain each rank belongs to.
    #[must_use]
    pub fn domains(&self) -> Domains {
        self.memory.domains()
    }

    /// Declares that the next process to attach as `rank` is that incarnation. Others are refused.
    pub fn begin_incarnation(&self, rank: Rank, incarnation: Incarnation) {
        let slot = self.memory.rank(rank);
        slot.status.state.store(RankState::Absent as u64, Ordering::Release);
        slot.note(&Progress::default());
        slot.status.incarnation.store(incarnation.into(), Ordering::Release);
    }

    /// The incarnation declared last; 0 before the first.
    #[must_use]
    pub fn incarnation(&self, rank: Rank) -> Incarnation {
        self.memory.rank(rank).status.incarnation.load(Ordering::Acquire) as Incarnation
    }

    /// How far the rank's process is.
    #[must_use]
    pub fn state(&self, rank: Rank) -> RankState {
        match self.memory.rank(rank).status.state.load(Ordering::Acquire) {
            0 => RankState::Absent,
            1 => RankState::Attached,
            2 => RankState::Initialized,
            _ => RankState::Finalized,
        }
    }

    /// Notes that the rank's process was reaped: nobody waits for it any more, and what it was about to allocate is
    /// given back. Idempotent.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the rank's memory is overwritten with garbage.
    pub fn reaped(&self, rank: Rank) -> Result<(), Fault> {
        let slot = self.memory.rank(rank);
        slot.busy.store(0, Ordering::SeqCst);
        slot.bell.reset();
        for there in (0..self.ranks()).filter(|&there| self.memory.is_elsewhere(there)) {
            let line = &self.memory.channel(rank, there).reader;
            if !line.carrier.is_link() {
                // Its connections are gone; what they carried the link does, which finds its places anew.
                line.left.store(0, Ordering::Release);
                line.carrier.revoke();
                self.memory.ring(self.memory.bell_of(there));
            }
        }
        let (mut allocated_bytes, mut spilled_bytes) = (0, 0);
        let mut sound = Ok(());
        for (name, log) in self.logs_of(rank) {
            let (segments, result) = self.segments(name, log);
            for segment in segments {
                let charged = if self.memory.is_spilled(segment.at) {
                    &mut spilled_bytes
                } else {
                    &mut allocated_bytes
                };
                *charged += segment.bytes;
            }
            sound = sound.and(result.map_err(|error| name.garbage(0, error)));
        }
        slot.status.allocated_bytes.store(allocated_bytes, Ordering::Relaxed);
        slot.status.spilled_bytes.store(spilled_bytes, Ordering::Relaxed);
        let (_, head) = journal_end(&self.memory, rank)?;
        slot.journal_heads.head.fetch_max(head, Ordering::AcqRel);
        sound
    }

    /// Begins a new epoch and waits until no live rank reads under the old one. A rank that holds this up is handed
    /// to `blocked` now and then (every 10 ms or so). [`JobMemory::discard`] and [`JobMemory::reset_reader`] do this
    /// themselves.
    pub fn quiesce(&self, blocked: impl FnMut(Rank) -> Blocked) {
        quiesce(&self.memory, blocked);
    }

    /// Takes away all that is charged to a rank that was reaped, as the loss of its node would: its outbound channels
    /// and lanes, its journal, and the knowledge of its reading of inbound channels. Its channels are begun anew (their
    /// generation grows); its journal goes on at the old head, which becomes its base and its stable position. Waits
    /// for survivors as [`JobMemory::quiesce`] does.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the rank's memory is overwritten with garbage or cannot be given back.
    pub fn discard(&self, rank: Rank, blocked: impl FnMut(Rank) -> Blocked) -> Result<(), Fault> {
        let slot = self.memory.rank(rank);
        self.take_away(rank, |_| true, blocked)?;
        let base = slot.journal.base.load(Ordering::Acquire);
        for store in 0..MAX_STORES {
            self.set_stable(rank, store as StoreId, base);
        }
        Ok(())
    }

    /// Has the outbound channels of a rank that was reaped begin anew, because it returns to an earlier state, and prepares
    /// its inbound ones for a new reader. Its journal and its notices stay. Waits for survivors as [`JobMemory::quiesce`]
    /// does.
    ///
    /// # Errors
    /// As for [`JobMemory::discard`].
    pub fn roll_back(&self, rank: Rank, blocked: impl FnMut(Rank) -> Blocked) -> Result<(), Fault> {
        self.take_away(rank, |name| matches!(name, LogName::Channel(..)), blocked)
    }

    /// Takes away those logs of a rank that `is_taken` names.
    fn take_away(
        &self,
        rank: Rank,
        is_taken: impl Fn(LogName) -> bool,
        blocked: impl FnMut(Rank) -> Blocked,
    ) -> Result<(), Fault> {
        // Garbage in what is thrown away harms nobody, beyond the memory that is not found any more.
        if let Err(fault) = self.reaped(rank) {
            tracing::warn!(rank, %fault, "part of a dead rank's memory cannot be given back");
        }
        let slot = self.memory.rank(rank);
        let mut doomed = Vec::new();
        for (name, log) in self.logs_of(rank).filter(|&(name, _)| is_taken(name)) {
            doomed.extend(self.segments(name, log).0);
            for word in [&log.first, &log.last, &log.spare] {
                word.store(0, Ordering::Release);
            }
            if let LogName::Channel(..) | LogName::Lane(..) = name {
                // A mirror may have begun behind its log's beginning.
                log.base.store(0, Ordering::Release);
            }
            if let LogName::Journal(_) = name {
                let head = slot.journal_heads.head.load(Ordering::Acquire);
                log.base.store(head, Ordering::Release);
                slot.journal_heads.to_store.fetch_max(head, Ordering::AcqRel);
            }
            log.generation.fetch_add(1, Ordering::AcqRel);
        }
        for segment in &doomed {
            let Status { spilled_bytes, allocated_bytes, .. } = &*slot.status;
            let charged = if self.memory.is_spilled(segment.at) { spilled_bytes } else { allocated_bytes };
            let left = charged.load(Ordering::Relaxed).saturating_sub(segment.bytes);
            charged.store(left, Ordering::Relaxed);
        }
        for source in 0..self.ranks() {
            let reader = &self.memory.channel(source, rank).reader;
            for word in
                [&reader.acknowledged, &reader.depends, &reader.released, &reader.finished, &reader.left]
            {
                word.store(0, Ordering::Release);
            }
        }
        // From here on whoever begins to read knows; and once those are through who began before, nobody reads it.
        self.quiesce(blocked);
        for dest in 0..self.ranks() {
            // What a reader said of the old records says nothing of those that the next incarnation writes: it has not
            // seen their piggybacks, and it does not stand among them.
            let reader = &self.memory.channel(rank, dest).reader;
            for word in [&reader.acknowledged, &reader.finished, &reader.left] {
                word.store(0, Ordering::Release);
            }
            // One on another host has what it released, but its mirror does not, of the records that are written anew.
            if self.memory.is_elsewhere(dest) {
                reader.released.store(0, Ordering::Release);
            }
        }
        for segment in doomed {
            self.memory.arena().punch(segment.at, segment.bytes)?;
        }
        Ok(())
    }

    /// Prepares the inbound channels of a rank that was reaped, and whose memory survives, for a new reader. Waits for
    /// survivors as [`JobMemory::quiesce`] does.
    ///
    /// # Errors
    /// As for [`JobMemory::reaped`].
    pub fn reset_reader(&self, rank: Rank, blocked: impl FnMut(Rank) -> Blocked) -> Result<(), Fault> {
        self.reaped(rank)?;
        for source in 0..self.ranks() {
            let reader = &self.memory.channel(source, rank).reader;
            for word in [&reader.finished, &reader.left] {
                word.store(0, Ordering::Release);
            }
        }
        // A writer that chose a segment to reuse by the old words is through with that afterwards.
        self.quiesce(blocked);
        Ok(())
    }

    /// A reader of the rank's journal, from its base on.
    #[must_use]
    pub fn journal(&self, rank: Rank) -> JournalReader {
        JournalReader::new(Arc::clone(&self.memory), rank)
    }

    /// The position of the first entry of the rank's journal that was not discarded.
    #[must_use]
    pub fn journal_base(&self, rank: Rank) -> Position {
        self.memory.rank(rank).journal.base.load(Ordering::Acquire)
    }

    /// The position behind the last entry of the rank's journal. Right after a death it may lag one entry behind what
    /// [`JournalReader::next`] finds.
    #[must_use]
    pub fn journal_head(&self, rank: Rank) -> Position {
        self.memory.rank(rank).journal_heads.head.load(Ordering::Acquire)
    }

    /// Publishes the position below which a store holds all that is for it of a rank's journal, and wakes all sleepers.
    /// Never lowers it.
    pub fn set_stable(&self, rank: Rank, store: StoreId, position: Position) {
        let stable = &self.memory.rank(rank).stable[usize::from(store) % MAX_STORES];
        if stable.fetch_max(position, Ordering::AcqRel) < position {
            self.ring_all();
        }
    }

    /// The position published last.
    #[must_use]
    pub fn stable(&self, rank: Rank, store: StoreId) -> Position {
        self.memory.rank(rank).stable[usize::from(store) % MAX_STORES].load(Ordering::Acquire)
    }

    /// The position up to which the rank asked for a flush to a store; 0 where it never did.
    #[must_use]
    pub fn flush_requested(&self, rank: Rank, store: StoreId) -> Position {
        self.memory.rank(rank).journal_heads.flush[usize::from(store) % MAX_STORES].load(Ordering::Acquire)
    }

    /// How far the rank has come, as it noted last.
    #[must_use]
    pub fn progress(&self, rank: Rank) -> Progress {
        self.memory.rank(rank).noted()
    }

    /// How many records of its channel from `source` a reader has taken knowledge of.
    #[must_use]
    pub fn acknowledged(&self, reader: Rank, source: Rank) -> Ssn {
        self.memory.channel(source, reader).reader.acknowledged.load(Ordering::Acquire)
    }

    /// How many of the events of `source` a reader depends on by what it read from their channel.
    #[must_use]
    pub fn depends(&self, reader: Rank, source: Rank) -> EventIndex {
        self.memory.channel(source, reader).reader.depends.load(Ordering::Acquire)
    }

    /// Shows every published record that is retained on the channel from `source`, whose process was reaped, to
    /// `dest`, in order.
    ///
    /// # Errors
    /// [`Fault::CorruptRecord`], [`Fault::Driver`], and what `visit` returns.
    pub fn scan(
        &self,
        source: Rank,
        dest: Rank,
        visit: impl FnMut(ScannedRecord<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut visit = visit;
        let name = LogName::Channel(source, dest);
        let log = &self.memory.channel(source, dest).log;
        let garbage = |number, error| name.garbage(number, error);
        let first = Cursor::first(&self.memory, log, name).map_err(|error| garbage(0, error))?;
        let Some(mut cursor) = first else { return Ok(()) };
        let mut next = cursor.segment().first_number;
        while let Some(frame) = cursor.frame(&self.memory).map_err(|error| garbage(next, error))? {
            cursor.skip(&frame);
            if frame.kind == FrameKind::Piece {
                continue;
            }
            let head = Head::read(&self.memory, &frame).map_err(|error| garbage(next, error))?;
            if frame.kind != FrameKind::Record || head.header.ssn != next {
                return Err(garbage(next, WireError::Malformed("a frame that does not belong there")));
            }
            let piggyback = head.piggyback(&self.memory).map_err(|error| garbage(next, error))?;
            visit(ScannedRecord { header: head.header, piggyback })?;
            next += 1;
        }
        Ok(())
    }

    /// Says which stores are copies in the memory of other nodes: bit s for store s. To be said before any rank is there.
    pub fn set_copied(&self, stores: u8) {
        self.memory.header().copied.store(stores.into(), Ordering::Release);
    }

    /// Sleeps until a rank has work for whoever writes the stores that are no copies (a journal entry, a flush) or the time is
    /// over. Returns whether it was rung for.
    ///
    /// No work is lost: what came since the last return, before which the daemon cannot have looked for it, ends the wait
    /// at once. One thread waits at a time.
    #[must_use]
    pub fn wait_for_work(&self, timeout: Duration) -> bool {
        self.wait_for(&self.to_write, &self.memory.header().bell, timeout)
    }

    /// As [`JobMemory::wait_for_work`], for whoever makes the copies in the memory of other nodes.
    #[must_use]
    pub fn wait_to_copy(&self, timeout: Duration) -> bool {
        self.wait_for(&self.to_copy, &self.memory.header().copies_bell, timeout)
    }

    fn wait_for(&self, work: &Work, bell: &Bell, timeout: Duration) -> bool {
        let mut seen = work.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = || {
            work.interrupted.load(Ordering::SeqCst)
                || !self.memory.rank_slots().iter().flat_map(work_words).eq(seen.iter().copied())
        };
        let rung = ready() || bell.sleep(&self.memory.header().fences, timeout, ready);
        work.interrupted.store(false, Ordering::SeqCst);
        seen.clear();
        seen.extend(self.memory.rank_slots().iter().flat_map(work_words));
        rung
    }

    /// Ends a [`JobMemory::wait_for_work`] in another thread.
    pub fn interrupt(&self) {
        self.to_write.interrupted.store(true, Ordering::SeqCst);
        let _ = self.memory.header().bell.wake();
    }

    /// Ends a [`JobMemory::wait_to_copy`] in another thread.
    pub fn interrupt_copies(&self) {
        self.to_copy.interrupted.store(true, Ordering::SeqCst);
        let _ = self.memory.header().copies_bell.wake();
    }

    /// Wakes a rank if it sleeps.
    pub fn ring(&self, rank: Rank) {
        self.memory.ring(rank);
    }

    /// Wakes every rank that sleeps.
    pub fn ring_all(&self) {
        self.memory.ring_all();
    }

    /// Tells every rank, and every incarnation to come, that versions have ended.
    ///
    /// # Errors
    /// [`Fault::OverLimit`] where the job has seen more failures than its memory has room for.
    pub fn announce(&self, tokens: &[Token]) -> Result<(), Fault> {
        let announced = &self.memory.header().announced;
        let mut count = announced.load(Ordering::Relaxed);
        for token in tokens {
            let slot = usize::try_from(count).ok().and_then(|at| self.memory.tokens().get(at));
            let Some(slot) = slot else {
                return Err(Fault::OverLimit {
                    what: "the table of the job's failures".to_owned(),
                    limit_bytes: MAX_TOKENS * size_of::<TokenSlot>() as u64,
                    remedy: "a protocol that is not optimistic",
                });
            };
            slot.rank.store(token.rank.into(), Ordering::Relaxed);
            slot.version.store(token.version.into(), Ordering::Relaxed);
            slot.events.store(token.events, Ordering::Relaxed);
            count += 1;
        }
        announced.store(count, Ordering::Release);
        self.ring_all();
        Ok(())
    }

    /// How many tokens were announced.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.memory.header().announced.load(Ordering::Acquire)
    }

    /// Leaves recovery information for the rank's next incarnation, in place of what was left before.
    ///
    /// # Errors
    /// [`Fault::Driver`] where there is no memory.
    pub fn set_recovery(&self, rank: Rank, information: &[u8]) -> Result<(), Fault> {
        self.memory.fill(&self.memory.rank(rank).status.recovery, information)
    }

    /// Bytes of the file allocated for all channels, lanes and journals.
    #[must_use]
    pub fn spilled_bytes(&self) -> u64 {
        self.memory.spilled_bytes()
    }

    /// Bytes of the file that were ever allocated for channels, lanes and journals.
    #[must_use]
    pub fn ever_spilled_bytes(&self) -> u64 {
        self.memory.ever_spilled_bytes()
    }

    /// Bytes of memory allocated for all channels, lanes and journals.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.memory.allocated_bytes()
    }

    /// Bytes allocated for what is charged to one rank: outbound channels, lanes, journal.
    #[must_use]
    pub fn allocated_bytes_of(&self, rank: Rank) -> u64 {
        self.memory.rank(rank).status.allocated_bytes.load(Ordering::Relaxed)
    }

    /// The logs that are charged to a rank.
    fn logs_of(&self, rank: Rank) -> impl Iterator<Item = (LogName, &LogSlot)> {
        let others = 0..self.ranks();
        let pairs = others.flat_map(move |to| {
            [
                (LogName::Channel(rank, to), &self.memory.channel(rank, to).log),
                (LogName::Lane(rank, to), self.memory.lane(rank, to)),
            ]
        });
        pairs.chain([(LogName::Journal(rank), &self.memory.rank(rank).journal)])
    }

    /// All segments of a log whose writer was reaped.
    fn segments(&self, name: LogName, log: &LogSlot) -> (Vec<Segment>, Result<(), WireError>) {
        let (mut segments, sound) = chain(&self.memory, log, name);
        segments.extend(orphan(&self.memory, log, name, &segments));
        (segments, sound)
    }
}

/// What changes with every piece of work that a rank has for the daemon.
fn work_words(slot: &RankSlot) -> impl Iterator<Item = u64> + '_ {
    let word = |word: &AtomicU64| word.load(Ordering::Acquire);
    [word(&slot.journal_heads.to_store), word(&slot.status.state)]
        .into_iter()
        .chain(slot.journal_heads.flush.iter().map(word))
}

/// One record that [`JobMemory::scan`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannedRecord<'a> {
    /// Its head.
    pub header: RecordHeader,
    /// Its piggyback.
    pub piggyback: &'a [u8],
}
