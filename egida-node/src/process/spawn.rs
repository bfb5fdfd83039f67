//! Starting a process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::net::unix::pipe;

use super::exec::bind_to_parent;

/// Environment variable: the number of an inherited descriptor on which the library tells the node, one line each, what
/// is not the application's output: `divergence: <what>` where a re-execution differs, or else a warning.
pub const ENV_NOTICE_FD: &str = "EGIDA_NOTICE_FD";

/// What to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program, searched for in `PATH` as a shell does.
    pub program: &'a OsStr,
    /// Its arguments.
    pub args: &'a [OsString],
    /// What its environment is made of; ours, where nothing is said.
    pub base: Option<&'a [(OsString, OsString)]>,
    /// What stands in its environment besides.
    pub environment: Vec<(String, String)>,
    /// What it inherits under the numbers that the descriptors have here: the job's memory, and what belongs to it.
    pub inherits: Vec<BorrowedFd<'a>>,
    /// Whether it gets a standard input to be fed; else it reads the end of input.
    pub fed: bool,
}

/// A process that was started.
#[derive(Debug)]
pub struct Spawned {
    /// To reap it with.
    pub child: Child,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// What it writes to its standard output.
    pub stdout: pipe::Receiver,
    /// What it writes to its standard error.
    pub stderr: pipe::Receiver,
    /// What its library tells the node.
    pub notices: pipe::Receiver,
    /// Its standard input, where it is fed.
    pub stdin: Option<pipe::Sender>,
}

impl Launch<'_> {
    /// Starts the process, in a process group of its own: a signal from the terminal is the launcher's to handle.
    ///
    /// The child dies with the calling *thread* (so the kernel defines it): call this from the main thread only, inside a
    /// runtime with I/O.
    ///
    /// # Errors
    /// [`io::Error`] where the program cannot be run.
    pub fn spawn(self) -> io::Result<Spawned> {
        let mut command = Command::new(self.program);
        let (notices, noticed) = pipe_with(PipeFlags::CLOEXEC)?;
        if let Some(base) = self.base {
            command.env_clear().envs(base.iter().map(|(name, value)| (name, value)));
        }
        command.args(self.args).envs(self.environment).process_group(0);
        command.env(ENV_NOTICE_FD, noticed.as_raw_fd().to_string());
        command.stdin(if self.fed { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut inherits = self.inherits;
        inherits.push(noticed.as_fd());
        bind_to_parent(&mut command, &inherits);
        let mut child = command.spawn()?;
        drop(noticed);
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::NONBLOCK)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let stdin = child.stdin.take().map(|stdin| pipe::Sender::from_owned_fd(stdin.into())).transpose()?;
        Ok(Spawned {
            child,
            pidfd,
            stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
            stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
            notices: pipe::Receiver::from_owned_fd(notices)?,
            stdin,
        })
    }
}

/// Whom to signal: a process that is not reaped yet, or is and then is left alone.
#[derive(Debug)]
pub enum Target {
    /// On this host.
    Here {
        /// The process.
        pidfd: OwnedFd,
        /// What it started in its group.
        group: Pid,
    },
    /// On another.
    Elsewhere(crate::hosts::RemoteProcess),
}

impl Target {
    /// The target that a spawned process is.
    ///
    /// # Errors
    /// [`io::Error`] where there are no descriptors left.
    pub fn of(spawned: &Spawned) -> io::Result<Self> {
        Ok(Self::Here { pidfd: spawned.pidfd.try_clone()?, group: Pid::from_child(&spawned.child) })
    }

    /// Sends a signal to the process and to what it started in its group. One that has ended is no error.
    pub fn signal(&self, signal: Signal) {
        match self {
            // Through the descriptor first: it can never mean another process that got the same number.
            Self::Here { pidfd, group } => {
                if pidfd_send_signal(pidfd, signal).is_ok() {
                    let _ = kill_process_group(*group, signal);
                }
            }
            Self::Elsewhere(process) => process.signal(signal),
        }
    }
}
