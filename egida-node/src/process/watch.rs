//! Watching one process: what it writes, and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Instant;

use egida_core::ids::{Position, Rank};
use egida_core::output::Stream;
use egida_shm::JobMemory;
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, mpsc, watch};

use super::Spawned;
use super::exec::readable;

/// Something that happened to a process.
#[derive(Debug)]
pub enum Happened {
    /// It wrote.
    Wrote(Chunk),
    /// Its library told us something.
    Noticed {
        /// Whose library.
        rank: Rank,
        /// A line of it.
        line: String,
    },
    /// It ended; all that it wrote was reported before.
    Ended(Ended),
    /// It could not be started, on another host.
    CannotSpawn {
        /// Whose process.
        rank: Rank,
        /// Why not.
        error: io::Error,
    },
    /// A host of the job is lost, with all of its ranks.
    HostLost {
        /// Its ranks.
        ranks: std::ops::Range<Rank>,
        /// Which, and why.
        why: String,
    },
    /// The daemon of a host has something for the user.
    HostTold {
        /// Which, and what.
        text: String,
    },
    /// The system does not let us watch it any more.
    Lost {
        /// Whose process.
        rank: Rank,
        /// Why.
        error: io::Error,
    },
}

/// A piece of output.
#[derive(Debug)]
pub struct Chunk {
    /// Who wrote it.
    pub rank: Rank,
    /// Where to.
    pub stream: Stream,
    /// What.
    pub bytes: Vec<u8>,
    /// How far the rank's journal had come after the piece was read: all that it can depend on.
    pub head: Position,
    /// How many observations the rank had made then.
    pub observed: u64,
}

/// The end of a process. It is reaped.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Whose process.
    pub rank: Rank,
    /// How.
    pub how: How,
    /// When that was known.
    pub at: Instant,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It left with a status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
}

impl From<ExitStatus> for How {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Self::Signal(signal),
            None => Self::Exit(status.code().unwrap_or(0)),
        }
    }
}

/// How many bytes of a stream may wait for release before its writer must wait.
pub const WINDOW_BYTES: usize = 1 << 20;
/// How much room a reader takes at once.
pub const CHUNK_BYTES: usize = 1 << 16;
const LINE_LIMIT_BYTES: usize = 1 << 16;

/// What the watching of a stream has in common with whoever releases its output.
#[derive(Debug)]
pub struct Window(Semaphore);

impl Default for Window {
    fn default() -> Self {
        Self(Semaphore::new(WINDOW_BYTES))
    }
}

impl Window {
    /// Without any room.
    #[must_use]
    pub fn closed() -> Self {
        Self(Semaphore::new(0))
    }

    /// Takes the room for a chunk, for a reader on another host.
    pub async fn take_chunk(&self) {
        // Nobody ever closes it.
        if let Ok(permits) = self.0.acquire_many(CHUNK_BYTES as u32).await {
            permits.forget();
        }
    }

    /// Makes room for so many bytes again.
    pub fn give_back(&self, bytes: usize) {
        self.0.add_permits(bytes);
    }
}

/// The windows of a process's two streams.
#[derive(Debug, Default)]
pub struct Windows {
    /// Of its standard output.
    pub out: Window,
    /// Of its standard error.
    pub err: Window,
}

/// Has a process of a rank's watched beside everything else, until it has ended.
pub fn begin_watching(
    rank: Rank,
    spawned: Spawned,
    windows: Arc<Windows>,
    memory: JobMemory,
    happen: mpsc::Sender<Happened>,
) {
    tokio::spawn(async move {
        let mark = || (memory.journal_head(rank), memory.progress(rank).observed);
        let failed = happen.clone();
        if let Err(error) = watch(rank, spawned, &windows, mark, happen).await {
            // Its being reaped cannot be known any more, which nothing here could survive.
            let _ = failed.send(Happened::Lost { rank, error }).await;
        }
    });
}

/// Reports what a process does until it has ended. `mark` says how far the rank has come; it is asked *after* each piece
/// of output was read.
///
/// # Errors
/// [`io::Error`] where the system does not let us watch or reap it.
pub async fn watch(
    rank: Rank,
    spawned: Spawned,
    windows: &Windows,
    mark: impl Fn() -> (Position, u64) + Copy,
    report: mpsc::Sender<Happened>,
) -> io::Result<()> {
    let Spawned { child, pidfd, stdout, stderr, notices, .. } = spawned;
    let (ended, has_ended) = watch::channel(false);
    let has_ended = HasEnded(has_ended);
    let reap = async {
        let reaped = reap(child, pidfd).await;
        let _ = ended.send(true);
        reaped
    };
    let out =
        Source { rank, stream: Stream::Out, pipe: stdout, window: &windows.out, report: report.clone() };
    let err =
        Source { rank, stream: Stream::Err, pipe: stderr, window: &windows.err, report: report.clone() };
    let (reaped, (), (), ()) = tokio::join!(
        reap,
        out.read(mark, has_ended.clone()),
        err.read(mark, has_ended.clone()),
        notice(rank, notices, has_ended.clone(), &report)
    );
    let (how, at) = reaped?;
    // Nobody listens any more only where the job is over.
    let _ = report.send(Happened::Ended(Ended { rank, how, at })).await;
    Ok(())
}

async fn reap(mut child: Child, pidfd: OwnedFd) -> io::Result<(How, Instant)> {
    let pidfd = readable(pidfd)?;
    loop {
        let mut ready = pidfd.readable().await?;
        if let Some(status) = child.try_wait()? {
            return Ok((status.into(), Instant::now()));
        }
        ready.clear_ready();
    }
}

/// Learns that a process is reaped.
#[derive(Debug, Clone)]
struct HasEnded(watch::Receiver<bool>);

impl HasEnded {
    fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    async fn wait(&mut self) {
        let _ = self.0.wait_for(|ended| *ended).await;
    }
}

async fn until_readable(pipe: &pipe::Receiver, ended: &mut HasEnded) {
    tokio::select! {
        biased;
        _ = pipe.readable() => {}
        () = ended.wait() => {}
    }
}

enum Read {
    Some(usize),
    NotYet,
    Over,
}

fn read(pipe: &pipe::Receiver, bytes: &mut [u8], ended: &HasEnded) -> Read {
    // Once the process has ended, the pipe itself is asked: the runtime may not have heard of what stands in it.
    let is_over = ended.is_over();
    let read = match is_over {
        true => rustix::io::read(pipe, bytes).map_err(io::Error::from),
        false => pipe.try_read(bytes),
    };
    match read {
        Ok(len) if len > 0 => Read::Some(len),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Read::NotYet,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_over => Read::NotYet,
        _ => Read::Over,
    }
}

/// Reports what the library tells, line by line.
async fn notice(rank: Rank, notices: pipe::Receiver, mut ended: HasEnded, report: &mpsc::Sender<Happened>) {
    let mut lines = Vec::new();
    let mut bytes = vec![0; 1 << 12];
    loop {
        until_readable(&notices, &mut ended).await;
        match read(&notices, &mut bytes, &ended) {
            Read::Some(len) => lines.extend_from_slice(&bytes[..len]),
            Read::NotYet => continue,
            Read::Over => return,
        }
        while let Some(end) = lines.iter().position(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(&lines[..end]).into_owned();
            lines.drain(..=end);
            if report.send(Happened::Noticed { rank, line }).await.is_err() {
                return;
            }
        }
        // Nothing that the library tells is longer: the application wrote into our descriptor.
        if lines.len() > LINE_LIMIT_BYTES {
            lines.clear();
        }
    }
}

struct Source<'a> {
    rank: Rank,
    stream: Stream,
    pipe: pipe::Receiver,
    window: &'a Window,
    report: mpsc::Sender<Happened>,
}

impl Source<'_> {
    /// Reads until the end of the stream, or until all is read that stood in the pipe when the process had ended: what it
    /// started may hold the pipe open for ever.
    async fn read(self, mark: impl Fn() -> (Position, u64), mut ended: HasEnded) {
        let mut room = 0;
        loop {
            until_readable(&self.pipe, &mut ended).await;
            if room == 0 {
                tokio::select! {
                    biased;
                    Ok(permits) = self.window.0.acquire_many(CHUNK_BYTES as u32) => {
                        permits.forget();
                        room = CHUNK_BYTES;
                    }
                    () = ended.wait() => {}
                }
            }
            let mut bytes = vec![0; if room == 0 { CHUNK_BYTES } else { room }];
            match read(&self.pipe, &mut bytes, &ended) {
                Read::Some(len) => bytes.truncate(len),
                Read::NotYet => continue,
                Read::Over => return,
            }
            room = room.saturating_sub(bytes.len());
            let (head, observed) = mark();
            let chunk = Chunk { rank: self.rank, stream: self.stream, bytes, head, observed };
            if self.report.send(Happened::Wrote(chunk)).await.is_err() {
                return;
            }
        }
    }
}
