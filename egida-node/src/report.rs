//! What happened, for a program to read: one JSON object per line.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use egida_core::ids::{Incarnation, Rank};
use serde::Serialize;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A rank died.
    Death {
        /// Who.
        rank: Rank,
        /// In which life.
        incarnation: Incarnation,
        /// `signal 9`, or `fenced` where it died because its node did.
        cause: String,
        /// The `--kill` that did it.
        kill: Option<String>,
        /// When, from the start of the job.
        at_ms: f64,
    },
    /// A rank has caught up with its predecessor.
    Recovered {
        /// Who.
        rank: Rank,
        /// Its new life.
        incarnation: Incarnation,
        /// From the death (where the launcher caused it; else from the kernel's word of it) to its being known.
        detect_ms: f64,
        /// From then to the start of the new process: collection of what it is to replay.
        restart_ms: f64,
        /// From the start of the new process until it had caught up.
        replay_ms: f64,
        /// Determinants of its own that it was given.
        determinants: u64,
        /// Deliveries that it repeated.
        replayed_deliveries: u64,
        /// Sends that it repeated and that were on their channels already.
        replayed_sends: u64,
    },
    /// The job cannot go on.
    Unrecoverable {
        /// Why.
        why: String,
    },
    /// A re-execution did something else than the execution that it repeats.
    Divergence {
        /// Who.
        rank: Rank,
        /// What differs.
        what: String,
    },
    /// What a rank that ended properly did in all.
    Counts {
        /// Who.
        rank: Rank,
        /// Messages sent.
        sends: u64,
        /// Receives matched.
        deliveries: u64,
    },
    /// The end of the job.
    End {
        /// The launcher's exit code.
        exit_code: i32,
    },
}

/// Where the report goes, if anybody wants one.
#[derive(Debug, Default)]
pub struct Report {
    file: Option<File>,
}

impl Report {
    /// A report in a new file.
    ///
    /// # Errors
    /// [`io::Error`] where it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Some(File::create(path)?) })
    }

    /// Adds a line. One that cannot be written is told of in the log; the job matters more.
    pub fn add(&mut self, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(event).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            tracing::warn!("cannot write the report: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_line_of_its_documented_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report");
        let mut report = Report::create(&path).unwrap();
        report.add(&Event::Death {
            rank: 2,
            incarnation: 1,
            cause: "signal 9".into(),
            kill: Some("2@send:100".into()),
            at_ms: 1.5,
        });
        report.add(&Event::End { exit_code: 0 });
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "{\"event\":\"death\",\"rank\":2,\"incarnation\":1,\"cause\":\"signal 9\",\"kill\":\"2@send:100\",\"at_ms\":1.5}\n\
             {\"event\":\"end\",\"exit_code\":0}\n"
        );
        Report::default().add(&Event::End { exit_code: 0 });
    }
}
