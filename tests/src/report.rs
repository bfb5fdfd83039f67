//! What the launcher reports about a run: JSON, one object per line.

use serde::Deserialize;

/// One line of `--report`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A rank died.
    Death {
        /// Which.
        rank: usize,
        /// Its incarnation, from 1.
        incarnation: u64,
        /// `signal 9`, ...
        cause: String,
        /// The `--kill` that did it.
        kill: Option<String>,
    },
    /// A rank has replayed and is live again.
    Recovered {
        /// Which.
        rank: usize,
        /// The new incarnation.
        incarnation: u64,
        /// Deliveries that were taken from logs.
        replayed_deliveries: u64,
        /// Sends that were skipped because the channel already had them.
        replayed_sends: u64,
    },
    /// The job cannot be recovered.
    Unrecoverable {
        /// Why.
        why: String,
    },
    /// A rank did not replay identically.
    Divergence {
        /// Which.
        rank: usize,
        /// Where it differed.
        what: String,
    },
    /// What a rank did from its start to its end, replay included once.
    Counts(Counts),
    /// The end of the job.
    End {
        /// Of the launcher.
        exit_code: i32,
    },
    /// An event that these tests do not look at.
    #[serde(other)]
    Other,
}

/// How much a rank did: the units of `--kill R@send:N` and `R@deliver:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Which rank.
    pub rank: usize,
    /// Messages sent.
    pub sends: u64,
    /// Messages delivered.
    pub deliveries: u64,
}

/// All events of a run in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// As they were written.
    pub events: Vec<Event>,
}

/// A line of the report is not what the launcher promises to write.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the report: {source}")]
pub struct BadReport {
    line: usize,
    source: serde_json::Error,
}

impl Report {
    /// Reads all lines.
    ///
    /// # Errors
    /// The first line that is not an event.
    pub fn parse(text: &str) -> Result<Self, BadReport> {
        let event = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|source| BadReport { line: index + 1, source })
        };
        let events = text.lines().enumerate().map(event).collect::<Result<_, _>>()?;
        Ok(Self { events })
    }

    /// Whether that rank died by that `--kill`, in that incarnation or, where it was rolled back before, in a later one.
    pub fn killed(&self, rank: usize, incarnation: u64, kill: &str) -> bool {
        self.events.iter().any(|event| {
            matches!(event, Event::Death { rank: r, incarnation: i, kill: Some(k), .. }
                if *r == rank && *i >= incarnation && k == kill)
        })
    }

    /// Whether a rank rolled back: an order to kill it together with another may have found no process then.
    pub fn rolled_back(&self, rank: usize) -> bool {
        self.events.iter().any(
            |event| matches!(event, Event::Death { rank: r, cause, .. } if *r == rank && cause == "rolled back"),
        )
    }

    /// How many ranks died, all told.
    pub fn deaths(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Death { .. })).count()
    }

    /// Deliveries and sends that a rank replayed, over all of its recoveries.
    pub fn replayed(&self, rank: usize) -> Option<(u64, u64)> {
        let recoveries = self.events.iter().filter_map(|event| match event {
            Event::Recovered { rank: r, replayed_deliveries, replayed_sends, .. } if *r == rank => {
                Some((*replayed_deliveries, *replayed_sends))
            }
            _ => None,
        });
        recoveries.reduce(|a, b| (a.0 + b.0, a.1 + b.1))
    }

    /// Why the job could not be recovered, if so.
    pub fn unrecoverable(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            Event::Unrecoverable { why } => Some(why.as_str()),
            _ => None,
        })
    }

    /// What every rank did, in the order of ranks.
    pub fn counts(&self) -> Vec<Counts> {
        let mut counts: Vec<Counts> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Counts(counts) => Some(*counts),
                _ => None,
            })
            .collect();
        counts.sort_by_key(|counts| counts.rank);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"event":"death","rank":2,"incarnation":1,"cause":"signal 9","kill":"2@send:100","at_ms":12.5}
{"event":"recovered","rank":2,"incarnation":2,"detect_ms":0.4,"replay_ms":3,"determinants":7,"replayed_deliveries":5,"replayed_sends":9}
{"event":"something-new","rank":2}
{"event":"counts","rank":1,"sends":4,"deliveries":6}
{"event":"counts","rank":0,"sends":3,"deliveries":5}
{"event":"end","exit_code":0}
"#;

    #[test]
    fn events_are_read_and_unknown_ones_passed_over() {
        let report = Report::parse(TEXT).unwrap();
        assert!(report.killed(2, 1, "2@send:100"));
        assert!(!report.killed(2, 2, "2@send:100"));
        assert_eq!(report.replayed(2), Some((5, 9)));
        assert_eq!(report.replayed(1), None);
        assert_eq!(report.counts()[0], Counts { rank: 0, sends: 3, deliveries: 5 });
        assert_eq!(report.events.last(), Some(&Event::End { exit_code: 0 }));
    }

    #[test]
    fn a_death_of_its_own_has_no_kill() {
        let line = r#"{"event":"death","rank":1,"incarnation":1,"cause":"signal 11","kill":null,"at_ms":3}"#;
        let report = Report::parse(line).unwrap();
        assert_eq!(report.deaths(), 1);
        assert!(!report.killed(1, 1, "null"));
    }

    #[test]
    fn a_broken_line_is_named() {
        let broken = Report::parse("{\"event\":\"end\",\"exit_code\":0}\n{oops\n").unwrap_err();
        assert_eq!(broken.line, 2);
    }
}
