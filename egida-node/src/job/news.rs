//! What the user is told: in words on standard error, and in the report.

use std::time::{Duration, Instant};

use egida_core::ids::{Incarnation, Rank};
use egida_core::recovery::{Cause, End};

use crate::report::{Event, Report};
use crate::sink::Sink;

/// Exit code of a job that cannot go on because of its failures.
pub const UNRECOVERABLE: i32 = 86;
/// Exit code of a job in which a re-execution did not repeat what it repeats.
pub const DIVERGENCE: i32 = 87;
/// Exit code of a job that took too long, as of the `timeout` command.
pub const TIMEOUT: i32 = 124;
/// Exit code of a job that Egida itself could not go on with: a disk, its memory, its output.
pub const FAILED: i32 = 1;

/// Tells.
#[derive(Debug)]
pub struct News {
    /// Whether the user asked twice for the end.
    is_hurried: bool,
    sink: Sink,
    report: Report,
    is_quiet: bool,
    started: Instant,
}

/// A death, as the launcher knows it.
#[derive(Debug, Clone)]
pub struct Death {
    /// When the process ended, as far as can be known.
    pub at: Instant,
    /// When the job knew.
    pub known: Instant,
    /// Which order did it.
    pub kill: Option<String>,
}

/// What is known of the end of a rank's last process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Last {
    /// The signal, where one ended it.
    pub signal: i32,
    /// Whether it had passed MPI_Init.
    pub took_part: bool,
}

/// A recovery, measured.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// From the death to its being known.
    pub detect: Duration,
    /// From then to the start of the new process.
    pub restart: Duration,
    /// From the start until it had caught up.
    pub replay: Duration,
    /// Its own determinants that it was given.
    pub determinants: u64,
    /// Deliveries repeated.
    pub deliveries: u64,
    /// Sends repeated.
    pub sends: u64,
}

impl News {
    /// From now on.
    #[must_use]
    pub fn new(sink: Sink, report: Report, is_quiet: bool) -> Self {
        Self { is_hurried: false, sink, report, is_quiet, started: Instant::now() }
    }

    /// The user asked a second time: nobody is waited for any more, a stdout that nobody reads included.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// The launcher's output.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// How long the job has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says what a user may want to know.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.is_quiet {
            self.warn(text);
        }
    }

    /// Says what a user must know.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.sink.note(format!("egida: {}", text.as_ref()));
    }

    /// A rank died.
    pub fn death(&mut self, rank: Rank, incarnation: Incarnation, cause: &Cause, death: &Death) {
        let at = death.at.saturating_duration_since(self.started);
        self.report.add(&Event::Death {
            rank,
            incarnation,
            cause: match cause {
                Cause::Signal(signal) => format!("signal {signal}"),
                Cause::Fenced => "fenced".to_owned(),
                Cause::RolledBack => "rolled back".to_owned(),
                Cause::Suspected => "given up".to_owned(),
            },
            kill: death.kill.clone(),
            at_ms: ms(at),
        });
        let how = match cause {
            Cause::Signal(signal) => format!("died of {}", signal_name(*signal)),
            Cause::Fenced => "was ended because its node failed".to_owned(),
            Cause::RolledBack => "rolls back, because it depends on events that are lost".to_owned(),
            Cause::Suspected => "is given up, because its node cannot be reached".to_owned(),
        };
        let why = death.kill.as_ref().map(|kill| format!(", as `--kill {kill}` asked")).unwrap_or_default();
        self.note(format!(
            "rank {rank} (incarnation {incarnation}) {how} after {:.3} s{why}",
            at.as_secs_f64()
        ));
    }

    /// A rank has caught up.
    pub fn recovered(&mut self, rank: Rank, incarnation: Incarnation, recovery: &Recovery) {
        let Recovery { detect, restart, replay, determinants, deliveries, sends } = *recovery;
        self.report.add(&Event::Recovered {
            rank,
            incarnation,
            detect_ms: ms(detect),
            restart_ms: ms(restart),
            replay_ms: ms(replay),
            determinants,
            replayed_deliveries: deliveries,
            replayed_sends: sends,
        });
        self.note(format!(
            "rank {rank} is back as incarnation {incarnation}: detected in {:.1} ms, restarted in {:.1} ms, replayed in \
             {:.1} ms ({}, {}, {})",
            ms(detect),
            ms(restart),
            ms(replay),
            counted(determinants, "determinant", "determinants"),
            counted(deliveries, "delivery", "deliveries"),
            counted(sends, "send", "sends"),
        ));
    }

    /// What a rank did in all.
    pub fn counts(&mut self, rank: Rank, sends: u64, deliveries: u64) {
        self.report.add(&Event::Counts { rank, sends, deliveries });
    }

    /// A re-execution differs.
    pub fn divergence(&mut self, rank: Rank, what: &str) {
        self.report.add(&Event::Divergence { rank, what: what.to_owned() });
        self.warn(format!("rank {rank} did not repeat what it did before: {what}"));
    }

    /// The job cannot go on.
    pub fn unrecoverable(&mut self, why: &str) {
        self.report.add(&Event::Unrecoverable { why: why.to_owned() });
        self.warn(format!("unrecoverable: {why}"));
    }

    /// Tells of an end and gives the exit code that it means.
    pub fn end(&mut self, end: &End, protocol: &str, last: impl Fn(Rank) -> Last) -> i32 {
        match end {
            End::Done(code) => *code,
            End::Left { rank, code } => {
                let how = match last(*rank).took_part {
                    true => " before the end of MPI_Finalize: it called exit or MPI_Abort",
                    false => "",
                };
                self.warn(format!("the job ends: rank {rank} left with status {code}{how}"));
                *code
            }
            End::Died { rank, cause } => {
                let signal = match cause {
                    Cause::Signal(signal) => *signal,
                    Cause::Fenced | Cause::RolledBack | Cause::Suspected => last(*rank).signal,
                };
                self.warn(format!(
                    "the job ends: rank {rank} died of {}, and protocol `{protocol}` does not recover; choose one that \
                     does with `--spec`",
                    signal_name(signal)
                ));
                128 + signal
            }
            End::Unrecoverable(why) => {
                self.unrecoverable(&why.to_string());
                UNRECOVERABLE
            }
            End::Hopeless { rank, deaths, at } => {
                let signal = last(*rank).signal;
                self.unrecoverable(&format!(
                    "rank {rank} died {deaths} times in a row at the same event (after {} sends and {} deliveries), last \
                     of {}: the program itself is at fault",
                    at.sends,
                    at.deliveries,
                    signal_name(signal)
                ));
                128 + signal
            }
        }
    }

    /// The job is over. What is said then is written out, unless the user loses patience with whoever should take it.
    pub async fn over(&mut self, exit_code: i32, impatience: impl Future) {
        self.report.add(&Event::End { exit_code });
        self.sink.progress(None);
        if self.is_hurried {
            return self.sink.abandon();
        }
        tokio::select! {
            () = self.sink.flush() => return,
            _ = impatience => {}
        }
        self.sink.abandon();
    }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `signal 9 (SIGKILL)`.
fn signal_name(signal: i32) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    match NAMES.iter().find(|(number, _)| *number == signal) {
        Some((_, name)) => format!("signal {signal} ({name})"),
        None => format!("signal {signal}"),
    }
}
