//! The daemon's side of a job's memory.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use egida_core::driver::{EntryKind, Progress};
use egida_core::fault::Fault;
use egida_core::gate::StoreId;
use egida_core::ids::{Domains, EventIndex, Incarnation, Position, Rank, Ssn};
use egida_core::wire::RecordHeader;

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
/// thread, but [`JobMemory::discard`] and [`JobMemory::reset_reader`] from one at a time.
///
/// After the death of a rank, in this order: reap it, [`JobMemory::reaped`] for every rank known dead, then for each
/// [`JobMemory::discard`] (failure unit node) or [`JobMemory::reset_reader`] (process), then collect,
/// [`JobMemory::set_recovery`], [`JobMemory::begin_incarnation`], spawn.
#[derive(Debug, Clone)]
pub struct JobMemory {}

impl JobMemory {
    /// Creates the memory of a job.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the system gives no memory object or no address space.
    pub fn create(config: &JobConfig) -> Result<Self, Fault> {
        let _ = config;
        unimplemented!()
    }

    /// The descriptor to pass on to ranks. It is close-on-exec here: the spawner clears that in the child.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        unimplemented!()
    }

    /// The environment that lets a spawned process attach, for a child in which the memory has descriptor `fd`.
    #[must_use]
    pub fn environment(
        fd: i32,
        rank: Rank,
        incarnation: Incarnation,
        kill: Option<&str>,
    ) -> Vec<(&'static str, String)> {
        let _ = (fd, rank, incarnation, kill);
        unimplemented!()
    }

    /// How many ranks the job has.
    #[must_use]
    pub fn ranks(&self) -> u32 {
        unimplemented!()
    }

    /// Which failure domain each rank belongs to.
    #[must_use]
    pub fn domains(&self) -> Domains {
        unimplemented!()
    }

    /// Declares that the next process to attach as `rank` is that incarnation. Others are refused.
    pub fn begin_incarnation(&self, rank: Rank, incarnation: Incarnation) {
        let _ = (rank, incarnation);
        unimplemented!()
    }

    /// The incarnation declared last; 0 before the first.
    #[must_use]
    pub fn incarnation(&self, rank: Rank) -> Incarnation {
        let _ = rank;
        unimplemented!()
    }

    /// How far the rank's process is.
    #[must_use]
    pub fn state(&self, rank: Rank) -> RankState {
        let _ = rank;
        unimplemented!()
    }

    /// Notes that the rank's process was reaped: nobody waits for it any more, and what it was about to allocate is
    /// given back. Idempotent.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the rank's memory is overwritten with garbage.
    pub fn reaped(&self, rank: Rank) -> Result<(), Fault> {
        let _ = rank;
        unimplemented!()
    }

    /// Begins a new epoch and waits until no live rank reads under the old one. A rank that holds this up is handed
    /// to `blocked` now and then (every 10 ms or so). [`JobMemory::discard`] and [`JobMemory::reset_reader`] do this
    /// themselves.
    pub fn quiesce(&self, blocked: impl FnMut(Rank) -> Blocked) {
        let _ = blocked;
        unimplemented!()
    }

    /// Takes away all that is charged to a rank that was reaped, as the loss of its node would: its outbound channels
    /// and lanes, its journal, and the knowledge of its reading of inbound channels. Its channels are begun anew (their
    /// generation grows); its journal goes on at the old head, which becomes its base and its stable position. Waits
    /// for survivors as [`JobMemory::quiesce`] does.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the rank's memory is overwritten with garbage or cannot be given back.
    pub fn discard(&self, rank: Rank, blocked: impl FnMut(Rank) -> Blocked) -> Result<(), Fault> {
        let _ = (rank, blocked);
        unimplemented!()
    }

    /// Prepares the inbound channels of a rank that was reaped, and whose memory survives, for a new reader. Waits for
    /// survivors as [`JobMemory::quiesce`] does.
    ///
    /// # Errors
    /// As for [`JobMemory::reaped`].
    pub fn reset_reader(&self, rank: Rank, blocked: impl FnMut(Rank) -> Blocked) -> Result<(), Fault> {
        let _ = (rank, blocked);
        unimplemented!()
    }

    /// A reader of the rank's journal, from its base on.
    #[must_use]
    pub fn journal(&self, rank: Rank) -> JournalReader {
        let _ = rank;
        unimplemented!()
    }

    /// The position of the first entry of the rank's journal that was not discarded.
    #[must_use]
    pub fn journal_base(&self, rank: Rank) -> Position {
        let _ = rank;
        unimplemented!()
    }

    /// The position behind the last entry of the rank's journal. Right after a death it may lag one entry behind what
    /// [`JournalReader::next`] finds.
    #[must_use]
    pub fn journal_head(&self, rank: Rank) -> Position {
        let _ = rank;
        unimplemented!()
    }

    /// Publishes the position below which all that was to be logged synchronously is stable, and wakes all sleepers.
    /// Never lowers it.
    pub fn set_stable(&self, rank: Rank, position: Position) {
        let _ = (rank, position);
        unimplemented!()
    }

    /// The position published last.
    #[must_use]
    pub fn stable(&self, rank: Rank) -> Position {
        let _ = rank;
        unimplemented!()
    }

    /// The position up to which the rank asked for a flush to a store; 0 where it never did.
    #[must_use]
    pub fn flush_requested(&self, rank: Rank, store: StoreId) -> Position {
        let _ = (rank, store);
        unimplemented!()
    }

    /// How far the rank has come, as it noted last.
    #[must_use]
    pub fn progress(&self, rank: Rank) -> Progress {
        let _ = rank;
        unimplemented!()
    }

    /// How many records of its channel from `source` a reader has taken knowledge of.
    #[must_use]
    pub fn acknowledged(&self, reader: Rank, source: Rank) -> Ssn {
        let _ = (reader, source);
        unimplemented!()
    }

    /// How many of the events of `source` a reader depends on by what it read from their channel.
    #[must_use]
    pub fn depends(&self, reader: Rank, source: Rank) -> EventIndex {
        let _ = (reader, source);
        unimplemented!()
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
        let _ = (source, dest, visit);
        unimplemented!()
    }

    /// Sleeps until a rank has work for the daemon (a journal entry for a store, a flush) or the time is over. Returns
    /// whether it was rung for.
    ///
    /// To lose no work: look for work, and call this only where there was none since its last return.
    #[must_use]
    pub fn wait_for_work(&self, timeout: Duration) -> bool {
        let _ = timeout;
        unimplemented!()
    }

    /// Ends a [`JobMemory::wait_for_work`] in another thread.
    pub fn interrupt(&self) {
        unimplemented!()
    }

    /// Wakes a rank if it sleeps.
    pub fn ring(&self, rank: Rank) {
        let _ = rank;
        unimplemented!()
    }

    /// Wakes every rank that sleeps.
    pub fn ring_all(&self) {
        unimplemented!()
    }

    /// Leaves recovery information for the rank's next incarnation, in place of what was left before.
    ///
    /// # Errors
    /// [`Fault::Driver`] where there is no memory.
    pub fn set_recovery(&self, rank: Rank, information: &[u8]) -> Result<(), Fault> {
        let _ = (rank, information);
        unimplemented!()
    }

    /// Bytes allocated for all channels, lanes and journals.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        unimplemented!()
    }

    /// Bytes allocated for what is charged to one rank: outbound channels, lanes, journal.
    #[must_use]
    pub fn allocated_bytes_of(&self, rank: Rank) -> u64 {
        let _ = rank;
        unimplemented!()
    }
}

/// One record that [`JobMemory::scan`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannedRecord<'a> {
    /// Its head.
    pub header: RecordHeader,
    /// Its piggyback.
    pub piggyback: &'a [u8],
}

/// Reads a journal entry by entry. It may be kept across deaths of the rank; after a [`JobMemory::discard`] it goes on at
/// the new base.
#[derive(Debug)]
pub struct JournalReader {}

impl JournalReader {
    /// The position of the entry that [`JournalReader::next`] reads.
    #[must_use]
    pub fn position(&self) -> Position {
        unimplemented!()
    }

    /// The next entry, if it is published.
    ///
    /// # Errors
    /// [`Fault::Driver`] where the journal is overwritten with garbage.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<JournalItem<'_>>, Fault> {
        unimplemented!()
    }
}

/// One entry of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalItem<'a> {
    /// Its position: how many entries stand before it.
    pub position: Position,
    /// What the bytes are.
    pub kind: EntryKind,
    /// Which stores must come to hold it: bit s for store s.
    pub stores: u8,
    /// The encoded determinant or message.
    pub bytes: &'a [u8],
}
