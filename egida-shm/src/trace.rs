//! What a rank's process writes for the job's trace: a file for each of its lives, one [`Line`] as JSON after another.
//!
//! Each line is written by one call, without a buffer of our own: a process that is killed loses none. The times are those of
//! the machine's monotonic clock, which all processes share; whoever puts the files together makes them times of the job.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use egida_core::ids::{Incarnation, Rank};
use egida_core::trace::{Event, Line};
use rustix::time::{ClockId, clock_gettime};

/// The file of a life of a rank in the directory of its job's trace.
#[must_use]
pub fn trace_file(dir: &Path, rank: Rank, incarnation: Incarnation) -> PathBuf {
    dir.join(format!("rank-{rank}-{incarnation}.jsonl"))
}

/// Nanoseconds on the machine's monotonic clock.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// A rank's file.
#[derive(Debug)]
pub(crate) struct TraceFile {
    rank: Rank,
    incarnation: Incarnation,
    /// Nothing once writing failed: a trace with a hole would tell something else than what happened.
    file: Option<File>,
    trouble: Option<io::Error>,
}

impl TraceFile {
    pub fn create(dir: &Path, rank: Rank, incarnation: Incarnation) -> io::Result<Self> {
        let file = File::create(trace_file(dir, rank, incarnation))?;
        Ok(Self { rank, incarnation, file: Some(file), trouble: None })
    }

    pub fn write(&mut self, event: Event) {
        let Some(file) = &mut self.file else { return };
        let line = Line {
            time_ns: monotonic_ns(),
            rank: Some(self.rank),
            incarnation: Some(self.incarnation),
            event,
        };
        let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            file.write_all(&text)
        });
        if let Err(error) = written {
            self.file = None;
            self.trouble = Some(error);
        }
    }

    /// Why nothing is written any more, once.
    pub fn take_trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }
}
