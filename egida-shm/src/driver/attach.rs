//! How a rank's process finds its job's memory.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use egida_core::driver::Driver;
use egida_core::fault::Fault;
use egida_core::ids::{Domains, Incarnation, Position, Rank};
use egida_core::trace::Event;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::inbound::Inbound;
use super::{Direct, ShmDriver, Watched};
use crate::anchor::Anchor;
use crate::arena::Arena;
use crate::job::RankState;
use crate::kill::{Death, KillSwitch};
use crate::layout::{LogName, Memory};
use crate::log::Cursor;
use crate::stretch::Stretch;
use crate::trace::TraceFile;
use crate::writer::LogWriter;
use crate::{
    ENV_DAEMON_FD, ENV_FILE_FD, ENV_INCARNATION, ENV_JOB_FD, ENV_KILL, ENV_RANK, ENV_TRACE, ENV_WAKER_FDS,
};

/// What a rank's process finds in its job's memory.
#[derive(Debug)]
pub struct Attached {
    /// The rank's world.
    pub driver: ShmDriver,
    /// Which rank it is.
    pub rank: Rank,
    /// How many ranks there are.
    pub size: u32,
    /// Which life of the rank it is.
    pub incarnation: Incarnation,
    /// Which failure domain each rank belongs to.
    pub domains: Domains,
    /// Whether the failure unit is the node: whether a rank's memory dies with it.
    pub failure_unit_is_node: bool,
    /// The text of the specification.
    pub specification: String,
    /// What the daemon collected for this incarnation's recovery; empty for a first one.
    pub recovery: Vec<u8>,
}

impl Attached {
    /// The same, with what it takes to have connections to ranks of other hosts.
    fn connected(mut self, daemon: &str, wakers: &str) -> Result<Self, Fault> {
        let no_number =
            |name: &str| Fault::Driver(format!("the environment variable {name} holds no descriptor"));
        let daemon = daemon.parse().ok().and_then(inherited).ok_or_else(|| no_number(ENV_DAEMON_FD))?;
        let waker = |word: &str| {
            let (rank, fd) = word.split_once(':')?;
            Some((rank.parse().ok()?, inherited(fd.parse().ok()?)?))
        };
        let wakers: Option<Vec<_>> = wakers.split(',').filter(|word| !word.is_empty()).map(waker).collect();
        self.driver.memory.set_wakers(wakers.ok_or_else(|| no_number(ENV_WAKER_FDS))?);
        self.driver.ask_at(daemon);
        Ok(self)
    }

    /// The same, writing what happens to it into a directory.
    fn traced(mut self, dir: &Path) -> Result<Self, Fault> {
        let file = TraceFile::create(dir, self.rank, self.incarnation).map_err(|error| {
            Fault::Driver(format!(
                "the trace of rank {} cannot be written into `{}`: {error}",
                self.rank,
                dir.display()
            ))
        })?;
        self.driver.trace = Some(file);
        self.driver.caught_up = self.incarnation == 1;
        self.driver.trace(Event::Begin);
        Ok(self)
    }
}

impl ShmDriver {
    /// Attaches the process that a daemon spawned; `None` where none did. The environment is read once: it is cleared, so
    /// that a process spawned by the application is no rank.
    ///
    /// # Errors
    /// As for [`ShmDriver::attach`], and [`Fault::Driver`] for an environment that names no rank.
    #[must_use]
    pub fn attach_from_env() -> Option<Result<Attached, Fault>> {
        let [rank, fd, incarnation, kill, trace] =
            [ENV_RANK, ENV_JOB_FD, ENV_INCARNATION, ENV_KILL, ENV_TRACE].map(take_variable);
        let [daemon, wakers, file] = [ENV_DAEMON_FD, ENV_WAKER_FDS, ENV_FILE_FD].map(take_variable);
        let attached = attach_by(&rank?, fd, file, incarnation, kill.as_deref());
        let connected = attached.and_then(|attached| match (daemon, wakers) {
            (Some(daemon), Some(wakers)) => attached.connected(&daemon, &wakers),
            _ => Ok(attached),
        });
        Some(connected.and_then(|attached| match trace {
            Some(dir) => attached.traced(Path::new(&dir)),
            None => Ok(attached),
        }))
    }

    /// Attaches as a rank to the memory behind a descriptor.
    ///
    /// # Errors
    /// [`Fault::Driver`] where it is not a job's memory, or where that incarnation of the rank may not attach.
    pub fn attach(
        fd: OwnedFd,
        rank: Rank,
        incarnation: Incarnation,
        kill: KillSwitch,
    ) -> Result<Attached, Fault> {
        Self::attach_with(fd, None, rank, incarnation, kill)
    }

    /// The same, where the memory has a file for what is beyond its limit.
    ///
    /// # Errors
    /// As for [`ShmDriver::attach`].
    pub fn attach_with(
        fd: OwnedFd,
        file: Option<OwnedFd>,
        rank: Rank,
        incarnation: Incarnation,
        kill: KillSwitch,
    ) -> Result<Attached, Fault> {
        let memory = Memory::recognise(Arena::open(fd, file)?)?;
        memory.map_ready();
        let size = memory.ranks();
        if rank >= size {
            return Err(Fault::Driver(format!("there is no rank {rank} among {size}")));
        }
        let slot = memory.rank(rank);
        let expected = slot.status.incarnation.load(Ordering::Acquire);
        if expected != u64::from(incarnation) {
            return Err(Fault::Driver(format!(
                "incarnation {incarnation} of rank {rank} may not attach: the job expects incarnation {expected}"
            )));
        }
        let specification = memory.read(&memory.header().specification)?;
        let attached = Attached {
            rank,
            size,
            incarnation,
            domains: memory.domains(),
            failure_unit_is_node: memory.header().failure_unit_is_node.load(Ordering::Relaxed) != 0,
            specification: String::from_utf8_lossy(specification).into_owned(),
            recovery: memory.read(&slot.status.recovery)?.to_vec(),
            driver: Self::over(Arc::clone(&memory), rank, kill)?,
        };
        memory.header().fences.join();
        attached.driver.set_state(RankState::Attached);
        Ok(attached)
    }

    fn over(memory: Arc<Memory>, rank: Rank, kill: KillSwitch) -> Result<Self, Fault> {
        let slot = memory.rank(rank);
        let (journal, journal_head) = match journal_end(&memory, rank)? {
            (Some(end), head) => (LogWriter::resume(&end), head),
            (None, head) => (LogWriter::default(), head),
        };
        slot.journal_heads.head.store(journal_head, Ordering::Release);
        slot.busy.store(0, Ordering::Release);
        let ranks = memory.ranks();
        let spins = u64::from(ranks) <= memory.header().cpus.load(Ordering::Relaxed);
        Ok(Self {
            rank,
            slot: Anchor::new(&memory, |memory| memory.rank(rank)),
            stretch: Stretch::new(rank),
            kill,
            outbound: (0..ranks).map(|_| Default::default()).collect(),
            inbound: (0..ranks).map(|source| Inbound::new(&memory, source, rank)).collect(),
            notices_out: (0..ranks).map(|_| Default::default()).collect(),
            notices_in: (0..ranks).map(|_| Default::default()).collect(),
            journal,
            journal_head,
            tokens_read: 0,
            watched: Watched::new(ranks),
            bells: (0..ranks).map(|rank| memory.bell_of(rank)).collect(),
            spins,
            looked: 0,
            direct: None,
            ends_with_any: false,
            fault: None,
            trace: None,
            caught_up: true,
            memory,
        })
    }

    /// Has this rank have connections of its own to ranks of other hosts: it asks for them at the rank's end of
    /// [`crate::introduction::pair`].
    pub fn ask_at(&mut self, daemon: OwnedFd) {
        self.direct = Some(Box::new(Direct::new(self.rank, self.memory.ranks(), daemon)));
    }

    /// The death of any rank ends the job.
    pub fn ends_with_any(&mut self) {
        self.ends_with_any = true;
    }

    /// How many there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.direct.as_ref().map_or(0, |direct| direct.count())
    }

    /// Makes known how far this process is.
    pub fn set_state(&self, state: RankState) {
        self.memory.rank(self.rank).status.state.store(state as u64, Ordering::Release);
        self.ring_daemon(u8::MAX);
    }

    /// Why the trace ends here, where it could not be written, once.
    pub fn take_trace_trouble(&mut self) -> Option<std::io::Error> {
        self.trace.as_mut().and_then(TraceFile::take_trouble)
    }

    /// The first rank of this host.
    #[must_use]
    pub fn first_of_host(&self) -> Rank {
        (0..self.memory.ranks()).find(|&rank| !self.memory.is_elsewhere(rank)).unwrap_or(self.rank)
    }

    /// This process's rank.
    #[must_use]
    pub fn rank(&self) -> Rank {
        self.rank
    }
}

/// The end of a rank's journal, where it has one, and the position there.
pub fn journal_end(memory: &Memory, rank: Rank) -> Result<(Option<Cursor>, Position), Fault> {
    let slot = &memory.rank(rank).journal;
    let name = LogName::Journal(rank);
    let garbage = |error| name.garbage(0, error);
    let Some(mut cursor) = Cursor::last(memory, slot, name).map_err(garbage)? else {
        return Ok((None, slot.base.load(Ordering::Acquire)));
    };
    let mut position = cursor.segment().first_number;
    while let Some(frame) = cursor.frame(memory).map_err(garbage)? {
        cursor.skip(&frame);
        position += 1;
    }
    Ok((Some(cursor), position))
}

/// A descriptor that the daemon that spawned this process hands over to this library, if it is open. No process that the
/// application starts inherits it.
fn inherited(fd: RawFd) -> Option<OwnedFd> {
    if fd < 0 {
        return None;
    }
    // SAFETY: the number is borrowed only to ask whether it is an open descriptor.
    let flags = fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).ok()?;
    // SAFETY: the descriptor is open, and nobody else in this process knows of it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let _ = fcntl_setfd(&fd, flags | FdFlags::CLOEXEC);
    Some(fd)
}

fn take_variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    // SAFETY: called while the library initialises, before the application has been told that it may use it from other
    // threads; a program that changes its environment in a thread meanwhile breaks the C library's rules by itself.
    unsafe { std::env::remove_var(name) };
    value
}

fn attach_by(
    rank: &str,
    fd: Option<String>,
    file: Option<String>,
    incarnation: Option<String>,
    kill: Option<&str>,
) -> Result<Attached, Fault> {
    fn number<T: std::str::FromStr>(name: &str, value: Option<&str>) -> Result<T, Fault> {
        value.and_then(|value| value.parse().ok()).ok_or_else(|| {
            Fault::Driver(format!("the environment variable {name} holds no number that can be"))
        })
    }
    let rank = number(ENV_RANK, Some(rank))?;
    let incarnation = number(ENV_INCARNATION, incarnation.as_deref())?;
    let open = |fd: RawFd, what: &str| {
        inherited(fd).ok_or_else(|| {
            Fault::Driver(format!("descriptor {fd}, said to be the job's {what}, is not open"))
        })
    };
    let fd = open(number(ENV_JOB_FD, fd.as_deref())?, "memory")?;
    let file = match file {
        None => None,
        Some(file) => Some(open(number(ENV_FILE_FD, Some(&file))?, "file")?),
    };
    let kill = KillSwitch::parse(kill.unwrap_or_default(), Death::Kill)?;
    ShmDriver::attach_with(fd, file, rank, incarnation, kill)
}
