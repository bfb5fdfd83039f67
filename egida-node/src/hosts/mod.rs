//! Jobs on several hosts.
//!
//! ```text
//!   launcher (Job, Coordinator, disks, output)       host a                        host b
//!     JobMemory: journals of all ranks  <---Link---> daemon, JobMemory <---Link--> daemon, JobMemory
//!                                       <------------- Link ------------------------->
//!                                                      | rank 0, rank 1              | rank 2, rank 3
//! ```
//!
//! The launcher starts a daemon on each host, by `ssh` or by what the user names, and gives it the job's key through a pipe.
//! The daemons call the launcher and each other; every connection begins with a proof of the key. What a rank sends goes into
//! the memory of its host, as ever; the daemons' links (`link`) carry it to where it is read, and the journals to the
//! launcher ([`egida_shm::Mirror`]), or a connection of two ranks' own does (`introductions`). So a job on several hosts is recovered as one on a single host is: by the same
//! coordinator, over the launcher's memory.
//!
//! Every change that a death makes to memory is made on all hosts and at the launcher, in the same order; a step of recovery
//! is done when all have done it.
//!
//! What is not there: the loss of a host. It ends the job with a message and exit code 86.

mod daemon;
mod introductions;
mod launch;
mod link;
mod list;
mod orders;

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::ops::Range;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use egida_core::clock::Token;
use egida_core::fault::Fault;
use egida_core::ids::{Incarnation, Rank};
use egida_core::output::Stream;
use egida_core::recovery::Fate;
use egida_net::framing;
use egida_shm::{Blocked, JobMemory};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::process::{CHUNK_BYTES, Chunk, Ended, Happened, How, Spool, Windows, feed};
pub use daemon::{DaemonError, run as run_daemon};
pub use launch::{Hosting, StartError};
use link::Link;
pub use list::{Host, ListError, deal, parse_file, parse_list};
pub use orders::Setup;
use orders::{Order, Tale, Ticket, from_bytes, to_bytes};

/// The launcher's number on connections.
const LAUNCHER: u32 = 0;

/// The number of a host on connections.
const fn number_of(host: u32) -> u32 {
    host + 1
}

/// What precedes a link's messages on its first connection is no longer than this.
const MOST_SETUP_BYTES: u32 = 64 << 20;

/// How much of standard input may be on its way.
const FED_BYTES: usize = 256 << 10;

/// How long daemons may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

/// Why a host could not do what it was ordered to; nothing where it did.
type Answer = Option<String>;

/// A host did not do what it was ordered to.
#[derive(Debug, Error)]
pub enum OrderError {
    /// It is lost.
    #[error("host {0} is lost")]
    Lost(String),
    /// It could not.
    #[error("host {name}: {why}")]
    Failed {
        /// Which.
        name: String,
        /// Why not.
        why: String,
    },
    /// The launcher could not do its own part.
    #[error(transparent)]
    Memory(#[from] Fault),
    /// A thread of ours.
    #[error("a change of memory did not end: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// The hosts of a job, at the launcher.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<AtHost>,
    memory: JobMemory,
    /// Who waits for which host to have carried out what.
    tickets: Mutex<HashMap<Ticket, (usize, oneshot::Sender<Answer>)>>,
    next_ticket: AtomicU64,
    view: AtomicU64,
    is_leaving: AtomicBool,
    /// Room for standard input, of the incarnation of rank 0 that it is handed to.
    fed: Mutex<(Incarnation, Arc<Semaphore>)>,
    happen: mpsc::Sender<Happened>,
}

/// One of them.
#[derive(Debug)]
struct AtHost {
    name: String,
    ranks: Range<Rank>,
    link: Link,
    /// What started the daemon. Its standard input ends when the daemon is to end.
    starter: Mutex<Child>,
}

impl Hosts {
    /// Starts a rank's process where it belongs. What becomes of it is told as that of any other.
    pub fn spawn(
        self: &Arc<Self>,
        rank: Rank,
        incarnation: Incarnation,
        environment: Vec<(String, String)>,
        recovery: Vec<u8>,
        streams: (Arc<Windows>, &Spool),
    ) -> RemoteProcess {
        self.order(rank, &Order::Spawn { rank, incarnation, environment, recovery });
        let (windows, spool) = streams;
        let mut tasks = Vec::new();
        for is_err in [false, true] {
            let (hosts, windows) = (Arc::clone(self), Arc::clone(&windows));
            let grant = async move {
                let window = if is_err { &windows.err } else { &windows.out };
                loop {
                    window.take_chunk().await;
                    let bytes = CHUNK_BYTES as u32;
                    hosts.order(rank, &Order::Grant { rank, incarnation, is_err, bytes });
                }
            };
            tasks.push(tokio::spawn(grant).abort_handle());
        }
        if rank == 0 {
            let room = Arc::new(Semaphore::new(FED_BYTES));
            *lock(&self.fed) = (incarnation, Arc::clone(&room));
            tasks.extend(self.feed(incarnation, spool, room));
        }
        RemoteProcess { hosts: Arc::clone(self), rank, tasks }
    }

    /// Hands standard input to rank 0, from its first byte on.
    fn feed(
        self: &Arc<Self>,
        incarnation: Incarnation,
        spool: &Spool,
        room: Arc<Semaphore>,
    ) -> Vec<AbortHandle> {
        let Ok((sender, mut receiver)) = pipe::pipe() else {
            tracing::warn!("rank 0 gets no standard input: there are no descriptors left");
            return Vec::new();
        };
        let hosts = Arc::clone(self);
        let hand_over = async move {
            let mut bytes = vec![0; FED_BYTES / 4];
            loop {
                let read = receiver.read(&mut bytes).await.unwrap_or(0);
                // Nobody ever closes it.
                if let Ok(permits) = room.acquire_many(read as u32).await {
                    permits.forget();
                }
                hosts.order(0, &Order::Feed { incarnation, bytes: bytes[..read].to_vec() });
                if read == 0 {
                    return;
                }
            }
        };
        let tasks = [tokio::spawn(feed(spool.clone(), sender)), tokio::spawn(hand_over)];
        tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect()
    }

    /// Has all memories changed by a death: that of each host, and the launcher's.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn change(
        self: &Arc<Self>,
        rank: Rank,
        fate: Fate,
        blocked: impl FnMut(Rank) -> Blocked + Send + 'static,
    ) -> Result<(), OrderError> {
        let view = self.view.fetch_add(1, Ordering::AcqRel) + 1;
        let answers = self.ask(|ticket| Order::Change { ticket, view, rank, fate });
        let hosts = Arc::clone(self);
        let here = tokio::task::spawn_blocking(move || {
            let mut mirrors: Vec<_> = hosts.hosts.iter().map(|host| host.link.mirror()).collect();
            mirrors.iter_mut().try_for_each(|mirror| mirror.changing())?;
            change_memory(&hosts.memory, rank, fate, blocked)?;
            mirrors.iter_mut().try_for_each(|mirror| mirror.changed(view, rank))?;
            drop(mirrors);
            hosts.hosts.iter().for_each(|host| host.link.ring());
            Ok::<_, Fault>(())
        });
        here.await??;
        self.answered(answers).await
    }

    /// Waits until no rank anywhere reads what was taken away.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn quiesce(&self) -> Result<(), OrderError> {
        self.answered(self.ask(|ticket| Order::Quiesce { ticket })).await
    }

    /// Tells every rank that versions have ended.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn announce(&self, tokens: &[Token]) -> Result<(), OrderError> {
        self.answered(self.ask(|ticket| Order::Announce { ticket, tokens: tokens.to_vec() })).await
    }

    /// Waits until everything is in the launcher's memory that stands in a journal now, and what the readers of channels have
    /// said by now.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn sync(&self) -> Result<(), OrderError> {
        self.answered(self.ask(|ticket| Order::Sync { ticket })).await
    }

    /// Has all hosts tell what there is to be said of their memory in the end.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn sum(&self) -> Result<(), OrderError> {
        self.answered(self.ask(|ticket| Order::Sum { ticket })).await
    }

    /// Ends all daemons, and the processes that are left with them.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
        self.hosts.iter().for_each(|host| host.link.tell(to_bytes(&Order::Leave)));
        let has_left = |host: &AtHost| matches!(lock(&host.starter).try_wait(), Ok(Some(_)) | Err(_));
        let wait = |limit: Duration| {
            let until = Instant::now() + limit;
            while !self.hosts.iter().all(has_left) && Instant::now() < until {
                thread::sleep(Duration::from_millis(2));
            }
        };
        wait(LEAVE_LIMIT);
        self.hosts.iter().for_each(|host| drop(lock(&host.starter).stdin.take()));
        wait(LEAVE_LIMIT);
        for host in self.hosts.iter().filter(|host| !has_left(host)) {
            let _ = lock(&host.starter).kill();
        }
        self.hosts.iter().for_each(|host| host.link.close());
    }

    fn at(&self, rank: Rank) -> Option<&AtHost> {
        self.hosts.iter().find(|host| host.ranks.contains(&rank))
    }

    fn order(&self, rank: Rank, order: &Order) {
        if let Some(host) = self.at(rank) {
            host.link.tell(to_bytes(order));
        }
    }

    /// Orders something of all hosts.
    fn ask(&self, order: impl Fn(Ticket) -> Order) -> Vec<(usize, oneshot::Receiver<Answer>)> {
        let ask = |(at, host): (usize, &AtHost)| {
            let ticket = self.next_ticket.fetch_add(1, Ordering::AcqRel);
            let (answer, answered) = oneshot::channel();
            lock(&self.tickets).insert(ticket, (at, answer));
            host.link.tell(to_bytes(&order(ticket)));
            (at, answered)
        };
        self.hosts.iter().enumerate().map(ask).collect()
    }

    async fn answered(&self, answers: Vec<(usize, oneshot::Receiver<Answer>)>) -> Result<(), OrderError> {
        for (at, answer) in answers {
            let name = self.hosts[at].name.clone();
            match answer.await {
                Ok(None) => {}
                Ok(Some(why)) => return Err(OrderError::Failed { name, why }),
                Err(_) => return Err(OrderError::Lost(name)),
            }
        }
        Ok(())
    }

    /// A daemon tells something.
    fn hear(&self, at: usize, bytes: &[u8]) {
        let tale = match from_bytes(bytes) {
            Ok(tale) => tale,
            Err(why) => return self.lost(at, &why),
        };
        let happened = match tale {
            Tale::Wrote { rank, is_err, bytes, head, observed } => {
                let stream = if is_err { Stream::Err } else { Stream::Out };
                Happened::Wrote(Chunk { rank, stream, bytes, head, observed })
            }
            Tale::Noticed { rank, line } => Happened::Noticed { rank, line },
            Tale::Ended { rank, is_signal, code } => {
                let how = if is_signal { How::Signal(code) } else { How::Exit(code) };
                Happened::Ended(Ended { rank, how, at: Instant::now() })
            }
            Tale::Lost { rank, why } => Happened::Lost { rank, error: io::Error::other(why) },
            Tale::CannotSpawn { rank, number, why } => {
                let error = number.map_or_else(|| io::Error::other(why), io::Error::from_raw_os_error);
                Happened::CannotSpawn { rank, error }
            }
            Tale::Memory { text } => {
                Happened::HostTold { text: format!("host {}: {text}", self.hosts[at].name) }
            }
            Tale::Fed { incarnation, bytes } => {
                let fed = lock(&self.fed);
                if fed.0 == incarnation {
                    fed.1.add_permits(bytes as usize);
                }
                return;
            }
            Tale::Done { ticket, why_not } => {
                if let Some((_, answer)) = lock(&self.tickets).remove(&ticket) {
                    let _ = answer.send(why_not);
                }
                return;
            }
            Tale::Trouble { why } => return self.lost(at, &why),
        };
        if self.speaks_of_its_own(at, &happened) {
            // Nobody listens any more only where the job is over.
            let _ = self.happen.blocking_send(happened);
        }
    }

    fn speaks_of_its_own(&self, at: usize, happened: &Happened) -> bool {
        let rank = match happened {
            Happened::Wrote(chunk) => chunk.rank,
            Happened::Ended(ended) => ended.rank,
            Happened::Noticed { rank, .. }
            | Happened::Lost { rank, .. }
            | Happened::CannotSpawn { rank, .. } => *rank,
            Happened::HostLost { .. } | Happened::HostTold { .. } => return true,
        };
        self.hosts[at].ranks.contains(&rank)
    }

    /// A host is lost.
    fn lost(&self, at: usize, why: &str) {
        lock(&self.tickets).retain(|_, (host, _)| *host != at);
        let host = &self.hosts[at];
        if !self.is_leaving.load(Ordering::Acquire) {
            let why = format!("host {} is lost: {why}", host.name);
            let _ = self.happen.blocking_send(Happened::HostLost { ranks: host.ranks.clone(), why });
        }
    }
}

/// A rank's process on another host. What serves its streams ends with this.
#[derive(Debug)]
pub struct RemoteProcess {
    hosts: Arc<Hosts>,
    rank: Rank,
    tasks: Vec<AbortHandle>,
}

impl RemoteProcess {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let rank = self.rank;
        self.hosts.order(rank, &Order::Signal { rank, signal: signal.as_raw() });
    }
}

impl Drop for RemoteProcess {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What a death does to memory.
///
/// # Errors
/// [`Fault`].
pub fn change_memory(
    memory: &JobMemory,
    rank: Rank,
    fate: Fate,
    blocked: impl FnMut(Rank) -> Blocked,
) -> Result<(), Fault> {
    match fate {
        Fate::Lost => memory.discard(rank, blocked),
        Fate::Stays => memory.reset_reader(rank, blocked),
        Fate::RollsBack => memory.roll_back(rank, blocked),
    }
}

/// Reads what comes first on a connection.
fn read_one<T: DeserializeOwned>(stream: &mut TcpStream) -> Result<T, String> {
    let bytes = framing::read_one(stream, MOST_SETUP_BYTES).map_err(|error| error.to_string())?;
    from_bytes(&bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
